"""Streams that break, and operations that end."""

import pytest

from corral.client.client import Client
from corral.client.errors import OperationFailed, StillRunning
from corral.client.sse import Parser
from corral.errors import Cancelled, CorralError, Invalid
from corral.model.operation import Operation, OperationState
from tests.unit.client.fake_api import FakeApi, event, problem
from tests.unit.client.samples import EVENT, FAILED, SUCCEEDED, a_vm, an_operation

PARSED = [  # name, lines, (event, data, id) of the complete events
    ("one event", ["event: put", "id: 7", "data: x", ""], [("put", "x", "7")]),
    ("no name: message", ["data: x", ""], [("message", "x", "")]),
    ("several lines of data", ["data: a", "data: b", ""], [("message", "a\nb", "")]),
    ("comments say nothing", [": here", "", ": here", ""], []),
    (
        "an id outlives its event",
        ["id: 3", "data: a", "", "data: b", ""],
        [("message", "a", "3"), ("message", "b", "3")],
    ),
    ("an id without data counts", ["id: 9", "", "data: a", ""], [("message", "a", "9")]),
    ("only one space is cut", ["data:  x", ""], [("message", " x", "")]),
    ("unfinished is no event", ["data: x"], []),
    ("a name without data is none", ["event: put", "", "data: x", ""], [("message", "x", "")]),
]


@pytest.mark.parametrize(("lines", "events"), [pytest.param(*row[1:], id=row[0]) for row in PARSED])
def test_parser(lines: list[str], events: list[tuple[str, str, str]]) -> None:
    parser = Parser()
    found = [e for e in map(parser.take, lines) if e]
    assert [(e.name, e.data, e.id) for e in found] == events


def test_watch_goes_on_where_the_stream_broke(api: FakeApi, client: Client) -> None:
    first, second = a_vm("a", revision=11), a_vm("b", revision=15)
    api.says(
        "vms",
        [event("put", first), ": still here\n\n", "id: 13\nevent: bookmark\ndata: {}\n\n"],
        [event("remove", second)],
    )
    changes = client.vms.watch(since=10)
    assert next(changes).resource == first
    gone = next(changes)
    assert (gone.revision, gone.what, gone.resource) == (15, "remove", second)
    assert [s.query["since"] for s in api.seen] == [["10"], ["13"]]
    assert api.seen[1].headers["last-event-id"] == "13"


def test_watch_repeats_nothing_when_half_an_event_was_lost(api: FakeApi, client: Client) -> None:
    whole = event("put", a_vm("b", revision=12))
    api.says("vms", [event("put", a_vm("a", revision=11)), whole[:40]], [whole])
    changes = client.vms.watch(since=10)
    assert [next(changes).resource.name, next(changes).resource.name] == ["a", "b"]
    assert api.seen[1].query["since"] == ["11"]


def test_watch_by_word(api: FakeApi, client: Client) -> None:
    api.says("events", [event("put", EVENT)])
    assert next(client.watch("event", since=0)).resource == EVENT
    with pytest.raises(Invalid):
        client.watch("unicorn")


def test_watch_tells_that_the_log_was_compacted(api: FakeApi, client: Client) -> None:
    _, body = problem(410, "store.compacted", "too old")
    api.says("vms", ["problem " + body.decode()])
    with pytest.raises(CorralError) as caught:
        next(client.vms.watch(since=1))
    assert caught.value.code == "store.compacted"


def test_watch_outlives_a_server_that_shuts_down(api: FakeApi, client: Client) -> None:
    _, body = problem(503, "server.unavailable", "shutting down")
    api.says("vms", ["problem " + body.decode()], [event("put", a_vm(revision=12))])
    assert next(client.vms.watch(since=10)).revision == 12


def test_watch_gives_up_on_a_server_that_stays_away(api: FakeApi, client: Client) -> None:
    client.connection.retry_s = 0.3
    api.says("vms")  # each connection is cut
    with pytest.raises(CorralError) as caught:
        next(client.vms.watch(since=10))
    assert caught.value.code == "client.unreachable"
    assert len(api.seen) > 1


def test_wait_follows_to_the_end_and_reports(api: FakeApi, client: Client) -> None:
    half = an_operation(progress=0.5, steps=("placing",), revision=55)
    api.says("operations", [event("put", half), event("put", SUCCEEDED)])
    seen: list[float] = []
    ended = client.operations.wait(an_operation(), 10.0, lambda o: seen.append(o.status.progress))
    assert ended == SUCCEEDED
    assert seen == [0.0, 0.5, 1.0]
    (request,) = api.seen
    assert request.query == {"id": ["op-1"], "since": ["50"], "watch": ["true"]}, "it polls"


def test_wait_needs_no_request_for_an_operation_that_has_ended(api: FakeApi, client: Client) -> None:
    assert client.operations.wait(SUCCEEDED) == SUCCEEDED
    assert not api.seen


def test_wait_by_id(api: FakeApi, client: Client) -> None:
    api.add(SUCCEEDED)
    assert client.operations.wait("op-1") == SUCCEEDED


def test_wait_resumes_over_a_broken_stream(api: FakeApi, client: Client) -> None:
    half = an_operation(progress=0.5, revision=55)
    api.says("operations", [event("put", half)], [event("put", SUCCEEDED)])
    assert client.operations.wait(an_operation(), 10.0) == SUCCEEDED
    assert api.seen[1].query["since"] == ["55"]


def test_wait_looks_again_when_the_log_was_compacted(api: FakeApi, client: Client) -> None:
    api.add(SUCCEEDED)
    _, body = problem(410, "store.compacted", "too old")
    api.says("operations", ["problem " + body.decode()])
    assert client.operations.wait(an_operation(), 10.0) == SUCCEEDED


def test_wait_ends_at_its_deadline(api: FakeApi, client: Client) -> None:
    late = an_operation(waiting_for="room", revision=51)
    api.says("operations", [event("put", late)], *([": still here\n\n"] for _ in range(100)))
    with pytest.raises(StillRunning) as caught:
        client.operations.wait(an_operation(), 0.4)
    assert caught.value.context["operation"] == "op-1"
    assert "room" in caught.value.message
    assert "corral operation wait op-1" in caught.value.hint


ENDS = [  # name, operation, class, code
    ("as it failed", FAILED, CorralError, "placement.no_room"),
    ("failed without a reason", an_operation(OperationState.FAILED), OperationFailed, "operation.failed"),
    ("cancelled", an_operation(OperationState.CANCELLED), Cancelled, "operation.cancelled"),
]


@pytest.mark.parametrize(("operation", "kind", "code"), [pytest.param(*row[1:], id=row[0]) for row in ENDS])
def test_wait_raises_what_it_ended_with(
    client: Client, operation: Operation, kind: type[CorralError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        client.operations.wait(operation)
    assert caught.value.code == code
    assert "create of VM web" in caught.value.message
    assert caught.value.context["operation"] == "op-1"
