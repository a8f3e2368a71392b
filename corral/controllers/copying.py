"""Copying: which volumes are on their way to being a copy of another one.

In this room   copies_of() and copies_of_snapshot(), for all who might take the source away
Comes in       the mirror
"""

from corral.model.snapshot import Snapshot
from corral.model.volume import Volume
from corral.store.mirror import Mirror


def copies_of(volume: Volume, mirror: Mirror) -> list[Volume]:
    """Volumes that are still being copied from it."""
    return _unfinished(mirror, volume.id)


def copies_of_snapshot(snapshot: Snapshot, mirror: Mirror) -> list[Volume]:
    """Volumes that are still being copied from it, out of any of its disks."""
    found = [copy for disk in snapshot.spec.disks for copy in _unfinished(mirror, disk)]
    return [copy for copy in found if copy.spec.source and copy.spec.source.snapshot == snapshot.id]


def _unfinished(mirror: Mirror, source: str) -> list[Volume]:
    found = mirror.select(Volume, "source", source)
    return [copy for copy in found if not copy.deleting and not copy.status.made]
