"""Snapshots as every hypervisor driver takes them: hypervisor/interface.py, by example."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish, Hypervisor, MemoryNotLoaded, SnapshotFailed
from corral.model.ids import SnapshotId, VolumeId
from corral.model.link import DiskAssignment, SnapshotAssignment
from corral.model.snapshot import SnapshotState
from corral.model.vm import DomainState
from tests.contract import hypervisors
from tests.contract.hypervisors import Bench
from tests.contract.test_hypervisor import REAL, hears, opened, runs

NUMBERS = count(100)


@pytest.fixture(scope="module", params=["simulated", pytest.param("libvirt", marks=REAL)])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("bench")
    with hypervisors.bench(request.param, folder) as made:
        yield made


@pytest_asyncio.fixture
async def one(bench: Bench) -> AsyncIterator[Hypervisor]:
    async for driver in opened(bench.driver(0)):
        yield driver


@pytest.fixture
def wish(bench: Bench) -> DomainWish:
    """A VM with two disks that can hold snapshots."""
    number = next(NUMBERS)
    first = hypervisors.wish_of(bench, f"snap{number}", number)
    disks = tuple(
        DiskAssignment(
            volume=VolumeId(f"vol-01JC{number:03d}{n:019d}"), path=str(bench.qcow2(f"snap{number}{n}"))
        )
        for n in range(2)
    )
    return replace(first, disks=disks)


def of(wish: DomainWish, name: str, *, memory: bool = False) -> SnapshotAssignment:
    return SnapshotAssignment(snapshot=SnapshotId(name), disks=wish.disks, memory=memory, freeze=not memory)


def paths(wish: DomainWish) -> list[Path]:
    return [Path(disk.path) for disk in wish.disks]


async def test_a_tree_at_rest(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    """Two branches and a step in the middle that is dropped; each call twice."""
    await one.define(wish)
    for word in "ab":
        for path in paths(wish):
            bench.write(path, word)
        for _ in range(2):
            assert (await one.take_snapshot(wish.vm, of(wish, f"snap-{word}"))).state is SnapshotState.READY
    for word in "ab":
        for _ in range(2):
            await one.revert(wish.vm, of(wish, f"snap-{word}"))
        assert [bench.read(path) for path in paths(wish)] == [word, word]
    await one.revert(wish.vm, of(wish, "snap-a"))
    for path in paths(wish):
        bench.write(path, "c")
    await one.take_snapshot(wish.vm, of(wish, "snap-c"))
    for _ in range(2):
        await one.drop_snapshot(wish.vm, of(wish, "snap-a"))
    assert (await one.see_snapshot(wish.vm, of(wish, "snap-a"))).state is SnapshotState.ABSENT
    for word in "bc":
        await one.revert(wish.vm, of(wish, f"snap-{word}"))
        assert [bench.read(path) for path in paths(wish)] == [word, word]
    with pytest.raises(SnapshotFailed):
        await one.revert(wish.vm, of(wish, "snap-a"))
    assert [bench.read(path) for path in paths(wish)] == ["c", "c"]


async def test_a_snapshot_of_a_running_vm(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    for path in paths(wish):
        bench.write(path, "r")
    before = bench.read(paths(wish)[1])
    await runs(one, wish)
    live = of(wish, "snap-live")
    assert (await one.take_snapshot(wish.vm, live)).state is SnapshotState.READY
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    with pytest.raises(SnapshotFailed):
        await one.revert(wish.vm, live)
    await one.take_snapshot(wish.vm, of(wish, "snap-more"))
    await one.drop_snapshot(wish.vm, of(wish, "snap-more"))
    assert (await one.see_snapshot(wish.vm, of(wish, "snap-more"))).state is SnapshotState.ABSENT
    assert (await one.see_snapshot(wish.vm, live)).state is SnapshotState.READY
    await one.destroy(wish.vm)
    await one.revert(wish.vm, live)
    if bench.busy:  # a real guest does not write by itself
        assert bench.read(paths(wish)[1]) == before


async def test_memory_goes_on_from_where_it_was(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    kept = of(wish, "snap-memory", memory=True)
    taken = await one.take_snapshot(wish.vm, kept)
    assert taken.state is SnapshotState.READY and taken.memory_bytes > 0
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    await one.destroy(wish.vm)
    await one.revert(wish.vm, kept)
    for _ in range(2):
        await one.start_from(wish.vm, kept)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    console = await one.console(wish.vm)
    await hears(console, b"awake")
    await console.close()


async def test_memory_that_is_not_there(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    with pytest.raises(SnapshotFailed):
        await one.take_snapshot(wish.vm, of(wish, "snap-none", memory=True))
    await one.take_snapshot(wish.vm, of(wish, "snap-disks"))
    with pytest.raises(MemoryNotLoaded):
        await one.start_from(wish.vm, of(wish, "snap-disks"))
    assert (await one.look())[wish.vm].state is DomainState.STOPPED


async def test_one_that_was_interrupted_is_seen_and_dropped(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    whole = of(wish, "snap-part")
    await one.take_snapshot(wish.vm, replace(whole, disks=whole.disks[:1]))
    assert (await one.see_snapshot(wish.vm, whole)).state is SnapshotState.PARTIAL
    await one.drop_snapshot(wish.vm, whole)
    assert (await one.see_snapshot(wish.vm, whole)).state is SnapshotState.ABSENT
    assert (await one.take_snapshot(wish.vm, whole)).state is SnapshotState.READY


async def test_a_raw_disk_holds_none(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    raw = replace(wish, disks=(replace(wish.disks[0], path=str(bench.disk("raw")), format="raw"),))
    await one.define(raw)
    with pytest.raises(SnapshotFailed, match="qcow2"):
        await one.take_snapshot(raw.vm, of(raw, "snap-raw"))


async def test_a_domain_that_is_killed_meanwhile_leaves_all_or_nothing(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    kept = of(wish, "snap-killed", memory=True)
    taking = asyncio.create_task(one.take_snapshot(wish.vm, kept))
    await asyncio.sleep(0.005)
    bench.kill_qemu(0, wish)
    await asyncio.gather(taking, return_exceptions=True)
    async with asyncio.timeout(20):
        while (await one.look())[wish.vm].state is not DomainState.STOPPED:
            await asyncio.sleep(0.02)
    seen = await one.see_snapshot(wish.vm, kept)
    await one.drop_snapshot(wish.vm, kept)
    assert (await one.see_snapshot(wish.vm, kept)).state is SnapshotState.ABSENT, seen
    await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
