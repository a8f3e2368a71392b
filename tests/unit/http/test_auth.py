"""Who may do what: every route, with no token, a bad one, and each role's."""

import re

import httpx
import pytest

from corral.model.token import Role
from corral.server.http.openapi import routes_of
from corral.server.http.present import VISIBLE
from corral.store.interface import Remove
from tests.unit.http.world import World, a_vm

PUBLIC = {
    "/healthz",
    "/readyz",
    "/api/v1/openapi.json",
    "/api/docs",
    "/api/docs/docs.js",
    "/api/docs/docs.css",
    "/api/v1/session",  # to sign in and out; see test_sessions.py
}
ADMIN_ONLY = {
    ("get", "/api/v1/tokens"),
    ("get", "/api/v1/tokens/{tok}"),
    ("post", "/api/v1/tokens"),
    ("delete", "/api/v1/tokens/{tok}"),
    ("get", "/api/v1/nodes/join-tokens"),
    ("get", "/api/v1/nodes/join-tokens/{join}"),
    ("post", "/api/v1/nodes/join-tokens"),
    ("delete", "/api/v1/nodes/{node}"),
}


def all_routes(world: World) -> list[tuple[str, str]]:
    """Every method and path there is, also those that the description hides."""
    return sorted(
        {(method, path) for path, method, _ in routes_of(world.api.litestar)}
        | {("get", r.path_format) for r in world.api.litestar.routes}
    )


def fill(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "nothing", path)


