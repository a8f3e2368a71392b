"""Console sessions of a server, with a node played by the test."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from corral.clock import SystemClock
from corral.errors import CorralError
from corral.hypervisor.interface import NoScreen
from corral.model.console import ConsoleKind
from corral.model.ids import NodeId, VmId
from corral.model.link import OpenConsole, ServerMessage, TakeScreenshot
from corral.model.vm import VM, Migration, VMPhase, VMSpec, VMStatus
from corral.server import consoles
from corral.server.consoles import (
    Consoles,
    ConsoleUnanswered,
    Leg,
    NoSession,
    Opener,
    TooManyConsoles,
)
from corral.store.interface import Put, Remove
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror

ONE, TWO = NodeId("node-1"), NodeId("node-2")
WEB = VmId("vm-1")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000) + b"\0\0\0\0IEND\xaeB`\x82"


class Nodes:
    """The hub, and the agents behind it: each brings a leg, and the test has its end."""

    def __init__(self) -> None:
        self.asked: list[tuple[NodeId, ServerMessage]] = []
        self.legs: list[Leg] = []
        self.trouble: CorralError | None = None
        self.deaf = False

    async def send(self, node: NodeId, message: ServerMessage) -> None:
        assert isinstance(message, OpenConsole | TakeScreenshot)
        self.asked.append((node, message))
        if not self.deaf:
            self.legs.append(self.consoles.arrive(message.session, node, self.trouble))

    consoles: Consoles


class World:
    def __init__(self) -> None:
        self.clock, self.mirror, self.nodes = SystemClock(), Mirror(), Nodes()
        self.store = MemoryStore(self.clock)
        self.consoles = Consoles(self.mirror, self.nodes, self.clock)  # type: ignore[arg-type]
        self.nodes.consoles = self.consoles

    async def put(self, vm: VM) -> None:
        (stored,) = await self.store.commit([Put(vm)])
        await self.mirror.wait_for(stored.revision)

    async def status(self, **fields: object) -> None:
        vm = self.mirror.get(WEB)
        assert isinstance(vm, VM)
        await self.put(vm.having(status=replace(vm.status, **fields)))


def a_vm(number: int = 1) -> VM:
    status = VMStatus(phase=VMPhase.RUNNING, node=ONE)
    return VM(
        id=f"vm-{number}", name=f"web-{number}", spec=VMSpec(cpus=1, memory_bytes=1 << 30), status=status
    )


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    following = asyncio.create_task(world.mirror.follow(world.store))
    await world.mirror.wait_loaded()
    await world.put(a_vm())
    async with asyncio.timeout(10):
        yield world
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_session_is_listed_while_it_is_open(world: World) -> None:
    session = await world.consoles.open(WEB, ConsoleKind.VNC, Opener(name="ann", client="10.0.0.9"))
    (leg,) = world.nodes.legs
    await leg.from_node.put(b"RFB 003.008\n")
    assert await session.read() == b"RFB 003.008\n"
    await session.write(b"x" * 70_000)
    assert [len(await leg.to_node.take()) for _ in range(2)] == [65536, 4464]
    (shown,) = world.consoles.list()
    assert (shown.vm, shown.vm_name, shown.node, shown.kind) == (WEB, "web-1", ONE, ConsoleKind.VNC)
    assert (shown.by, shown.client) == ("ann", "10.0.0.9")
    assert (shown.to_guest_bytes, shown.from_guest_bytes) == (70_000, 12)
    await session.close()
    assert world.consoles.list() == [] and leg.to_node.ended


async def test_what_the_node_is_asked(world: World) -> None:
    await world.consoles.open(WEB, ConsoleKind.SERIAL, Opener(), 4096)
    ((node, asked),) = world.nodes.asked
    assert isinstance(asked, OpenConsole)
    assert (node, asked.vm, asked.kind, asked.replay_bytes) == (ONE, WEB, ConsoleKind.SERIAL, 4096)
    assert len(asked.session) >= 32


async def test_what_the_node_can_not_bring(world: World) -> None:
    world.nodes.trouble = NoScreen(WEB, "VNC")
    with pytest.raises(NoScreen):
        await world.consoles.open(WEB, ConsoleKind.VNC)
    world.nodes.trouble = CorralError("a newer agent's words")
    with pytest.raises(ConsoleUnanswered, match="newer agent"):
        await world.consoles.open(WEB, ConsoleKind.VNC)
    assert world.consoles.list() == [] and not world.consoles.waiting


async def test_an_operator_ends_a_session(world: World) -> None:
    session = await world.consoles.open(WEB, ConsoleKind.VNC, Opener(name="ann"))
    reading = asyncio.create_task(session.read())
    await asyncio.sleep(0)
    assert world.consoles.end(session.id, "bob").by == "ann"
    assert await reading == b"" and session.over == "ended by bob"
    with pytest.raises(NoSession):
        world.consoles.end(session.id, "bob")


async def test_a_newer_serial_console_ends_the_older(world: World) -> None:
    first = await world.consoles.open(WEB, ConsoleKind.SERIAL, Opener(name="ann"))
    screen = await world.consoles.open(WEB, ConsoleKind.VNC)
    second = await world.consoles.open(WEB, ConsoleKind.SERIAL, Opener(name="bob"))
    assert await first.read() == b"" and "bob opened the console" in first.over
    assert {c.id for c in world.consoles.list()} == {screen.id, second.id}


async def test_there_are_only_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "SESSIONS_OF_VM_MAX", 3)
    open = [await world.consoles.open(WEB, ConsoleKind.SPICE) for _ in range(3)]
    with pytest.raises(TooManyConsoles):
        await world.consoles.open(WEB, ConsoleKind.SPICE)
    await open[0].close()
    await world.consoles.open(WEB, ConsoleKind.SPICE)


# ---- live migration


async def test_a_serial_console_follows_its_vm(world: World) -> None:
    session = await world.consoles.open(WEB)
    await world.status(phase=VMPhase.MIGRATING, migration=Migration(wish="w", source=ONE, target=TWO))
    world.nodes.legs[0].end("the node ended the console")
    reading = asyncio.create_task(session.read())
    writing = asyncio.create_task(session.write(b"typed meanwhile"))
    await asyncio.sleep(0.05)
    assert not reading.done() and not writing.done()
    await world.status(phase=VMPhase.RUNNING, migration=None, node=TWO)
    await writing
    assert [node for node, _ in world.nodes.asked] == [ONE, TWO]
    assert await world.nodes.legs[1].to_node.take() == b"typed meanwhile"
    await world.nodes.legs[1].from_node.put(b"here")
    assert await reading == b"here"
    assert world.consoles.list()[0].node == TWO


async def test_a_screen_ends_as_moved(world: World) -> None:
    session = await world.consoles.open(WEB, ConsoleKind.VNC)
    await world.status(node=TWO)
    world.nodes.legs[0].end("the node ended the console")
    assert await session.read() == b"" and session.moved


ENDS = [  # name, what is so when the node's end breaks off
    ("it runs where it was: someone took the line on the node", {"phase": VMPhase.RUNNING}),
    ("it stopped", {"phase": VMPhase.STOPPED}),
    ("it stopped, and elsewhere", {"phase": VMPhase.STOPPED, "node": TWO}),
]


@pytest.mark.parametrize("status", [pytest.param(row[1], id=row[0]) for row in ENDS])
async def test_what_ends_a_serial_console(world: World, status: dict[str, object]) -> None:
    session = await world.consoles.open(WEB)
    await world.status(**status)
    world.nodes.legs[0].end("the node ended the console")
    assert await session.read() == b"" and not session.moved and not session.over
    assert len(world.nodes.asked) == 1


async def test_a_vm_that_is_deleted_while_it_moves(world: World) -> None:
    session = await world.consoles.open(WEB)
    await world.status(migration=Migration(wish="w", source=ONE, target=TWO))
    world.nodes.legs[0].end("the node ended the console")
    reading = asyncio.create_task(session.read())
    await asyncio.sleep(0.01)
    await world.store.commit([Remove(WEB)])
    assert await reading == b""


async def test_a_target_that_does_not_bring_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "ANSWER_S", 0.05)
    session = await world.consoles.open(WEB)
    await world.status(node=TWO)
    world.nodes.deaf = True
    world.nodes.legs[0].end("the node ended the console")
    assert await session.read() == b""


async def test_a_session_that_is_ended_while_its_vm_moves(world: World) -> None:
    session = await world.consoles.open(WEB)
    await world.status(migration=Migration(wish="w", source=ONE, target=TWO))
    world.nodes.legs[0].end("the node ended the console")
    reading = asyncio.create_task(session.read())
    await asyncio.sleep(0.01)
    world.consoles.end(session.id, "bob")
    assert await reading == b"" and world.consoles.list() == []


# ---- pictures


async def picture(world: World, *pieces: bytes) -> bytes:
    asking = asyncio.create_task(world.consoles.screenshot(WEB))
    while not world.nodes.legs and not asking.done():
        await asyncio.sleep(0)
    for piece in pieces:
        await world.nodes.legs[0].from_node.put(piece)
    world.nodes.legs[0].from_node.end("that was all")
    return await asking


async def test_a_picture_in_pieces(world: World) -> None:
    assert await picture(world, PNG[:3], PNG[3:500], PNG[500:]) == PNG
    assert world.nodes.legs[0].to_node.ended, "the agent waits for the end of its call"


BAD = [("no picture", b"GIF89a"), ("cut off", PNG[:-5]), ("nothing", b"")]


@pytest.mark.parametrize("data", [pytest.param(row[1], id=row[0]) for row in BAD])
async def test_what_is_no_picture(world: World, data: bytes) -> None:
    with pytest.raises(ConsoleUnanswered):
        await picture(world, data)


async def test_a_picture_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "PICTURE_BYTES_MAX", 1000)
    with pytest.raises(ConsoleUnanswered):
        await picture(world, PNG)
