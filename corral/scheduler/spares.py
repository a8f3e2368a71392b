"""Spares: whether the loss of any one node, or rack, could be absorbed by the others.

In this room   absorbs(): admission control for a policy with `spare`
Comes in       a fleet, an Ask, the row that is to take it
Goes out       whether all that a lost domain runs would find room elsewhere, with the VM placed there
Always true    says yes only if it has found a place for each VM of the domain that takes the new one, and of the fullest
               others; and only if, for every domain, what is free elsewhere is enough in sum. Only amounts count: what
               ties a VM to its node (devices, local volumes) is nobody's to absorb.
Next door      placement.py asks before it decides
Start here     absorbs()
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.model.policy import Spare
from corral.scheduler.dimensions import DIMENSIONS, Bools, Floats
from corral.scheduler.fleet import Fleet
from corral.scheduler.rules import NODE, RACK, domains

UNLIMITED: Final = 1e18  # instead of inf, which can't be subtracted from itself
FULLEST: Final = 3  # other domains that are looked at VM by VM
REASON: Final = {
    Spare.NODE: "what runs on a node could not all start elsewhere if that were lost",
    Spare.RACK: "what runs in a rack could not all start elsewhere if that were lost",
}


def absorbs(fleet: Fleet, need: Floats, row: int, spare: Spare) -> bool:
    """Whether any one domain may be lost, with `need` (DIMENSIONS,) more on this row.

    costs   nodes in NumPy for each size of VM in up to FULLEST + 1 domains
    """
    numbers = _dense(domains(fleet, NODE if spare is Spare.NODE else RACK))
    claimed = fleet.claimed[: fleet.size].copy()
    claimed[row] += need
    open_ = fleet.columns.takes_vms
    free = np.minimum(np.maximum(fleet.capacity[: fleet.size] - claimed, 0.0), UNLIMITED)
    free[~open_] = 0.0
    used, left = _sums(claimed, numbers), _sums(free, numbers)
    if not (used <= left.sum(axis=0) - left).all():
        return False
    fullness = (used / np.maximum(_sums(_finite(fleet), numbers), 1e-9)).max(axis=1)
    look_at = {int(numbers[row]), *np.argsort(-fullness, kind="stable")[:FULLEST].tolist()}
    return all(_evacuates(fleet, need, row, numbers == domain, free) for domain in sorted(look_at))


def _dense(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    _, dense = np.unique(numbers, return_inverse=True)
    return dense.astype(np.int64)


def _finite(fleet: Fleet) -> Floats:
    capacity = fleet.capacity[: fleet.size]
    limited: Floats = np.where(np.isfinite(capacity), capacity, 0.0)
    return limited


def _sums(amounts: Floats, numbers: NDArray[np.int64]) -> Floats:
    """Per domain. (domains, DIMENSIONS)"""
    sums = np.zeros((int(numbers.max()) + 1, DIMENSIONS))
    np.add.at(sums, numbers, amounts)
    return sums


def _evacuates(fleet: Fleet, need: Floats, row: int, lost: Bools, free: Floats) -> bool:
    """Large ones first, those of one size together, on the fullest nodes."""
    ids = [fleet.ids[at] for at in np.flatnonzero(lost)]
    needs = [fleet.amounts(claim) for node in ids for claim in fleet.vms.get(node, {}).values()]
    if lost[row]:
        needs.append(need)
    if not needs:
        return True
    left = np.where(lost[:, None], 0.0, free)
    whole = np.maximum(_finite(fleet).max(axis=0), 1e-9)
    sizes, counts = np.unique(np.array(needs), axis=0, return_counts=True)
    for at in np.argsort(-(sizes / whole).max(axis=1), kind="stable"):
        if not _fill(left, sizes[at], int(counts[at]), whole):
            return False
    return True


def _fill(left: Floats, size: Floats, count: int, whole: Floats) -> bool:
    """Take room for so many VMs of one size, on the fullest nodes that take some; whether there was enough."""
    asked = size > 0
    slots = np.floor(left[:, asked] / size[asked]).min(axis=1, initial=count).astype(np.int64)
    room = np.where(left < UNLIMITED / 2, left / whole, 0.0).sum(axis=1)
    order = np.argsort(room, kind="stable")
    before = np.cumsum(slots[order]) - slots[order]
    taken = np.clip(count - before, 0, slots[order])
    left[order] -= taken[:, None] * size
    return int(taken.sum()) == count
