"""Looking: many lanes ask what is there, the hypervisor is asked once."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from corral.hypervisor.interface import Domain, Hypervisor, HypervisorFailed
from corral.model.ids import VmId

LOOK_S = 15.0  # for the hypervisor to answer
CALL_S = 60.0
T = TypeVar("T")


async def within(seconds: float, what: str, call: Awaitable[T]) -> T:
    """The call's result. raises HypervisorFailed: it took longer; whether it took effect, look() will say"""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise HypervisorFailed(
            f"{what} did not end within {seconds:g} s", what=what, seconds=seconds
        ) from None


class Looker:
    """Shares looks. A caller never gets one that began before it asked: its answer might be stale."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._now: asyncio.Task[Mapping[VmId, Domain]] | None = None  # has begun
        self._next: asyncio.Task[Mapping[VmId, Domain]] | None = None  # begins when _now ends

    async def look(self) -> Mapping[VmId, Domain]:
        """All domains. raises HypervisorFailed"""
        if self._next is None:
            self._next = asyncio.create_task(self._look(self._now), name="look")
        return await asyncio.shield(self._next)

    def cancel(self) -> None:
        for task in (self._now, self._next):
            if task:
                task.cancel()

    async def _look(self, before: "asyncio.Task[Mapping[VmId, Domain]] | None") -> Mapping[VmId, Domain]:
        if before and not before.done():
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        return await within(LOOK_S, "looking at the domains", self._hypervisor.look())
