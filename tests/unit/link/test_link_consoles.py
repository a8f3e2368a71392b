"""Consoles over real gRPC: a user's bytes to the node's guest and back."""

import asyncio
from collections.abc import Callable

import pytest
from linkworld import LinkWorld

from corral.agent.grpc_link import GrpcLink, GrpcStream
from corral.agent.ports import LinkDown
from corral.errors import NotFound
from corral.model.ids import VmId
from corral.model.link import Hello, OpenConsole
from corral.model.vm import VMPhase
from corral.server.consoles import ConsoleClosed, ConsoleUnanswered, NoConsole
from corral.server.hub import NodeNotLinked

Guest = Callable[[GrpcLink, OpenConsole], "asyncio.Task[None]"]


async def linked(link: GrpcLink) -> GrpcStream:
    stream = await link.dial()
    await stream.send(Hello(node=link.identity.node, agent_version="1"))
    await stream.receive()
    return stream


async def echo(link: GrpcLink, stream: GrpcStream, end: bytes = b"\x04") -> None:
    """An agent that answers each console with an echo in capitals, until `end` is typed."""
    while True:
        message = await stream.receive()
        if not isinstance(message, OpenConsole):
            continue
        console = await link.console(message.session)
        while (data := await console.read()) and data != end:
            await console.write(data.upper())
        await console.close()


async def test_echo(world: LinkWorld) -> None:
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node)
    stream = await linked(link)
    agent = asyncio.create_task(echo(link, stream))
    async with asyncio.timeout(10):
        session = await world.consoles.open(vm)
        await session.write(b"hello")
        assert await session.read() == b"HELLO"
        text = b"abc" * 700_000  # more than all queues and windows hold

        async def type_all() -> None:
            await session.write(text)

        typing, got = asyncio.create_task(type_all()), b""
        while len(got) < len(text):
            got += await session.read()
        await typing
        assert got == text.upper()
        await session.close()
        again = await world.consoles.open(vm)
        await again.write(b"x")
        assert await again.read() == b"X"
        await again.write(b"\x04")
        assert await again.read() == b"", "the node ended it"
        with pytest.raises(ConsoleClosed):
            for _ in range(100):
                await again.write(b"y")
    agent.cancel()
    await stream.close()


async def test_a_reader_that_stops_reading_holds_the_guest_back(world: LinkWorld) -> None:
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node)
    stream = await linked(link)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while not isinstance(message := await stream.receive(), OpenConsole):
            pass
        console = await link.console(message.session)
        while True:
            await console.write(bytes(100_000))
            sent += 100_000

    agent = asyncio.create_task(flood())
    session = await world.consoles.open(vm)
    await asyncio.sleep(0.7)
    before = sent
    await asyncio.sleep(0.3)
    assert sent == before, "the flood goes on though nobody reads"
    assert sent < 64 * 2**20
    async with asyncio.timeout(5):
        while sent == before:
            assert await session.read()
    await session.close()
    agent.cancel()
    await stream.close()


@pytest.mark.parametrize("phase", [VMPhase.STOPPED, VMPhase.PENDING, VMPhase.FAILED, VMPhase.UNKNOWN])
async def test_a_vm_that_does_not_run(world: LinkWorld, phase: VMPhase) -> None:
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node, phase)
    with pytest.raises(NoConsole) as caught:
        await world.consoles.open(vm)
    assert phase in caught.value.message


async def test_what_can_not_be_opened(world: LinkWorld) -> None:
    with pytest.raises(NotFound):
        await world.consoles.open(VmId("vm-9"))
    link = await world.host("host-1")
    with pytest.raises(NodeNotLinked):
        await world.consoles.open(await world.vm_on(link.identity.node))


async def test_an_agent_that_does_not_call_back(world: LinkWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.server.consoles.ANSWER_S", 0.2)
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node)
    stream = await linked(link)
    with pytest.raises(ConsoleUnanswered):
        await world.consoles.open(vm)
    while not isinstance(late := await stream.receive(), OpenConsole):
        pass
    with pytest.raises(LinkDown):
        await link.console(late.session)
    assert not world.consoles.waiting
    await stream.close()


async def test_a_session_is_for_one_node_and_one_call(world: LinkWorld) -> None:
    link, other = await world.host("host-1"), await world.host("host-2")
    vm = await world.vm_on(link.identity.node)
    stream = await linked(link)
    opening = asyncio.create_task(world.consoles.open(vm))
    while not isinstance(message := await stream.receive(), OpenConsole):
        pass
    with pytest.raises(LinkDown):
        await other.console(message.session)
    with pytest.raises(LinkDown):
        await link.console("made-up")
    console = await link.console(message.session)
    session = await opening
    with pytest.raises(LinkDown):
        await link.console(message.session)
    await console.close()
    assert await session.read() == b""
    await stream.close()


async def test_removing_the_node_ends_its_consoles(world: LinkWorld) -> None:
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node)
    stream = await linked(link)
    agent = asyncio.create_task(echo(link, stream))
    session = await world.consoles.open(vm)
    await world.remove(link.identity.node)
    async with asyncio.timeout(5):
        assert await session.read() == b""
    agent.cancel()
    await asyncio.gather(agent, return_exceptions=True)
