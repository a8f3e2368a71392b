"""Desk of the controllers: commits as the leader, and events to tell people."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from corral.clock import Clock, new_id
from corral.model.event import Event, EventSpec
from corral.model.resource import Resource
from corral.store.interface import Fence, Put, Store, Write
from corral.store.mirror import Mirror


class LeaderDesk:
    """Where controllers hand in what they decided."""

    def __init__(self, store: Store, mirror: Mirror, clock: Clock) -> None:
        self.store, self.mirror, self.clock = store, mirror, clock
        self.fence: Fence | None = None  # set while this server leads

    async def commit(self, writes: Sequence[Write], expect: Mapping[str, int]) -> None:
        """Commit as the leader and wait until the mirror has it. raises Conflict, Deposed, StoreFailed"""
        if not writes:
            return
        stored = await self.store.commit(writes, expect=expect, fence=self.fence)
        await self.mirror.wait_for(max(r.revision for r in stored))

    async def replace(self, *new: Resource, events: Sequence[Event] = ()) -> None:
        """Commit resources that were decided on at the revision they carry."""
        writes = [Put(r) for r in (*new, *events)]
        await self.commit(writes, {**{r.id: r.revision for r in new}, **{e.id: 0 for e in events}})

    def event(self, about: Resource, reason: str, message: str, level: str = "info") -> Event:
        return new_event(self.clock, about, reason, message, level)


def new_event(clock: Clock, about: Resource, reason: str, message: str, level: str = "info") -> Event:
    """Something worth telling a person, not committed yet."""
    id = new_id("ev", clock)
    spec = EventSpec(about=about.ref, reason=reason, message=message, level=level, by="corral")
    return Event(id=id, name=id.lower(), project=about.project, created_at=clock.now_s(), spec=spec)


class Seat:
    """What every controller has: the desk, and the mirror and clock that go with it."""

    name: ClassVar[str]
    workers: ClassVar[int]

    def __init__(self, desk: LeaderDesk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    def close(self) -> None:
        """Nothing to let go of."""
