"""Columns: the nodes as arrays, one row a node, with a log of the rows that changed.

In this room   Columns: arrays that grow by doubling, and touch(), which notes that a row is another one
Comes in       rows, as fleet.py (or a trace) fills them
Goes out       arrays for judging.py and kernels.py; flavours.py reads the log to renew only what changed
Always true    rows never move and are never given to another node. Whoever changes a row touches it.
               Dimensions that a node does not limit have capacity inf; those that it has nothing of, 0.
Next door      dimensions.py names the columns
Start here     Columns

Memory: 305 bytes a node with two NUMA cells, kinds aside (columns_bytes() counts them).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.dimensions import CELL_DIMENSIONS, DIMENSIONS, Bools, Floats

ABSENT: Final = 0  # states of a row: no such node (yet, or any more)
CLOSED: Final = 1  # there, takes no VMs
OPEN: Final = 2
LOG: Final = 1 << 14  # rows remembered; whoever is further behind looks at all rows


class Nodes(NamedTuple):
    """The arrays as a kernel takes them. Shapes: n rows, c cells, p pools."""

    state: NDArray[np.uint8]  # (n,)
    kind: NDArray[np.int32]  # (n,) number of its set of traits
    place: NDArray[np.int32]  # (n,) number of its set of networks
    site: NDArray[np.int32]  # (n,) number of its set of labels
    capacity: Floats  # (n, DIMENSIONS)
    claimed: Floats  # (n, DIMENSIONS)
    cells_capacity: Floats  # (n, c, CELL_DIMENSIONS)
    cells_claimed: Floats  # (n, c, CELL_DIMENSIONS)
    pools: Floats  # (p, n) bytes free; -1: not there, or not ready
    vms: NDArray[np.int32]  # (n,) claims on it
    bonus: Floats  # (n,) added to scores, times Weights.bonus: what somebody knows beyond the arrays
    idle_watts: Floats  # (n,) that it draws more when it has its first VM
    watts_per_cpu: Floats  # (n,) and for each vCPU


BESIDE: Final = ("ends_s", "since_s", "settled")  # columns that no kernel reads; bonus is made of such


class Columns:
    """Arrays of all nodes."""

    def __init__(self, rows: int = 8, cells: int = 1) -> None:
        self.size = 0  # rows in use
        self.state = np.zeros(rows, dtype=np.uint8)
        self.kind, self.place, self.site = (np.zeros(rows, dtype=np.int32) for _ in range(3))
        self.capacity, self.claimed = np.zeros((rows, DIMENSIONS)), np.zeros((rows, DIMENSIONS))
        self.cells_capacity = np.zeros((rows, cells, CELL_DIMENSIONS))
        self.cells_claimed = np.zeros((rows, cells, CELL_DIMENSIONS))
        self.pools = np.full((0, rows), -1.0)
        self.vms = np.zeros(rows, dtype=np.int32)
        self.bonus, self.idle_watts, self.watts_per_cpu = (np.zeros(rows) for _ in range(3))
        self.ends_s = np.zeros(rows)  # when its last VM is expected to end; same clock as Ask.ends_s
        self.since_s = np.zeros(rows)  # when its first VM came; whoever knows the time writes it
        self.settled = np.zeros(rows)  # vCPUs of VMs that have been there for long; likewise
        self.log = np.zeros(LOG, dtype=np.int32)
        self.changes = 0  # touched so far; change c is log[c % LOG]
        self.epoch = 0  # grows when arrays were replaced: all who hold some take them anew
        self._nodes: Nodes | None = None

    @property
    def nodes(self) -> Nodes:
        """The arrays themselves, not copies; good until `epoch` grows."""
        if self._nodes is None:
            self._nodes = Nodes(*(getattr(self, name) for name in Nodes._fields))
        return self._nodes

    @property
    def present(self) -> Bools:
        flags: Bools = self.state[: self.size] != ABSENT
        return flags

    @property
    def takes_vms(self) -> Bools:
        flags: Bools = self.state[: self.size] == OPEN
        return flags

    @property
    def columns_bytes(self) -> int:
        return sum(array.nbytes for array in self.nodes)

    def set_bonus(self, bonus: Floats) -> None:
        """Anew for all rows. (size,)"""
        changed = np.flatnonzero(self.bonus[: self.size] != bonus)
        self.bonus[: self.size] = bonus
        for row in changed.tolist():
            self.touch(row)

    def touch(self, row: int) -> None:
        self.log[self.changes % LOG] = row
        self.changes += 1

    def add_row(self) -> int:
        if self.size == len(self.state):
            self._replace(rows=2 * self.size)
        self.size += 1
        self.touch(self.size - 1)
        return self.size - 1

    def add_pool(self) -> int:
        self._replace(pools=len(self.pools) + 1)
        return len(self.pools) - 1

    def have_cells(self, count: int) -> None:
        """Make room for nodes with so many cells."""
        if count > self.cells_capacity.shape[1]:
            self._replace(cells=count)

    def _replace(self, rows: int = 0, cells: int = 0, pools: int = 0) -> None:
        """Larger arrays with the same content."""
        for name in (*Nodes._fields, *BESIDE):
            old = getattr(self, name)
            shape = list(old.shape)
            if name == "pools":
                shape = [max(shape[0], pools), max(shape[1], rows)]
            else:
                shape[0] = max(shape[0], rows)
                if name.startswith("cells"):
                    shape[1] = max(shape[1], cells)
            if tuple(shape) != old.shape:
                new = np.full(shape, -1.0) if name == "pools" else np.zeros(shape, dtype=old.dtype)
                new[tuple(map(slice, old.shape))] = old
                setattr(self, name, new)
        self._nodes, self.epoch = None, self.epoch + 1
