"""Copying: which volumes are on their way to being a copy of another one.

In this room   copies_of(), for all who might take the source away
Comes in       the mirror
"""

from corral.model.volume import Volume
from corral.store.mirror import Mirror


def copies_of(volume: Volume, mirror: Mirror) -> list[Volume]:
    """Volumes that are still being copied from it."""
    found = mirror.select(Volume, "source", volume.id)
    return [copy for copy in found if not copy.deleting and not copy.status.made]
