"""Janitor: takes away what nobody needs any more, so that the store does not grow without end."""

from collections.abc import Iterable, Iterator

from corral.controllers.desk import Seat
from corral.model.event import Event
from corral.model.operation import Operation
from corral.model.request import RequestRecord
from corral.model.resource import Resource
from corral.model.token import JoinToken
from corral.store.interface import Change, Remove
from corral.store.mirror import Mirror

LOOK_S = 300.0
EVENTS_MAX = 20_000
OPERATIONS_MAX = 20_000
OPERATION_S = 30 * 86_400.0  # ended operations are kept so long
REQUEST_S = 86_400.0  # an Idempotency-Key is remembered so long
CHANGES_KEPT = 200_000  # in the change log: watchers further behind have to list again
BATCH = 500


def stale(mirror: Mirror, now_s: float) -> list[Resource]:
    """What may go, oldest first."""
    events = mirror.list(Event)
    ended = [op for op in mirror.list(Operation) if op.ended]
    too_many = len(ended) - OPERATIONS_MAX
    return [
        *events[: max(0, len(events) - EVENTS_MAX)],
        *(op for n, op in enumerate(ended) if n < too_many or op.created_at < now_s - OPERATION_S),
        *(r for r in mirror.list(RequestRecord) if r.created_at < now_s - REQUEST_S),
        *(t for t in mirror.list(JoinToken) if t.spec.expires_at < now_s - REQUEST_S),
    ]


class Janitor(Seat):
    """One key: the store."""

    name = "janitor"
    workers = 1

    def all_keys(self) -> Iterable[str]:
        return ["store"]

    def keys(self, change: Change) -> Iterator[str]:
        return iter(())

    async def reconcile(self, key: str) -> float | None:
        gone = stale(self.mirror, self.clock.now_s())[:BATCH]
        if gone:
            await self.desk.commit([Remove(r.id) for r in gone], {r.id: r.revision for r in gone})
        if self.mirror.revision > CHANGES_KEPT:
            await self.desk.store.compact(self.mirror.revision - CHANGES_KEPT)
        return 0.1 if len(gone) == BATCH else LOOK_S
