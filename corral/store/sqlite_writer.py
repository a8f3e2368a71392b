"""The writer of SqliteStore: one thread that carries out many commits in one transaction.

In this room   jobs, what may be asked of the writer; Writer, the thread; Group, one transaction on its way
Comes in       jobs, from the event loop
Goes out       changes that are on disk, and the answers to the jobs, together and in order
Always true    a refused job leaves no trace in its group; the ledger here is ahead of the disk only
               between Group.add() and the end of the group
Next door      sqlite.py asks and passes answers on; database.py writes; ledger.py has the rules
Start here     Writer.carry_out()

A sync takes its time (0.5 to 4 ms where we measured) whatever is in it. So all that arrived while the last one was synced
goes into the next: with one client a commit costs one sync, with 64 it costs a small part of one.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from msgspec import Struct

from corral.model.resource import Resource, encode
from corral.store.database import Database, Transaction
from corral.store.interface import Change, Fence, LeaderLease, StoreFailed, Write
from corral.store.ledger import Before, Leases, Ledger

GROUP_MAX: Final = 256  # jobs in one transaction


class CommitJob(Struct):
    answer: asyncio.Future[tuple[Resource, ...]]
    writes: Sequence[Write]
    expect: Mapping[str, int]
    fence: Fence | None


class LeadJob(Struct):
    answer: asyncio.Future[LeaderLease]
    name: str
    holder: str
    ttl_s: float
    now_s: float  # monotonic, when it was asked


class CompactJob(Struct):
    answer: asyncio.Future[None]
    before: int


Job = CommitJob | LeadJob | CompactJob
Answer = Callable[[], None]  # gives a job's future its result; to be called on the event loop
Show = Callable[[Sequence[Change], Sequence[Answer]], None]


class Writer:
    """A thread that owns the ledger and writes to the database.

    show  is called in this thread with what each group came to
    """

    def __init__(self, database: Database, ledger: Ledger, leases: Leases, show: Show) -> None:
        self._database, self._ledger, self._leases, self._show = database, ledger, leases, show
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="corral-store", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def finish(self) -> None:
        """Carry out what was put, then end. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def carry_out(self, jobs: Sequence[Job]) -> tuple[Sequence[Change], Sequence[Answer]]:
        group = Group(self._ledger, self._leases)
        for job in jobs:
            group.add(job)
        try:
            if group.transaction or self._database.broken:
                self._database.write(group.transaction)
        except StoreFailed as error:
            self._leases = group.take_back(error)
            return (), group.answers
        return group.transaction.changes, group.answers

    def _run(self) -> None:
        while jobs := self._next():
            self._show(*self.carry_out(jobs))

    def _next(self) -> list[Job]:
        """Wait for a job; return it with all that came meanwhile. Empty: the end."""
        jobs: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._jobs.get_nowait() if len(jobs) < GROUP_MAX else None
            except Empty:
                return jobs
            if job is None and len(jobs) < GROUP_MAX:
                self._jobs.put(None)  # the end comes after this group
        return jobs


class Group:
    """Jobs that go into one transaction, each judged on what those before it leave behind."""

    def __init__(self, ledger: Ledger, leases: Leases) -> None:
        self.transaction = Transaction()
        self.answers: list[Answer] = []  # in the order of the jobs
        self._jobs: list[Job] = []
        self._ledger, self._leases = ledger, leases
        self._leases_before = leases.copy()
        self._before: list[Before] = []

    def add(self, job: Job) -> None:
        """Judge a job. Whatever it raises, bugs included, is the answer to it and to no other."""
        self._jobs.append(job)
        try:
            self.answers.append(self._judge(job))
        except Exception as error:
            self.answers.append(partial(_refuse, job, error))

    def take_back(self, error: StoreFailed) -> Leases:
        """Nothing was written: all get `error` for an answer. Returns the leases as they were."""
        for before in reversed(self._before):
            self._ledger.revert(before)
        self.answers = [partial(_refuse, job, _another(error)) for job in self._jobs]
        return self._leases_before

    def _judge(self, job: Job) -> Answer:
        match job:
            case CommitJob():
                stored = self._commit(job)
                return lambda: None if job.answer.done() else job.answer.set_result(stored)
            case LeadJob():
                lease = self._lead(job)
                return lambda: None if job.answer.done() else job.answer.set_result(lease)
            case CompactJob():
                self.transaction.forget_before = max(job.before, self.transaction.forget_before)
                return lambda: None if job.answer.done() else job.answer.set_result(None)

    def _commit(self, job: CommitJob) -> tuple[Resource, ...]:
        self._leases.check(job.fence)
        changes = self._ledger.plan(job.writes, job.expect)
        documents = [encode(change.resource) for change in changes]
        self._before.append(self._ledger.apply(changes))
        self.transaction.changes += changes
        self.transaction.documents += documents
        return tuple(change.resource for change in changes)

    def _lead(self, job: LeadJob) -> LeaderLease:
        lease = self._leases.lead(job.name, job.holder, job.ttl_s, job.now_s)
        if lease.number != self._leases_before.numbers.get(job.name):
            self.transaction.leases[job.name] = lease.number
        return lease


def _refuse(job: Job, error: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)


def _another(error: StoreFailed) -> StoreFailed:
    """The same failure once more: each who waits raises one of its own."""
    return StoreFailed(error.message, hint=error.hint, **error.context)
