"""Consoles: bytes both ways, who may open one and how, and every way in which it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from corral.errors import Unavailable
from corral.hypervisor.interface import NoScreen
from corral.model.console import ConsoleKind
from corral.model.ids import VmId
from corral.model.token import Role
from corral.server.http import relay
from corral.server.http.origins import is_own
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


async def test_the_token_expires(world: World, url: str) -> None:
    token = await world.token(Role.OPERATOR, expires_at=world.core.clock.now_s() + 0.3)
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url.replace("http", "ws") + PATH, additional_headers=headers, proxy=None) as socket:
        assert await closing(socket) == (4401, "the token is not valid any more")


async def test_the_vm_moves_and_the_viewer_has_to_know(world: World, url: str) -> None:
    async with console(world, url, PATH + "?kind=vnc") as socket:
        session(world).moved = True
        await session(world).out.put(b"")
        assert await closing(socket) == (4409, "the VM has moved to another node: open the console again")


# ---- kinds


async def test_kinds(world: World, url: str) -> None:
    async with console(world, url, PATH + "?kind=vnc"):
        pass
    async with console(world, url, PATH + "?replay=16KiB"):
        pass
    (first, opener, _), (second, _, replay_bytes) = world.core.consoles.asked
    assert (first, second, replay_bytes) == (ConsoleKind.VNC, ConsoleKind.SERIAL, 16384)
    assert opener.name.startswith("the-operator") and opener.client == "127.0.0.1"


ASKED_BADLY = [
    "kind=telnet",
    "kind=VNC",
    "replay=2MiB",
    "replay=-1",
    "kind=vnc&replay=1KiB",
    "kid=vnc",
    "ticket=",
]


@pytest.mark.parametrize("query", ASKED_BADLY)
async def test_what_can_not_be_asked_for(world: World, url: str, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with console(world, url, f"{PATH}?{query}"):
            pass
    assert refused.value.response.status_code == (401 if query == "ticket=" else 400)
    assert world.core.consoles.sessions == []


# ---- origins


ORIGINS = [  # name, origin, may open
    ("own", "http://{host}", True),
    ("own, with TLS ended before it", "https://{host}", True),
    ("allowed", "https://ui.example", True),
    ("allowed, but for the port", "https://ui.example:444", False),
    ("another site", "https://evil.example", False),
    ("own host, another port", "http://127.0.0.1:1", False),
    ("a local file", "null", False),
    ("no URL", "http://[", False),
]


@pytest.mark.parametrize(("origin", "good"), [pytest.param(*row[1:], id=row[0]) for row in ORIGINS])
async def test_pages_of_other_sites_open_nothing(world: World, url: str, origin: str, good: bool) -> None:
    headers = {
        "Authorization": f"Bearer {world.tokens[Role.OPERATOR]}",
        "Origin": origin.format(host=url.removeprefix("http://")),
    }
    opening = connect(url.replace("http", "ws") + PATH, additional_headers=headers, proxy=None)
    if good:
        async with opening as socket:
            await socket.send(b"hi")
            assert await socket.recv() == b"HI"
        return
    with pytest.raises(InvalidStatus) as refused:
        await opening
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["code"] == "auth.bad_origin"


def test_own_is_own_whatever_the_default_port_is_called() -> None:
    assert is_own("https://corral.example", "corral.example:443")
    assert is_own("https://corral.example:443", "corral.example")
    assert is_own("http://[::1]:8440", "[::1]:8440")
    assert not is_own("http://corral.example", "corral.example:443")
    assert not is_own("http://corral.example", "")


# ---- tickets


async def ticket(world: World, kind: str = "vnc", role: Role = Role.OPERATOR, vm: str = "web-1") -> str:
    """The path with a ticket in it, as a page gives it to noVNC."""
    async with world.client(role) as client:
        answer = await client.post(f"/api/v1/vms/{vm}/console-tickets", json={"kind": kind})
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert made["kind"] == kind and made["ticket"] in made["path"]
    assert 0 < made["expires_at"] - world.core.clock.now_s() <= 30
    return str(made["path"])


async def refusal(url: str, path: str, **headers: str) -> str:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url.replace("http", "ws") + path, additional_headers=headers, proxy=None)
    return str(json.loads(refused.value.response.body or b"")["code"])


async def test_a_browser_comes_with_a_ticket_once(world: World, url: str) -> None:
    """As noVNC does it: no header but Origin, subprotocol binary."""
    path = await ticket(world)
    origin = Origin(url)
    words = [Subprotocol("binary")]
    async with connect(
        url.replace("http", "ws") + path, subprotocols=words, origin=origin, proxy=None
    ) as socket:
        assert socket.subprotocol == "binary"
        await socket.send(b"rfb")
        assert await socket.recv() == b"RFB"
        assert world.core.consoles.asked[0][1].name.startswith("the-operator")
    assert await refusal(url, path) == "console.ticket_refused"


async def test_a_ticket_is_for_one_console(world: World, url: str) -> None:
    await world.core.add(a_vm(2))
    path = await ticket(world)
    assert await refusal(url, path.replace("vm-000001", "web-2")) == "console.ticket_refused"
    assert await refusal(url, path) == "console.ticket_refused", "it was shown, and is gone"
    path = await ticket(world)
    assert await refusal(url, path.replace("kind=vnc", "kind=spice")) == "console.ticket_refused"


async def test_a_ticket_beside_somebody_elses_token(world: World, url: str) -> None:
    path = await ticket(world)
    header = {"Authorization": f"Bearer {world.tokens[Role.ADMIN]}"}
    assert await refusal(url, path, **header) == "console.ticket_refused"
    path = await ticket(world)
    header = {"Authorization": f"Bearer {world.tokens[Role.OPERATOR]}"}
    async with connect(url.replace("http", "ws") + path, additional_headers=header, proxy=None):
        pass


async def test_a_ticket_of_a_revoked_or_expired_token(world: World, url: str) -> None:
    path = await ticket(world)
    await world.core.put(Remove(world.tokens[Role.OPERATOR].split("_")[1]))
    assert await refusal(url, path) == "console.ticket_refused"
    brief = await world.token(Role.OPERATOR, expires_at=world.core.clock.now_s() + 60)
    world.tokens[Role.OPERATOR] = brief
    path = await ticket(world)
    world.core.clock.ahead_s = 61
    assert await refusal(url, path) == "auth.unauthenticated"


async def test_a_session_by_ticket_ends_with_its_token(world: World, url: str) -> None:
    async with connect(url.replace("http", "ws") + await ticket(world), proxy=None) as socket:
        await world.core.put(Remove(world.tokens[Role.OPERATOR].split("_")[1]))
        assert await closing(socket) == (4401, "the token is not valid any more")


async def test_a_ticket_opens_nothing_else(world: World) -> None:
    word = (await ticket(world)).rpartition("=")[2]
    async with world.client(None) as client:
        for path in ("/api/v1/vms/web-1", "/api/v1/vms/web-1/screenshot", "/api/v1/consoles"):
            assert (await client.get(f"{path}?ticket={word}")).status_code == 401


async def test_who_may_have_a_ticket(world: World) -> None:
    async with world.client(Role.VIEWER) as client:
        assert (await client.post("/api/v1/vms/web-1/console-tickets", json={})).status_code == 403
    async with world.client(Role.OPERATOR) as client:
        assert (await client.post("/api/v1/vms/none/console-tickets", json={})).status_code == 404
        answer = await client.post("/api/v1/vms/web-1/console-tickets", json={"kind": "picture"})
        assert (answer.status_code, answer.json()["context"]["field"]) == (400, "kind")


# ---- sessions, pictures


async def test_sessions_are_listed_and_ended(world: World, url: str) -> None:
    async with console(world, url, PATH + "?kind=vnc") as socket, world.client(Role.OPERATOR) as client:
        (shown,) = (await client.get("/api/v1/consoles")).json()["items"]
        assert (shown["vm_name"], shown["kind"], shown["client"]) == ("web-1", "vnc", "127.0.0.1")
        metrics = (await client.get("/metrics")).text
        assert (
            'corral_consoles{kind="vnc"} 1.0' in metrics and 'corral_consoles{kind="serial"} 0.0' in metrics
        )
        ended = await client.delete(f"/api/v1/consoles/{shown['id']}")
        assert (ended.status_code, ended.json()["id"]) == (200, shown["id"])
        code, reason = await closing(socket)
        assert code == 4410 and str(reason).startswith("ended by the-operator")
        missing = await client.delete("/api/v1/consoles/con-99")
        assert (missing.status_code, missing.json()["code"]) == (404, "console.no_session")
    async with world.client(Role.VIEWER) as client:
        assert (await client.get("/api/v1/consoles")).status_code == 403


async def test_a_picture(world: World) -> None:
    async with world.client(Role.OPERATOR) as client:
        answer = await client.get("/api/v1/vms/web-1/screenshot")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert answer.content.startswith(b"\x89PNG")
        world.core.consoles.error = NoScreen(VmId("vm-000001"), "video")
        answer = await client.get("/api/v1/vms/web-1/screenshot")
        assert (answer.status_code, answer.json()["code"]) == (409, "console.no_screen")
    async with world.client(Role.VIEWER) as client:
        assert (await client.get("/api/v1/vms/web-1/screenshot")).status_code == 403
