"""A store in memory: for simulation and tests; it keeps nothing on disk.

In this room   MemoryStore, and Disturbance: how a simulation makes commits late or fail
Comes in       writes
Goes out       what store/interface.py promises, but for durability beyond the object's life
Always true    no threads, no chance of its own: the same calls in the same order give the same history;
               a commit lets others run before it is applied, so that races happen as they do on disk
Next door      ledger.py has the rules; sqlite.py is the store for real
Start here     MemoryStore.commit()
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from corral.clock import Clock
from corral.model.resource import Resource
from corral.store.interface import Change, Fence, LeaderLease, Snapshot, StoreFailed, Write
from corral.store.ledger import Leases, Ledger
from corral.store.log import ChangeLog


class Disturbance(Protocol):
    """What may happen around a commit. Both may sleep; to fail a commit, `before` raises StoreFailed."""

    async def before(self, writes: Sequence[Write]) -> None:
        """Nothing is written yet. Must let others run."""

    async def after(self, changes: Sequence[Change]) -> None:
        """It is written and visible; the caller does not know yet. Failing here loses the answer only."""


class Calm:
    """Nothing happens but that others get their turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def before(self, writes: Sequence[Write]) -> None:
        await self._clock.sleep(0)

    async def after(self, changes: Sequence[Change]) -> None:
        return


class MemoryStore:
    """Documents and their change log, in memory."""

    def __init__(self, clock: Clock, *, disturbance: Disturbance | None = None) -> None:
        self._clock = clock
        self.disturbance: Disturbance = disturbance or Calm(clock)
        self._ledger, self._leases, self._log = Ledger(), Leases(), ChangeLog()
        self._closed = False

    async def load(self) -> Snapshot:
        self._check_open()
        return Snapshot(self._ledger.revision, tuple(self._ledger.resources.values()))

    async def commit(
        self, writes: Sequence[Write], *, expect: Mapping[str, int] | None = None, fence: Fence | None = None
    ) -> tuple[Resource, ...]:
        self._check_open()
        await self.disturbance.before(writes)
        self._check_open()
        self._leases.check(fence)
        changes = self._ledger.plan(writes, expect or {})
        self._ledger.apply(changes)
        self._log.extend(changes)
        await self.disturbance.after(changes)
        return tuple(change.resource for change in changes)

    async def revision(self) -> int:
        self._check_open()
        return self._ledger.revision

    async def changes(self, since: int) -> AsyncIterator[tuple[Change, ...]]:
        while True:
            while batch := self._log.after(since):
                since = batch[-1].revision
                yield batch
            await self._log.reach(since + 1)

    async def compact(self, before: int) -> None:
        self._check_open()
        self._log.forget(before)

    async def lead(self, name: str, holder: str, ttl_s: float) -> LeaderLease:
        self._check_open()
        return self._leases.lead(name, holder, ttl_s, self._clock.monotonic_s())

    async def close(self) -> None:
        self._closed = True
        self._log.close("the store is closed")

    def _check_open(self) -> None:
        if self._closed:
            raise StoreFailed("the store is closed")
