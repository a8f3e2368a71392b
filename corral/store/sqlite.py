"""A store in one SQLite file: the default.

In this room   SqliteStore, the side of it that lives on the event loop
Comes in       writes
Goes out       what store/interface.py promises
Always true    what is shown (load, changes, answers) is on disk; changes are shown before their commit is answered
Next door      sqlite_writer.py is the thread behind it; database.py the file; memory.py the same without a disk
Start here     SqliteStore.commit()
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from corral.clock import Clock
from corral.model.resource import Resource
from corral.store.database import Database
from corral.store.interface import (
    Change,
    ChangeVerb,
    Compacted,
    Fence,
    LeaderLease,
    Snapshot,
    StoreFailed,
    Write,
)
from corral.store.ledger import Leases, Ledger
from corral.store.log import ChangeLog
from corral.store.sqlite_writer import Answer, CommitJob, CompactJob, Job, LeadJob, Writer

RECENT: Final = 2_000  # changes kept in memory for readers that are not far behind
BEHIND_MAX: Final = 20_000  # changes; for a reader further behind, to load anew is quicker
COMPACT_STEP: Final = 2_000  # changes forgotten in one transaction, so that commits don't wait long


T = TypeVar("T")


class SqliteStore:
    """Documents and their change log in one file. Opening it blocks for as long as it takes to read it.

    raises  StoreFailed: the file is in use, newer than this program, damaged, or can't be written
    """

    def __init__(self, path: Path | str, clock: Clock) -> None:
        self._clock = clock
        self._database = Database(Path(path))
        found = self._database.load()
        ledger, leases = Ledger(found.resources, found.revision), Leases(found.leases)
        self._shown = {resource.id: resource for resource in found.resources}
        self._log = ChangeLog(found.revision, keep=RECENT)
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that uses it
        self._closed = False
        self._writer = Writer(self._database, ledger, leases, self._pass_on)

    async def load(self) -> Snapshot:
        self._bind()
        return Snapshot(self._log.revision, tuple(self._shown.values()))

    async def commit(
        self, writes: Sequence[Write], *, expect: Mapping[str, int] | None = None, fence: Fence | None = None
    ) -> tuple[Resource, ...]:
        answer: asyncio.Future[tuple[Resource, ...]] = self._bind().create_future()
        return await self._ask(CommitJob(answer, writes, expect or {}, fence), answer)

    async def revision(self) -> int:
        self._bind()
        return self._log.revision

    async def changes(self, since: int) -> AsyncIterator[tuple[Change, ...]]:
        self._bind()
        while True:
            while batch := await self._after(since):
                since = batch[-1].revision
                yield batch
            await self._log.reach(since + 1)

    async def compact(self, before: int) -> None:
        oldest = await self._oldest()
        before = min(before, self._log.revision + 1)
        while oldest < before:
            oldest = min(oldest + COMPACT_STEP, before)
            answer: asyncio.Future[None] = self._bind().create_future()
            await self._ask(CompactJob(answer, oldest), answer)
        self._log.forget(before)

    async def lead(self, name: str, holder: str, ttl_s: float) -> LeaderLease:
        answer: asyncio.Future[LeaderLease] = self._bind().create_future()
        return await self._ask(LeadJob(answer, name, holder, ttl_s, self._clock.monotonic_s()), answer)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.finish)  # what it passes on comes to this loop before we go on
        self._log.close("the store is closed")
        await asyncio.to_thread(self._database.close)

    async def _ask(self, job: Job, answer: "asyncio.Future[T]") -> T:
        self._writer.put(job)
        return await answer

    async def _after(self, since: int) -> tuple[Change, ...]:
        """The next changes after `since`: from memory, or from the file when they are older than that."""
        if since >= self._log.oldest - 1:
            return self._log.after(since)
        until = self._log.revision  # all at once, so that no batch ends inside a commit
        batch = await asyncio.to_thread(self._database.changes, since, until, BEHIND_MAX + 1)
        if not batch or len(batch) > BEHIND_MAX or batch[0].revision != since + 1:
            raise Compacted(since, await self._oldest())
        return batch

    async def _oldest(self) -> int:
        """The oldest change in the file; the next to come, when none is."""
        first = await asyncio.to_thread(self._database.changes, 0, self._log.revision, 1)
        return first[0].revision if first else self._log.revision + 1

    def _bind(self) -> asyncio.AbstractEventLoop:
        """The running loop; the same in each call, as the log belongs to it."""
        if self._closed:
            raise StoreFailed("the store is closed")
        loop = asyncio.get_running_loop()
        assert self._loop in (None, loop), "a store belongs to one event loop"
        self._loop = loop
        return loop

    def _pass_on(self, changes: Sequence[Change], answers: Sequence[Answer]) -> None:
        """In the writer's thread: hand over to the loop."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._show, changes, answers)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _show(self, changes: Sequence[Change], answers: Sequence[Answer]) -> None:
        for change in changes:
            if change.verb is ChangeVerb.PUT:
                self._shown[change.resource.id] = change.resource
            else:
                self._shown.pop(change.resource.id)
        self._log.extend(changes)
        for answer in answers:
            answer()
