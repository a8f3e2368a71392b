"""Sessions: signing in with a token, what the cookie is good for, and when it ends."""

import asyncio
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from corral.model.token import Role
from corral.server.http.origins import BadOrigin, check_page
from corral.server.http.sessions import COOKIE, LIFE_S, TRIES_MAX, Sessions
from tests.unit.http.world import World, a_vm

OWN = {"Sec-Fetch-Site": "same-origin"}


async def sign_in(client: httpx.AsyncClient, token: str, **headers: str) -> httpx.Response:
    return await client.post("/api/v1/session", json={"token": token}, headers=headers)


async def signed_in(world: World, role: Role = Role.ADMIN) -> httpx.AsyncClient:
    """A browser with a session, and nothing else."""
    client = world.client(None)
    answer = await sign_in(client, world.tokens[role])
    assert answer.status_code == 200, answer.text
    return client


async def test_a_session_stands_for_its_token(world: World) -> None:
    client = await signed_in(world, Role.OPERATOR)
    who = (await client.get("/api/v1/session")).json()
    assert (who["role"], who["expires_at"]) == ("operator", None)
    assert who["session_ends_at"] == pytest.approx(world.core.clock.now_s() + LIFE_S, abs=60)
    assert (await client.get("/api/v1/vms")).status_code == 200
    assert (await client.get("/api/v1/tokens")).status_code == 403, "it may no more than its token"


async def test_the_cookie_is_for_our_pages_only_and_carries_no_token(world: World) -> None:
    client = world.client(None)
    answer = await sign_in(client, world.tokens[Role.ADMIN])
    header = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(header.split("; "))
    assert "Secure" not in header, "this is no TLS"
    assert f"Max-Age={int(LIFE_S) - 1}" in header or f"Max-Age={int(LIFE_S)}" in header
    secret = world.tokens[Role.ADMIN].rpartition("_")[2]
    assert secret not in header
    assert secret not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_secure_where_there_is_tls(world: World) -> None:
    transport = httpx.ASGITransport(world.api)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="https://corral") as client:
        answer = await sign_in(client, world.tokens[Role.ADMIN])
        assert "; Secure" in answer.headers["set-cookie"]


async def test_without_a_session_nobody_is_anybody(world: World) -> None:
    async with world.client(None) as client:
        answer = await client.get("/api/v1/session")
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.unauthenticated")
    async with world.client(Role.VIEWER) as program:
        assert (await program.get("/api/v1/session")).json()["session_ends_at"] is None


