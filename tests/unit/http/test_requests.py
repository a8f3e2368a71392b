"""What goes in: bodies, headers and parameters, good and bad; and how errors look."""

import json
import logging
from typing import Any

import pytest

from corral.model.token import Role
from corral.model.vm import VM
from corral.server.http.bodies import BODY_BYTES_MAX
from corral.server.log import JsonFormatter
from tests.unit.http.world import World, a_node, a_vm

PROBLEM = {"type", "title", "status", "detail", "code", "hint", "context", "retryable", "request_id"}
BAD_BODIES = [  # name, body, status, code, field named, hint
    ("nothing at all", b"", 400, "request.invalid", "name", "required"),
    ("no JSON", b"{name: x}", 400, "request.malformed", None, "JSON"),
    ("cut off", b'{"name": "x"', 400, "request.malformed", None, "JSON"),
    ("no UTF-8", b'{"name": "\xff\xfe"}', 400, "request.malformed", None, ""),
    ("binary", bytes(range(256)), 400, "request.malformed", None, ""),
    ("a list", b"[1]", 400, "request.invalid", "body", ""),
    ("a number", b"7", 400, "request.invalid", "body", ""),
    ("null", b"null", 400, "request.invalid", "body", ""),
    ("nested without end", b"[" * 100_000, 400, "request.malformed", None, ""),
    ("nested in a field", b'{"name":"x","labels":' + b'{"a":' * 5000, 400, "request.malformed", None, ""),
    ("a text as a number", b'{"name":"x","cpus":"two"}', 400, "request.invalid", "cpus", ""),
    ("a fraction as a number", b'{"name":"x","cpus":1.5}', 400, "request.invalid", "cpus", ""),
    ("a number out of all range", b'{"name":"x","cpus":1e400}', 400, None, None, ""),
    ("deep inside", b'{"name":"x","disks":[{},{"size":true}]}', 400, "request.invalid", "disks[1].size", ""),
    ("an unknown field", b'{"name":"x","memroy":1}', 400, "request.invalid", "memroy", "Did you mean memory"),
    ("unknown deep inside", b'{"name":"x","nics":[{"network":"a","maac":""}]}', 400, "request.invalid", "nics[0].maac", "mac"),
    ("missing deep inside", b'{"name":"x","nics":[{}]}', 400, "request.invalid", "nics[0].network", "required"),
    ("not one of the choices", b'{"name":"x","restart":"maybe"}', 400, "request.invalid", "restart", ""),
    ("a label that is no text", b'{"name":"x","labels":{"a":1}}', 400, "request.invalid", "labels", ""),
    ("a rule of the service", b'{"name":"Not A Name"}', 400, "request.invalid", "name", ""),
    ("a size that is none", b'{"name":"x","memory":"4 bananas"}', 400, "request.invalid", "memory", "4GiB"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code", "field", "hint"), [pytest.param(*row[1:], id=row[0]) for row in BAD_BODIES]
)
async def test_bad_bodies(
    world: World, body: bytes, status: int, code: str | None, field: str | None, hint: str
) -> None:
    async with world.client() as client:
        answer = await client.post("/api/v1/vms", content=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert set(problem) == PROBLEM
        assert problem["status"] == status
        assert problem["type"] == f"https://corral.dev/errors/{problem['code']}"
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert code in (None, problem["code"])
        if field is not None:
            assert problem["context"]["field"] == field
        assert hint in problem["hint"]
        assert "Traceback" not in answer.text
    assert world.core.mirror.list(VM) == []


async def test_the_value_and_what_is_right_are_named(world: World) -> None:
    async with world.client() as client:
        answer = await client.post("/api/v1/tokens", json={"name": "x", "role": "emperor"})
        context = answer.json()["context"]
        assert context == {"field": "role", "value": "emperor", "expected": "one of admin, operator, viewer"}


async def test_huge_bodies_are_refused(world: World) -> None:
    body = json.dumps({"name": "x", "labels": {"a": "b" * BODY_BYTES_MAX}}).encode()
    async with world.client() as client:
        answer = await client.post("/api/v1/vms", content=body)
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")

        async def without_length() -> Any:
            for start in range(0, len(body), 65536):
                yield body[start : start + 65536]

        answer = await client.post("/api/v1/vms", content=without_length())
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


async def test_first_boot_data_up_to_256_kib(world: World) -> None:
    async with world.client() as client:
        body = {
            "name": "x",
            "running": False,
            "cloud_init": {"user_data": "#!/bin/sh\n#".ljust(256 * 1024, "x")},
        }
        assert (await client.post("/api/v1/vms", json=body)).status_code == 202
        body = {"name": "y", "running": False, "cloud_init": {"user_data": "x" * (256 * 1024 + 1)}}
        answer = await client.post("/api/v1/vms", json=body)
        assert answer.status_code == 400
        assert answer.json()["context"]["field"] == "cloud_init.user_data"


async def test_uploads_are_streamed_whatever_their_size(world: World) -> None:
    size = 8 * BODY_BYTES_MAX

    async def pieces() -> Any:
        for _ in range(size // 65536):
            yield b"x" * 65536

    async with world.client() as client:
        assert (await client.post("/api/v1/images", json={"name": "i"})).status_code == 202
        answer = await client.put("/api/v1/images/i/content", content=pieces())
        assert answer.status_code == 202, answer.text
    (received,) = world.core.image_store.received.values()
    assert len(received) == size
    assert world.core.image_store.largest_chunk <= 65536


MISSES = [  # name, method, path, status, code
    ("no such path", "POST", "/nothing", 404, "request.no_route"),
    ("no such path in the API", "GET", "/api/v1/nothing", 404, "request.no_route"),
    ("no such VM", "GET", "/api/v1/vms/none", 404, "resource.not_found"),
    ("start of no VM", "POST", "/api/v1/vms/none/start", 404, "resource.not_found"),
    ("wrong method", "PUT", "/api/v1/vms", 405, "request.wrong_method"),
    ("an unknown parameter", "POST", "/api/v1/vms/none/start?forse=true", 400, "request.invalid"),
    ("a flag that is none", "POST", "/api/v1/vms/none/stop?force=maybe", 400, "request.invalid"),
    ("dry_run that is none", "POST", "/api/v1/vms/none/stop?dry_run=perhaps", 400, "request.invalid"),
    ("odd characters", "GET", "/api/v1/vms/%00%ff", 404, "resource.not_found"),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"), [pytest.param(*row[1:], id=row[0]) for row in MISSES]
)
async def test_misses_are_problems(world: World, method: str, path: str, status: int, code: str) -> None:
    async with world.client() as client:
        answer = await client.request(method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        if status == 405:
            assert "GET" in answer.headers["allow"]


async def test_a_bug_shows_its_request_id_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the password is hunter2")

    monkeypatch.setattr(world.core.services.vms, "start", broken)
    async with world.client() as client:
        answer = await client.post("/api/v1/vms/x/start", headers={"X-Request-Id": "my-own-1"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == "my-own-1"
    assert "my-own-1" in answer.json()["hint"]
    assert "hunter2" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("given", ["a b", "x" * 200, "", "-x", 'x"y', "ü"])
async def test_odd_request_ids_are_replaced(world: World, given: str) -> None:
    async with world.client() as client:
        answer = await client.get("/api/v1/vms", headers={"X-Request-Id": given.encode("latin-1")})
        assert answer.headers["x-request-id"].startswith("req-")


async def test_a_request_leaves_one_line_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="corral.http")
    async with world.client() as client:
        await client.get("/api/v1/vms/none", headers={"X-Request-Id": "r-1"})
    (record,) = [r for r in caplog.records if r.name == "corral.http"]
    line = json.loads(JsonFormatter().format(record))
    assert line["method"] == "GET"
    assert line["path"] == "/api/v1/vms/none"
    assert line["status"] == 404
    assert line["token"].startswith("the-admin")
    assert "ms" in line
    assert world.tokens[Role.ADMIN].rpartition("_")[2] not in caplog.text


async def test_changes_answer_with_the_operation_to_follow(world: World) -> None:
    async with world.client(Role.OPERATOR) as client:
        answer = await client.post(
            "/api/v1/vms", json={"name": "x", "memory": "128MiB"}, headers={"X-Request-Id": "r-7"}
        )
        assert answer.status_code == 202, answer.text
        operation = answer.json()
        assert operation["kind"] == "Operation"
        assert operation["spec"]["request_id"] == "r-7"
        assert operation["spec"]["by"].startswith("the-operator")
        followed = await client.get(answer.headers["location"])
        assert followed.json()["id"] == operation["id"]


async def test_a_repeat_with_its_key_gets_the_first_answer(world: World) -> None:
    async with world.client() as client:
        headers = {"Idempotency-Key": "k-1"}
        first = await client.post("/api/v1/vms", json={"name": "x"}, headers=headers)
        again = await client.post("/api/v1/vms", json={"name": "x"}, headers=headers)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        other = await client.post("/api/v1/vms", json={"name": "y"}, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "request.key_reused")
        elsewhere = await client.post("/api/v1/vms/x/stop", headers=headers)
        assert elsewhere.json()["code"] == "request.key_reused"
        bad = await client.post("/api/v1/vms", json={"name": "z"}, headers={"Idempotency-Key": "a key"})
        assert bad.json()["context"]["field"] == "Idempotency-Key"
    assert len(world.core.mirror.list(VM)) == 1


async def test_a_repeated_token_request_gets_the_same_secret(world: World) -> None:
    """Although the server keeps only its hash."""
    async with world.client() as client:
        headers, body = {"Idempotency-Key": "k-1"}, {"name": "robot", "role": "viewer"}
        first = (await client.post("/api/v1/tokens", json=body, headers=headers)).json()
        again = (await client.post("/api/v1/tokens", json=body, headers=headers)).json()
        assert again["secret"] == first["secret"]
        assert again["resource"]["id"] == first["resource"]["id"]
        using = {"Authorization": f"Bearer {first['secret']}"}
        assert (await client.get("/api/v1/vms", headers=using)).status_code == 200
        other = await client.post("/api/v1/tokens", json=body | {"name": "other"}, headers=headers)
        assert other.json()["code"] == "request.key_reused"
        taken = await client.post("/api/v1/tokens", json=body, headers={"Idempotency-Key": "k-2"})
        assert taken.json()["code"] == "resource.name_taken"
        fresh = await client.post(
            "/api/v1/tokens", json=body | {"name": "third"}, headers={"Idempotency-Key": "k-3"}
        )
        assert fresh.json()["secret"].rpartition("_")[2] != first["secret"].rpartition("_")[2]


async def test_dry_runs_change_nothing(world: World) -> None:
    before = world.core.mirror.revision
    async with world.client() as client:
        answer = await client.post("/api/v1/vms?dry_run=true", json={"name": "x"})
        assert answer.status_code == 200
        assert answer.json()["spec"]["verb"] == "create"
        assert (await client.post("/api/v1/vms?dry_run=true", json={"name": "NO"})).status_code == 400
    assert world.core.mirror.revision == before


async def test_two_writers_with_one_etag(world: World) -> None:
    await world.core.add(a_node(1))
    async with world.client() as client:
        etag = (await client.get("/api/v1/nodes/node1")).headers["etag"]
        one = await client.patch("/api/v1/nodes/node1", json={"cordoned": True}, headers={"If-Match": etag})
        two = await client.patch("/api/v1/nodes/node1", json={"cordoned": False}, headers={"If-Match": etag})
        assert (one.status_code, two.status_code) == (202, 412)
        assert two.json()["code"] == "resource.precondition_failed"
        assert (await client.get("/api/v1/nodes/node1")).json()["spec"]["cordoned"] is True
        odd = await client.patch("/api/v1/nodes/node1", json={}, headers={"If-Match": "yesterday"})
        assert (odd.status_code, odd.json()["context"]["field"]) == (400, "If-Match")


async def test_a_protected_vm(world: World) -> None:
    vm = a_vm(1)
    await world.core.add(vm)
    async with world.client() as client:
        assert (await client.patch("/api/v1/vms/web-1", json={"protected": True})).status_code == 202
        answer = await client.delete("/api/v1/vms/web-1")
        assert (answer.status_code, answer.json()["code"]) == (409, "vm.protected")
        assert (await client.patch(f"/api/v1/vms/{vm.id}", json={"protected": False})).status_code == 202
        assert (await client.delete("/api/v1/vms/web-1?keep_volumes=true")).status_code == 202


async def test_every_example_of_a_body_is_a_good_body(world: World) -> None:
    """What the documentation tells people to send is not refused for its form."""
    async with world.client() as client:
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        tried = 0
        for path, verbs in paths.items():
            for verb, operation in verbs.items():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json")
                if content is None:
                    continue
                assert content["examples"], f"{verb} {path} shows no example"
                for example in content["examples"].values():
                    answer = await client.request(
                        verb, path.replace("{", "").replace("}", ""), json=example["value"]
                    )
                    fine = answer.status_code < 300 or answer.json()["code"] in (
                        "resource.not_found",
                        "image.not_ready",
                        "auth.unauthenticated",  # the token of the example is none
                        "rebalance.running",  # the example before began one
                    )
                    assert fine, (verb, path, answer.text)
                    tried += 1
        assert tried >= 15
