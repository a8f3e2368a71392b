"""Agents on simulated hosts and virtual time, with a server played by the test.

In this room   Rig (the world), PlayedServer (one node's server), faults that strike where a test says
Always true    kill() ends an agent like kill -9: not one more line of it runs; its host and disk stay
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from corral.agent.agent import Agent
from corral.agent.memory import MemoryMemory
from corral.agent.ports import LinkDown
from corral.errors import CorralError
from corral.hypervisor.simulated import Pace, SimulatedHost, SimulatedHypervisor, World
from corral.model.found import FoundAll
from corral.model.ids import ImageId, NetworkId, NodeId, PoolId, VmId, VolumeId
from corral.model.link import (
    Ack,
    AgentMessage,
    Assign,
    Assignment,
    DiskAssignment,
    Facts,
    Hello,
    ImageSource,
    MigrateAssignment,
    NetworkAssignment,
    NicAssignment,
    OpenConsole,
    PoolAssignment,
    Port,
    Report,
    ServerMessage,
    VmAssignment,
    VmRole,
    VolumeAssignment,
    Welcome,
    report_digests,
)
from corral.model.units import MiB
from corral.model.vm import VMReport
from corral.model.volume import ObjectReport
from corral.network.simulated import SimulatedNetworking
from corral.storage.simulated import Files, SharedFiles, SimulatedStorage
from tests.sim.loop import SimClock, SimLoop
from tests.sim.process import Process, bury, task_factory

VM = VmId("vm-1")
POOL = PoolAssignment(pool=PoolId("pool-1"), path="/pool", shared=True)
LAN = NetworkAssignment(
    network=NetworkId("net-1"),
    bridge="br0",
    ports=tuple(Port(mac=f"52:54:00:00:00:{n:02x}", address="", name="web") for n in range(1, 60)),
)
IMAGE = ImageSource(image=ImageId("img-1"), sha256="a" * 64, format="qcow2", size_bytes=100 * MiB)
VOLUME = VolumeAssignment(
    volume=VolumeId("vol-1"), pool=PoolId("pool-1"), pool_path="/pool", size_bytes=MiB, image=IMAGE
)
WEB = VmAssignment(
    vm=VM,
    name="web",
    role=VmRole.OWNER,
    generation=1,
    stint=1,
    boot=1,
    memory_bytes=512 * MiB,
    disks=(DiskAssignment(volume=VOLUME.volume, path="/pool/volumes/vol-1.qcow2", shared=True),),
    nics=(NicAssignment(network=LAN.network, bridge="br0", mac="52:54:00:00:00:01"),),
    stop_timeout_s=20,
)
NOBODY = VmAssignment(vm=VM, name="web", role=VmRole.NONE, generation=1, stint=9, running=False)


class Strikes:
    """Faults that a test asked for, by point; counts what was hit."""

    def __init__(self, clock: SimClock) -> None:
        self.clock = clock
        self.planned: dict[str, list[CorralError | float]] = {}
        self.hit: Counter[str] = Counter()

    def plan(self, point: str, *faults: CorralError | float) -> None:
        """The next calls at `point` meet these: an error is raised, seconds are slept."""
        self.planned.setdefault(point, []).extend(faults)

    async def strike(self, point: str) -> None:
        self.hit[point] += 1
        faults = self.planned.get(point)
        match faults.pop(0) if faults else None:
            case CorralError() as error:
                raise error
            case float(seconds):
                await self.clock.sleep(seconds)


class PlayedServer:
    """What one node's server holds and hears; also the Link to it."""

    def __init__(self, node: NodeId) -> None:
        self.node, self.up, self.acks = node, True, True
        self.assigned: dict[str, Assignment] = {}
        self.held: dict[str, Struct] = {}  # parts of reports, like "vms/vm-1"
        self.found_all: tuple[str, ...] | None = None
        self.reports: list[Report] = []
        self.hellos: list[Hello] = []
        self.facts: list[Facts] = []
        self.streams: list[PlayedStream] = []
        self.consoles: dict[str, PlayedConsole] = {}
        self.excuses: dict[str, CorralError] = {}  # by session of a console that could not be brought

    async def dial(self) -> "PlayedStream":
        await asyncio.sleep(0.001)
        if not self.up:
            raise LinkDown("nobody answers")
        stream = PlayedStream(self)
        self.streams.append(stream)
        return stream

    async def fetch(self, image: ImageSource) -> AsyncIterator[bytes]:
        yield b"bytes"

    async def console(self, session: str) -> "PlayedConsole":
        return self.consoles.setdefault(session, PlayedConsole())

    async def no_console(self, session: str, why: CorralError) -> None:
        self.excuses[session] = why

    def assign(self, *things: Assignment) -> None:
        for thing in things:
            self.assigned[thing.key] = thing
        self.tell(Assign(items=things))

    def forget(self, *keys: str) -> None:
        for key in keys:
            self.assigned.pop(key, None)
        self.tell(Assign(forget=keys))

    def tell(self, message: ServerMessage) -> None:
        if self.up and self.streams:
            self.streams[-1].out.put_nowait(message)

    def go_down(self) -> None:
        self.up = False
        for stream in self.streams:
            stream.breaks()

    def hear(self, stream: "PlayedStream", message: AgentMessage) -> None:
        match message:
            case Hello():
                self.hellos.append(message)
                stream.out.put_nowait(Welcome(reported=self._digests()))
                gone = tuple(key for key in message.assigned if key not in self.assigned)
                stream.out.put_nowait(Assign(items=tuple(self.assigned.values()), forget=gone))
            case Report():
                self.reports.append(message)
                if self.acks:
                    self._keep(message)
                    stream.out.put_nowait(Ack(seq=message.seq))
            case Facts():
                self.facts.append(message)

    def vm(self, vm: str = VM) -> VMReport | None:
        part = self.held.get(f"vms/{vm}")
        assert part is None or isinstance(part, VMReport)
        return part

    def volume(self, volume: str = VOLUME.key) -> ObjectReport:
        part = self.held[f"volumes/{volume}"]
        assert isinstance(part, ObjectReport)
        return part

    def _keep(self, report: Report) -> None:
        if report.inventory:
            self.held["inventory/"] = report.inventory
        if report.found_all is not None:
            for uuid in set(self.found_all or ()) - set(report.found_all.uuids):
                self.held.pop(f"found/{uuid}", None)
            self.found_all = report.found_all.uuids
        for field in ("pools", "networks", "volumes", "images", "vms", "found"):
            self.held |= {f"{field}/{key}": part for key, part in getattr(report, field).items()}

    def _digests(self) -> dict[str, str]:
        fields: dict[str, Any] = {f: {} for f in ("pools", "networks", "volumes", "images", "vms", "found")}
        for full, part in self.held.items():
            field, _, key = full.partition("/")
            if key:
                fields[field][key] = part
        found_all = None if self.found_all is None else FoundAll(uuids=self.found_all)
        return report_digests(Report(inventory=self.held.get("inventory/"), found_all=found_all, **fields))  # type: ignore[arg-type]