async def test_signing_out_ends_it_wherever_the_cookie_is(world: World) -> None:
    client = await signed_in(world)
    cookie = client.cookies[COOKIE]
    answer = await client.delete("/api/v1/session", headers=OWN)
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert COOKIE not in client.cookies
    async with world.client(None) as thief:
        answer = await thief.get("/api/v1/vms", headers={"Cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401
    assert (await client.delete("/api/v1/session")).status_code == 204, "twice does no harm"


async def test_it_ends_after_its_time_and_with_its_token(world: World) -> None:
    client = await signed_in(world)
    world.core.clock.ahead_s = LIFE_S + 1
    assert (await client.get("/api/v1/vms")).status_code == 401
    world.core.clock.ahead_s = 0
    ends_at = world.core.clock.now_s() + 60
    short = world.client(None)
    answer = await sign_in(short, await world.token(Role.VIEWER, expires_at=ends_at, name="short"))
    assert answer.json()["session_ends_at"] == pytest.approx(ends_at)
    world.core.clock.ahead_s = 61
    assert (await short.get("/api/v1/vms")).status_code == 401


async def test_a_revoked_token_takes_its_sessions_along(world: World) -> None:
    token = await world.token(Role.OPERATOR, name="gone-soon")
    client = world.client(None)
    await sign_in(client, token)
    assert (await client.get("/api/v1/vms")).status_code == 200
    async with world.client() as admin:
        assert (await admin.delete("/api/v1/tokens/gone-soon")).status_code == 202
    answer = await client.get("/api/v1/vms")
    assert (answer.status_code, answer.json()["hint"]) == (
        401,
        "Its token was revoked. Sign in with another.",
    )


@pytest.mark.parametrize("spoil", ["swap", "cut", "foreign", "nonsense", "accents"])
def test_a_cookie_that_was_tampered_with(spoil: str) -> None:
    world = World()
    sessions = Sessions(b"key", world.core.clock)
    _, good = sessions.begin("tok-1", None)
    _, other = sessions.begin("tok-2", None)
    assert sessions.read(good).token == "tok-1"
    bad = {
        "swap": f"{other.partition('.')[0]}.{good.partition('.')[2]}",
        "cut": good[:-3],
        "foreign": Sessions(b"another key", world.core.clock).begin("tok-1", None)[1],
        "nonsense": "....",
        "accents": "é.é",
    }[spoil]
    with pytest.raises(Exception, match="not valid") as refusal:
        sessions.read(bad)
    assert refusal.value.code == "auth.unauthenticated"  # type: ignore[attr-defined]


PAGES = [  # name, headers, whether a cookie alone vouches, taken
    ("our own page", {"sec-fetch-site": "same-origin", "origin": "http://corral"}, True, True),
    ("our own page, as an old browser says it", {"origin": "http://corral"}, True, True),
    ("through a proxy that changes the host", {"sec-fetch-site": "same-origin", "origin": "http://x"}, True, True),
    ("another site", {"sec-fetch-site": "cross-site", "origin": "http://evil"}, True, False),
    ("another site signs somebody in", {"sec-fetch-site": "cross-site", "origin": "http://evil"}, False, False),
    ("a neighbour's page", {"sec-fetch-site": "same-site", "origin": "http://a.corral"}, True, False),
    ("another port", {"origin": "http://corral:81"}, True, False),
    ("an allowed page", {"sec-fetch-site": "cross-site", "origin": "http://friend"}, True, True),
    ("nobody says", {}, True, False),
    ("a sandboxed page", {"origin": "null"}, True, False),
    ("a program that signs in", {}, False, True),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "cookie", "taken"), [pytest.param(*row[1:], id=row[0]) for row in PAGES])
def test_which_pages_may(headers: dict[str, str], cookie: bool, taken: bool) -> None:
    asked = {"host": "corral", **headers}
    if taken:
        check_page(asked, {"http://friend"}, cookie=cookie)
        return
    with pytest.raises(BadOrigin):
        check_page(asked, {"http://friend"}, cookie=cookie)


async def test_changes_with_a_cookie_come_from_our_pages(world: World) -> None:
    client = await signed_in(world)
    body: Any = {"name": "made-by-a-page", "role": "viewer"}
    refused = await client.post("/api/v1/tokens", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.bad_origin")
    refused = await client.post("/api/v1/tokens", json=body, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    assert (await client.post("/api/v1/tokens", json=body, headers=OWN)).status_code == 201
    bearer = {"Authorization": f"Bearer {world.tokens[Role.ADMIN]}"}
    assert (await client.delete("/api/v1/tokens/made-by-a-page", headers=bearer)).status_code == 202


async def test_guessing_is_slowed_down(world: World) -> None:
    async with world.client(None) as client:
        for _ in range(TRIES_MAX):
            assert (await sign_in(client, "corral_tok-0_guess")).status_code == 401
        answer = await sign_in(client, world.tokens[Role.ADMIN])
        assert (answer.status_code, answer.json()["code"]) == (429, "auth.too_many_tries")


async def test_a_stream_ends_when_its_session_does(world: World, url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        await sign_in(client, world.tokens[Role.VIEWER])
        async with client.stream("GET", "/api/v1/vms?watch=true") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            await client.delete("/api/v1/session", headers=OWN)
            text = "\n".join([line async for line in lines])
            assert "auth.unauthenticated" in text


async def test_consoles_take_the_cookie_and_end_with_the_session(world: World, url: str) -> None:
    await world.core.add(a_vm(1))
    async with httpx.AsyncClient(base_url=url) as client:
        await sign_in(client, world.tokens[Role.OPERATOR])
        cookie = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
        address = url.replace("http", "ws") + "/api/v1/vms/web-1/console"
        with pytest.raises(InvalidStatus):
            async with connect(address, additional_headers={**cookie, "Origin": "http://evil"}):
                pass
        async with connect(address, additional_headers={**cookie, "Origin": url}) as socket:
            await socket.send(b"hello")
            assert await socket.recv() == b"HELLO"
            await client.delete("/api/v1/session", headers=OWN)
            with pytest.raises(ConnectionClosed) as end:
                await asyncio.wait_for(socket.recv(), 5)
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == 4401
