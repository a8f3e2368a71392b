"""The mirror: what it finds, what it tells, and that feeding it bit by bit is the same as loading it."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.errors import Conflict, NameTaken, NotFound
from corral.model.ids import NodeId, VmId
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Verb
from corral.model.resource import Ref, Resource
from corral.model.vm import VM, Migration, VMPhase, VMSpec, VMStatus
from corral.model.volume import Volume, VolumeSpec
from corral.store.indexes import indexes_of
from corral.store.interface import Change, ChangeVerb, Compacted, Put, Remove, Snapshot, StoreFailed, Write
from corral.store.ledger import Ledger
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror


class YieldClock:
    """A clock that stands still; sleeping only lets others run."""

    def __init__(self) -> None:
        self.chance = random.Random(1)

    def now_s(self) -> float:
        return 0.0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def vm(id: str, name: str = "", *, node: str | None = None, **more: Any) -> VM:
    status = VMStatus(node=NodeId(node) if node else None, phase=more.pop("phase", VMPhase.PENDING))
    spec = VMSpec(cpus=1, memory_bytes=1)
    return VM(id=f"vm-{id}", name=name or id, spec=spec, status=more.pop("status", status), **more)


def filled(*resources: Resource) -> Mirror:
    """A mirror of these, at the revision that putting them in order gives."""
    mirror = Mirror()
    ledger = Ledger()
    ledger.apply(ledger.plan([Put(resource) for resource in resources], {}))
    mirror.reload(Snapshot(ledger.revision, tuple(ledger.resources.values())))
    return mirror


def ids(resources: Sequence[Resource]) -> list[str]:
    return [resource.id for resource in resources]


# ---- reading


def test_find_by_id_by_name_and_not_at_all() -> None:
    mirror = filled(vm("1", "web"), vm("2", "web", project="shop"), vm("3", "vm-1"))
    assert mirror.find(VM, "vm-1").name == "web", "an id goes before a name"
    assert mirror.find(VM, "web").id == "vm-1"
    assert mirror.find(VM, "web", project="shop").id == "vm-2"
    for kind, word, project in [(VM, "nobody", "default"), (VM, "web", "none"), (Volume, "vm-1", "default")]:
        with pytest.raises(NotFound) as caught:
            mirror.find(kind, word, project)
        assert caught.value.context == {"kind": kind.__name__, "name": word}
    assert mirror.get("vm-2") is not None
    assert mirror.get("vm-9") is None


def test_lists_are_in_order_of_creation_and_the_callers_own() -> None:
    mirror = filled(vm("3"), vm("1"), vm("2"))
    listed = mirror.list(VM)
    assert ids(listed) == ["vm-1", "vm-2", "vm-3"]
    listed.clear()
    assert len(mirror.list(VM)) == 3
    assert mirror.list(Volume) == []
    mirror.apply([Change(4, ChangeVerb.PUT, vm("0", name="late").having(revision=4))])
    assert ids(mirror.list(VM)) == ["vm-0", "vm-1", "vm-2", "vm-3"]


def _operation(id: str, state: OperationState = OperationState.RUNNING) -> Operation:
    spec = OperationSpec(verb=Verb.CREATE, target=Ref(kind="VM", id="vm-1"), generation=1)
    return Operation(id=id, name=id, spec=spec, status=OperationStatus(state=state))


MOVING = VMStatus(
    phase=VMPhase.MIGRATING,
    node=NodeId("node-a"),
    traces=(NodeId("node-a"), NodeId("node-c")),
    migration=Migration(wish="op-1", source=NodeId("node-a"), target=NodeId("node-b")),
)
FLEET: list[Resource] = [
    vm("1", node="node-a", labels={"app": "web", "tier": "1"}),
    vm("2", status=MOVING, labels={"app": "web"}),
    vm("3", phase=VMPhase.PENDING, deleted_at=1.0),
    Volume(
        id="vol-1",
        name="v1",
        spec=VolumeSpec(pool="pool-1", size_bytes=1, image="img-1", vm=VmId("vm-1")),  # type: ignore[arg-type]
    ),
    _operation("op-1"),
    _operation("op-2", OperationState.FAILED),
]
SELECTED: list[tuple[str, type[Resource], str, str, list[str]]] = [
    ("VMs that a node runs", VM, "node", "node-a", ["vm-1", "vm-2"]),
    ("VMs on the way to a node", VM, "node", "node-b", ["vm-2"]),
    ("VMs of which a node has traces", VM, "node", "node-c", ["vm-2"]),
    ("a trace holds no capacity", VM, "claimed", "node-c", []),
    ("by phase", VM, "phase", "migrating", ["vm-2"]),
    ("by label", VM, "label", "app=web", ["vm-1", "vm-2"]),
    ("by another label", VM, "label", "tier=1", ["vm-1"]),
    ("being deleted", VM, "deleting", "yes", ["vm-3"]),
    ("volumes by VM", Volume, "vm", "vm-1", ["vol-1"]),
    ("volumes by image", Volume, "image", "img-1", ["vol-1"]),
    ("volumes by pool", Volume, "pool", "pool-1", ["vol-1"]),
    ("no node yet", Volume, "node", "node-a", []),
    ("operations by target", Operation, "target", "vm-1", ["op-1", "op-2"]),
    ("open operations by target", Operation, "open", "vm-1", ["op-1"]),
    ("operations by state", Operation, "phase", "failed", ["op-2"]),
]


@pytest.mark.parametrize(
    ("kind", "index", "value", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SELECTED]
)
def test_select(kind: type[Resource], index: str, value: str, expected: list[str]) -> None:
    assert ids(filled(*FLEET).select(kind, index, value)) == expected


def test_an_index_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(KeyError):
        filled().select(VM, "colour", "red")


# ---- bit by bit is the same as at once

NAMES = st.sampled_from(["a", "b", "c", "d"])
VMS = st.builds(
    vm,
    NAMES,
    NAMES,
    node=st.sampled_from([None, "node-a", "node-b"]),
    phase=st.sampled_from([VMPhase.PENDING, VMPhase.RUNNING]),
    labels=st.dictionaries(NAMES, NAMES, max_size=2),
    project=st.sampled_from(["default", "shop"]),
)
OPERATIONS = st.builds(_operation, NAMES.map("op-{}".format), st.sampled_from(OperationState))
REMOVALS = st.sampled_from(["vm-a", "vm-b", "op-a", "op-b"]).map(Remove)
WRITES: st.SearchStrategy[Write] = st.one_of(VMS.map(Put), OPERATIONS.map(Put), REMOVALS)
COMMITS = st.lists(st.lists(WRITES, min_size=1, max_size=4), max_size=25)


def picture(mirror: Mirror) -> dict[str, Any]:
    """All that can be asked of a mirror, and all that its indexes hold."""
    shelves = {kind: shelf for kind, shelf in mirror._shelves.items() if shelf.all()}
    return {
        "revision": mirror.revision,
        "lists": {kind: shelf.all() for kind, shelf in shelves.items()},
        "ids": {kind: list(shelf._ids) for kind, shelf in shelves.items()},
        "names": {kind: dict(shelf._names) for kind, shelf in shelves.items()},
        "indexes": {
            (kind, index, value): list(bucket)
            for kind, shelf in shelves.items()
            for index, under in shelf._under.items()
            for value, bucket in under.items()
        },
        "all": dict(mirror._by_id),
    }


@settings(max_examples=200, deadline=None)
@given(commits=COMMITS, fork_at=st.integers(0, 25), batch=st.integers(1, 9))
def test_fed_bit_by_bit_equals_loaded_at_once(commits: list[list[Write]], fork_at: int, batch: int) -> None:
    """Also: forks stay as they were, a refused or reverted commit leaves no trace, listeners can add it all up."""
    ledger, mirror, told = Ledger(), Mirror(), dict[str, Resource]()
    mirror.on_change(lambda changes: _add_up(told, changes))
    log: list[tuple[Change, ...]] = []  # a commit each
    for writes in commits:
        try:
            changes = ledger.plan(writes, {})
        except (Conflict, NameTaken):
            continue
        before = (dict(ledger.resources), dict(ledger._holders), ledger.revision)
        ledger.revert(ledger.apply(changes))
        assert (ledger.resources, ledger._holders, ledger.revision) == before
        ledger.apply(changes)
        log.append(changes)
    fork, kept = mirror.fork(), picture(mirror)
    for number, start in enumerate(range(0, len(log), batch)):
        mirror.apply([change for commit in log[start : start + batch] for change in commit])
        if number == fork_at:
            fork, kept = mirror.fork(), picture(mirror)
    loaded = Mirror()
    loaded.reload(Snapshot(ledger.revision, tuple(ledger.resources.values())))
    assert picture(mirror) == picture(loaded)
    assert told == ledger.resources
    assert picture(fork) == kept
    fork.suppose([Put(vm("a", "new")), Put(vm("e", "e"))])
    assert picture(mirror) == picture(loaded), "what was supposed in a fork shows outside"


def _add_up(told: dict[str, Resource], changes: Sequence[Change]) -> None:
    for change in changes:
        told.pop(change.resource.id, None)
        if change.verb is ChangeVerb.PUT:
            told[change.resource.id] = change.resource


def test_each_index_looks_at_its_resource_only() -> None:
    """Asked twice, it says the same: or the mirror would drop what it never put in."""
    for resource in FLEET:
        for values in indexes_of(type(resource)).values():
            assert list(values(resource)) == list(values(resource))


# ---- following a store


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(YieldClock())


async def test_follow_loads_then_keeps_up(store: MemoryStore) -> None:
    await store.commit([Put(vm("1"))])
    mirror = Mirror()
    following = asyncio.create_task(mirror.follow(store))
    await mirror.wait_loaded()
    assert ids(mirror.list(VM)) == ["vm-1"]
    (stored,) = await store.commit([Put(vm("2"))])
    await asyncio.wait_for(mirror.wait_for(stored.revision), 5)
    assert mirror.get("vm-2") == stored
    following.cancel()


async def test_an_empty_store_counts_as_loaded(store: MemoryStore) -> None:
    mirror = Mirror()
    waiting = asyncio.create_task(mirror.wait_loaded())
    await asyncio.sleep(0)
    assert not waiting.done()
    following = asyncio.create_task(mirror.follow(store))
    await asyncio.wait_for(waiting, 5)
    following.cancel()


class Stumbling(MemoryStore):
    """A store whose readers fall behind once: the log is gone by the time they ask."""

    stumbles = 1

    async def changes(self, since: int) -> Any:
        if self.stumbles:
            self.stumbles -= 1
            await self.commit([Remove("vm-1"), Put(vm("2")), Put(vm("3"))])
            await self.compact(before=1_000)
        async for batch in super().changes(since):
            yield batch


async def test_a_mirror_that_fell_behind_loads_again_and_tells_the_difference() -> None:
    store = Stumbling(YieldClock())
    await store.commit([Put(vm("1")), Put(vm("2"))])
    mirror, told = Mirror(), dict[str, Resource]()
    mirror.on_change(lambda changes: _add_up(told, changes))
    following = asyncio.create_task(mirror.follow(store))
    await asyncio.wait_for(mirror.wait_for(5), 5)
    assert ids(mirror.list(VM)) == ["vm-2", "vm-3"]
    assert told == {resource.id: resource for resource in mirror.list(VM)}
    with pytest.raises(Compacted):
        mirror.changes_since(2)
    following.cancel()


async def test_who_waits_is_told_when_the_store_fails(store: MemoryStore) -> None:
    mirror = Mirror()
    following = asyncio.create_task(mirror.follow(store))
    await mirror.wait_loaded()
    waiting = asyncio.create_task(mirror.wait_for(99))
    reading = asyncio.ensure_future(anext(mirror.subscribe()))
    await asyncio.sleep(0)
    await store.close()
    for task in (following, waiting, reading):
        with pytest.raises(StoreFailed):
            await asyncio.wait_for(task, 5)
    with pytest.raises(StoreFailed):
        await asyncio.wait_for(mirror.wait_for(99), 5)
    assert mirror.list(VM) == [], "what it has can be read still"


async def test_a_mirror_can_follow_again(store: MemoryStore) -> None:
    mirror = Mirror()
    first = asyncio.create_task(mirror.follow(store))
    await mirror.wait_loaded()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await store.commit([Put(vm("1"))])
    second = asyncio.create_task(mirror.follow(store))
    await asyncio.sleep(0.01)
    assert ids(mirror.list(VM)) == ["vm-1"]
    second.cancel()


async def test_a_wait_that_was_given_up_leaves_nothing_behind() -> None:
    mirror = filled(vm("1"))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mirror.wait_for(5), 0.01)
    assert mirror._log._waiting == []


# ---- telling others


def _put(revision: int, id: str = "1") -> Change:
    return Change(revision, ChangeVerb.PUT, vm(id).having(revision=revision))


async def test_a_subscriber_gets_all_changes_from_where_it_asked() -> None:
    mirror = filled(vm("1"))
    now = mirror.subscribe()
    mirror.apply([_put(2), _put(3)])
    earlier = mirror.subscribe(since=2)
    assert [c.revision for c in await anext(now)] == [2, 3]
    assert [c.revision for c in await anext(earlier)] == [3]
    waiting = asyncio.ensure_future(anext(now))
    await asyncio.sleep(0)
    assert not waiting.done()
    mirror.apply([_put(4)])
    assert [c.revision for c in await waiting] == [4]
    assert now.revision == 4


async def test_a_slow_subscriber_is_cut_off_and_a_quick_one_is_not() -> None:
    mirror = Mirror(recent=10)
    slow, quick = mirror.subscribe(), mirror.subscribe()
    for revision in range(1, 41):
        mirror.apply([_put(revision)])
        assert [c.revision for c in await anext(quick)] == [revision]
    with pytest.raises(Compacted):
        await anext(slow)
    with pytest.raises(Compacted):
        mirror.subscribe(since=1)
    assert len(mirror.changes_since(30)) == 10
    assert len(mirror._log._changes) <= 20, "the backlog is bounded"


RESUMED = [  # name, since, number of changes or None: Compacted; of a mirror at 40 that keeps at least 10
    ("at the end: nothing new", 40, 0),
    ("one behind", 39, 1),
    ("as far as is promised", 30, 10),
    ("too long ago", 5, None),
    ("a revision that never was", 41, None),
]


@pytest.mark.parametrize(("since", "count"), [pytest.param(*row[1:], id=row[0]) for row in RESUMED])
def test_changes_since(since: int, count: int | None) -> None:
    mirror = Mirror(recent=10)
    for revision in range(1, 41):
        mirror.apply([_put(revision)])
    if count is None:
        with pytest.raises(Compacted):
            mirror.changes_since(since)
    else:
        assert [c.revision for c in mirror.changes_since(since)] == list(range(41 - count, 41))


def test_listeners_see_the_mirror_as_it_is_then_and_can_leave() -> None:
    mirror = Mirror()
    seen: list[tuple[int, bool]] = []
    leave = mirror.on_change(lambda changes: seen.append((len(changes), mirror.get("vm-2") is not None)))
    mirror.apply([_put(1), _put(2, "2")])
    leave()
    mirror.apply([_put(3)])
    assert seen == [(2, True)]


def test_a_gap_is_a_bug() -> None:
    mirror = filled(vm("1"))
    with pytest.raises(AssertionError):
        mirror.apply([_put(3)])


def test_a_fork_keeps_no_log() -> None:
    fork = filled(vm("1")).fork()
    fork.suppose([Put(vm("2")), Put(vm("3")), Remove("vm-1")])
    assert ids(fork.list(VM)) == ["vm-2", "vm-3"]
    assert fork._log._changes == []
