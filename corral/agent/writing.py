"""Writing: how fast the guests of this node write to their memory, measured one after the other.

In this room   Writing: the rounds, and the latest figures
Comes in       Hypervisor: which run, how fast they write, what they hold
Goes out       Measured, for facts and for the forecast of a migration
Always true    one guest is measured at a time, with a pause between two: nobody notices. A figure that is old is
               better than none: a migration never waits for one.
Next door      vm_lane.py and facts.py ask of()
Start here     Writing.run()
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from math import sqrt
from typing import Final

from msgspec import Struct

from corral.agent.looking import within
from corral.clock import Clock
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor
from corral.model.ids import VmId
from corral.model.units import MiB

ANSWER_S: Final = 10.0
LONG_S: Final = 3  # a guest that writes to the same pages again and again wrote to no more in so long
SATURATED: Final = 0.75
PAUSE_S: Final = 1.0  # between two guests
SAMPLE_BYTES: Final = 2 * MiB  # of a guest's memory that QEMU looks at one page of
ROUND_S: Final = 8.0  # that a round takes at least


class Measured(Struct, frozen=True, kw_only=True):
    """Of one guest."""

    dirty_bytes_s: float | None = None  # None: not measured yet
    working_bytes: float | None = None  # all that it writes to again and again; None: not known to end
    memory_bytes: int = 0  # resident


UNKNOWN: Final = Measured()


def at_most(sampled_bytes: float) -> float:
    """What it is but for chance: QEMU counts few pages, and one standard deviation of a small count is a lot."""
    return sampled_bytes + sqrt(sampled_bytes * SAMPLE_BYTES)


class Writing:
    """Keeps measuring all that run."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        clock: Clock,
        running: Callable[[], Iterable[VmId]],
        leisure: float = 1.0,
    ) -> None:
        """`running`: VMs that run, but for those that are migrating: libvirt keeps questions about them waiting."""
        self._hypervisor, self._clock, self._running = hypervisor, clock, running
        self._latest: dict[VmId, Measured] = {}
        self._round_s = ROUND_S * leisure

    def of(self, vm: VmId) -> Measured:
        return self._latest.get(vm, UNKNOWN)

    async def run(self) -> None:
        """Round after round. Never returns; a hypervisor that does not answer is asked again."""
        while True:
            began_s = self._clock.monotonic_s()
            with suppress(CorralError):
                await self._round()
            left_s = self._round_s - (self._clock.monotonic_s() - began_s)
            await self._clock.sleep(max(PAUSE_S, left_s))

    async def _round(self) -> None:
        running = sorted(self._running())
        self._latest = {vm: measured for vm, measured in self._latest.items() if vm in running}
        if not running:
            return
        facts = await within(ANSWER_S, "counting", self._hypervisor.facts())
        for vm in running:
            if vm in facts and vm in self._running():
                await self._measure(vm, facts[vm].memory_bytes)
                await self._clock.sleep(PAUSE_S)

    async def _measure(self, vm: VmId, memory_bytes: int) -> None:
        short = await within(ANSWER_S, "measuring its writes", self._hypervisor.dirty_bytes(vm))
        if short is None:
            return
        before = self.of(vm).working_bytes
        self._latest[vm] = Measured(dirty_bytes_s=short, working_bytes=before, memory_bytes=memory_bytes)
        long = await within(ANSWER_S, "measuring its writes", self._hypervisor.dirty_bytes(vm, LONG_S))
        if long is not None:
            ends = long < SATURATED * LONG_S * short
            self._latest[vm] = Measured(
                dirty_bytes_s=short,
                working_bytes=at_most(max(long, short)) if ends else None,
                memory_bytes=memory_bytes,
            )
