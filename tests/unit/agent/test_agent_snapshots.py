"""Snapshots on a node: what happens when calls fail, and when the agent is killed in between."""

import pytest
from msgspec.structs import replace

from corral.agent.ports import LocalVm
from corral.agent.reconcile import Destroy, Remember, Seen, Start, plan
from corral.agent.snapshots import DropSnapshot, LookAtSnapshots, Revert, TakeSnapshot
from corral.hypervisor.interface import Domain, MemoryNotLoaded, SnapshotFailed
from corral.model.ids import SnapshotId
from corral.model.link import RevertAssignment, SnapshotAssignment
from corral.model.snapshot import SnapshotReport, SnapshotState
from corral.model.vm import DomainState, StopReason
from tests.unit.agent.rig import VM, WEB, Rig, in_rig

ONE = SnapshotAssignment(snapshot=SnapshotId("snap-1"), disks=WEB.disks, freeze=True)
GONE = replace(ONE, wanted=False)
KEPT = replace(ONE, snapshot=SnapshotId("snap-2"), memory=True, freeze=False)
PATH = WEB.disks[0].path
RUNS = Domain(vm=VM, name="web", state=DomainState.RUNNING, generation=1)
PAUSED = replace(RUNS, state=DomainState.PAUSED)
STOPPED = replace(RUNS, state=DomainState.STOPPED)
READY = SnapshotReport(state=SnapshotState.READY)
PARTIAL = SnapshotReport(state=SnapshotState.PARTIAL)
ABSENT = SnapshotReport(state=SnapshotState.ABSENT)
DROPPED = SnapshotReport(state=SnapshotState.ABSENT, wanted=False)
UP = LocalVm(boot=1, ran=True)
BACK = RevertAssignment(wish="op-1", to=ONE)
AFTER = LocalVm(boot=1, ran=True, stopped=StopReason.ASKED, reverted="op-1")

STEPS = [  # name, assignment's fields, what is seen, step
    ("one to take: look first", {"snapshots": (ONE,)}, Seen(domain=RUNS, note=UP), LookAtSnapshots((ONE,))),
    ("not there: take it", {"snapshots": (ONE,)}, Seen(domain=RUNS, note=UP, snapshots={"snap-1": ABSENT}), TakeSnapshot(ONE)),
    ("on some disks: drop it", {"snapshots": (ONE,)}, Seen(domain=RUNS, note=UP, snapshots={"snap-1": PARTIAL}), DropSnapshot(ONE)),
    ("to go and there: drop it", {"snapshots": (GONE,)}, Seen(domain=RUNS, note=UP, snapshots={"snap-1": READY}), DropSnapshot(GONE)),
    ("to go, seen absent: make sure", {"snapshots": (GONE,)}, Seen(domain=RUNS, note=UP, snapshots={"snap-1": ABSENT}), DropSnapshot(GONE)),
    ("revert: look before the plug is pulled", {"revert": BACK}, Seen(domain=RUNS, note=UP), LookAtSnapshots((ONE,))),
    ("revert: what follows is noted first", {"revert": BACK}, Seen(domain=RUNS, note=UP, snapshots={"snap-1": READY}),
     Remember(replace(UP, stopped=StopReason.ASKED))),
    ("revert: then the plug", {"revert": BACK}, Seen(domain=RUNS, note=replace(UP, stopped=StopReason.ASKED), snapshots={"snap-1": READY}), Destroy()),
    ("revert: then the disks", {"revert": BACK}, Seen(domain=STOPPED, note=UP, snapshots={"snap-1": READY}), Revert(ONE, AFTER)),
    ("loading was interrupted: begin again", {"revert": replace(BACK, to=KEPT)},
     Seen(domain=PAUSED, note=replace(AFTER, ran=False, load="snap-2"), snapshots={"snap-2": READY}), Destroy()),
    ("loaded and resumed, not noted yet", {"revert": replace(BACK, to=KEPT)},
     Seen(domain=RUNS, note=replace(AFTER, ran=False, load="snap-2"), snapshots={"snap-2": READY}),
     Remember(replace(AFTER, ran=True, load=""))),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "seen", "step"), [pytest.param(*row[1:], id=row[0]) for row in STEPS])
def test_plan(fields: dict[str, object], seen: Seen, step: object) -> None:
    assert plan(replace(WEB, **fields), seen) == step


def test_a_snapshot_that_is_gone_costs_the_guest_nothing() -> None:
    step = plan(replace(WEB, revert=BACK), Seen(domain=RUNS, note=UP, snapshots={"snap-1": ABSENT}))
    assert isinstance(step, Remember) and step.note.reverted == "op-1" and step.note.stopped == ""
    assert step.note.revert_trouble and step.note.revert_trouble.code == "snapshot.gone"


