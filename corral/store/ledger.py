"""Ledger: whether a commit may be, and what it changes. The rules that all stores share.

In this room   Ledger, all resources and who has which name; Leases, who leads
Comes in       writes and the revisions they were decided on
Goes out       changes with their revisions, or Conflict, NameTaken, Deposed
Always true    plan() changes nothing; apply() can't fail and can be taken back by revert()
Next door      memory.py keeps one; sqlite_writer.py keeps one ahead of the disk
Start here     Ledger.plan()
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from corral.errors import Conflict, NameTaken
from corral.model.resource import Resource
from corral.store.interface import Change, ChangeVerb, Deposed, Fence, LeaderLease, Put, Write

Name = tuple[str, str, str]  # kind, project, name: unique


class Before(Struct, frozen=True):
    """What some changes have replaced."""

    revision: int
    resources: dict[str, Resource | None]  # by id; None: was not there


def name_of(resource: Resource) -> Name:
    return (resource.kind, resource.project, resource.name)


class Ledger:
    """All resources as of one revision."""

    def __init__(self, resources: Iterable[Resource] = (), revision: int = 0) -> None:
        self.revision = revision
        self.resources = {resource.id: resource for resource in resources}
        self._holders = {name_of(resource): resource.id for resource in self.resources.values()}

    def plan(self, writes: Sequence[Write], expect: Mapping[str, int]) -> tuple[Change, ...]:
        """What the writes would change. A commit is judged as a whole: two resources may swap names in it.

        raises  Conflict, NameTaken
        """
        for id, expected in expect.items():
            self._check_revision(id, expected)
        after: dict[str, Resource | None] = {}
        changes = []
        for revision, write in enumerate(writes, self.revision + 1):
            change = self._change(write, revision, after)
            after[change.resource.id] = change.resource if change.verb is ChangeVerb.PUT else None
            changes.append(change)
        self._check_names(after)
        return tuple(changes)

    def apply(self, changes: Sequence[Change]) -> Before:
        """Take over what plan() said; returns what revert() needs."""
        after: dict[str, Resource | None] = {}
        revision = self.revision
        for change in changes:
            assert change.revision == revision + 1, f"{change.revision} after {revision}"
            after[change.resource.id] = change.resource if change.verb is ChangeVerb.PUT else None
            revision = change.revision
        before = Before(self.revision, {id: self.resources.get(id) for id in after})
        self._become(after, revision)
        return before

    def revert(self, before: Before) -> None:
        """Take back the latest changes, of which apply() returned `before`."""
        self._become(before.resources, before.revision)

    def _change(self, write: Write, revision: int, after: Mapping[str, Resource | None]) -> Change:
        if isinstance(write, Put):
            known = self.resources.get(write.resource.id, write.resource)
            assert type(known) is type(write.resource), f"{known.id} is a {known.kind}"
            return Change(revision, ChangeVerb.PUT, write.resource.having(revision=revision))
        last = after[write.id] if write.id in after else self.resources.get(write.id)
        if last is None:
            raise Conflict(write.id, expected=revision - 1, actual=0)
        return Change(revision, ChangeVerb.REMOVE, last.having(revision=revision))

    def _check_revision(self, id: str, expected: int) -> None:
        known = self.resources.get(id)
        actual = known.revision if known else 0
        if actual != expected:
            raise Conflict(id, expected=expected, actual=actual)

    def _check_names(self, after: Mapping[str, Resource | None]) -> None:
        new: dict[Name, str] = {}
        for id, resource in after.items():
            if resource is None:
                continue
            name = name_of(resource)
            holder = self._holders.get(name, id)
            if new.setdefault(name, id) != id or (holder != id and holder not in after):
                raise NameTaken(resource.kind, resource.name)

    def _become(self, after: Mapping[str, Resource | None], revision: int) -> None:
        for id in after:  # all names first: they may move between the resources
            if old := self.resources.get(id):
                del self._holders[name_of(old)]
        for id, resource in after.items():
            if resource is None:
                self.resources.pop(id, None)
            else:
                self.resources[id] = resource
                self._holders[name_of(resource)] = id
        self.revision = revision


class Leases:
    """Who leads, by name of the lease, until when, and the highest number given out."""

    def __init__(self, numbers: Mapping[str, int] | None = None) -> None:
        self.numbers = dict(numbers or {})
        self._held: dict[str, tuple[str, float]] = {}  # holder; until, monotonic seconds

    def lead(self, name: str, holder: str, ttl_s: float, now_s: float) -> LeaderLease:
        """Grant or renew. The number stays while the same holder renews in time, else it grows.

        raises  Deposed: another holder's lease runs still
        """
        held_by, until_s = self._held.get(name, ("", now_s))
        runs = now_s < until_s
        if runs and held_by != holder:
            raise Deposed(f"{held_by} leads", hint="Ask again when its lease is over.", holder=held_by)
        if not runs:
            self.numbers[name] = self.numbers.get(name, 0) + 1
        self._held[name] = (holder, now_s + ttl_s)
        return LeaderLease(name, holder, self.numbers[name], ttl_s)

    def check(self, fence: Fence | None) -> None:
        """Raises Deposed: someone else was made leader since"""
        if fence is not None and self.numbers.get(fence.name, 0) != fence.number:
            number = self.numbers.get(fence.name, 0)
            raise Deposed(
                f"leader {fence.number} of {fence.name} was followed by {number}",
                hint="The new leader goes on with the work.",
                number=fence.number,
                newest=number,
            )

    def copy(self) -> "Leases":
        other = Leases(self.numbers)
        other._held = dict(self._held)
        return other
