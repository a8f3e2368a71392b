"""Server and agents as the programs wire them, over real gRPC and real disks; only the hosts are simulated."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corral.agent import identity
from corral.agent.agent import Agent
from corral.agent.config import AgentConfig
from corral.agent.disk import DiskMemory
from corral.agent.grpc_link import GrpcLink
from corral.agent.main import Making
from corral.agent.main import run as run_agent
from corral.clock import Clock, SystemClock
from corral.files import DataDirBusy
from corral.hypervisor.simulated import Pace, SimulatedHost, SimulatedHypervisor, World
from corral.model.ids import VmId
from corral.model.node import Node, NodePhase
from corral.model.operation import Operation, OperationState
from corral.model.vm import VM
from corral.network.simulated import SimulatedNetworking
from corral.server.config import ServerConfig
from corral.server.main import Serving, serving
from corral.server.services.asking import Asking
from corral.server.services.requests import CreateImage, CreatePool, CreateVM, MigrateVM, NewDisk
from corral.storage.simulated import Files, SharedFiles, SimulatedStorage

WAIT_S = 20.0
QUICK = Pace(start=(0.01, 0.02), guest_boot=(0.05, 0.1), guest_shutdown=(0.02, 0.05), migration_s_min=0.1)


class Room:
    """Hosts, with agents that come and go."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world, self.shared = World(SystemClock(), QUICK), SharedFiles()
        self.files: dict[str, Files] = {}

    def making(self, name: str) -> Making:
        host = self.world.hosts.get(name) or self.world.add_host(name)
        local = self.files.setdefault(name, Files())

        def make(config: AgentConfig, link: GrpcLink, memory: DiskMemory, clock: Clock) -> Agent:
            storage = SimulatedStorage(local, self.shared, clock, fetch_images=True)
            return Agent(
                link.identity.node,
                hypervisor=SimulatedHypervisor(host, file_exists=storage.exists),
                storage=storage,
                networking=SimulatedNetworking(clock),
                link=link,
                memory=memory,
                clock=clock,
                version="test",
            )

        return make

    @asynccontextmanager
    async def agent(self, name: str) -> AsyncIterator[SimulatedHost]:
        config = AgentConfig(data_dir=self.directory / name)
        running = asyncio.create_task(run_agent(config, make=self.making(name)))
        yield self.world.hosts[name]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def join(self, server: Serving, name: str) -> None:
        _, token = await server.core.join_tokens.mint(60, Asking())
        await identity.join(self.directory / name, token, name=name)


async def becomes(server: Serving, what: Callable[[], object]) -> None:
    """Wait until the mirror shows it; changes of the mirror are all that can make it true."""
    async with asyncio.timeout(WAIT_S):
        changes = server.core.mirror.subscribe()
        while not what():
            await anext(changes)


async def ended(server: Serving, operation: Operation) -> Operation:
    def now() -> Operation:
        found = server.core.mirror.get(operation.id)
        assert isinstance(found, Operation)
        return found

    await becomes(server, lambda: now().ended)
    return now()


async def bytes_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "cli.json"))
    addresses = dict.fromkeys(("http", "link", "join"), "127.0.0.1:0")
    return ServerConfig(data_dir=tmp_path / "server", stop_timeout_s=1, **addresses)


async def test_a_vm_from_image_to_console_and_on_to_another_node(
    config: ServerConfig, tmp_path: Path
) -> None:
    room = Room(tmp_path)
    async with serving(config) as server:
        for name in ("node-1", "node-2"):
            await room.join(server, name)
        core, services = server.core, server.core.services
        async with room.agent("node-1") as one, room.agent("node-2") as two:
            nodes = {n.name: n.id for n in core.mirror.list(Node)}
            await becomes(
                server, lambda: all(n.status.phase is NodePhase.READY for n in core.mirror.list(Node))
            )
            await ended(
                server,
                await services.pools.create(CreatePool(name="default", path="/pool", shared=True), Asking()),
            )
            await services.images.create(CreateImage(name="small", format="raw"), Asking())
            await core.image_store.receive("small", bytes_of(bytes(3 * 2**20)), Asking())
            ask = CreateVM(name="web", disks=(NewDisk(image="small", pool="default"),))
            created = await ended(server, await services.vms.create(ask, Asking()))
            assert created.status.state is OperationState.SUCCEEDED, created.status
            vm = core.mirror.find(VM, "web")
            here, there = (one, two) if vm.status.node == nodes["node-1"] else (two, one)
            assert room.world.where(vm.id) == (here.name,)

            session = await core.consoles.open(VmId(vm.id))
            await session.write(b"hello")
            seen = b""
            async with asyncio.timeout(5):
                while b"hello" not in seen:
                    seen += await session.read()
            await session.close()

            moved = await ended(
                server, await services.vms.migrate("web", MigrateVM(target=there.name), Asking())
            )
            assert moved.status.state is OperationState.SUCCEEDED, moved.status
            assert room.world.where(vm.id) == (there.name,)


async def test_guests_outlive_server_and_agent(config: ServerConfig, tmp_path: Path) -> None:
    room = Room(tmp_path)
    async with serving(config) as server:
        await room.join(server, "node-1")
        link_port = server.link_port
        async with room.agent("node-1"):
            await becomes(server, lambda: server.core.mirror.list(Node)[0].status.phase is NodePhase.READY)
            created = await server.core.services.vms.create(CreateVM(name="web"), Asking())
            assert (await ended(server, created)).status.state is OperationState.SUCCEEDED
            vm = server.core.mirror.find(VM, "web")
    assert room.world.where(vm.id) == ("node-1",)
    async with room.agent("node-1") as host:  # without a server: from what is on its disk
        host.crash(vm.id)
        async with asyncio.timeout(WAIT_S):
            while not host.runs(VmId(vm.id)):
                await asyncio.sleep(0.02)
        same = ServerConfig(
            data_dir=config.data_dir, http=config.http, join=config.join, link=f"127.0.0.1:{link_port}"
        )
        async with serving(same) as server:
            restarts = lambda: (r := server.core.mirror.find(VM, "web").report) and r.restarts  # noqa: E731
            await becomes(server, lambda: restarts() == 1)
            stopped = await server.core.services.vms.delete("web", Asking())
            assert (await ended(server, stopped)).status.state is OperationState.SUCCEEDED
    assert room.world.where(vm.id) == ()


async def test_one_agent_a_directory(config: ServerConfig, tmp_path: Path) -> None:
    room = Room(tmp_path)
    async with serving(config) as server:
        await room.join(server, "node-1")
        async with room.agent("node-1"):
            await asyncio.sleep(0.1)
            with pytest.raises(DataDirBusy):
                await run_agent(AgentConfig(data_dir=tmp_path / "node-1"), make=room.making("node-1"))
