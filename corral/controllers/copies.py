"""Copies: which of an image's copies in the pools are of use, and which may go.

In this room   pure functions on an image, the volumes that stand on it, and the time
Comes in       the mirror's view of both
Goes out       the image's copies as they should be noted next
Always true    a copy that a volume stands on, or may be about to, never goes; one goes only after it was unused for
               so long, and is noted as going before its node is told. The node looks for itself as well
Next door      image.py carries out; vm.py notes new copies (images_with_copies)
Start here     tidied()
"""

from collections.abc import Iterable

import msgspec

from corral.model.image import Image, ImageCopy
from corral.model.volume import ObjectState, Volume


def tidied(
    image: Image, volumes: Iterable[Volume], shared: frozenset[str], now_s: float, keep_s: float
) -> dict[str, ImageCopy]:
    """The copies as they are to be noted.

    volumes  all that are made from the image, in the trash or on their way out too
    shared   ids of the pools that all nodes share
    keep_s   how long a copy is kept that no volume stands on
    """
    used = {key for volume in volumes for key in places_of(volume, shared)}
    kept: dict[str, ImageCopy] = {}
    for key, copy in image.status.copies.items():
        if key in used:
            kept[key] = needed(copy)
        elif not is_gone(copy):
            kept[key] = _unused(copy, now_s, keep_s)
    return kept


def places_of(volume: Volume, shared: frozenset[str]) -> list[str]:
    """Keys of the copies that it stands on, or may be about to: those of ImageStatus.copies."""
    node = volume.status.node
    pools = dict.fromkeys(p for p in (volume.spec.pool, volume.status.pool, volume.status.moving) if p)
    return [pool if pool in shared else f"{pool}@{node}" for pool in pools]


def needed(copy: ImageCopy) -> ImageCopy:
    """What a copy becomes when a volume stands on it."""
    if copy.unused_since is None and not copy.going:
        return copy
    return msgspec.structs.replace(copy, unused_since=None, going=False, report=None)


def is_gone(copy: ImageCopy) -> bool:
    """Whether its node has removed it, as it was told."""
    report = copy.report
    return copy.going and report is not None and report.state is ObjectState.ABSENT and not report.wanted


def due_s(image: Image, now_s: float, keep_s: float, look_s: float) -> float | None:
    """Seconds until a copy may go; None: there is none."""
    if not image.status.copies:
        return None
    waits = [c.unused_since + keep_s - now_s for c in image.status.copies.values() if c.unused_since]
    return max(0.05, min([look_s, *(wait for wait in waits if wait > 0)]))


def _unused(copy: ImageCopy, now_s: float, keep_s: float) -> ImageCopy:
    if copy.going:
        return copy
    if copy.unused_since is None:
        return msgspec.structs.replace(copy, unused_since=now_s)
    if now_s - copy.unused_since < keep_s:
        return copy
    return msgspec.structs.replace(copy, going=True, report=None)
