"""Figures of a demo's hosts: a day's work in minutes, so that charts have something to show."""

import math
from typing import Final

from corral.clock import Clock

TURNS_S: Final = (97.0, 613.0)  # two waves, whose sum repeats seldom
SWING: Final = 0.18  # of the share, up and down


class LivelyFigures:
    """Figures of a host that has a little to do: the same for the same number at the same time."""

    def __init__(self, clock: Clock, number: int, share: float, memory_bytes: float) -> None:
        """`share` of its CPUs on average, 0.2 to 0.8; `memory_bytes` in use on average."""
        self.clock, self.share, self.memory_bytes = clock, share, memory_bytes
        self._phase = number * 2.399963  # the golden angle: neighbours differ

    def row(self) -> tuple[float, ...]:
        """In the order of NODE_COLUMNS."""
        quick, slow = (math.sin(self._phase + 2 * math.pi * self.clock.now_s() / turn) for turn in TURNS_S)
        share = min(1.0, max(0.01, self.share + SWING * (0.4 * quick + 0.6 * slow)))
        memory = self.memory_bytes * (1 + 0.04 * slow)
        return (share, memory, share**3 / 4, 0.0, share / 20, share * 64)
