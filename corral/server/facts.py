"""Facts: the last minutes of fast-moving figures, never stored.

In this room   FactRing, the newest rows of one node or VM; VmRings, those of VMs; Series, a ring as others read it
Always true    nodes have a ring each. Of VMs, VMS_MAX have one: all of a small installation, and otherwise whom
               somebody asked for lately. 10.8 kB each, so 22 MB in all; rings for 100,000 VMs would take 1.1 GB.
Start here     FactRing.add()
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.model.ids import VmId
from corral.model.link import VM_COLUMNS

ROWS: Final = 300  # 10 minutes at one row in 2 s
VMS_MAX: Final = 2000  # VMs with a ring


class FactRing:
    """The newest ROWS rows of a node's figures."""

    def __init__(self, columns: int, rows: int = ROWS) -> None:
        self.columns = columns
        self.rows: NDArray[np.float32] = np.full((rows, columns), np.nan, dtype=np.float32)
        self.at_s: NDArray[np.float64] = np.full(rows, np.nan)  # Unix time, seconds
        self.count = 0
        self.last: tuple[float, ...] = ()

    def add(self, at_s: float, row: tuple[float, ...]) -> None:
        """A row with fewer columns than expected (an older agent) is filled with NaN."""
        place = self.count % len(self.rows)
        self.rows[place] = np.nan
        self.rows[place, : len(row)] = row[: self.columns]
        self.at_s[place] = at_s
        self.count += 1
        self.last = row

    def series(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Times (rows,) in Unix seconds and figures (rows, columns), oldest first."""
        size = len(self.rows)
        order = np.arange(max(0, self.count - size), self.count) % size
        return self.at_s[order], self.rows[order]


class Series(Struct, frozen=True, kw_only=True):
    """Figures over time, the oldest first."""

    at: list[float] = []  # Unix time, seconds
    rows: dict[str, list[float | None]] = {}  # by name; None: it was not told


def series(ring: FactRing | None, names: Sequence[str]) -> Series:
    """All that the ring has."""
    if ring is None:
        return Series(rows={name: [] for name in names})
    at, rows = ring.series()
    columns = rows.T.tolist()
    return Series(
        at=np.round(at, 3).tolist(),
        rows={name: [told(v) for v in column] for name, column in zip(names, columns, strict=False)},
    )


def told(value: float) -> float | None:
    """None for NaN, which JSON does not have; else with six digits, as many as are kept."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


class VmRings:
    """Rings of VMs, as many as there is room for."""

    def __init__(self, most: int = VMS_MAX) -> None:
        self.most = most
        self._rings: dict[VmId, FactRing] = {}  # who was asked for last comes last

    def note(self, vm: VmId, at_s: float, row: tuple[float, ...]) -> None:
        ring = self._rings.get(vm)
        if ring is None and len(self._rings) < self.most:
            ring = self._rings[vm] = FactRing(len(VM_COLUMNS))
        if ring is not None:
            ring.add(at_s, row)

    def ask(self, vm: VmId) -> FactRing:
        """The VM's ring, which it has from now on; who was not asked for the longest may lose theirs."""
        ring = self._rings.pop(vm, None) or FactRing(len(VM_COLUMNS))
        self._rings[vm] = ring
        while len(self._rings) > self.most:
            del self._rings[next(iter(self._rings))]
        return ring

    def forget(self, vm: VmId) -> None:
        self._rings.pop(vm, None)
