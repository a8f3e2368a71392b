"""Mirror: all resources in memory, as of one revision. What everybody reads from.

In this room   Mirror, fed by a store's change log; Subscription, a reader of its changes
Comes in       snapshots and changes
Goes out       resources by id, name, kind and index; changes to listeners and subscribers
Always true    between two awaits the mirror stands at the end of a commit, never inside one;
               lists are sorted by id; the resources in it are frozen, so they may be handed out as they are
Next door      shelf.py has one kind each; log.py the recent changes; sqlite.py and memory.py feed it
Start here     Mirror.follow(), then Mirror.find(), list() and select()
"""

import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar, cast

from corral.errors import NotFound
from corral.model.resource import KINDS, Resource
from corral.store.interface import Change, ChangeVerb, Compacted, Put, Snapshot, Store, Write
from corral.store.log import ChangeLog
from corral.store.shelf import Shelf

RECENT: Final = 10_000  # changes kept for watches to resume from
BATCH_MAX: Final = 1_000  # changes that a subscriber gets at once

R = TypeVar("R", bound=Resource)
Listener = Callable[[Sequence[Change]], None]


class Subscription:
    """Changes after a revision, in batches, without end: `async for batch in mirror.subscribe()`.

    It holds no backlog of its own, only its place in the mirror's log. A reader so slow that the log has moved
    on gets Compacted, and lists again.
    """

    def __init__(self, log: ChangeLog, since: int) -> None:
        log.after(since, 0)  # raises Compacted now rather than in the middle of an answer
        self._log, self.revision = log, since

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> tuple[Change, ...]:
        """Raises Compacted: cut off; StoreFailed: the mirror has stopped."""
        while not (batch := self._log.after(self.revision, BATCH_MAX)):
            await self._log.reach(self.revision + 1)
        self.revision = batch[-1].revision
        return batch


