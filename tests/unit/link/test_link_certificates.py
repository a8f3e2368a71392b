"""Certificates over real gRPC: renewal, replaced ones, clocks that are wrong; and the CA on disk."""

import asyncio
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from linkworld import DAY_S, LinkWorld, ShiftedClock

from corral.agent import identity
from corral.agent.grpc_link import GrpcLink, keep_certificate
from corral.agent.identity import Identity, renewal_due_s
from corral.agent.ports import LinkDown
from corral.model.link import Hello
from corral.server.pki import Authority, CaBroken, covers


def serial(link: GrpcLink) -> str:
    pem = (link.identity.directory / "cert.pem").read_bytes()
    return f"{x509.load_pem_x509_certificate(pem).serial_number:x}"


async def works(link: GrpcLink) -> bool:
    try:
        await (await link.dial()).close()
    except LinkDown:
        return False
    return True


async def test_renewal_and_the_end_of_the_old_certificate(world: LinkWorld) -> None:
    link = await world.host("host-1")
    node, first = link.identity.node, serial(link)
    shutil.copytree(link.identity.directory, world.directory / "old")
    old = GrpcLink(Identity(world.directory / "old"))
    await link.renew()
    second = serial(link)
    assert second != first
    assert await works(old), "the answer may have been lost: until the new one is used, the old one works"
    assert await works(link)
    status = world.node(node).status
    assert (status.certificate, status.next_certificate) == (second, "")
    assert not await works(old), "the new one is in use: the old one is worth nothing"
    with pytest.raises(LinkDown) as caught:
        await old.dial()
    assert caught.value.context["cause"] == "node.refused"
    assert await works(link)


async def test_a_lost_renewal_can_be_repeated(world: LinkWorld) -> None:
    link = await world.host("host-1")
    first = (link.identity.directory / "cert.pem").read_bytes()
    await link.renew()
    (link.identity.directory / "cert.pem").write_bytes(first)  # as if the answer had been lost
    await link.renew()
    assert await works(link)


async def test_a_renewal_does_not_disturb_the_stream(world: LinkWorld) -> None:
    link = await world.host("host-1")
    stream = await link.dial()
    await stream.send(Hello(node=link.identity.node, agent_version="1"))
    await stream.receive()
    await link.renew()
    assert world.hub.linked(link.identity.node)
    await stream.close()


async def test_the_agent_renews_by_itself(world: LinkWorld) -> None:
    """At two thirds of the life, by the agent's clock; a server that is away is asked again."""
    link = await world.host("host-1")
    first, clock = serial(link), ShiftedClock()
    keeping = asyncio.create_task(keep_certificate(link, clock, least_s=0.05))
    await asyncio.sleep(0.2)
    assert serial(link) == first, "renewed though it is fresh"
    keeping.cancel()
    clock.by_s = 21 * DAY_S  # of 30
    await world.server.stop()
    keeping = asyncio.create_task(keep_certificate(link, clock, least_s=0.05))
    await asyncio.sleep(0.3)
    assert serial(link) == first
    await world.listen()
    async with asyncio.timeout(5):
        while serial(link) == first:
            await asyncio.sleep(0.05)
    keeping.cancel()
    assert await works(link)


async def test_when_renewal_is_due(world: LinkWorld) -> None:
    link = await world.host("host-1")
    due_s = renewal_due_s((link.identity.directory / "cert.pem").read_bytes()) - world.clock.now_s()
    assert 19 * DAY_S < due_s < 20 * DAY_S
    assert link.identity.renew_in_s(world.clock.now_s() + 20 * DAY_S) < 0


@pytest.mark.parametrize("by_s", [-13 * 3600, -3600, 3600, 13 * 3600], ids="{:+}s".format)
async def test_a_clock_that_is_off(tmp_path: Path, by_s: float) -> None:
    """TLS checks with the real clock; the server issues by one that is off: to each, the other's clock is wrong."""
    world = LinkWorld(tmp_path, ShiftedClock(by_s))
    await world.start()
    link = await world.host("host-1")
    assert await works(link)
    await link.renew()
    assert await works(link)
    await world.stop()


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    """The counterpart of the above: times are checked at all."""
    world = LinkWorld(tmp_path, ShiftedClock())
    await world.start()
    link = await world.host("host-1")
    late = Authority(world.authority.key, world.authority.certificate, ShiftedClock(-2 * DAY_S))
    issued = late.sign_node(link.identity.csr(), link.identity.node, DAY_S)
    (link.identity.directory / "cert.pem").write_bytes(issued.pem)
    assert not await works(link)
    await world.stop()


async def test_a_node_does_not_choose_its_id(world: LinkWorld) -> None:
    one, other = await world.host("host-1"), await world.host("host-2")
    csr = identity.make_csr(one.identity.directory / "key.pem", other.identity.node)
    issued = await world.admission.renew((one.identity.directory / "cert.pem").read_bytes(), csr)
    subject = x509.load_pem_x509_certificate(issued.pem).subject.rfc4514_string()
    assert subject == f"CN={one.identity.node}"


def test_the_ca_is_made_once(tmp_path: Path) -> None:
    clock = ShiftedClock()
    first = Authority.open(tmp_path / "ca", clock)
    again = Authority.open(tmp_path / "ca", clock, create=False)
    assert first.fingerprint == again.fingerprint
    assert stat.S_IMODE((tmp_path / "ca/key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir()] == ["ca"], "a draft is left behind"


def test_a_ca_in_use_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(CaBroken):
        Authority.open(tmp_path / "ca", ShiftedClock(), create=False)
    Authority.open(tmp_path / "ca", ShiftedClock())
    (tmp_path / "ca/key.pem").write_bytes(b"garbage")
    with pytest.raises(CaBroken):
        Authority.open(tmp_path / "ca", ShiftedClock())
    Authority.open(tmp_path / "other", ShiftedClock())
    shutil.copy(tmp_path / "other/key.pem", tmp_path / "ca/key.pem")
    with pytest.raises(CaBroken, match="belong together"):
        Authority.open(tmp_path / "ca", ShiftedClock())


def test_when_a_server_certificate_is_made_anew(tmp_path: Path) -> None:
    clock = ShiftedClock()
    ours, other = Authority.open(tmp_path / "ca", clock), Authority.open(tmp_path / "other", clock)
    chain = ours.server_identity(["10.78.0.254", "server.lab", "::1"]).chain
    now_s = clock.now_s()
    assert covers(chain, ours.pem, ["server.lab", "::1"], now_s)
    assert not covers(chain, ours.pem, ["elsewhere.lab"], now_s)
    assert not covers(chain, other.pem, ["server.lab"], now_s)
    assert not covers(chain, ours.pem, ["server.lab"], now_s + 600 * DAY_S)
    assert not covers(b"garbage", ours.pem, [], now_s)
