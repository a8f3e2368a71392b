"""Snapshot controller: follows taking and deleting, and takes away what was only there to be copied.

In this room   plan_snapshot(), pure; the thin part around it
Comes in       a snapshot, its VM with what the VM's node reports
Goes out       the snapshot's next status, or that it may go
Always true    READY stays READY until it is deleted: nodes report only on what they are told to do. A VM that goes
               takes its snapshots along (controllers/vm.py).
Next door      settling.py plans as soon as a report is merged; server/assignments.py tells the node
Start here     plan_snapshot()
"""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from corral.controllers.copying import copies_of_snapshot
from corral.controllers.desk import Seat
from corral.model.resource import Trouble
from corral.model.snapshot import (
    Snapshot,
    SnapshotPhase,
    SnapshotReport,
    SnapshotState,
    SnapshotStatus,
)
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.store.interface import Change, ChangeVerb, Put, Remove, Write
from corral.store.mirror import Mirror

AGAIN_S = 5.0  # until one that a clone waits for is tried again


class SnapshotPlan(Struct, frozen=True, kw_only=True):
    status: SnapshotStatus
    remove: bool = False


def plan_snapshot(snapshot: Snapshot, vm: VM | None, now_s: float) -> SnapshotPlan:
    """The snapshot's next status."""
    status, report = snapshot.status, _report(snapshot, vm)
    trouble = report.trouble if report else None
    if snapshot.deleting:
        dropped = report is not None and report.state is SnapshotState.ABSENT and not report.wanted
        gone = vm is None or dropped
        return SnapshotPlan(status=_to(status, SnapshotPhase.DELETING, trouble, now_s), remove=gone)
    if vm is None:
        return SnapshotPlan(status=status, remove=True)
    if status.phase in (SnapshotPhase.READY, SnapshotPhase.FAILED) or report is None:
        return SnapshotPlan(status=status)
    if report.state is SnapshotState.READY:
        ready = msgspec.structs.replace(
            status, taken_at=report.taken_at, frozen=report.frozen, memory_bytes=report.memory_bytes
        )
        return SnapshotPlan(status=_to(ready, SnapshotPhase.READY, None, now_s))
    if report.state is SnapshotState.FAILED and report.wanted:
        return SnapshotPlan(status=_to(status, SnapshotPhase.FAILED, trouble, now_s))
    return SnapshotPlan(status=status)


def _report(snapshot: Snapshot, vm: VM | None) -> SnapshotReport | None:
    report = vm.report if vm else None
    return report.snapshots.get(snapshot.id) if report else None


def _to(
    status: SnapshotStatus, phase: SnapshotPhase, trouble: Trouble | None, now_s: float
) -> SnapshotStatus:
    since = status.since if phase is status.phase and status.since else now_s
    return msgspec.structs.replace(status, phase=phase, trouble=trouble, since=since)


def snapshots_as_reported(mirror: Mirror, vm: VM, now_s: float) -> Iterator[Snapshot]:
    """Those of the VM whose status follows from what is now known of it."""
    if vm.report is None or not vm.report.snapshots:
        return
    for snapshot in mirror.select(Snapshot, "vm", vm.id):
        plan = plan_snapshot(snapshot, vm, now_s)
        if plan.status != snapshot.status:
            yield snapshot.having(status=plan.status)


def done_copying(mirror: Mirror, snapshot: Snapshot) -> bool:
    """Whether it was taken to be copied, and no volume is being made from it any more."""
    if snapshot.spec.copy_for is None or snapshot.deleting:
        return False
    if snapshot.status.phase is SnapshotPhase.CREATING:
        return False
    return not copies_of_snapshot(snapshot, mirror)


class SnapshotController(Seat):
    """One key a snapshot."""

    name = "snapshot"
    workers = 2

    def all_keys(self) -> Iterable[str]:
        return [s.id for s in self.mirror.list(Snapshot)]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case Snapshot() as snapshot:
                yield snapshot.id
            case VM() as vm if change.verb is ChangeVerb.REMOVE or (vm.report and vm.report.snapshots):
                yield from (s.id for s in self.mirror.select(Snapshot, "vm", vm.id))
            case Volume() as volume if volume.spec.source and volume.spec.source.snapshot:
                yield volume.spec.source.snapshot

    async def reconcile(self, key: str) -> float | None:
        snapshot = self.mirror.get(key)
        if not isinstance(snapshot, Snapshot):
            return None
        vm, now_s = self.mirror.get(snapshot.spec.vm), self.clock.now_s()
        plan = plan_snapshot(snapshot, vm if isinstance(vm, VM) else None, now_s)
        if plan.remove:
            event = self.desk.event(snapshot, "deleted", f"{snapshot.name}: deleted")
            writes: list[Write] = [Put(event), Remove(snapshot.id)]
            await self.desk.commit(writes, {snapshot.id: snapshot.revision, event.id: 0})
        elif plan.status != snapshot.status:
            await self.desk.replace(snapshot.having(status=plan.status))
        elif done_copying(self.mirror, snapshot):
            gone = snapshot.having(deleted_at=now_s, generation=snapshot.generation + 1)
            await self.desk.replace(gone)
        elif snapshot.spec.copy_for and snapshot.status.phase is SnapshotPhase.FAILED:
            return await self._again(snapshot, now_s)
        return None

    async def _again(self, snapshot: Snapshot, now_s: float) -> float | None:
        """A clone waits for it, and any moment will do."""
        left_s = snapshot.status.since + AGAIN_S - now_s
        if left_s > 0:
            return left_s
        status = _to(snapshot.status, SnapshotPhase.CREATING, snapshot.status.trouble, now_s)
        await self.desk.replace(snapshot.having(status=status))
        return None
