"""Store: what is wanted and seen, committed in order and never lost.

In this room   the interface of every store, and what it is told and tells
Comes in       writes, with the revisions that they were decided on
Goes out       resources with their new revisions; the change log, in order
Always true    a commit is whole or not at all; revisions have no gaps and become visible in order;
               what commit() returned survives a kill -9
Next door      memory.py, sqlite.py implement it; mirror.py is fed by changes(); tests/contract holds them to it
Start here     Store
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from corral.errors import CorralError
from corral.model.resource import Resource


class Put(Struct, frozen=True):
    """Create or replace. The store sets `revision`; the rest is stored as given."""

    resource: Resource


class Remove(Struct, frozen=True):
    """Remove for good. (A user's delete only sets deleted_at.)"""

    id: str


Write = Put | Remove


class ChangeVerb(StrEnum):
    PUT = "put"
    REMOVE = "remove"


class Change(Struct, frozen=True):
    """One line of the change log."""

    revision: int
    verb: ChangeVerb
    resource: Resource  # as put; for a removal, as it last was, with the revision of the removal


class Snapshot(Struct, frozen=True):
    revision: int
    resources: tuple[Resource, ...]


class Fence(Struct, frozen=True):
    """Proof of leadership that goes with a commit; refused once someone else has been made leader."""

    name: str
    number: int


class LeaderLease(Struct, frozen=True):
    """The right to lead until `ttl_s` after it was asked for."""

    name: str
    holder: str
    number: int  # grows with each new leader: the fencing number
    ttl_s: float

    @property
    def fence(self) -> Fence:
        return Fence(self.name, self.number)


class Compacted(CorralError):
    """The change log no longer reaches back that far: load again."""

    code = "store.compacted"
    status = 410

    def __init__(self, since: int, oldest: int) -> None:
        super().__init__(
            f"changes since revision {since} are compacted; the oldest kept is {oldest}",
            hint="List again and watch from the revision of the list.",
            since=since,
            oldest=oldest,
        )


class Deposed(CorralError):
    """Another server leads now."""

    code = "store.deposed"
    status = 503
    retryable = True


class StoreFailed(CorralError):
    """The store could not write: nothing of the commit is in it."""

    code = "store.failed"
    status = 503
    retryable = True


class Store(Protocol):
    """Documents and their change log. All methods may be called concurrently."""

    async def load(self) -> Snapshot:
        """Everything, as of one revision."""

    async def commit(
        self, writes: Sequence[Write], *, expect: Mapping[str, int] | None = None, fence: Fence | None = None
    ) -> tuple[Resource, ...]:
        """Do all writes or none, durably; one change a write, with the next revisions.

        expect   revision that each of these ids must be at; 0: must not exist
        returns  the resources as stored (for Remove: as last stored, with the removal's revision)
        raises   Conflict: an id is at another revision, or a Remove's id does not exist
                 NameTaken: another id has this (kind, project, name)
                 Deposed: the fence is not the leader's any more
                 StoreFailed: disk full or broken; nothing was written
        """

    async def revision(self) -> int:
        """The newest revision that anyone can have been told of."""

    def changes(self, since: int) -> AsyncIterator[tuple[Change, ...]]:
        """Batches of changes after revision `since`, in order, without end. No batch ends inside a commit.

        raises  Compacted: the log does not reach back that far
        """

    async def compact(self, before: int) -> None:
        """Forget the changes with a revision below `before`. Resources stay."""

    async def lead(self, name: str, holder: str, ttl_s: float) -> LeaderLease:
        """Become or stay leader for `ttl_s` from now on.

        raises  Deposed: another holder's lease runs still
        """

    async def close(self) -> None:
        """Finish what was begun; after it nothing works."""
