"""Joining over real gRPC: tokens that are wrong, used, expired, raced for; servers that are not the right one."""

import asyncio
import json
import socket
import stat
from pathlib import Path

import grpc
import pytest
from linkworld import LinkWorld, ShiftedClock

from corral.agent import identity
from corral.agent.grpc_link import GrpcLink
from corral.agent.identity import Identity
from corral.errors import CorralError, Forbidden, Invalid
from corral.model.node import Node, NodePhase
from corral.model.token import JoinToken, Role
from corral.proto import link_pb2, link_pb2_grpc
from corral.proto.jointoken import parse_join_string
from corral.server.services.asking import Asking


async def refused(world: LinkWorld, token: str, name: str = "host-x") -> CorralError:
    with pytest.raises(CorralError) as caught:
        await identity.join(world.directory / name, token, name=name)
    assert not (world.directory / name / "config.json").exists(), "a refused host counts as joined"
    return caught.value


async def test_join_makes_a_node(world: LinkWorld) -> None:
    known = await identity.join(world.directory / "host-1", await world.token(), name="host-1")
    node = world.node(known.node)
    assert (node.name, node.status.phase) == ("host-1", NodePhase.JOINING)
    assert node.status.certificate
    assert known.servers == (f"127.0.0.1:{world.server.link_port}",)
    assert stat.S_IMODE((world.directory / "host-1/key.pem").stat().st_mode) == 0o600
    (token,) = world.mirror.list(JoinToken)
    assert token.spec.used_by == node.id


async def test_the_secret_is_kept_nowhere(world: LinkWorld) -> None:
    token = await world.token()
    assert parse_join_string(token).secret not in repr(world.mirror.list(JoinToken))


async def test_the_hosts_name_is_the_default(world: LinkWorld) -> None:
    known = await identity.join(world.directory / "a", await world.token())
    assert known.name == socket.gethostname().split(".")[0].lower()


async def test_a_wrong_secret(world: LinkWorld) -> None:
    good = parse_join_string(await world.token())
    wrong = f"{good.host}:{good.port}/{'0' * len(good.secret)}/{good.fingerprint}"
    error = await refused(world, wrong)
    assert error.code == "join.unknown"
    assert "join-token" in error.hint
    assert not world.mirror.list(Node)


async def test_a_used_token(world: LinkWorld) -> None:
    token = await world.token()
    await identity.join(world.directory / "host-1", token, name="host-1")
    assert (await refused(world, token)).code == "join.used"
    assert len(world.mirror.list(Node)) == 1


async def test_an_expired_token(world: LinkWorld) -> None:
    token = await world.token(ttl_s=60)
    world.clock.by_s = 61
    error = await refused(world, token)
    assert (error.code, error.context["ago_s"]) == ("join.expired", pytest.approx(1, abs=0.9))
    assert not world.mirror.list(Node)


async def test_a_name_that_is_taken(world: LinkWorld) -> None:
    await world.host("host-1")
    with pytest.raises(CorralError) as caught:
        await identity.join(world.directory / "other", await world.token(), name="host-1")
    assert caught.value.code == "resource.name_taken"
    unused = [t for t in world.mirror.list(JoinToken) if not t.spec.used_by]
    assert len(unused) == 1, "the token is used up though nobody joined"


