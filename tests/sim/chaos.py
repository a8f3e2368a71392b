"""Chaos: faults by seed, each counted when it has struck.

In this room   SeedFaults for the drivers; Chaos, which kills and cuts from outside
Always true    the same seed does the same at the same virtual time
"""

from collections import Counter
from dataclasses import dataclass
from random import Random

from corral.hypervisor.interface import HypervisorFailed
from corral.storage.interface import StorageFailed
from tests.sim.loop import SimClock


@dataclass(frozen=True)
class Faults:
    """How often things go wrong. Chances a call or a message; seconds between the blows of Chaos."""

    lose_message: float = 0.01
    double_message: float = 0.03
    late_message: float = 0.01
    call_fails: float = 0.03
    call_hangs: float = 0.004
    store_fails: float = 0.01
    answer_lost: float = 0.01
    blow_every_s: float = 2.5


CALM = Faults(0, 0, 0, 0, 0, 0, 0, float("inf"))


class SeedFaults:
    """Failing and hanging calls of one node's drivers."""

    def __init__(self, chance: Random, clock: SimClock, faults: Faults, struck: Counter[str]) -> None:
        self.chance, self.clock, self.faults, self.struck = chance, clock, faults, struck

    async def strike(self, point: str) -> None:
        if self.chance.random() < self.faults.call_hangs:
            self.struck["call_hangs"] += 1
            await self.clock.sleep(self.chance.uniform(5.0, 90.0))
        if self.chance.random() < self.faults.call_fails:
            self.struck["call_fails"] += 1
            raise (
                StorageFailed(f"{point} failed")
                if point.startswith("storage")
                else HypervisorFailed(f"{point} failed")
            )
