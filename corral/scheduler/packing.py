"""Packing: what, beyond the shares of a node, decides how full a fleet stays while VMs come and go.

In this room   the order in which VMs that wait together are placed; bonus(), how much a node is worth being kept full
Comes in       amounts and batches of the waiting VMs; the columns since_s and settled
Goes out       indices; Columns.bonus
Always true    nothing here knows when a VM will end: only how old those are that run
Next door      judging.py adds the bonus to the score; consolidation.py empties nodes; replay.py measures both
Start here     bonus()

A fleet is dense when nodes are either full or empty, so VMs that stay belong together, on nodes that are kept full, and
those that leave soon belong on nodes that may run empty. Nobody knows lifetimes beforehand, but two things tell of them:
a VM that has run for hours stays on (lifetimes have heavy tails), and VMs of one request end together. So what comes
goes to the nodes with the most old VMs; of what waits, small batches choose first and so fill the gaps there, and large
ones, which leave large holes all at once, come to lie side by side on the youngest nodes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.dimensions import Bools, Floats

Indices = NDArray[np.int64]

SETTLED_S: Final = 4 * 3600.0  # from this age on a VM counts as one that stays
SETTLED_WEIGHT: Final = 0.005  # of one vCPU of such VMs
AGE_WEIGHT: Final = 0.05  # of the logarithm of a node's age in seconds
YOUNG_S: Final = 60.0  # added to a node's age, so that its logarithm is one
EMPTY: Final = -3.0  # bonus of an empty node, well below that of any other
HEAVY: Final = (
    1.5  # a VM is heavy in memory when its share of a node's is so many times its share of the CPUs
)
STEPS: Final = 4  # classes of batch sizes for each doubling


def bonus(since_s: Floats, settled: Floats, empty: Bools, now_s: float) -> Floats:
    """How much each node is worth being kept full; no unit, about 0 to 1, EMPTY for an empty one. Higher is better.

    since_s  (nodes,) when the node's first VM came
    settled  (nodes,) vCPUs of VMs older than SETTLED_S
    empty    (nodes,)
    """
    age_s = np.maximum(now_s - since_s, 0.0)
    return np.where(empty, EMPTY, SETTLED_WEIGHT * settled + AGE_WEIGHT * np.log(YOUNG_S + age_s))


def order(cpus: Floats, memory: Floats, batch: Indices, node_cpus: float, node_memory: float) -> Indices:
    """The order in which VMs that wait at the same time are placed.

    cpus, memory            (vms,) what each asks for; memory in the unit of node_memory
    batch                   (vms,) equal for VMs of one request
    node_cpus, node_memory  of a typical node

    First those that are heavy in memory, for which few nodes have room; then small batches before large ones; in a
    batch large VMs before small ones.
    """
    _, place, counts = np.unique(batch, return_inverse=True, return_counts=True)
    total = np.bincount(place, weights=cpus, minlength=len(counts))[place]
    size = np.floor(STEPS * np.log2(np.maximum(total, 1e-9)))
    light = memory * node_cpus <= HEAVY * cpus * node_memory
    return np.lexsort((-memory, -cpus, batch, size, light))
