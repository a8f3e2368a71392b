"""Facts: the last minutes of fast-moving figures, never stored."""

import numpy as np
from numpy.typing import NDArray

ROWS = 300  # 10 minutes at one row in 2 s


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
