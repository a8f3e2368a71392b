"""Copying: which volumes are on their way to being a copy of another one.

In this room   copies_of(), copies_of_snapshot(), clones_to_come(), for all who might take the source away
Comes in       the mirror
"""

from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.store.mirror import Mirror


def copies_of(volume: Volume, mirror: Mirror) -> list[Volume]:
    """Volumes that are still being copied from it."""
    return [copy for copy in _unfinished(mirror, volume.id) if not lacks_snapshot(copy, mirror)]


def copies_of_snapshot(snapshot: Snapshot, mirror: Mirror) -> list[Volume]:
    """Volumes that are still being copied from it, out of any of its disks."""
    found = [copy for disk in snapshot.spec.disks for copy in _unfinished(mirror, disk)]
    return [copy for copy in found if copy.spec.source and copy.spec.source.snapshot == snapshot.id]


def lacks_snapshot(copy: Volume, mirror: Mirror) -> bool:
    """Whether there is nothing to copy yet, or any more: the snapshot that it is to be made from is not taken."""
    if copy.spec.source is None or copy.spec.source.snapshot is None:
        return False
    snapshot = mirror.get(copy.spec.source.snapshot)
    return not isinstance(snapshot, Snapshot) or snapshot.status.phase is not SnapshotPhase.READY


def waits_for_snapshot(copy: Volume, mirror: Mirror) -> bool:
    """Whether it will be taken still."""
    snapshot = mirror.get(copy.spec.source.snapshot or "") if copy.spec.source else None
    if not isinstance(snapshot, Snapshot) or snapshot.deleting:
        return False
    vm = mirror.get(snapshot.spec.vm)
    return lacks_snapshot(copy, mirror) and vm is not None and not vm.deleting


def clones_to_come(vm: VM, mirror: Mirror) -> list[Volume]:
    """Volumes that are to be copied from a snapshot of this VM which has still to be taken."""
    disks = [copy for disk in vm.spec.disks for copy in _unfinished(mirror, disk.volume)]
    return [copy for copy in disks if waits_for_snapshot(copy, mirror) and not _goes(copy, mirror)]


def _goes(copy: Volume, mirror: Mirror) -> bool:
    """Whether the VM that it is made for is being deleted."""
    vm = mirror.get(copy.spec.vm or "")
    return vm is not None and vm.deleting


def _unfinished(mirror: Mirror, source: str) -> list[Volume]:
    found = mirror.select(Volume, "source", source)
    return [copy for copy in found if not copy.deleting and not copy.status.made]
