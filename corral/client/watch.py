"""Watching: changes of resources as they happen, and operations until they end.

In this room   watch(), decoded changes; wait(), an operation to its end
Comes in       a Connection; the kind and the revision to go on from
Goes out       Changes; the ended Operation, or the error that it ended with
Next door      sse.py keeps the stream alive
Start here     wait()
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from corral.client.connection import Connection, Query, Request
from corral.client.errors import BadAnswer, OperationFailed, StillRunning, told
from corral.client.sse import DeadlineReached, SseEvent, follow
from corral.errors import Cancelled, CorralError
from corral.model.operation import Operation, OperationState
from corral.model.resource import Resource, decode

R = TypeVar("R", bound=Resource)
PUT, REMOVE = "put", "remove"  # names of events
COMPACTED = "store.compacted"  # the change log starts later than the revision asked for


@dataclass(frozen=True)
class Change(Generic[R]):
    """A change of one resource."""

    revision: int
    what: str  # "put" or "remove"
    resource: R  # as it is since; of a removed one: as it was


def watch_all(
    connection: Connection, kinds: Sequence[str], *, since: int | None, query: Query
) -> Iterator[Change[Resource]]:
    """Changes of several kinds (none given: of all) in the order in which they happened."""
    chosen = {**query, **({"kinds": ",".join(kinds)} if kinds else {})}
    for event in follow(connection, "/api/v1/watch", chosen, since=since):
        if event.name in (PUT, REMOVE):
            resource = decode(event.data)
            yield Change(int(event.id or resource.revision), event.name, resource)


def watch(
    connection: Connection,
    kind: type[R],
    *,
    since: int | None,
    query: Query,
    until_s: float | None = None,
) -> Iterator[Change[R]]:
    """Raises  DeadlineReached; CorralError, also with code store.compacted: list again and watch from there"""
    for event in follow(connection, f"/api/v1/{kind.PLURAL}", query, since=since, until_s=until_s):
        change = _decoded(event, kind)
        if change is not None:
            yield change


def wait(
    connection: Connection,
    operation: Operation,
    *,
    timeout_s: float | None = None,
    on_progress: Callable[[Operation], None] | None = None,
) -> Operation:
    """Follow an operation until it ends, whichever way; ended() tells a failure.

    raises  StillRunning: `timeout_s` has passed; CorralError: the server stays away
    """
    until_s = None if timeout_s is None else connection.clock.monotonic_s() + timeout_s
    latest = operation

    def report(now: Operation) -> None:
        nonlocal latest
        latest = now
        if on_progress:
            on_progress(now)

    report(operation)
    try:
        while not latest.ended:
            _follow_once(connection, latest, until_s, report)
    except DeadlineReached:
        waiting_for = latest.status.waiting_for
        raise StillRunning(latest.id, seconds=timeout_s or 0.0, waiting_for=waiting_for) from None
    return latest


def ended(operation: Operation) -> Operation:
    """The same operation, when it went well. raises the error that it ended with"""
    state, trouble = operation.status.state, operation.status.error
    what = f"{operation.spec.verb} of {operation.spec.target.kind} {operation.spec.target.name}"
    if state is OperationState.CANCELLED:
        raise Cancelled(f"{what} was cancelled", operation=operation.id)
    if state is OperationState.FAILED and trouble is None:
        raise OperationFailed(f"{what} failed", operation=operation.id)
    if state is OperationState.FAILED and trouble is not None:
        context = {**trouble.context, "operation": operation.id}
        raise told(trouble.code, f"{what} failed: {trouble.message}", trouble.hint, 409, context)
    return operation


def _follow_once(
    connection: Connection, operation: Operation, until_s: float | None, report: Callable[[Operation], None]
) -> None:
    """Report on it up to its end, or up to where the log was compacted: then as it is now."""
    query = {"id": operation.id}
    try:
        for change in watch(connection, Operation, since=operation.revision, query=query, until_s=until_s):
            if change.resource.id == operation.id:
                report(change.resource)
                if change.resource.ended:
                    return
    except CorralError as error:
        if error.code != COMPACTED:
            raise
    answer = connection.send(Request("GET", f"/api/v1/operations/{operation.id}"))
    report(msgspec.json.decode(answer.body, type=Operation))


def _decoded(event: SseEvent, kind: type[R]) -> Change[R] | None:
    """None: an event that is not about a resource of this kind."""
    if event.name not in (PUT, REMOVE):
        return None  # a bookmark: its id alone matters
    try:
        resource = msgspec.json.decode(event.data, type=kind)
    except msgspec.ValidationError as error:
        if msgspec.json.decode(event.data, type=_Kind).kind != kind.__name__:
            return None
        raise BadAnswer(
            f"a change that this version can't read: {error}", hint="Are client and server of one age?"
        ) from None
    return Change(int(event.id or resource.revision), event.name, resource)


class _Kind(msgspec.Struct):
    kind: str = ""
