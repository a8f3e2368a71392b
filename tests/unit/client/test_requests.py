"""One request and its answer, and what becomes of lost ones."""

import json
import socket
import threading

import pytest

from corral.client.client import Client
from corral.client.connection import Connection, Request
from corral.client.errors import BadAnswer, Refused, Unreachable, refused
from corral.errors import Invalid, NotFound, Protected, Unauthenticated
from corral.model.vm import VM
from tests.unit.client.fake_api import FakeApi, problem, serving
from tests.unit.client.samples import SUCCEEDED, a_vm, an_operation


def test_get_is_typed_and_carries_the_token(api: FakeApi, client: Client) -> None:
    api.add(a_vm("web"))
    vm = client.vms.get("web")
    assert isinstance(vm, VM)
    assert vm == a_vm("web")
    assert api.seen[0].headers["authorization"] == "Bearer corral_tok-1_secret"


def test_names_are_quoted_in_paths(api: FakeApi, client: Client) -> None:
    with pytest.raises(NotFound):
        client.vms.get("a/b?c")
    assert api.seen[0].path == "/api/v1/vms/a/b?c"
    assert not api.seen[0].query


def test_no_name_is_not_all_names(api: FakeApi, client: Client) -> None:
    for call in (client.vms.get, client.vms.delete, client.vms.start):
        with pytest.raises(Invalid):
            call("")
    assert not api.seen


def test_list_follows_pages(api: FakeApi, client: Client) -> None:
    api.page_size = 3
    api.add(*(a_vm(f"vm{n}") for n in range(8)))
    assert [vm.name for vm in client.vms.list(phase="running", label=["a=b", "c"])] == [
        f"vm{n}" for n in range(8)
    ]
    assert [s.query.get("cursor") for s in api.seen] == [None, ["3"], ["6"]]
    assert api.seen[2].query["phase"] == ["running"]
    assert api.seen[2].query["label"] == ["a=b", "c"]


def test_list_stops_at_its_limit(api: FakeApi, client: Client) -> None:
    api.page_size = 3
    api.add(*(a_vm(f"vm{n}") for n in range(8)))
    assert len(client.vms.list(limit=4)) == 4
    assert [s.query["limit"] for s in api.seen] == [["4"], ["1"]]


def test_one_connection_serves_many_requests(api: FakeApi, client: Client) -> None:
    api.add(a_vm("web"))
    client.vms.get("web")
    first = client.connection._open
    client.vms.get("web")
    assert first is not None
    assert client.connection._open is first


MUTATIONS = [  # name, what is called, method, path, query, body
    ("create", lambda c: c.vms.create(name="web"), "POST", "/vms", {}, {"name": "web"}),
    ("start", lambda c: c.vms.start("web"), "POST", "/vms/web/start", {}, None),
    ("stop", lambda c: c.vms.stop("web"), "POST", "/vms/web/stop", {}, None),
    (
        "stop by force",
        lambda c: c.vms.stop("web", force=True),
        "POST",
        "/vms/web/stop",
        {"force": ["true"]},
        None,
    ),
    ("restart", lambda c: c.vms.restart("web"), "POST", "/vms/web/restart", {}, None),
    ("migrate", lambda c: c.vms.migrate("web", "node2"), "POST", "/vms/web/migrate", {}, {"target": "node2"}),
    ("delete", lambda c: c.vms.delete("web"), "DELETE", "/vms/web", {}, None),
    (
        "delete, keep volumes",
        lambda c: c.vms.delete("web", keep_volumes=True),
        "DELETE",
        "/vms/web",
        {"keep_volumes": ["true"]},
        None,
    ),
    (
        "limit a disk",
        lambda c: c.vms.limit_disk("web", "data", iops=5),
        "PATCH",
        "/vms/web/disks/data",
        {},
        {"limits": {"iops": 5}},
    ),
    (
        "limit a NIC no more",
        lambda c: c.vms.limit_nic("web", "lan"),
        "PATCH",
        "/vms/web/nics/lan",
        {},
        {"limits": {}},
    ),
    ("purge", lambda c: c.vms.delete("web", purge=True), "DELETE", "/vms/web", {"purge": ["true"]}, None),
    ("label", lambda c: c.vms.set_labels("web", {"a": "b"}), "PATCH", "/vms/web", {}, {"labels": {"a": "b"}}),
    (
        "dry run",
        lambda c: c.vms.having(dry_run=True).start("web"),
        "POST",
        "/vms/web/start",
        {"dry_run": ["true"]},
        None,
    ),
    ("cordon", lambda c: c.nodes.cordon("n"), "PATCH", "/nodes/n", {}, {"cordoned": True}),
    (
        "remove a node",
        lambda c: c.nodes.remove("n", force=True),
        "DELETE",
        "/nodes/n",
        {"force": ["true"]},
        None,
    ),
]


@pytest.mark.parametrize(
    ("call", "method", "path", "query", "body"), [pytest.param(*row[1:], id=row[0]) for row in MUTATIONS]
)
def test_mutations(api: FakeApi, client: Client, call, method, path, query, body) -> None:
    api.on(method, path, SUCCEEDED)
    assert call(client) == SUCCEEDED
    (seen,) = api.seen
    assert (seen.method, seen.path, seen.query) == (method, f"/api/v1{path}", query)
    assert (json.loads(seen.body) if seen.body else None) == body
    assert len(seen.headers["idempotency-key"]) > 20


