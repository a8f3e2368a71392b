"""Ledger: whether a commit may be, and what it changes. The rules that all stores share.

In this room   Ledger, all resources and who has which name; Leases, who leads
Comes in       writes and the revisions they were decided on
Goes out       changes with their revisions, or Conflict, NameTaken, Deposed
Always true    plan() changes nothing; apply() can't fail and can be taken back by revert()
Next door      memory.py keeps one; sqlite_writer.py keeps one ahead of the disk
Start here     Ledger.plan()
"""

from collections.abc import Iterable, Mapping, Sequence

from corral.errors import Conflict, NameTaken
from corral.model.resource import Resource
from corral.store.interface import Change, ChangeVerb, Deposed, Fence, LeaderLease, Put, Write

Name = tuple[str, str, str]  # kind, project, name: unique
Before = list[tuple[str, Resource | None]]  # ids, and what they were before a change


def name_of(resource: Resource) -> Name:
    return (resource.kind, resource.project, resource.name)


class Ledger:
    """All resources as of one revision."""

    def __init__(self, resources: Iterable[Resource] = (), revision: int = 0) -> None:
        self.revision = revision
        self.resources: dict[str, Resource] = {}
        self._holders: dict[Name, str] = {}
        for resource in resources:
            self._set(resource.id, resource)

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
        before: Before = []
        for change in changes:
            assert change.revision == self.revision + 1, f"{change.revision} after {self.revision}"
            before.append((change.resource.id, self.resources.get(change.resource.id)))
            self._set(change.resource.id, change.resource if change.verb is ChangeVerb.PUT else None)
            self.revision = change.revision
        return before

    def revert(self, before: Before) -> None:
        """Take back the latest changes, of which apply() returned `before`."""
        for id, resource in reversed(before):
            self._set(id, resource)
        self.revision -= len(before)

    def _change(self, write: Write, revision: int, after: Mapping[str, Resource | None]) -> Change:
        if isinstance(write, Put):
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

    def _set(self, id: str, resource: Resource | None) -> None:
        old = self.resources.pop(id, None) if resource is None else self.resources.get(id)
        if old is not None and self._holders.get(name_of(old)) == id:
            del self._holders[name_of(old)]
        if resource is not None:
            self.resources[id] = resource
            self._holders[name_of(resource)] = id


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
