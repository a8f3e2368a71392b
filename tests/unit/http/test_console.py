"""The serial console: bytes both ways, and every way in which it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from corral.errors import Unavailable
from corral.model.token import Role
from corral.server.http import relay
from corral.store.interface import Remove
from tests.unit.http.world import EchoSession, World, a_vm

PATH = "/api/v1/vms/web-1/console"


@asynccontextmanager
async def console(
    world: World, url: str, path: str = PATH, role: Role = Role.OPERATOR
) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {world.tokens[role]}"}
    async with connect(url.replace("http", "ws") + path, additional_headers=headers, proxy=None) as socket:
        yield socket


@pytest.fixture(autouse=True)
async def vm(world: World) -> None:
    await world.core.add(a_vm(1))


def session(world: World) -> EchoSession:
    return world.core.consoles.sessions[0]


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


async def test_bytes_go_both_ways(world: World, url: str) -> None:
    async with console(world, url) as socket:
        await socket.send(b"login\xff\x00")
        assert await socket.recv() == b"LOGIN\xff\x00"
        await socket.send("text is taken, too")
        assert await socket.recv() == b"TEXT IS TAKEN, TOO"
        await socket.send(b"x" * 100_000)
        assert await socket.recv() == b"X" * 100_000
    async with asyncio.timeout(5):
        while session(world).closed is None:
            await asyncio.sleep(0.01)
    assert session(world).closed == "the user hung up"


async def test_a_browser_puts_its_token_into_the_subprotocol(world: World, url: str) -> None:
    words = [Subprotocol("corral.console.v1"), Subprotocol(f"bearer.{world.tokens[Role.OPERATOR]}")]
    async with connect(url.replace("http", "ws") + PATH, subprotocols=words, proxy=None) as socket:
        assert socket.subprotocol == "corral.console.v1"
        await socket.send(b"hi")
        assert await socket.recv() == b"HI"


REFUSED = [  # name, role, path, status, code
    ("without a token", None, PATH, 401, "auth.unauthenticated"),
    ("as a viewer", Role.VIEWER, PATH, 403, "auth.forbidden"),
    ("of no VM", Role.ADMIN, "/api/v1/vms/none/console", 404, "resource.not_found"),
]


@pytest.mark.parametrize(
    ("role", "path", "status", "code"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
async def test_refusals_are_problems(
    world: World, url: str, role: Role | None, path: str, status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {world.tokens[role]}"} if role else {}
    with pytest.raises(InvalidStatus) as refused:
        await connect(url.replace("http", "ws") + path, additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == status
    problem = json.loads(refused.value.response.body or b"")
    assert problem["code"] == code
    assert problem["request_id"] == refused.value.response.headers["x-request-id"]
    assert world.core.consoles.sessions == []


async def test_a_node_that_brings_no_console(world: World, url: str) -> None:
    world.core.consoles.error = Unavailable("node node1 is not linked")
    with pytest.raises(InvalidStatus) as refused:
        async with console(world, url):
            pass
    assert refused.value.response.status_code == 503
    assert json.loads(refused.value.response.body or b"")["code"] == "server.unavailable"


async def test_the_session_ends(world: World, url: str) -> None:
    async with console(world, url) as socket:
        await session(world).out.put(b"")
        assert await closing(socket) == (1000, "the console session has ended")


async def test_the_session_breaks(world: World, url: str) -> None:
    async with console(world, url) as socket:
        await session(world).out.put(Unavailable("the node went away"))
        assert await closing(socket) == (1000, "the node went away")


async def test_the_vm_goes(world: World, url: str) -> None:
    async with console(world, url) as socket:
        await world.core.put(Remove("vm-000001"))
        assert await closing(socket) == (4404, "the VM is gone")
        assert session(world).closed == "the VM is gone"


async def test_the_token_is_revoked(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LOOK_S", 0.05)
    async with console(world, url) as socket:
        await world.core.put(Remove(world.tokens[Role.OPERATOR].split("_")[1]))
        assert await closing(socket) == (4401, "the token is not valid any more")


async def test_the_server_stops(world: World, url: str) -> None:
    async with console(world, url) as socket:
        world.api.close()
        assert await closing(socket) == (1001, "the server is shutting down")
        assert session(world).closed == "the server is shutting down"
