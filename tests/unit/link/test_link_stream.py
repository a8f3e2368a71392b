"""Streams over real gRPC: both ways, refused, replaced, cut, broken, and set up again."""

import asyncio
from pathlib import Path

import grpc
import pytest
from linkworld import LinkWorld, ShiftedClock

from corral.agent.grpc_link import GrpcLink, GrpcStream
from corral.agent.identity import Identity
from corral.agent.ports import LinkDown
from corral.model.ids import ImageId
from corral.model.link import Ack, Facts, Hello, ImageSource, Report, Welcome
from corral.model.node import Inventory
from corral.proto.channel import SERVER_NAME

WAIT_S = 5.0


async def greeted(link: GrpcLink) -> GrpcStream:
    stream = await link.dial()
    await stream.send(Hello(node=link.identity.node, agent_version="1"))
    async with asyncio.timeout(WAIT_S):
        assert isinstance(await stream.receive(), Welcome)
    return stream


async def goes_down(stream: GrpcStream) -> LinkDown:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await stream.receive()
            except LinkDown as down:
                return down


async def test_messages_both_ways(world: LinkWorld) -> None:
    link = await world.host("host-1")
    stream = await greeted(link)
    await stream.send(Report(seq=7, inventory=Inventory(hostname="host-1", cpus=8)))
    async with asyncio.timeout(WAIT_S):
        assert await stream.receive() == Ack(seq=7)
    assert world.node(link.identity.node).status.inventory.cpus == 8
    await stream.close()


async def test_facts_arrive_as_sent(world: LinkWorld) -> None:
    link = await world.host("host-1")
    vm = await world.vm_on(link.identity.node)
    stream = await greeted(link)
    row = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    await stream.send(Facts(at=1.0, node=(0.25, 2.0**40, 0.0, 0.0, 0.0, 1.5), vm_ids=(vm,), vms=(row,)))
    await stream.send(Report(seq=1))
    async with asyncio.timeout(WAIT_S):
        while await stream.receive() != Ack(seq=1):
            pass
    facts, vm_facts = world.hub.facts_of(link.identity.node), world.hub.vm_facts(vm)
    assert facts and facts["memory_used_bytes"] == 2.0**40
    assert vm_facts and tuple(vm_facts.values()) == row
    await stream.close()


async def test_many_reports_while_nobody_reads(world: LinkWorld) -> None:
    """Bounded queues: the sender waits, nothing is lost, nothing grows."""
    link = await world.host("host-1")
    stream = await greeted(link)
    count = 1_000

    async def send() -> None:
        for seq in range(count):
            await stream.send(Report(seq=seq))

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.2)
    acked = []
    async with asyncio.timeout(30):
        while len(acked) < count:
            message = await stream.receive()
            if isinstance(message, Ack):
                acked.append(message.seq)
    await sending
    assert acked == list(range(count))
    await stream.close()


async def test_a_receive_that_is_given_up_loses_nothing(world: LinkWorld) -> None:
    link = await world.host("host-1")
    stream = await greeted(link)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.receive()
    await stream.send(Report(seq=1))
    async with asyncio.timeout(WAIT_S):
        assert await stream.receive() == Ack(seq=1)
    await stream.close()


async def test_a_large_message(world: LinkWorld) -> None:
    """Above gRPC's usual 4 MiB: a first report of a large node."""
    link = await world.host("host-1")
    stream = await greeted(link)
    domains = tuple(f"domain-{i:06}" for i in range(500_000))
    await stream.send(Report(seq=1, inventory=Inventory(domains=domains)))
    async with asyncio.timeout(20):
        assert await stream.receive() == Ack(seq=1)
    assert world.node(link.identity.node).status.inventory.domains[-1] == "domain-499999"
    await stream.close()


async def test_a_newer_stream_replaces_the_older_one(world: LinkWorld) -> None:
    link = await world.host("host-1")
    older = await greeted(link)
    newer = await greeted(link)
    assert "newer stream" in (await goes_down(older)).message
    await newer.send(Report(seq=1))
    async with asyncio.timeout(WAIT_S):
        assert await newer.receive() == Ack(seq=1)
    assert world.hub.linked(link.identity.node)
    await newer.close()


async def test_the_wrong_hello_ends_the_stream(world: LinkWorld) -> None:
    one, other = await world.host("host-1"), await world.host("host-2")
    stream = await one.dial()
    await stream.send(Hello(node=other.identity.node, agent_version="1"))
    assert "hello" in (await goes_down(stream)).message
    assert not world.hub.linked(other.identity.node)


async def test_a_removed_node_is_cut_and_refused(world: LinkWorld) -> None:
    link = await world.host("host-1")
    stream = await greeted(link)
    await world.remove(link.identity.node)
    down = await goes_down(stream)
    assert down.context["cause"] == "node.refused"
    with pytest.raises(LinkDown) as caught:
        await link.dial()
    assert (caught.value.context["cause"], "join-token" in caught.value.hint) == ("node.refused", True)
    with pytest.raises(LinkDown):
        await link.renew()
    with pytest.raises(LinkDown):
        await anext(link.fetch(ImageSource(image=ImageId("img-1"), sha256="", format="raw", size_bytes=1)))
    with pytest.raises(LinkDown):
        await link.console("any")
    assert not world.hub.linked(link.identity.node)


