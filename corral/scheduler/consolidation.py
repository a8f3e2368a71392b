"""Consolidation: which nodes to empty by live migration, when every move has its price.

In this room   Budget, a bucket of moves that fills with time; empty_nodes(), the moves that it is worth spending now
Comes in       free amounts of nodes, which VMs are where and what they need, the moves in the bucket
Goes out       moves, in an order in which no node is overfilled on the way
Always true    a VM moves only to a node that has another VM, and only if the whole of its node moves
Next door      emptying.py has the loop; packing.py makes nodes that empty by themselves; rebalance/ plans for a fleet
               as it stands
Start here     empty_nodes()

A node is worth emptying when few VMs are on it and when the fleet will not need it again at once: with so much slack
that arrivals fit elsewhere. So the price that is paid, in VMs a node, grows with the fleet's slack and with how full the
bucket is; in a fleet without slack moves are saved for the evening.
"""

from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.scheduler.dimensions import Floats
from corral.scheduler.packing import Indices

PRICE: Final = (
    700.0  # VMs that may be on a node to be worth emptying, for a full bucket and a fleet that is all slack
)
SAVED_HOURS: Final = 6.0  # what the bucket holds at most
FIT: Final = 0.5  # weight of filling the target, beside its bonus
STRANDING: Final = 30.0  # weight of CPU and memory running out together


class Budget(Struct):
    """Moves that may be made: a token bucket, filled by running VMs."""

    per_100_vm_hours: float
    moves: float = 0.0
    most: float = 0.0

    def fill(self, running: int, hours: float) -> None:
        """`running` VMs have run for so long."""
        self.most = self.per_100_vm_hours * running / 100 * SAVED_HOURS
        self.moves = min(self.moves + self.per_100_vm_hours * running / 100 * hours, self.most)

    @property
    def full(self) -> float:
        """0 to 1."""
        return self.moves / self.most if self.most > 0 else 0.0


class Moves(NamedTuple):
    """In this order, each (moves,)."""

    vms: NDArray[np.int64]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]


def empty_nodes(
    capacity: Floats, free: Floats, bonus: Floats, where: Indices, need: Floats, budget: Budget
) -> Moves:
    """Empty what is worth it within the budget, which is left as it is.

    capacity  (nodes, 2) vCPUs and memory, above 0
    free      (nodes, 2)
    bonus     (nodes,) see packing.py: VMs move to the nodes with the highest
    where     (vms,) the node of each VM
    need      (vms, 2)
    """
    by_node = np.argsort(where, kind="stable").astype(np.int64)
    first = np.searchsorted(where[by_node], np.arange(len(capacity) + 1)).astype(np.int64)
    from corral.scheduler.emptying import empty  # compiled, which takes a second the first time

    found = empty(
        capacity,
        free.copy(),
        bonus,
        first,
        by_node,
        need,
        int(budget.moves),
        PRICE * np.sqrt(budget.full),
        FIT,
        STRANDING,
    )
    return Moves(found[:, 0], found[:, 1], found[:, 2])