async def send(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    """Streams would not end here: what begins one is answered before it begins where it is refused."""
    return await client.request(method, fill(path), content=b"{}" if method != "get" else None)


async def test_every_route_refuses_without_a_token(world: World) -> None:
    routes = all_routes(world)
    assert len(routes) > 45
    async with world.client(None) as client:
        for method, path in routes:
            if path in PUBLIC or path.endswith("/console"):
                continue
            answer = await send(client, method, path)
            assert answer.status_code in (401, 405), (method, path, answer.text)
            if answer.status_code == 401:
                assert answer.json()["code"] == "auth.unauthenticated"
                assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_options_needs_a_token_too(world: World) -> None:
    async with world.client(None) as client:
        assert (await client.options("/api/v1/vms")).status_code == 401


async def test_public_routes_answer(world: World) -> None:
    async with world.client(None) as client:
        for path in sorted(PUBLIC - {"/api/v1/session"}):
            assert (await client.get(path)).status_code == 200, path


async def test_viewers_change_nothing(world: World) -> None:
    async with world.client(Role.VIEWER) as client:
        for method, path in all_routes(world):
            if method != "get" and path not in PUBLIC:
                answer = await send(client, method, path)
                assert answer.status_code == 403, (method, path, answer.text)
                assert answer.json()["code"] == "auth.forbidden"


async def test_operators_do_all_but_tokens_and_nodes(world: World) -> None:
    async with world.client(Role.OPERATOR) as client:
        for method, path in all_routes(world):
            if path in PUBLIC or path.endswith(("/console", "/watch", "/metrics")):
                continue
            answer = await send(client, method, path)
            refused = answer.status_code == 403
            assert refused == ((method, path) in ADMIN_ONLY), (method, path, answer.status_code)


@pytest.mark.parametrize(
    "presented",
    [
        "Bearer nonsense",
        "Bearer corral_tok-0_x",
        "Bearer corral__",
        "Bearer ",
        "Basic dTpw",
        "corral_tok_x",
        "Bearer corral_vm-000001_x",
    ],
)
async def test_bad_tokens_are_refused(world: World, presented: str) -> None:
    await world.core.add(a_vm(1))
    async with world.client(None) as client:
        answer = await client.get("/api/v1/vms", headers={"Authorization": presented})
        assert answer.status_code == 401


async def test_a_wrong_secret_of_a_real_token(world: World) -> None:
    real = world.tokens[Role.ADMIN]
    async with world.client(None) as client:
        for wrong in (real[:-1], real + "x", real.rpartition("_")[0] + "_"):
            answer = await client.get("/api/v1/vms", headers={"Authorization": f"Bearer {wrong}"})
            assert answer.status_code == 401
            assert real not in answer.text


async def test_tokens_expire_by_the_clock(world: World) -> None:
    token = await world.token(Role.VIEWER, expires_at=world.core.clock.now_s() + 60, name="short")
    headers = {"Authorization": f"Bearer {token}"}
    async with world.client(None) as client:
        assert (await client.get("/api/v1/vms", headers=headers)).status_code == 200
        world.core.clock.ahead_s = 61
        answer = await client.get("/api/v1/vms", headers=headers)
        assert answer.status_code == 401
        assert "expired" in answer.json()["detail"]


async def test_a_revoked_token_is_worth_nothing(world: World) -> None:
    token = await world.token(Role.OPERATOR, name="gone-soon")
    async with world.client() as admin:
        assert (await admin.delete("/api/v1/tokens/gone-soon")).status_code == 202
    async with world.client(None) as client:
        answer = await client.get("/api/v1/vms", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_hashes_of_secrets_are_shown_to_nobody(world: World) -> None:
    async with world.client() as client:
        made = await client.post("/api/v1/tokens", json={"name": "x", "role": "viewer"})
        assert made.status_code == 201
        assert made.json()["secret"].startswith("corral_tok-")
        assert made.json()["resource"]["spec"]["sha256"] == ""
        for path in ("/api/v1/tokens", "/api/v1/tokens/x", "/api/v1/tokens?fields=spec.sha256"):
            text = (await client.get(path)).text
            assert not re.search(r'"sha256":"[0-9a-f]+"', text), path
        used = await client.get("/api/v1/vms", headers={"Authorization": f"Bearer {made.json()['secret']}"})
        assert used.status_code == 200
        joined = await client.post("/api/v1/nodes/join-tokens", json={"ttl_s": 60})
        assert joined.status_code == 201
        assert joined.json()["resource"]["spec"]["sha256"] == ""
        assert "5ec7e7" not in (await client.get("/api/v1/nodes/join-tokens")).text


async def test_only_kinds_with_routes_can_be_seen(world: World) -> None:
    assert {k.__name__: r for k, r in VISIBLE.items()} == {
        "Node": Role.VIEWER,
        "Snapshot": Role.VIEWER,
        "VM": Role.VIEWER,
        "Volume": Role.VIEWER,
        "Image": Role.VIEWER,
        "StoragePool": Role.VIEWER,
        "Network": Role.VIEWER,
        "VMProfile": Role.VIEWER,
        "SchedulingPolicy": Role.VIEWER,
        "PlacementGroup": Role.VIEWER,
        "Rebalance": Role.VIEWER,
        "Port": Role.VIEWER,
        "FoundDomain": Role.VIEWER,
        "Operation": Role.VIEWER,
        "Event": Role.VIEWER,
        "Token": Role.ADMIN,
        "JoinToken": Role.ADMIN,
    }


async def test_first_boot_data_is_shown_to_who_may_change_it_only(world: World) -> None:
    async with world.client() as client:
        body = {
            "name": "v",
            "running": False,
            "cloud_init": {"user_data": "#cloud-config\npassword: hunter2"},
        }
        assert (await client.post("/api/v1/vms", json=body)).status_code == 202
        assert "hunter2" in (await client.get("/api/v1/vms/v")).text
        assert "hunter2" not in (await client.get("/api/v1/vms")).text
        assert "hunter2" not in (await client.get("/api/v1/vms?fields=spec.cloud_init")).text
    async with world.client(Role.VIEWER) as client:
        assert "hunter2" not in (await client.get("/api/v1/vms/v")).text
        assert "hunter2" not in (await client.get("/api/v1/vms/v?fields=spec")).text


async def test_removed_tokens_leave_no_role_behind(world: World) -> None:
    id = world.tokens[Role.ADMIN].split("_")[1]
    await world.core.put(Remove(id))
    async with world.client() as client:
        assert (await client.get("/api/v1/tokens")).status_code == 401