def test_if_match_is_an_etag(api: FakeApi, client: Client) -> None:
    api.on("PATCH", "/vms/web", SUCCEEDED)
    client.vms.having(if_match=42).update("web", protected=True)
    assert api.seen[0].headers["if-match"] == '"42"'


def test_cancel_gives_the_operation_that_was_cancelled(api: FakeApi, client: Client) -> None:
    api.add(an_operation())
    api.on("POST", "/operations/op-1/cancel", SUCCEEDED)
    assert client.operations.cancel("op-1") == an_operation()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_asked_for_again_with_the_same_key(api: FakeApi, client: Client, when: str) -> None:
    """Whether the server carried it out or not: it is done once."""
    api.on("POST", "/vms", SUCCEEDED)
    api.hang_up.extend([when, when])
    assert client.vms.create(name="web") == SUCCEEDED
    assert len(api.seen) == 3
    assert len({s.headers["idempotency-key"] for s in api.seen}) == 1
    assert len(api.done) == 1


def test_each_request_has_a_key_of_its_own(api: FakeApi, client: Client) -> None:
    api.on("POST", "/vms", SUCCEEDED)
    client.vms.create(name="a")
    client.vms.create(name="b")
    assert api.seen[0].headers["idempotency-key"] != api.seen[1].headers["idempotency-key"]


def test_a_server_that_restarts_is_waited_for() -> None:
    api = FakeApi().add(a_vm("web"))
    with serving(api), Client(api.url, retry_s=10.0) as client:
        client.vms.get("web")
        client.close()
    timer = threading.Event()

    def restart() -> None:
        timer.wait(0.5)
        with serving(api):
            finished.wait(10)

    finished = threading.Event()
    thread = threading.Thread(target=restart)
    thread.start()
    try:
        assert client.vms.get("web").name == "web"
    finally:
        finished.set()
        thread.join()


def test_unavailable_is_asked_again(api: FakeApi, client: Client) -> None:
    api.add(a_vm("web"))
    api.unavailable = 2
    assert client.vms.get("web").name == "web"
    assert len(api.seen) == 3


def test_a_server_that_is_not_there_is_given_up_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        connection = Connection(url, reach_s=0.2)
        with pytest.raises(Unreachable) as caught:
            connection.send(Request("GET", "/api/v1/vms"))
    assert "connection refused" in caught.value.message
    assert "corral server run" in caught.value.hint
    assert caught.value.context["url"] == url


def test_a_server_that_stays_away_is_given_up_in_time(api: FakeApi) -> None:
    client = Client(api.url, retry_s=0.5)
    api.add(a_vm("web"))
    client.vms.get("web")
    api.hang_up.extend(["before"] * 1000)
    with pytest.raises(Unreachable):
        client.vms.get("web")


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="no answer in time"):
            Connection(url, timeout_s=0.2, retry_s=0.1).send(Request("GET", "/"))


@pytest.mark.parametrize(
    "url", ["", "corral.example", "ftp://a", "http://", "http://a:port", "http://a:99999999"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        Connection(url)


PROBLEMS = [  # name, status, body, class, code
    ("known code: its class", *problem(404, "resource.not_found", "no VM x"), NotFound, "resource.not_found"),
    (
        "known code of another status",
        *problem(409, "vm.protected", "VM x is protected"),
        Protected,
        "vm.protected",
    ),
    ("code of a newer server", *problem(409, "vm.on_fire", "VM x burns", "Run."), Refused, "vm.on_fire"),
    ("no problem document, 401", 401, b"<html>", Unauthenticated, "auth.unauthenticated"),
    ("a proxy's 502", 502, b"<html>bad gateway", Unreachable, "client.unreachable"),
    ("another program", 404, b"<html>nginx", BadAnswer, "client.bad_answer"),
    ("JSON, but no problem", 400, b"[1]", BadAnswer, "client.bad_answer"),
    ("a problem without a code", 400, b'{"title": "x"}', BadAnswer, "client.bad_answer"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"), [pytest.param(*row[1:], id=row[0]) for row in PROBLEMS]
)
def test_problems(status: int, body: bytes, kind: type[Exception], code: str) -> None:
    error = refused(status, "Reason", body)
    assert type(error) is kind
    assert error.code == code


def test_a_problem_keeps_all_that_it_says() -> None:
    status, body = problem(409, "vm.on_fire", "VM x burns", "Run.", vm="vm-1", degrees=900)
    error = refused(status, "Conflict", body)
    assert (error.message, error.hint, error.status) == ("VM x burns", "Run.", 409)
    assert error.context == {"vm": "vm-1", "degrees": 900, "request_id": "req-7"}
    assert Refused.code == "client.refused", "the class itself was changed"


def test_an_answer_that_is_no_resource(api: FakeApi, client: Client) -> None:
    api.replies["GET", "/api/v1/vms/web"] = lambda _: (200, b"<html>hello")
    with pytest.raises(BadAnswer):
        client.vms.get("web")
