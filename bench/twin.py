"""Twin: how far the mirror, and so whoever watches it, lags behind what happens on a node.

What it does   a real server in its own process (SQLite, synced commits); 20 real agents with simulated hosts join it by
               token and talk gRPC with mutual TLS; 1,000 VMs run on them. Each VM is paused or resumed once
               within a minute; the lag is from that moment to the arrival of its status at a watcher of the API
               (server-sent events over HTTP)
Peer           none runs here
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from bench.load import Connection, closed_loop, describe, ms
from bench.machine import machine
from bench.serving import real_server
from corral.agent import identity
from corral.agent.agent import Agent
from corral.agent.config import AgentConfig
from corral.agent.disk import DiskMemory
from corral.agent.grpc_link import GrpcLink
from corral.agent.main import run as run_agent
from corral.clock import Clock, SystemClock
from corral.hypervisor.simulated import Pace, SimulatedHypervisor, World
from corral.model.ids import VmId
from corral.model.vm import DomainState
from corral.network.simulated import SimulatedNetworking
from corral.storage.simulated import Files, SharedFiles, SimulatedStorage

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # the end of the server is no news
QUICK = Pace(start=(0.01, 0.02), guest_boot=(0.1, 0.2))


class Hosts:
    """Simulated hosts with real agents."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.world, self.shared = directory, World(SystemClock(), QUICK), SharedFiles()
        self.shared.pools["/pool"] = None

    async def join(self, name: str, token: str) -> "asyncio.Task[None]":
        config = AgentConfig(data_dir=self.directory / name)
        config.data_dir.mkdir()
        await identity.join(config.data_dir, token, name=name)
        host = self.world.add_host(name, cpus=64)

        def make(config: AgentConfig, link: GrpcLink, memory: DiskMemory, clock: Clock) -> Agent:
            storage = SimulatedStorage(Files(), self.shared, clock)
            return Agent(
                link.identity.node,
                hypervisor=SimulatedHypervisor(host, file_exists=storage.exists),
                storage=storage,
                networking=SimulatedNetworking(clock),
                link=link,
                memory=memory,
                clock=clock,
                version="bench",
            )

        return asyncio.create_task(run_agent(config, make=make), name=name)

    def flip(self, vm: VmId) -> str:
        """Pause the VM, or let it run again; returns what it is now."""
        for host in self.world.hosts.values():
            if held := host.domains.get(vm):
                paused = held.domain.state is DomainState.PAUSED
                state = DomainState.RUNNING if paused else DomainState.PAUSED
                held.domain = replace(held.domain, state=state)
                host.tell(vm, str(state))
                return str(state)
        raise KeyError(vm)


class Watcher:
    """Follows /api/v1/vms and notes when each VM was first seen in a state."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token
        self.flipped: dict[str, tuple[str, float]] = {}  # state and time of what was done last, by VM
        self.lags: list[float] = []

    async def follow(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        writer.write(
            f"GET /api/v1/vms?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        while line := await reader.readline():
            if line.startswith(b"data:"):
                self.see(json.loads(line[5:]))

    def see(self, document: dict[str, object]) -> None:
        vm = document.get("resource", document)
        expected = self.flipped.get(str(vm.get("id")))  # type: ignore[attr-defined]
        if expected is None:
            return
        reports = vm["status"]["reports"].values()  # type: ignore[index]
        if any(report["state"] == expected[0] for report in reports):
            self.lags.append(time.perf_counter() - expected[1])
            del self.flipped[str(vm["id"])]  # type: ignore[index]


async def measure(
    directory: Path, port: int, token: str, nodes: int, vms: int, seconds: float
) -> dict[str, float]:
    connection = Connection("127.0.0.1", port, token)
    hosts = Hosts(directory)
    for number in range(nodes):
        answer = await connection.json("POST", "/api/v1/nodes/join-tokens", {})
        await hosts.join(f"node{number}", answer["secret"])
    await connection.json("POST", "/api/v1/pools", {"name": "default", "path": "/pool", "shared": True})
    while (await connection.json("GET", "/api/v1/nodes?phase=ready&limit=1"))["total"] < nodes:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)

    async def create(number: int) -> None:
        body = {"name": f"vm-{number}", "memory": "64MiB", "disks": [{"size": "1GiB"}]}
        await Connection("127.0.0.1", port, token).json("POST", "/api/v1/vms", body)

    await closed_loop(create, vms, workers=4)
    while (await connection.json("GET", "/api/v1/vms?phase=running&limit=1"))["total"] < vms:
        await asyncio.sleep(0.5)
    print(f"{nodes} agents linked, {vms} VMs run")
    await asyncio.sleep(5)
    watcher = Watcher(port, token)
    following = asyncio.create_task(watcher.follow())
    await asyncio.sleep(1)
    ids = [VmId(vm) for host in hosts.world.hosts.values() for vm in host.domains]
    begin = time.perf_counter()
    for number, vm in enumerate(ids):
        await asyncio.sleep(max(0.0, begin + number * seconds / len(ids) - time.perf_counter()))
        watcher.flipped[vm] = ("paused", time.perf_counter())
        watcher.flipped[vm] = (hosts.flip(vm), watcher.flipped[vm][1])
    await asyncio.sleep(3)
    following.cancel()
    assert not watcher.flipped, f"{len(watcher.flipped)} changes never arrived"
    print(describe("event to watcher", watcher.lags))
    return {"p50_ms": ms(watcher.lags, 0.5), "p99_ms": ms(watcher.lags, 0.99), "changes": len(watcher.lags)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=twin")
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--vms", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name, real_server(Path(name)) as served:
        figures = asyncio.run(run(Path(name), served.port, served.token, given))
    print(json.dumps(figures))


async def run(directory: Path, port: int, token: str, given: argparse.Namespace) -> dict[str, float]:
    try:
        return await measure(directory, port, token, given.nodes, given.vms, given.seconds)
    finally:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


if __name__ == "__main__":
    main()
