"""Clock: the front door for time and chance.

In this room   Clock, the interface; SystemClock, the real one
Comes in       nothing
Goes out       seconds, sleeps, random numbers, ids
Always true    no other module reads a clock, sleeps or rolls dice by itself (tools/rules.py checks)
Next door      tests/sim has the virtual clock, with the same interface
Start here     Clock
"""

import random
import time
from typing import Final, Protocol

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # base 32 without I, L, O, U


class Clock(Protocol):
    """Time, sleep and chance."""

    chance: random.Random

    def now_s(self) -> float:
        """Wall clock: Unix time in seconds. For people and records; it can jump."""

    def monotonic_s(self) -> float:
        """Seconds since some start; never jumps. For timeouts and leases."""

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""


class SystemClock:
    """The machine's clocks and the system's randomness."""

    def __init__(self) -> None:
        self.chance: random.Random = random.SystemRandom()

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # here: it would cost each command of the command line 60 ms

        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Sleep without an event loop: for the SDK and the command line."""
        time.sleep(seconds)


def new_id(prefix: str, clock: Clock) -> str:
    """A sortable id: prefix, dash, ULID (48 bits of milliseconds, 80 of chance).

    source  github.com/ulid/spec
    """
    number = int(clock.now_s() * 1000) << 80 | clock.chance.getrandbits(80)
    return f"{prefix}-" + "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def new_secret(clock: Clock, bits: int = 192) -> str:
    """A secret of `bits` of chance in base 32, for tokens. Unguessable with SystemClock only."""
    number = clock.chance.getrandbits(bits)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(0, bits, 5)).lower()


def backoff_s(attempt: int, clock: Clock, *, first_s: float = 0.1, most_s: float = 30.0) -> float:
    """Seconds to wait before attempt `attempt` (0, 1, …): doubling, with half of it left to chance."""
    full = min(most_s, first_s * 2.0 ** min(attempt, 30))
    return full * (0.5 + clock.chance.random() / 2)


def spread_s(seconds: float, clock: Clock) -> float:
    """About so many seconds, a third more or less: what many nodes do now and then is not to coincide."""
    return seconds * (2 / 3 + clock.chance.random() * 2 / 3)