async def test_a_foreign_ca_is_refused(world: LinkWorld, tmp_path: Path) -> None:
    """A certificate for the same node id, signed by someone else's CA."""
    link = await world.host("host-1")
    foreign = LinkWorld(tmp_path / "foreign", ShiftedClock())
    forged = foreign.authority.sign_node(link.identity.csr(), link.identity.node, 3600)
    (link.identity.directory / "cert.pem").write_bytes(forged.pem)
    with pytest.raises(LinkDown):
        await link.dial()
    assert not world.hub.linked(link.identity.node)


async def test_no_certificate_at_all(world: LinkWorld) -> None:
    ca = grpc.ssl_channel_credentials(world.authority.pem)
    options = (("grpc.ssl_target_name_override", SERVER_NAME),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{world.server.link_port}", ca, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/corral.link.v1.NodeLink/Renew")(b"", timeout=WAIT_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_node_can_not_play_the_server(world: LinkWorld) -> None:
    """Its certificate is of the same CA, but names no server: other agents refuse it."""
    rogue, victim = await world.host("rogue"), await world.host("victim")
    files = [(rogue.identity.directory / name).read_bytes() for name in ("key.pem", "cert.pem")]
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(files[0], files[1])]))
    await server.start()
    with pytest.raises(LinkDown):
        await GrpcLink(victim.identity, [f"127.0.0.1:{port}"]).dial()
    await server.stop(0)


async def test_after_a_restart_of_the_server(world: LinkWorld) -> None:
    link = await world.host("host-1")
    stream = await greeted(link)
    await world.server.stop()
    await goes_down(stream)
    with pytest.raises(LinkDown):
        await stream.send(Report(seq=1))
    with pytest.raises(LinkDown):
        await link.dial()
    await world.listen()
    again = await greeted(link)
    await again.close()


async def test_the_servers_are_tried_in_turn(world: LinkWorld) -> None:
    link = await world.host("host-1")
    good = f"127.0.0.1:{world.server.link_port}"
    several = GrpcLink(link.identity, ["127.0.0.1:1", good])
    await (await several.dial()).close()
    assert several.servers[0] == good, "the good one is not the first the next time"
    with pytest.raises(LinkDown) as caught:
        await GrpcLink(link.identity, ["127.0.0.1:1", "127.0.0.1:2"]).dial()
    assert "127.0.0.1:1" in caught.value.message
    assert "127.0.0.1:2" in caught.value.message


async def test_a_server_that_hangs(world: LinkWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: the dial ends by itself."""
    monkeypatch.setattr("corral.agent.grpc_link.DIAL_S", 0.3)
    release = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    link = await world.host("host-1")
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(3):
        with pytest.raises(LinkDown):
            await GrpcLink(link.identity, [f"127.0.0.1:{port}"]).dial()
    release.set()
    server.close()


def source(image: str = "img-1") -> ImageSource:
    return ImageSource(image=ImageId(image), sha256="", format="raw", size_bytes=0)


async def test_an_image_of_some_megabytes(world: LinkWorld) -> None:
    data = bytes(range(256)) * 4096 * 9 + b"tail"
    world.images.by_id["img-1"] = data
    link = await world.host("host-1")
    assert b"".join([chunk async for chunk in link.fetch(source())]) == data


async def test_a_download_that_breaks_is_no_short_image(world: LinkWorld) -> None:
    world.images.by_id["img-1"] = bytes(4_000_000)
    world.images.broken_after = 1_000_000
    link = await world.host("host-1")
    got = 0
    with pytest.raises(LinkDown):
        async for chunk in link.fetch(source()):
            got += len(chunk)
    assert got < 4_000_000


async def test_an_image_that_is_not_there(world: LinkWorld) -> None:
    link = await world.host("host-1")
    with pytest.raises(LinkDown) as caught:
        await anext(link.fetch(source("img-9")))
    assert caught.value.context["cause"] == "test.no_image"


async def test_a_download_given_up_midway(world: LinkWorld) -> None:
    world.images.by_id["img-1"] = bytes(20_000_000)
    link = await world.host("host-1")
    chunks = link.fetch(source())
    await anext(chunks)
    await chunks.aclose()
    stream = await greeted(link)
    await stream.close()


async def test_an_identity_without_files(world: LinkWorld) -> None:
    link = await world.host("host-1")
    (link.identity.directory / "cert.pem").unlink()
    with pytest.raises(LinkDown) as caught:
        await link.dial()
    assert "--again" in caught.value.hint
    with pytest.raises(LinkDown):
        link_without = GrpcLink(Identity(link.identity.directory))
        link_without.identity.known = replace_servers(link.identity)
        await link_without.console("x")


def replace_servers(identity: Identity) -> object:
    import msgspec

    return msgspec.structs.replace(identity.known, servers=())
