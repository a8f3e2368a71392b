"""API: reading and writing with 1,000 simulated nodes and 30,000 VMs on one server.

What it does   starts `corral server --demo` (agents in the server's own process, SQLite with synced commits),
               waits until every node is linked, then asks over HTTP on loopback, from this process
Peer           none runs here that answers for 30,000 VMs; the goals are in the issue
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.load import Connection, closed_loop, describe, ms, open_loop
from bench.machine import machine, rss_mb

PORT = 18460


def start(nodes: int, vms: int, directory: str) -> tuple[subprocess.Popen[str], str]:
    """The server, and its admin token."""
    command = [sys.executable, "-m", "corral.cli.main", "server", "--demo", "--http", f"127.0.0.1:{PORT}"]
    process = subprocess.Popen(
        [*command, "--nodes", str(nodes), "--vms", str(vms)],
        stdout=subprocess.PIPE,
        stderr=Path(directory, "log").open("w"),
        text=True,
        env={**os.environ, "CORRAL_CONFIG": f"{directory}/config.json"},
    )
    assert process.stdout
    token = ""
    for line in process.stdout:
        if found := re.search(r"corral_\S+", line):
            token = found[0]
        if "simulated" in line:
            return process, token
    raise RuntimeError(Path(directory, "log").read_text()[-2000:])


async def linked(connection: Connection, nodes: int) -> None:
    """Wait until every node is ready and no VM is anything but running."""
    while True:
        ready = await connection.json("GET", "/api/v1/nodes?phase=ready&limit=1")
        running = await connection.json("GET", "/api/v1/vms?phase=running&limit=1")
        every = await connection.json("GET", "/api/v1/vms?limit=1")
        if ready["total"] == nodes and running["total"] == every["total"]:
            return
        await asyncio.sleep(1)


async def measure(token: str, nodes: int, count: int) -> dict[str, float]:
    connections = [Connection("127.0.0.1", PORT, token) for _ in range(32)]
    one = connections[0]
    await linked(one, nodes)
    await asyncio.sleep(10)  # what the linking caused is over
    page = await one.json("GET", "/api/v1/vms?limit=1000")
    ids = [vm["id"] for vm in page["items"]]
    chance = random.Random(1)

    async def get(number: int) -> None:
        await one.json("GET", f"/api/v1/vms/{chance.choice(ids)}")

    def list_of(limit: int):  # type: ignore[no-untyped-def]
        cursors = [""]

        async def call(number: int) -> None:
            status, body = await one.request("GET", f"/api/v1/vms?limit={limit}&cursor={cursors[-1]}")
            assert status == 200
            cursors.append(re.search(rb'"next":\s*(?:"([^"]*)"|null)', body[-400:] + body[:400])[1] or b"")  # type: ignore[index]
            cursors[-1] = cursors[-1].decode() if isinstance(cursors[-1], bytes) else cursors[-1]

        return call

    image = (await one.json("GET", "/api/v1/images?limit=1"))["items"][0]["name"]
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections[1:]:
        free.put_nowait(connection)

    async def create(number: int) -> None:
        connection = await free.get()
        body = {"name": f"bench-{number}", "cpus": 1, "memory": "256MiB", "disks": [{"image": image}]}
        await connection.json("POST", "/api/v1/vms", body, Idempotency_Key=f"bench-{number}")
        free.put_nowait(connection)

    async def get_on(number: int) -> None:
        connection = await free.get()
        await connection.json("GET", f"/api/v1/vms/{chance.choice(ids)}")
        free.put_nowait(connection)

    gets = await closed_loop(get, count)
    pages = await closed_loop(list_of(100), count // 5)
    large = await closed_loop(list_of(1000), max(20, count // 40))
    begin = time.perf_counter()
    await closed_loop(get_on, count * 2, workers=8)
    rps = count * 2 / (time.perf_counter() - begin)
    creates = await open_loop(create, rate=100, seconds=count / 100)
    for name, took in (("get", gets), ("list page of 100", pages), ("list page of 1,000", large), ("create, 100 a second", creates)):
        print(describe(name, took))
    return {
        "get_p99_ms": ms(gets, 0.99),
        "page100_p99_ms": ms(pages, 0.99),
        "page1000_p99_ms": ms(large, 0.99),
        "create_p99_ms": ms(creates, 0.99),
        "get_rps": round(rps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=api")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--vms", type=int, default=30_000)
    parser.add_argument("--count", type=int, default=2000, help="gets; the others follow from it")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as directory:
        process, token = start(given.nodes, given.vms, directory)
        try:
            figures = asyncio.run(measure(token, given.nodes, given.count))
            figures["rss_mb"] = round(rss_mb(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    print(f"{given.nodes} nodes, {given.vms} VMs; the server's memory holds the simulated agents too")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
