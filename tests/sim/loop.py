"""Virtual time: an event loop that never waits.

In this room   SimLoop, an asyncio loop whose clock jumps to the next timer; SimClock, the front door on it
Always true    the same coroutines, started in the same order with the same seed, run in the same order
Next door      process.py kills coroutines like a crash would
"""

import asyncio
import random
from asyncio import base_events
from typing import Any


class Stuck(Exception):
    """Nobody is ready and no timer is set: everything waits for something that never comes."""


class _Selector:
    """Stands where a loop waits for I/O: here waiting is a jump of the clock."""

    def __init__(self, loop: "SimLoop") -> None:
        self.loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and no timer is set")
        self.loop.now_s += max(0.0, timeout)
        return []

    def close(self) -> None:
        pass


class SimLoop(base_events.BaseEventLoop):
    """Runs callbacks in the order they become due; between them no real time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._selector = _Selector(self)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now_s

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        """Generators of killed processes must not be finished: a crash runs no finally."""

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        pass


class SimClock:
    """Clock on a SimLoop, with chance from a seed. `skew_s` sets its wall clock wrong."""

    START_S = 1_800_000_000.0  # Unix time of the beginning of every history

    def __init__(self, loop: SimLoop, chance: random.Random, skew_s: float = 0.0) -> None:
        self.loop, self.chance, self.skew_s = loop, chance, skew_s

    def now_s(self) -> float:
        return self.START_S + self.loop.now_s + self.skew_s

    def monotonic_s(self) -> float:
        return self.loop.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        raise AssertionError("nobody may block in simulation")