class PlayedStream:
    def __init__(self, server: PlayedServer) -> None:
        self.server = server
        self.out: asyncio.Queue[ServerMessage | None] = asyncio.Queue()
        self.broken = False

    async def send(self, message: AgentMessage) -> None:
        await asyncio.sleep(0.001)
        if self.broken:
            raise LinkDown("the stream is broken")
        self.server.hear(self, message)

    async def receive(self) -> ServerMessage:
        message = None if self.broken else await self.out.get()
        if message is None:
            raise LinkDown("the stream broke")
        await asyncio.sleep(0.001)
        return message

    async def close(self) -> None:
        self.breaks()

    def breaks(self) -> None:
        self.broken = True
        self.out.put_nowait(None)


class PlayedConsole:
    def __init__(self) -> None:
        self.typed: asyncio.Queue[bytes] = asyncio.Queue()
        self.shown, self.closed = b"", False

    async def read(self) -> bytes:
        return await self.typed.get()

    async def write(self, data: bytes) -> None:
        self.shown += data

    async def close(self) -> None:
        self.closed = True


class Place:
    """A host with its disk, and the agent that is on it now."""

    def __init__(self, rig: "Rig", name: str) -> None:
        self.rig, self.name = rig, name
        self.host: SimulatedHost = rig.world.add_host(name)
        self.faults = Strikes(rig.clock)
        self.memory = MemoryMemory(rig.clock, faults=self.faults)
        self.local = Files()
        self.server = PlayedServer(NodeId(f"node-{name}"))
        self.agents: list[Agent] = []
        self.process = Process(name)
        self.start()

    def start(self) -> None:
        storage = SimulatedStorage(self.local, self.rig.shared, self.rig.clock, faults=self.faults)
        self.networking = SimulatedNetworking(self.rig.clock, faults=self.faults)
        agent = Agent(
            self.server.node,
            hypervisor=SimulatedHypervisor(self.host, faults=self.faults, file_exists=storage.exists),
            storage=storage,
            networking=self.networking,
            link=self.server,
            memory=self.memory,
            clock=self.rig.clock,
            version="1",
            figures=NoFigures(),
        )
        self.agents.append(agent)
        self.process = Process(self.name)
        self.process.spawn(agent.run())

    def kill(self) -> None:
        self.process.kill()

    def runs(self, vm: str = VM) -> bool:
        return self.host.runs(vm)