async def test_two_hosts_race_with_one_token(world: LinkWorld) -> None:
    token = await world.token()
    ends = await asyncio.gather(
        *(identity.join(world.directory / f"host-{i}", token, name=f"host-{i}") for i in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["Known", "TokenUsed", "TokenUsed", "TokenUsed"]
    assert len(world.mirror.list(Node)) == 1


async def test_a_lost_answer_is_given_again(world: LinkWorld) -> None:
    """The server committed, the host never heard: it asks again with the same key and is the same node."""
    token, directory = await world.token(), world.directory / "host-1"
    first = await identity.join(directory, token, name="host-1")
    (directory / "config.json").unlink()
    (directory / "cert.pem").unlink()
    second = await identity.join(directory, token, name="host-1")
    assert second.node == first.node
    assert len(world.mirror.list(Node)) == 1
    await (await GrpcLink(Identity(directory)).dial()).close()


async def test_a_host_joins_once_unless_asked_again(world: LinkWorld) -> None:
    first = await identity.join(world.directory / "host-1", await world.token(), name="host-1")
    with pytest.raises(identity.AlreadyJoined):
        await identity.join(world.directory / "host-1", await world.token(), name="host-1b")
    state = world.directory / "host-1/state"
    state.mkdir()
    again = await identity.join(world.directory / "host-1", await world.token(), name="host-1b", again=True)
    assert again.node != first.node
    assert not state.exists(), "what belonged to the old node would be taken for the new one's"


async def test_another_server_at_the_address(world: LinkWorld, tmp_path: Path) -> None:
    """Whoever answers there has another CA: nothing is sent to it, and the token stays good."""
    impostor = LinkWorld(tmp_path / "impostor", ShiftedClock())
    await impostor.start()
    good = parse_join_string(await world.token())
    token = f"127.0.0.1:{impostor.server.join_port}/{good.secret}/{good.fingerprint}"
    error = await refused(world, token)
    await impostor.stop()
    assert error.code == "join.failed"
    assert "certificate authority" in error.message


async def test_nobody_answers(world: LinkWorld) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    good = parse_join_string(await world.token())
    error = await refused(world, f"127.0.0.1:{port}/{good.secret}/{good.fingerprint}")
    assert error.code == "join.failed"
    assert str(port) in error.hint


async def test_someone_who_speaks_no_tls(world: LinkWorld) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    good = parse_join_string(await world.token())
    assert (await refused(world, f"127.0.0.1:{port}/{good.secret}/{good.fingerprint}")).code == "join.failed"
    server.close()


@pytest.mark.parametrize(
    "csr", [b"", b"garbage", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", b"x" * 100_000]
)
async def test_a_request_that_is_none(world: LinkWorld, csr: bytes) -> None:
    good = parse_join_string(await world.token())
    ca = grpc.ssl_channel_credentials(world.authority.pem)
    options = (("grpc.ssl_target_name_override", "corral-server"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{good.port}", ca, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link_pb2_grpc.JoiningStub(channel).Join(
                link_pb2.JoinRequest(secret=good.secret, csr=csr, name="a")
            )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_nothing_but_joining_on_the_joining_port(world: LinkWorld) -> None:
    ca = grpc.ssl_channel_credentials(world.authority.pem)
    options = (("grpc.ssl_target_name_override", "corral-server"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{world.server.join_port}", ca, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link_pb2_grpc.NodeLinkStub(channel).Renew(link_pb2.RenewRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_repeat_gets_the_same_join_token(world: LinkWorld) -> None:
    asking = Asking(idempotency_key="k", fingerprint="f")
    assert await world.tokens.mint(60, asking) == await world.tokens.mint(60, asking)
    assert (await world.tokens.mint(60, Asking()))[1] != (await world.tokens.mint(60, Asking()))[1]


async def test_only_admins_mint(world: LinkWorld) -> None:
    with pytest.raises(Forbidden):
        await world.tokens.mint(60, Asking(role=Role.OPERATOR))
    with pytest.raises(Invalid):
        await world.tokens.mint(0, Asking())
    token, text = await world.tokens.mint(60, Asking(dry_run=True))
    assert text == ""
    assert world.mirror.get(token.id) is None


async def test_old_tokens_are_swept(world: LinkWorld) -> None:
    await world.token(ttl_s=60)
    world.clock.by_s = 60 + 8 * 86_400
    await world.token()
    assert len(world.mirror.list(JoinToken)) == 1


TOKENS = [
    ("empty", ""),
    ("a word", "hello"),
    ("no port", f"host/{'a' * 39}/{'0' * 64}"),
    ("port too large", f"host:70000/{'a' * 39}/{'0' * 64}"),
    ("short fingerprint", f"host:8442/{'a' * 39}/{'0' * 63}"),
    ("short secret", f"host:8442/abc/{'0' * 64}"),
    ("bare IPv6", f"fd00::1:8442/{'a' * 39}/{'0' * 64}"),
]


@pytest.mark.parametrize("text", [pytest.param(t[1], id=t[0]) for t in TOKENS])
def test_strings_that_are_no_token(text: str) -> None:
    with pytest.raises(Invalid):
        parse_join_string(text)


@pytest.mark.parametrize("host", ["10.78.0.254", "server.example.org", "fd00::1"])
def test_a_join_string_reads_back(host: str) -> None:
    from corral.proto.jointoken import JoinString

    string = JoinString(host=host, port=8442, secret="a" * 39, fingerprint="0f" * 32)
    assert parse_join_string(str(string)) == string
    assert parse_join_string(f"  {string}\n") == string


def test_config_is_readable_json(tmp_path: Path) -> None:
    with pytest.raises(identity.NotJoined):
        Identity(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(identity.NotJoined):
        Identity(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"node": "node-1", "name": "a", "servers": ["h:1"]}))
    assert Identity(tmp_path).known.servers == ("h:1",)