def test_a_failed_one_does_not_hold_the_vm_up() -> None:
    failed = SnapshotReport(state=SnapshotState.FAILED)
    seen = Seen(domain=STOPPED, note=LocalVm(), snapshots={"snap-1": failed})
    assert not isinstance(plan(replace(WEB, snapshots=(ONE,)), seen), TakeSnapshot | LookAtSnapshots)


def test_a_new_start_remembers_what_was_reverted() -> None:
    from corral.agent.reconcile import Ground

    seen = Seen(domain=STOPPED, note=replace(AFTER, load="snap-2"), ground=Ground("/seed"), now_s=5.0)
    step = plan(replace(WEB, revert=replace(BACK, to=KEPT)), seen)
    assert isinstance(step, Start) and (step.note.reverted, step.note.load) == ("op-1", "snap-2")


def state_of(rig: Rig, id: str = "snap-1") -> SnapshotReport | None:
    report = rig.one.server.vm()
    return report.snapshots.get(id) if report else None


def is_ready(rig: Rig, id: str = "snap-1") -> bool:
    seen = state_of(rig, id)
    return seen is not None and seen.state is SnapshotState.READY


def reverted(rig: Rig, wish: str) -> bool:
    report = rig.one.server.vm()
    return bool(
        report and report.revert and report.revert.wish == wish and report.state is DomainState.RUNNING
    )


@in_rig
async def test_take_revert_drop(rig: Rig) -> None:
    await rig.web_runs()
    disk = rig.world.contents.at(PATH)
    was = disk.now
    rig.one.server.assign(replace(WEB, snapshots=(ONE,)))
    await rig.until(lambda: is_ready(rig))
    seen = state_of(rig)
    assert seen and seen.frozen and seen.taken_at > 0 and rig.one.runs()
    disk.now = "later"
    starts = rig.one.host.starts
    rig.one.server.assign(replace(WEB, revert=BACK))
    await rig.until(lambda: reverted(rig, "op-1"))
    assert disk.snapshots["snap-1"][0] == was and rig.one.host.starts == starts + 1
    await rig.passes(30)
    assert rig.one.host.starts == starts + 1, "a revert is carried out once"
    rig.one.server.assign(replace(WEB, snapshots=(GONE,)))
    await rig.until(lambda: state_of(rig) == DROPPED)
    assert not disk.snapshots


@in_rig
async def test_memory_is_loaded(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, snapshots=(KEPT,)))
    await rig.until(lambda: is_ready(rig, "snap-2"))
    disk = rig.world.contents.at(PATH)
    was, disk.now = disk.now, "later"
    rig.one.server.assign(replace(WEB, revert=RevertAssignment(wish="op-2", to=KEPT)))
    await rig.until(lambda: reverted(rig, "op-2"))
    assert disk.now == was, "the guest went on from its memory, and did not boot"


@in_rig
async def test_memory_that_does_not_fit_is_said_and_the_vm_boots(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, snapshots=(KEPT,)))
    await rig.until(lambda: is_ready(rig, "snap-2"))
    rig.one.faults.plan("hypervisor.start_from", MemoryNotLoaded("other hardware"))
    rig.one.server.assign(replace(WEB, revert=RevertAssignment(wish="op-2", to=KEPT)))
    await rig.until(lambda: reverted(rig, "op-2"))
    report = rig.one.server.vm()
    assert report and report.revert and report.revert.state == "failed" and report.revert.trouble
    assert report.revert.trouble.code == "snapshot.memory_not_loaded" and rig.one.runs()


@in_rig
async def test_one_that_fails_is_said_and_not_tried_again(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.faults.plan("hypervisor.take_snapshot", SnapshotFailed("no"))
    rig.one.server.assign(replace(WEB, snapshots=(ONE,)))
    await rig.until(lambda: (s := state_of(rig)) and s.state is SnapshotState.FAILED)
    await rig.passes(60)
    assert not rig.world.contents.at(PATH).snapshots and rig.one.runs()


@in_rig
async def test_dropping_is_tried_again(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, snapshots=(ONE,)))
    await rig.until(lambda: is_ready(rig))
    rig.one.faults.plan("hypervisor.drop_snapshot", SnapshotFailed("busy"), SnapshotFailed("busy"))
    rig.one.server.assign(replace(WEB, snapshots=(GONE,)))
    await rig.until(lambda: state_of(rig) == DROPPED)


@in_rig
async def test_killed_while_taking_and_reverting(rig: Rig) -> None:
    """Killed again and again: in the end it is done, once, and whole."""
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, snapshots=(ONE,)))
    for after_s in (0.004, 0.01, 0.02, 0.03, 0.05):
        await rig.clock.sleep(after_s)
        rig.one.kill()
        rig.one.start()
    await rig.until(lambda: is_ready(rig))
    rig.one.server.assign(replace(WEB, revert=BACK))
    for after_s in (0.004, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2):
        await rig.clock.sleep(after_s)
        rig.one.kill()
        rig.one.start()
    await rig.until(lambda: reverted(rig, "op-1"))
    assert rig.one.memory.notes[VM].reverted == "op-1"
