"""Snapshots: what the owner of a VM does to take them, drop them, and go back to one.

In this room   pure: the next step about a VM's snapshots, before anything else is done to the VM
Comes in       VmAssignment, and Seen with what is known of its snapshots
Goes out       a Step, or None: nothing to do, the VM's own life goes on
Always true    one that can't be taken is not tried again, so that a VM never waits for it. A guest is stopped for a
               revert only after the snapshot was seen whole; from then on it is repeated until it has succeeded,
               because disks that are half reverted must not run.
Next door      reconcile.py calls plan_snapshots(); snapshot_lane.py acts
Start here     plan_snapshots()
"""

from msgspec import Struct
from msgspec.structs import replace

from corral.agent.ports import LocalVm
from corral.errors import CorralError
from corral.model.link import RevertAssignment, SnapshotAssignment, VmAssignment
from corral.model.resource import Trouble
from corral.model.snapshot import RevertReport, SnapshotReport, SnapshotState
from corral.model.vm import StopReason

Known = dict[str, SnapshotReport]


class SnapshotGone(CorralError):
    """The snapshot is not on the disks any more, or on some of them only."""

    code = "snapshot.gone"
    status = 409


class LookAtSnapshots(Struct, frozen=True):
    """See how much of these is there."""

    wishes: tuple[SnapshotAssignment, ...]


class TakeSnapshot(Struct, frozen=True):
    wish: SnapshotAssignment


class DropSnapshot(Struct, frozen=True):
    wish: SnapshotAssignment


class Revert(Struct, frozen=True):
    """Put the disks back, then note this on disk."""

    to: SnapshotAssignment
    note: LocalVm


SnapshotStep = LookAtSnapshots | TakeSnapshot | DropSnapshot | Revert


def plan_snapshots(vm: VmAssignment, known: Known) -> LookAtSnapshots | TakeSnapshot | DropSnapshot | None:
    """The next thing to do about snapshots that are to be taken or dropped."""
    if unknown := tuple(wish for wish in vm.snapshots if wish.snapshot not in known):
        return LookAtSnapshots(unknown)
    for wish in vm.snapshots:
        seen = known[wish.snapshot]
        if not wish.wanted and (seen.wanted or seen.state is SnapshotState.PARTIAL):
            return DropSnapshot(wish)
        if wish.wanted and seen.state is SnapshotState.PARTIAL:
            return DropSnapshot(wish)
        if wish.wanted and seen.state is SnapshotState.ABSENT:
            return TakeSnapshot(wish)
    return None


def reverts(vm: VmAssignment, note: LocalVm | None) -> RevertAssignment | None:
    """The revert that is still to be carried out."""
    done = note.reverted if note else ""
    return vm.revert if vm.revert and vm.revert.wish != done else None


def plan_revert(
    revert: RevertAssignment, note: LocalVm, known: Known, now_s: float
) -> LookAtSnapshots | Revert | LocalVm:
    """Look first; then go back to it, once the domain does not run. A note: it can't be done."""
    seen = known.get(revert.to.snapshot)
    if seen is None:
        return LookAtSnapshots((revert.to,))
    if seen.state is not SnapshotState.READY:
        return replace(note, reverted=revert.wish, revert_trouble=_gone(revert, now_s), load="")
    load = revert.to.snapshot if revert.to.memory else ""
    after = replace(note, reverted=revert.wish, revert_trouble=None, load=load, stopped=StopReason.ASKED)
    return Revert(revert.to, after)


def report_of(vm: VmAssignment, note: LocalVm | None) -> RevertReport | None:
    """What to say of the present wish: how it ended, once it has. Memory counts when it is loaded."""
    if vm.revert is None or note is None or note.reverted != vm.revert.wish or note.load:
        return None
    state = "failed" if note.revert_trouble else "done"
    return RevertReport(wish=vm.revert.wish, state=state, trouble=note.revert_trouble)


def _gone(revert: RevertAssignment, now_s: float) -> Trouble:
    error = SnapshotGone(
        f"the disks do not have snapshot {revert.to.snapshot}, or not all of them",
        hint="Delete it: `corral snapshot delete`. The guest was not stopped for it.",
        snapshot=revert.to.snapshot,
    )
    return Trouble.of(error, now_s)
