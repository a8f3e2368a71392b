"""Volumes that move to another pool of the node, with an agent that dies at every point."""

import pytest
from msgspec.structs import replace

from corral.model.ids import PoolId
from corral.model.link import OtherPlace, PoolAssignment, VolumeAssignment
from corral.model.volume import ObjectState
from corral.storage.interface import PoolFull, StorageFailed
from tests.unit.agent.rig import LAN, NOBODY, POOL, VOLUME, WEB, Place, Rig, in_rig

FAST = PoolAssignment(pool=PoolId("pool-2"), path="/fast")
OLD, NEW = "/pool/volumes/vol-1.qcow2", "/fast/volumes/vol-1.qcow2"
MOVING = replace(
    VOLUME,
    pool=FAST.pool,
    pool_path=FAST.path,
    made=True,
    generation=2,
    other=OtherPlace(pool=POOL.pool, pool_path=POOL.path),
)
BACK = replace(
    VOLUME,
    made=True,
    generation=3,
    other=OtherPlace(pool=FAST.pool, pool_path=FAST.path),
)


def files(rig: Rig, place: Place) -> list[str]:
    paths = [*rig.shared.sizes, *place.local.sizes]
    return sorted(path for path in paths if "/volumes/" in path)


def arrived(place: Place, at: VolumeAssignment) -> bool:
    report = place.server.volume()
    return (report.state, report.pool, report.progress, report.generation) == (
        ObjectState.READY, at.pool, 1.0, at.generation,
    )  # fmt: skip


def open_file(place: Place) -> str:
    return place.host.domains[WEB.vm].wish.disks[0].path


async def running(rig: Rig) -> Place:
    rig.one.server.assign(FAST)
    await rig.web_runs()
    return rig.one


@in_rig
async def test_while_its_vm_runs(rig: Rig) -> None:
    one = await running(rig)
    one.server.assign(MOVING)
    await rig.until(lambda: arrived(one, MOVING))
    assert (open_file(one), files(rig, one)) == (NEW, [NEW])
    assert one.host.starts == 1, "the guest went on"


@in_rig
async def test_while_its_vm_is_stopped(rig: Rig) -> None:
    one = await running(rig)
    one.server.assign(replace(WEB, running=False, generation=2))
    await rig.until(lambda: not one.runs())
    one.server.assign(MOVING)
    await rig.until(lambda: arrived(one, MOVING))
    assert files(rig, one) == [NEW]
    there = replace(WEB.disks[0], path=NEW)
    one.server.assign(replace(MOVING, other=None, generation=0))
    one.server.assign(replace(WEB, generation=3, boot=2, disks=(there,)))
    await rig.until(one.runs)
    assert open_file(one) == NEW


POINTS = [
    "storage.begin_partial.end",
    "hypervisor.copy_disk.end",
    "hypervisor.pivot_disk.end",
    "storage.accept_partial.end",
    "storage.delete_volume.end",
]


@pytest.mark.parametrize("point", POINTS)
def test_agent_dies(point: str) -> None:
    @in_rig
    async def test(rig: Rig) -> None:
        one = await running(rig)
        one.faults.plan(point, 1000.0)  # it hangs there, and then dies
        one.server.assign(MOVING)
        await rig.until(lambda: one.faults.hit[point])
        one.kill()
        one.start()
        await rig.until(lambda: arrived(one, MOVING))
        assert (open_file(one), files(rig, one)) == (NEW, [NEW])

    test()


@pytest.mark.parametrize("point", POINTS)
def test_qemu_dies(point: str) -> None:
    """The guest comes back by its restart policy, with the file that has its data; then the move goes on."""

    @in_rig
    async def test(rig: Rig) -> None:
        one = await running(rig)
        one.faults.plan(point, 1000.0)
        one.server.assign(MOVING)
        await rig.until(lambda: one.faults.hit[point])
        had_open = open_file(one)
        one.host.crash(WEB.vm)
        one.kill()
        one.start()
        if had_open == NEW:  # the server hears of it, and names the new path from then on
            await rig.until(lambda: arrived(one, MOVING))
        await rig.until(one.runs)
        await rig.until(lambda: arrived(one, MOVING))
        assert (open_file(one), files(rig, one)) == (NEW, [NEW])

    test()


@in_rig
async def test_cancelled_while_it_copies(rig: Rig) -> None:
    one = await running(rig)
    one.server.assign(MOVING)
    await rig.until(lambda: one.host.copies)
    one.server.assign(BACK)
    await rig.until(lambda: arrived(one, BACK))
    assert (open_file(one), files(rig, one)) == (OLD, [OLD])


@in_rig
async def test_cancelled_after_the_pivot_goes_back(rig: Rig) -> None:
    one = await running(rig)
    one.faults.plan("storage.accept_partial.end", 5.0)
    one.server.assign(MOVING)
    await rig.until(lambda: open_file(one) == NEW)
    one.server.assign(BACK)
    await rig.until(lambda: arrived(one, BACK))
    assert (open_file(one), files(rig, one)) == (OLD, [OLD])


@in_rig
async def test_no_room_in_the_other_pool(rig: Rig) -> None:
    """The guest goes on where it is; the reason is told, and it is tried again."""
    one = await running(rig)
    full = PoolFull("no room for volume vol-1")
    one.faults.plan("storage.begin_partial", full, full)
    one.server.assign(MOVING)
    await rig.until(lambda: one.server.volume().trouble)
    report = one.server.volume()
    assert (report.state, report.pool) == (ObjectState.READY, POOL.pool)
    assert one.runs()
    await rig.until(lambda: arrived(one, MOVING))
    assert one.server.volume().trouble is None


@in_rig
async def test_deleted_on_its_way_leaves_nothing(rig: Rig) -> None:
    one = rig.one
    one.server.assign(POOL, FAST, LAN, VOLUME)
    await rig.until(lambda: one.server.held.get("volumes/vol-1") and one.server.volume().state == "ready")
    one.faults.plan("storage.make_volume", StorageFailed("not now"), StorageFailed("not now"))
    one.server.assign(MOVING)
    await rig.until(lambda: one.faults.hit["storage.make_volume"] > 1)
    one.server.assign(replace(MOVING, wanted=False))
    await rig.until(lambda: one.server.volume().state == "absent")
    assert files(rig, one) == []


@in_rig
async def test_its_vm_is_being_deleted(rig: Rig) -> None:
    """The guest shuts down still, and its disk is kept: what it writes until then is not lost."""
    one = await running(rig)
    one.faults.plan("hypervisor.destroy", 4.0)
    one.server.assign(NOBODY)
    await rig.until(lambda: one.faults.hit["hypervisor.destroy"])
    one.server.assign(MOVING)
    while one.runs():
        assert open_file(one) in files(rig, one), "its disk was taken away"
        await rig.passes(0.02)
    await rig.until(lambda: arrived(one, MOVING))
    assert files(rig, one) == [NEW]
