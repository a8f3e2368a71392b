"""API: reading and writing with 1,000 simulated nodes and 30,000 VMs on one server.

What it does   starts `corral server --demo` (agents in the server's own process, SQLite with synced commits),
               waits until every node is linked, then asks over HTTP on loopback, from this process
Peer           none runs here that answers for 30,000 VMs; the goals are in the issue
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.load import Connection, closed_loop, describe, ms, open_loop
from bench.machine import machine, rss_mb
from bench.serving import Served, demo_server

CONNECTIONS = 32
NEXT = re.compile(rb'"next":"([^"]*)"')


class Client:
    """A few connections, used in turn."""

    def __init__(self, served: Served) -> None:
        self.free: asyncio.Queue[Connection] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            self.free.put_nowait(Connection("127.0.0.1", served.port, served.token))
        self.ids: list[str] = []
        self.image = ""
        self.chance = random.Random(1)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        connection = await self.free.get()
        try:
            status, answer = await connection.request(method, path, body, **headers)
        finally:
            self.free.put_nowait(connection)
        assert status < 300, f"{method} {path}: {status} {answer[:300]!r}"
        return answer

    async def total(self, path: str) -> int:
        return int(json.loads(await self.ask("GET", f"{path}limit=1"))["total"])

    async def ready(self, nodes: int) -> None:
        """Wait until every node is ready and every VM runs."""
        while await self.total("/api/v1/nodes?phase=ready&") < nodes or await self.total(
            "/api/v1/vms?phase=running&"
        ) < await self.total("/api/v1/vms?"):
            await asyncio.sleep(1)
        await self.quiet()
        self.ids = [vm["id"] for vm in json.loads(await self.ask("GET", "/api/v1/vms?limit=1000"))["items"]]
        self.image = json.loads(await self.ask("GET", "/api/v1/images?limit=1"))["items"][0]["name"]

    async def quiet(self) -> None:
        """Wait until nothing has changed for a while: what the start caused is over."""
        last, same = -1, 0
        while same < 10:
            await asyncio.sleep(1)
            revision = int(json.loads(await self.ask("GET", "/api/v1/vms?limit=1"))["revision"])
            last, same = revision, same + 1 if revision == last else 0

    async def get(self, number: int) -> None:
        await self.ask("GET", f"/api/v1/vms/{self.chance.choice(self.ids)}")

    async def create(self, number: int) -> None:
        body = {"name": f"bench-{number}", "cpus": 1, "memory": "256MiB", "disks": [{"image": self.image}]}
        await self.ask("POST", "/api/v1/vms", body, Idempotency_Key=f"bench-{number}")

    def page(self, limit: int) -> Callable[[int], Awaitable[None]]:
        """Each call gets the next page."""
        cursor = ""

        async def call(number: int) -> None:
            nonlocal cursor
            answer = await self.ask("GET", f"/api/v1/vms?limit={limit}&cursor={cursor}")
            found = NEXT.search(answer)
            cursor = found[1].decode() if found else ""

        return call


async def measure(served: Served, nodes: int, count: int) -> dict[str, float]:
    client = Client(served)
    await client.ready(nodes)
    gets = await closed_loop(client.get, count)
    pages = await closed_loop(client.page(100), max(50, count // 5))
    large = await closed_loop(client.page(1000), max(50, count // 20))
    begin = time.perf_counter()
    await closed_loop(client.get, count * 2, workers=8)
    rps = count * 2 / (time.perf_counter() - begin)
    creates = await open_loop(client.create, rate=100, seconds=count / 100)
    rows = (
        ("get", gets),
        ("list page of 100", pages),
        ("list page of 1,000", large),
        ("create, 100/s", creates),
    )
    for name, took in rows:
        print(describe(name, took))
    return {
        "get_p99_ms": ms(gets, 0.99),
        "page100_p99_ms": ms(pages, 0.99),
        "page1000_p99_ms": ms(large, 0.99),
        "create_p99_ms": ms(creates, 0.99),
        "get_rps": round(rps),
        "rss_mb": round(rss_mb(served.pid)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=api")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--vms", type=int, default=30_000)
    parser.add_argument("--count", type=int, default=2000, help="gets; the others follow from it")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name, demo_server(Path(name), given.nodes, given.vms) as served:
        figures = asyncio.run(measure(served, given.nodes, given.count))
    print(f"{given.nodes} nodes, {given.vms} VMs; the server's memory holds the simulated agents too")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