class NoFigures:
    def row(self) -> tuple[float, ...]:
        return (0.0,) * 6


class Rig:
    """Hosts `one` and `two` with their agents."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.clock = SimClock(loop, random.Random(7))
        self.world = World(self.clock, Pace(memory_bytes_s=100 * MiB))
        self.shared = SharedFiles()
        self.one, self.two = Place(self, "one"), Place(self, "two")

    async def until(self, what: Callable[[], object], within_s: float = 60.0) -> float:
        """Let time pass until it is so; the seconds it took. Never does a VM run twice meanwhile."""
        began_s = self.clock.monotonic_s()
        while not what():
            waited_s = self.clock.monotonic_s() - began_s
            assert waited_s < within_s, f"not so after {waited_s:.1f} s: {self.story()}"
            await self.clock.sleep(0.01)
            assert not self.world.running_twice()
        return self.clock.monotonic_s() - began_s

    async def passes(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        assert not self.world.running_twice()

    async def web_runs(self, place: Place | None = None) -> None:
        place = place or self.one
        place.server.assign(POOL, LAN, VOLUME, WEB)
        await self.until(lambda: (r := place.server.vm()) and r.state == "running" and r.guest.up)

    def story(self) -> str:
        return "; ".join(f"{p.name}: {p.server.held}" for p in (self.one, self.two))


def source(peer: Place, wish: str = "w1", *, cancel: bool = False) -> VmAssignment:
    move = MigrateAssignment(
        wish=wish, peer=peer.server.node, peer_address=peer.host.address, go=True, cancel=cancel
    )
    return replace(WEB, role=VmRole.SOURCE, stint=2, migrate=move)


def target(peer: Place, wish: str = "w1") -> VmAssignment:
    move = MigrateAssignment(wish=wish, peer=peer.server.node, peer_address=peer.host.address)
    return replace(WEB, role=VmRole.TARGET, stint=2, migrate=move)


def in_rig(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Run the test on virtual time. No lane may have met a bug."""

    def run() -> None:
        loop = SimLoop()
        loop.set_task_factory(task_factory)
        box: list[Rig] = []

        async def all_of_it() -> None:
            box.append(Rig(loop))
            await test(box[0])

        try:
            loop.run_until_complete(all_of_it())
            bugs = [bug for p in (box[0].one, box[0].two) for agent in p.agents for bug in agent.bugs]
            assert not bugs, bugs
        finally:
            for place in (box[0].one, box[0].two):
                place.kill()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
            bury()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


__all__ = ["LAN", "NOBODY", "POOL", "VM", "VOLUME", "WEB", "OpenConsole", "Rig", "in_rig"]