class Mirror:
    """All resources as of `revision`. Empty until follow() has loaded."""

    def __init__(self, recent: int = RECENT) -> None:
        self._by_id: dict[str, Resource] = {}
        self._shelves: dict[str, Shelf] = {}  # by kind
        self._log = ChangeLog(keep=recent)
        self._loaded = ChangeLog()  # reaches revision 1 with the first load
        self._listeners: builtins.list[Listener] = []
        self.beside: dict[str, object] = {}  # what others keep that follows this mirror, and goes with it

    @property
    def revision(self) -> int:
        return self._log.revision

    # ---- being fed

    async def follow(self, store: Store) -> None:
        """Load, then keep up with the store's changes. Does not return; to be run as a task.

        raises  StoreFailed: the store can't be read. Whoever waits for a revision then gets it too.
        """
        try:
            while True:
                self.reload(await store.load())
                try:
                    async for batch in store.changes(self.revision):
                        self.apply(batch)
                except Compacted:
                    continue  # fell too far behind: begin anew
        finally:
            self._log.close("the mirror does not follow the store any more")
            self._loaded.close("the mirror does not follow the store any more")

    def reload(self, snapshot: Snapshot) -> None:
        """Become the snapshot. Listeners get what differs; subscribers that had not seen it are cut off."""
        changes = self._differences(snapshot)
        self._by_id = {resource.id: resource for resource in snapshot.resources}
        by_kind: dict[str, builtins.list[Resource]] = {}
        for resource in snapshot.resources:
            by_kind.setdefault(resource.kind, []).append(resource)
        self._shelves = {}
        for kind, resources in by_kind.items():
            self._shelf(kind).fill(resources)
        self._log.reset(snapshot.revision)
        self._loaded.reset(1)
        self._tell(changes)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over the changes that follow the mirror's revision, whole commits at a time."""
        latest = {change.resource.id: change for change in changes}
        for id, change in latest.items():
            self._shelf(change.resource.kind).release(id)
        for id, change in latest.items():
            shelf = self._shelf(change.resource.kind)
            if change.verb is ChangeVerb.PUT:
                self._by_id[id] = change.resource
                shelf.put(change.resource)
            else:
                self._by_id.pop(id, None)
                shelf.remove(id)
        self._log.extend(changes)
        self._tell(changes)

    async def wait_loaded(self) -> None:
        """Wait until there is something to read. Raises StoreFailed: there won't be."""
        await self._loaded.reach(1)

    async def wait_for(self, revision: int) -> None:
        """Wait until `revision` can be read. Raises StoreFailed: it won't come."""
        await self._log.reach(revision)

    # ---- changes

    def changes_since(self, revision: int) -> tuple[Change, ...]:
        """All changes after `revision`.

        raises  Compacted: it is too long ago, or never was
        """
        return self._log.after(revision)

    def subscribe(self, since: int | None = None) -> Subscription:
        """Changes after `since`, or from now on.

        raises  Compacted: it is too long ago, or never was
        """
        return Subscription(self._log, self.revision if since is None else since)

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each batch, at once, with the mirror as it is then. Returns how to end that.

        A first load and a reload arrive as changes, too: what a listener was told always adds up to the mirror.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---- reading

    def get(self, id: str) -> Resource | None:
        return self._by_id.get(id)

    def find(self, kind: type[R], id_or_name: str, project: str = "default") -> R:
        """A resource of this kind by id, else by name in the project.

        raises  NotFound
        """
        known = self._by_id.get(id_or_name)
        if not isinstance(known, kind):
            known = self.named(kind, id_or_name, project)
        if not isinstance(known, kind):
            raise NotFound(kind.__name__, id_or_name)
        return known

    def named(self, kind: type[R], name: str, project: str = "default") -> R | None:
        """The resource of this kind with this name, if there is one."""
        shelf = self._shelves.get(kind.__name__)
        id = shelf.named(project, name) if shelf else None
        known = self._by_id.get(id) if id is not None else None
        return known if isinstance(known, kind) else None

    def list(self, kind: type[R]) -> builtins.list[R]:
        """All of this kind, in order of creation. The list is the caller's own."""
        shelf = self._shelves.get(kind.__name__)
        return cast("builtins.list[R]", shelf.all()) if shelf else []

    def select(self, kind: type[R], index: str, value: str) -> builtins.list[R]:
        """All of this kind that the index has under `value`, in order of creation."""
        ids = self._shelf(kind.__name__).under(index, value)
        return [cast("R", self._by_id[id]) for id in ids]

    def each(self, kind: type[R], index: str, value: str, *, newest_first: bool = False) -> Iterator[R]:
        """As select(), one by one: for who takes only some. To be used up before the next await."""
        ids = self._shelf(kind.__name__).under(index, value)
        return (cast("R", self._by_id[id]) for id in (reversed(ids) if newest_first else ids))

    def count(self, kind: type[Resource], index: str = "", value: str = "") -> int:
        """How many there are, or how many select() would find. Costs nothing."""
        shelf = self._shelf(kind.__name__)
        return len(shelf.under(index, value)) if index else len(shelf)

    def counts(self, kind: type[Resource], index: str) -> dict[str, int]:
        """How many there are under each value of an index."""
        return self._shelf(kind.__name__).counts(index)

    # ---- what if

    def fork(self) -> "Mirror":
        """A copy to try things on: it costs a few milliseconds, follows nothing and has no listeners."""
        other = Mirror(recent=0)
        other._by_id = self._by_id.copy()
        other._shelves = {kind: shelf.copy() for kind, shelf in self._shelves.items()}
        other._log.reset(self.revision)
        other._loaded = self._loaded
        return other

    def suppose(self, writes: Iterable[Write]) -> None:
        """In a fork: as if these had been committed next. Nothing is checked."""
        changes = []
        for revision, write in enumerate(writes, self.revision + 1):
            verb = ChangeVerb.PUT if isinstance(write, Put) else ChangeVerb.REMOVE
            resource = write.resource if isinstance(write, Put) else self._by_id[write.id]
            changes.append(Change(revision, verb, resource.having(revision=revision)))
        self.apply(changes)

    def _shelf(self, kind: str) -> Shelf:
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = Shelf(KINDS[kind])
        return shelf

    def _differences(self, snapshot: Snapshot) -> tuple[Change, ...]:
        """What leads from here to the snapshot; removals, whose own revisions are not known, carry its own."""
        there = {resource.id for resource in snapshot.resources}
        gone = [
            Change(snapshot.revision, ChangeVerb.REMOVE, resource.having(revision=snapshot.revision))
            for id, resource in self._by_id.items()
            if id not in there
        ]
        put = [
            Change(resource.revision, ChangeVerb.PUT, resource)
            for resource in sorted(snapshot.resources, key=lambda resource: resource.revision)
            if (known := self._by_id.get(resource.id)) is None or known.revision != resource.revision
        ]
        return (*gone, *put)

    def _tell(self, changes: Sequence[Change]) -> None:
        if changes:
            for listener in tuple(self._listeners):
                listener(changes)
