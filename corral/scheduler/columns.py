"""Columns: the nodes as arrays, one row a node, with a log of the rows that changed.

In this room   Columns: arrays that grow by doubling, and touch(), which notes that a row is another one
Comes in       rows, as fleet.py (or a trace) fills them
Goes out       arrays for judging.py and kernels.py; flavours.py reads the log to renew only what changed
Always true    rows never move and are never given to another node. Whoever changes a row touches it.
               Dimensions that a node does not limit have capacity inf; those that it has nothing of, 0.
Next door      dimensions.py names the columns
Start here     Columns

Memory: 340 bytes a node with two NUMA cells, kinds aside (columns_bytes counts them), 13 more for each tree that
flavours.py keeps, and 215 a VM in fleet.py's claims.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.dimensions import CELL_DIMENSIONS, DIMENSIONS, Bools, Floats

ABSENT: Final = 0  # states of a row: no such node (yet, or any more)
CLOSED: Final = 1  # there, takes no VMs
OPEN: Final = 2
LOG: Final = 1 << 14  # rows remembered; whoever is further behind looks at all rows


STATE: Final = 0  # ABSENT, CLOSED, OPEN
KIND: Final = 1  # number of its set of traits
PLACE: Final = 2  # number of its set of networks
SITE: Final = 3  # number of its set of labels
VMS: Final = 4  # claims on it
MARKS: Final = 5
BONUS: Final = 0  # added to scores, times Weights.bonus: what somebody knows beyond the arrays
IDLE_WATTS: Final = 1  # that it draws more when it has its first VM
WATTS_PER_CPU: Final = 2  # and for each vCPU
EXTRAS: Final = 3


class Nodes(NamedTuple):
    """The arrays as a kernel takes them: few, since each costs 0.2 us to hand over. Shapes: n rows, c cells, p pools."""

    marks: NDArray[np.int32]  # (n, 5): STATE …
    extras: Floats  # (n, 3): BONUS …
    capacity: Floats  # (n, DIMENSIONS)
    claimed: Floats  # (n, DIMENSIONS)
    cells_capacity: Floats  # (n, c, CELL_DIMENSIONS)
    cells_claimed: Floats  # (n, c, CELL_DIMENSIONS)
    pools: Floats  # (p, n) bytes free; -1: not there, or not ready


BESIDE: Final = ("ends_s", "since_s", "settled")  # columns that no kernel reads; bonus is made of such


class Columns:
    """Arrays of all nodes."""

    def __init__(self, rows: int = 8, cells: int = 1) -> None:
        self.size = 0  # rows in use
        self.marks, self.extras = np.zeros((rows, MARKS), dtype=np.int32), np.zeros((rows, EXTRAS))
        self.capacity, self.claimed = np.zeros((rows, DIMENSIONS)), np.zeros((rows, DIMENSIONS))
        self.cells_capacity = np.zeros((rows, cells, CELL_DIMENSIONS))
        self.cells_claimed = np.zeros((rows, cells, CELL_DIMENSIONS))
        self.pools = np.full((0, rows), -1.0)
        self.ends_s = np.zeros(rows)  # when its last VM is expected to end; same clock as Ask.ends_s
        self.since_s = np.zeros(rows)  # when its first VM came; whoever knows the time writes it
        self.settled = np.zeros(rows)  # vCPUs of VMs that have been there for long; likewise
        self.log = np.zeros(LOG, dtype=np.int32)
        self.changes = 0  # touched so far; change c is log[c % LOG]
        self.epoch = 0  # grows when arrays were replaced: all who hold some take them anew
        self._nodes: Nodes | None = None
        self._log: memoryview[int] = self.log.data.cast("B").cast("i")
        self._see()

    def _see(self) -> None:
        """Views of what changes most: Python reads and writes a number in them three times as fast as in an array."""
        # row x DIMENSIONS + dimension; (row x cells + cell) x CELL_DIMENSIONS + dimension; row x MARKS + mark
        self.claimed_flat: memoryview[float] = self.claimed.data.cast("B").cast("d")
        self.cells_claimed_flat: memoryview[float] = self.cells_claimed.data.cast("B").cast("d")
        self.marks_flat: memoryview[int] = self.marks.data.cast("B").cast("i")

    @property
    def nodes(self) -> Nodes:
        """The arrays themselves, not copies; good until `epoch` grows."""
        if self._nodes is None:
            self._nodes = Nodes(*(getattr(self, name) for name in Nodes._fields))
        return self._nodes

    @property
    def rows(self) -> int:
        """There is room for so many before the arrays are replaced."""
        return len(self.marks)

    @property
    def state(self) -> NDArray[np.int32]:
        return self.marks[:, STATE]

    @property
    def vms(self) -> NDArray[np.int32]:
        """Claims on each row."""
        return self.marks[:, VMS]

    @property
    def bonus(self) -> Floats:
        return self.extras[:, BONUS]

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
        self._log[self.changes % LOG] = row
        self.changes += 1

    def add_row(self) -> int:
        if self.size == self.rows:
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
        self._see()
