"""Found: tell the server of domains that are not Corral's, and of what others change in those that are.

Next door      hypervisor/interface.py found(); the server keeps them as FoundDomain
Start here     FoundWatch
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from corral.agent.looking import CALL_S, within
from corral.agent.reporting import Reporter
from corral.clock import Clock, spread_s
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor
from corral.model.domain import Drift
from corral.model.found import FoundAll
from corral.model.ids import VmId

log = logging.getLogger("corral.agent")
LOOK_S: Final = 10.0
SETTLE_S: Final = 0.3  # after a define: what the agent is about with that domain goes first


class FoundWatch:
    """Looks now and then, and when a domain was taken over, handed back, or defined over a drift."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        reporter: Reporter,
        clock: Clock,
        soon: asyncio.Event,
        tell_drifts: Callable[[Mapping[VmId, Drift]], None],
        leisure: float = 1.0,
    ) -> None:
        self._hypervisor, self._reporter, self._clock, self.soon = hypervisor, reporter, clock, soon
        self._look_s = LOOK_S * leisure
        self._tell_drifts = tell_drifts
        self._timer: asyncio.TimerHandle | None = None

    def defined(self) -> None:
        """A domain was defined, by Corral or by somebody else: look, once for all that come close together."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._timer = None
        self.soon.set()

    async def run(self) -> None:
        """Without end."""
        while True:
            self.soon.clear()
            try:
                await self.look()
            except CorralError as error:
                log.info("looking for other domains: %s", error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(spread_s(self._look_s, self._clock)):
                    await self.soon.wait()

    async def look(self) -> None:
        """Raises CorralError: the hypervisor does not answer"""
        found = await within(CALL_S, "looking for other domains", self._hypervisor.found())
        for uuid in self._reporter.keys("found") - found.keys():
            self._reporter.drop("found", uuid)
        for uuid, report in found.items():
            self._reporter.put("found", uuid, report)
        self._reporter.put("found_all", "", FoundAll(uuids=tuple(sorted(found))))
        self._tell_drifts(await within(CALL_S, "comparing definitions", self._hypervisor.drifts()))
