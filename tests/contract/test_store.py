"""The suite that every store passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from corral.clock import new_id
from corral.errors import Conflict, CorralError, NameTaken
from corral.model.resource import Resource
from corral.model.volume import Volume, VolumeSpec
from corral.store.interface import (
    Change,
    ChangeVerb,
    Compacted,
    Deposed,
    Fence,
    Put,
    Remove,
    Store,
    StoreFailed,
)
from corral.store.memory import MemoryStore
from corral.store.sqlite import SqliteStore
from tests.contract.stores import HandClock, read, state, vm


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store = MemoryStore(clock) if request.param == "memory" else SqliteStore(tmp_path / "c.db", clock)
    yield store
    await store.close()


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await state(store) == (0, {})


async def test_commit_stores_whole_and_numbers_each_write(store: Store) -> None:
    stored = await store.commit([Put(vm("a")), Put(vm("b", cpus=2))])
    assert [(r.id, r.revision) for r in stored] == [("vm-a", 1), ("vm-b", 2)]
    assert await state(store) == (2, {r.id: r for r in stored})
    assert stored[1] == vm("b", cpus=2).having(revision=2), "only the revision may differ"


async def test_nothing_to_write_is_no_revision(store: Store) -> None:
    assert await store.commit([]) == ()
    with pytest.raises(Conflict):
        await store.commit([], expect={"vm-a": 3})
    assert await state(store) == (0, {})


async def test_put_replaces(store: Store) -> None:
    await store.commit([Put(vm("a"))])
    await store.commit([Put(vm("a", cpus=4))], expect={"vm-a": 1})
    assert await state(store) == (2, {"vm-a": vm("a", cpus=4).having(revision=2)})


REFUSALS = [  # name, writes, expect, error; on a store that holds vm-a at 1, vm-b at 2
    ("older revision expected", [Put(vm("a"))], {"vm-a": 0}, Conflict),
    ("newer revision expected", [Put(vm("a"))], {"vm-a": 2}, Conflict),
    ("expected to exist, and does not", [Put(vm("c"))], {"vm-c": 1}, Conflict),
    ("a bystander was changed", [Put(vm("c"))], {"vm-c": 0, "vm-b": 1}, Conflict),
    ("remove what is not there", [Remove("vm-c")], {}, Conflict),
    ("remove twice", [Remove("vm-a"), Remove("vm-a")], {}, Conflict),
    ("name of another", [Put(vm("c", "a"))], {}, NameTaken),
    ("renamed to another's name", [Put(vm("b", "a"))], {}, NameTaken),
    ("two new ones with one name", [Put(vm("c", "x")), Put(vm("d", "x"))], {}, NameTaken),
    ("the second write is refused", [Put(vm("c")), Put(vm("d", "a"))], {}, NameTaken),
]


@pytest.mark.parametrize(("writes", "expect", "error"), [pytest.param(*r[1:], id=r[0]) for r in REFUSALS])
async def test_a_refused_commit_leaves_nothing(
    store: Store, writes: Sequence[Put | Remove], expect: dict[str, int], error: type[CorralError]
) -> None:
    await store.commit([Put(vm("a")), Put(vm("b"))])
    before = await state(store)
    with pytest.raises(error):
        await store.commit(writes, expect=expect)
    assert await state(store) == before
    await store.commit([Put(vm("z"))])
    assert [c.resource.id for c in await read(store, 0, 3)] == ["vm-a", "vm-b", "vm-z"]


async def test_conflict_names_both_revisions(store: Store) -> None:
    await store.commit([Put(vm("a"))])
    with pytest.raises(Conflict) as caught:
        await store.commit([Put(vm("a"))], expect={"vm-a": 7})
    assert caught.value.context == {"id": "vm-a", "expected": 7, "actual": 1}


NAMES = [  # name, writes; all allowed on a store that holds vm-a and vm-b
    ("same name, other project", [Put(vm("c", "a", project="other"))]),
    (
        "same name, other kind",
        [Put(Volume(id="vol-a", name="a", spec=VolumeSpec(pool="pool-1", size_bytes=1)))],  # type: ignore[arg-type]
    ),
    ("the holder goes in the same commit", [Remove("vm-a"), Put(vm("c", "a"))]),
    ("the holder goes later in the same commit", [Put(vm("c", "a")), Remove("vm-a")]),
    ("two swap names", [Put(vm("a", "b")), Put(vm("b", "a"))]),
    ("its own name again", [Put(vm("a", "a", cpus=2))]),
    ("twice in one commit", [Put(vm("a", "x")), Put(vm("a", "y"))]),
    ("made and removed", [Put(vm("c")), Remove("vm-c")]),
    ("removed and made again", [Remove("vm-a"), Put(vm("a"))]),
]


@pytest.mark.parametrize("writes", [pytest.param(row[1], id=row[0]) for row in NAMES])
async def test_names_are_judged_on_the_whole_commit(store: Store, writes: Sequence[Put | Remove]) -> None:
    await store.commit([Put(vm("a")), Put(vm("b"))])
    stored = await store.commit(writes)
    assert [r.revision for r in stored] == list(range(3, 3 + len(writes)))
    expected = {"vm-a": vm("a").having(revision=1), "vm-b": vm("b").having(revision=2)}
    for write, resource in zip(writes, stored, strict=True):
        expected.pop(resource.id, None)
        if isinstance(write, Put):
            expected[resource.id] = resource  # type: ignore[assignment]
    assert await state(store) == (2 + len(writes), expected)


async def test_a_name_is_free_after_remove_and_rename(store: Store) -> None:
    await store.commit([Put(vm("a")), Put(vm("b"))])
    await store.commit([Remove("vm-a")])
    await store.commit([Put(vm("b", "c"))])
    await store.commit([Put(vm("d", "a")), Put(vm("e", "b"))])


async def test_a_name_held_twice_for_a_moment_is_still_held_after(store: Store) -> None:
    """Inside a commit a name may pass from one to the other by way of both."""
    await store.commit([Put(vm("a", "b")), Put(vm("b", "b")), Put(vm("b", "a"))])
    for name in ("a", "b"):
        with pytest.raises(NameTaken):
            await store.commit([Put(vm("c", name))])


async def test_remove_answers_with_what_was_last_there(store: Store) -> None:
    await store.commit([Put(vm("a", cpus=3))])
    (removed,) = await store.commit([Remove("vm-a")], expect={"vm-a": 1})
    assert removed == vm("a", cpus=3).having(revision=2)
    assert await state(store) == (2, {})
    assert (await read(store, 1, 1)) == [Change(2, ChangeVerb.REMOVE, removed)]
    await store.commit([Put(vm("a"))], expect={"vm-a": 0})


async def test_one_of_many_creators_wins(store: Store) -> None:
    commits = [store.commit([Put(vm("a", cpus=n))], expect={"vm-a": 0}) for n in range(1, 21)]
    answers = await asyncio.gather(*commits, return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 19
    assert await state(store) == (1, {"vm-a": won[0][0]})


async def test_revisions_have_no_gaps_under_concurrent_commits(store: Store) -> None:
    """Refused commits among them, one after the other in a writer and side by side between writers."""
    acknowledged: dict[int, Resource] = {}
    refused = 0

    async def writer(number: int) -> None:
        nonlocal refused
        for turn in range(15):
            try:
                writes = [Put(vm(f"{number}-{turn}", cpus=part + 1)) for part in range(turn % 3 + 1)]
                clash = turn % 5 == 4
                stored = await store.commit(writes, expect={"vm-0-0": 999} if clash else {})
                acknowledged.update({r.revision: r for r in stored})
            except Conflict:
                refused += 1

    await asyncio.gather(*(writer(number) for number in range(30)))
    assert refused == 30 * 3
    assert sorted(acknowledged) == list(range(1, len(acknowledged) + 1))
    log = await read(store, 0, len(acknowledged))
    assert {change.revision: change.resource for change in log} == acknowledged
    assert [change.revision for change in log] == sorted(acknowledged)


async def test_a_commit_shows_at_once_and_whole(store: Store) -> None:
    """No load and no batch of changes ends inside a commit; what was answered can be read."""
    done = asyncio.Event()
    batches: list[tuple[Change, ...]] = []

    async def writer(number: int) -> None:
        for turn in range(20):
            stored = await store.commit([Put(vm(f"{number}-{part}", cpus=turn + 1)) for part in "abc"])
            revision, resources = await state(store)
            assert revision >= stored[-1].revision
            assert [resources[r.id] for r in stored] == list(stored)

    async def onlooker() -> None:
        while not done.is_set():
            snapshot = await store.load()
            assert len(snapshot.resources) % 3 == 0
            assert snapshot.revision % 3 == 0
            await asyncio.sleep(0)

    async def reader() -> None:
        async for batch in store.changes(0):
            batches.append(batch)
            assert batch[-1].revision % 3 == 0
            if batch[-1].revision == 480:
                return

    watching = asyncio.gather(onlooker(), reader())
    await asyncio.gather(*(writer(number) for number in range(8)))
    done.set()
    await asyncio.wait_for(watching, 10)
    assert [change.revision for batch in batches for change in batch] == list(range(1, 481))


@pytest.mark.parametrize("since", [0, 1, 57, 119, 120])
async def test_changes_from_a_revision_while_commits_go_on(store: Store, since: int) -> None:
    for number in range(60):
        await store.commit([Put(vm(f"{number}")), Put(vm(f"{number}", cpus=2))])
    reading = asyncio.create_task(read(store, since, 240 - since))
    await asyncio.gather(*(store.commit([Put(vm(f"{n}", cpus=3))]) for n in range(120)))
    changes = await reading
    assert [change.revision for change in changes] == list(range(since + 1, 241))
    assert all(change.resource.revision == change.revision for change in changes)


async def test_a_reader_waits_for_the_next_change(store: Store) -> None:
    reading = asyncio.create_task(read(store, 0, 1))
    await asyncio.sleep(0.02)
    assert not reading.done()
    await store.commit([Put(vm("a"))])
    assert [change.resource.id for change in await reading] == ["vm-a"]


async def test_a_reader_that_goes_away_is_forgotten(store: Store) -> None:
    reading = asyncio.create_task(read(store, 0, 1))
    await asyncio.sleep(0.02)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await store.commit([Put(vm("a"))])
    assert len(await read(store, 0, 1)) == 1


async def test_a_commit_whose_caller_went_away_is_whole_or_not_at_all(store: Store) -> None:
    commit = asyncio.create_task(store.commit([Put(vm("a")), Put(vm("b"))]))
    await asyncio.sleep(0)
    commit.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await commit
    await store.commit([Put(vm("z"))])
    assert len((await store.load()).resources) in (1, 3)


async def test_compaction(store: Store) -> None:
    for number in range(20):
        await store.commit([Put(vm("a", cpus=number + 1))])
    await store.compact(before=11)
    assert [c.revision for c in await read(store, 10, 10)] == list(range(11, 21))
    for since in (0, 9):
        with pytest.raises(Compacted):
            await read(store, since, 1)
    assert await state(store) == (20, {"vm-a": vm("a", cpus=20).having(revision=20)})
    await store.compact(before=5)  # again, and less: nothing happens
    assert len(await read(store, 10, 10)) == 10


async def test_compacting_everything_keeps_the_numbering(store: Store) -> None:
    await store.commit([Put(vm("a")), Put(vm("b")), Remove("vm-b")])
    await store.compact(before=1_000)
    with pytest.raises(Compacted):
        await read(store, 2, 1)
    (stored,) = await store.commit([Put(vm("c"))])
    assert stored.revision == 4
    assert len(await read(store, 3, 1)) == 1


async def test_a_revision_that_never_was_means_load_again(store: Store) -> None:
    """A reader may come with a revision from before a restored backup."""
    await store.commit([Put(vm("a"))])
    with pytest.raises(Compacted):
        await read(store, 2, 1)


async def test_one_leads_until_its_lease_is_over(store: Store, clock: HandClock) -> None:
    first = await store.lead("controllers", "server-1", 10.0)
    with pytest.raises(Deposed):
        await store.lead("controllers", "server-2", 10.0)
    clock.at_s += 9.9
    again = await store.lead("controllers", "server-1", 10.0)
    assert again.number == first.number, "who renews in time is the same leader"
    clock.at_s += 9.9
    with pytest.raises(Deposed):
        await store.lead("controllers", "server-2", 10.0)
    clock.at_s += 0.1
    second = await store.lead("controllers", "server-2", 10.0)
    assert second.number > first.number
    with pytest.raises(Deposed):
        await store.lead("controllers", "server-1", 10.0)


async def test_who_renews_too_late_is_a_new_leader(store: Store, clock: HandClock) -> None:
    first = await store.lead("controllers", "server-1", 10.0)
    clock.at_s += 10.0
    assert (await store.lead("controllers", "server-1", 10.0)).number > first.number


async def test_leases_of_different_names_are_apart(store: Store) -> None:
    await store.lead("controllers", "server-1", 10.0)
    await store.lead("backups", "server-2", 10.0)


async def test_a_deposed_leader_can_not_write(store: Store, clock: HandClock) -> None:
    first = await store.lead("controllers", "server-1", 10.0)
    await store.commit([Put(vm("a"))], fence=first.fence)
    clock.at_s += 10.0
    await store.commit([Put(vm("b"))], fence=first.fence)  # late, but nobody else leads
    second = await store.lead("controllers", "server-2", 10.0)
    with pytest.raises(Deposed):
        await store.commit([Put(vm("c"))], fence=first.fence)
    await store.commit([Put(vm("d"))], fence=second.fence)
    with pytest.raises(Deposed):
        await store.commit([Put(vm("e"))], fence=Fence("nobody", 1))
    assert sorted((await state(store))[1]) == ["vm-a", "vm-b", "vm-d"]


async def test_a_takeover_fences_commits_that_were_asked_for_before_it(
    store: Store, clock: HandClock
) -> None:
    """Commit by the old leader, takeover and commit by the new one, all on their way at once."""
    old = await store.lead("controllers", "server-1", 10.0)
    clock.at_s += 10.0
    taking = asyncio.create_task(store.lead("controllers", "server-2", 10.0))
    await asyncio.sleep(0)
    late = asyncio.create_task(store.commit([Put(vm("late"))], fence=old.fence))
    new = await taking
    await store.commit([Put(vm("new"))], fence=new.fence)
    with pytest.raises(Deposed):
        await late
    assert sorted((await state(store))[1]) == ["vm-new"]


async def test_nothing_works_after_close(store: Store) -> None:
    await store.commit([Put(vm("a"))])
    reading = asyncio.create_task(read(store, 1, 1))
    await asyncio.sleep(0.02)
    await store.close()
    with pytest.raises(StoreFailed):
        await reading
    with pytest.raises(StoreFailed):
        await store.commit([Put(vm("b"))])
    with pytest.raises(StoreFailed):
        await store.load()
    with pytest.raises(StoreFailed):
        await store.lead("controllers", "server-1", 10.0)
    await store.close()  # twice is harmless


async def test_close_finishes_what_was_begun(store: Store, clock: HandClock) -> None:
    commits = [asyncio.create_task(store.commit([Put(vm(new_id("x", clock)))])) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await store.close()
    answers = await asyncio.gather(*commits, return_exceptions=True)
    assert [r[0].revision for r in answers if not isinstance(r, BaseException)] == list(range(1, 51))
