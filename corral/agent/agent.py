"""Agent: the program on each node.

In this room   Agent, which holds the lanes together and keeps the link to a server
Comes in       drivers, a link, a memory on disk, a clock
Goes out       VMs, volumes and networks as assigned; reports of what is
Always true    it works through server outages, from what is on its disk; it may be killed at any moment:
               guests go on, and the next agent finds out how things are by looking
Next door      session.py talks to the server, vm_lane.py and objects.py do the work
Start here     Agent.run()
"""

import asyncio
import logging
from typing import Final

from corral.agent.consoles import bring_console, bring_screenshot
from corral.agent.facts import FactTaker, HostFigures, ProcFigures
from corral.agent.found import FoundWatch
from corral.agent.guests import watch_guests
from corral.agent.held import Held
from corral.agent.lanes import Lanes, Tasks
from corral.agent.looking import CALL_S, Looker, within
from corral.agent.objects import Objects
from corral.agent.ports import Link, LinkDown, Memory, Stream
from corral.agent.reporting import Reporter
from corral.agent.sending import bring_disk
from corral.agent.session import Session, close_quietly, hello_of
from corral.agent.vm_lane import VmLanes
from corral.agent.writing import Writing
from corral.clock import Clock, backoff_s, spread_s
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor
from corral.model.ids import NodeId
from corral.model.link import (
    NetworkAssignment,
    OpenConsole,
    PoolAssignment,
    SendDisk,
    TakeScreenshot,
    VmAssignment,
)
from corral.network.interface import Networking
from corral.storage.interface import Storage

log = logging.getLogger("corral.agent")
DIAL_S: Final = 15.0
DIAL_AGAIN_S_MAX: Final = 10.0
RESYNC_S: Final = 10.0  # in case an event was missed
OBJECTS_EVERY: Final = 3  # resyncs between looks at pools and networks
INVENTORY_S: Final = 60.0
DEFINED: Final = "defined"  # in an event's words: by Corral, or by somebody else
BUG_PAUSE_S: Final = 30.0  # before a lane that met a bug goes on: the others are not to suffer


class Agent:
    """Runs what one node is assigned."""

    def __init__(
        self,
        node: NodeId,
        *,
        hypervisor: Hypervisor,
        storage: Storage,
        networking: Networking,
        link: Link,
        memory: Memory,
        clock: Clock,
        version: str,
        figures: HostFigures | None = None,
        leisure: float = 1.0,
    ) -> None:
        """`leisure`: how many times as long as usual what it looks at now and then may wait: for many in one process."""
        self.node, self._leisure = node, leisure
        self.bugs: list[Exception] = []  # that lanes met; simulation fails on any
        self.linked = False
        self._hypervisor, self._networking, self._link, self._clock = hypervisor, networking, link, clock
        self._tasks = Tasks()
        self._left_over = asyncio.Event()  # there may be something of networks that are gone
        self._lanes = Lanes(self._step, self._tasks.spawn)
        self._storage = storage
        self._held = Held(memory)
        self._reporter = Reporter()
        self._looker = Looker(hypervisor)
        self._objects = Objects(
            self._held, storage, hypervisor, networking, link, self._reporter, clock, self._lanes.wake
        )
        self._writing = Writing(hypervisor, clock, lambda: self._vms.running(), leisure)
        self._vms = VmLanes(
            self._held,
            hypervisor,
            storage,
            self._objects,
            self._looker,
            self._reporter,
            clock,
            self._tasks,
            self._lanes.wake,
            self._writing,
        )
        self._found = FoundWatch(
            hypervisor, self._reporter, clock, self._vms.handed, self._vms.tell_drifts, leisure
        )
        self._session = Session(
            lambda: hello_of(node, version, self._held),
            self._held,
            self._reporter,
            FactTaker(hypervisor, figures or ProcFigures(), clock, self._writing),
            clock,
            self._changed,
            self._console,
        )

    async def run(self) -> None:
        """Until cancelled. raises whatever breaks one of its loops: that is a bug, and the service restarts it"""
        await self._held.load()
        loops = [
            self._tasks.spawn(work, name)
            for work, name in (
                (self._keep_hypervisor(), "hypervisor"),
                (self._keep_linked(), "link"),
                (self._resync(), "resync"),
                (self._take_inventory(), "inventory"),
                (self._sweep(), "sweep"),
                (self._writing.run(), "writing"),
                (watch_guests(self._vms, self._hypervisor, self._clock), "guests"),
                (self._found.run(), "found"),
            )
        ]
        for key in self._held.assignments:
            self._lanes.wake(key)
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._tasks.cancel()
            self._looker.cancel()
        for loop in loops:
            if loop.done() and not loop.cancelled():
                loop.result()

    async def close(self) -> None:
        """Let go of the drivers after run() was cancelled. Guests and DHCP go on."""
        await self._hypervisor.close()
        await self._networking.close()

    # ---- lanes

    async def _step(self, key: str) -> float | None:
        thing = self._held.assignments.get(key)
        try:
            if thing is None or isinstance(thing, VmAssignment):
                return await self._vms.step(key)
            return await self._objects.step(thing)
        except Exception as bug:
            log.exception("a bug in the lane of %s", key)
            self.bugs.append(bug)
            return BUG_PAUSE_S

    def _changed(self, keys: tuple[str, ...]) -> None:
        """Assignments of these keys are new, changed or gone."""
        for key in keys:
            self._objects.changed(key)
            if key not in self._held.assignments:
                self._objects.forget(key)
                self._vms.forget(key)
                self._left_over.set()
            self._lanes.wake(key)

    async def _keep_hypervisor(self) -> None:
        """Open it, then wake a VM's lane at each of its events."""
        attempt = 0
        while True:
            try:
                await self._hypervisor.open()
                self._wake_all()
                async for event in self._hypervisor.events():
                    attempt = 0
                    self._lanes.wake(event.vm)
                    if DEFINED in event.what:
                        self._found.defined()
            except CorralError as error:
                log.warning("hypervisor: %s", error.message)
            await self._clock.sleep(backoff_s(attempt, self._clock, most_s=2.0))
            attempt += 1

    def _wake_all(self) -> None:
        for key in self._held.assignments:
            self._lanes.wake(key)

    async def _resync(self) -> None:
        """Wake the lanes whose VM is not as it was last seen, whatever event was missed."""
        for count in range(1 << 62):
            try:
                domains = await self._looker.look()
            except CorralError:
                domains = None
            if domains is not None:
                seen = {key: lane.domain for key, lane in self._vms.lanes.items()}
                for vm, domain in domains.items():
                    if seen.pop(vm, None) != domain:
                        self._lanes.wake(vm)
                for key, last in seen.items():
                    if last is not None:
                        self._lanes.wake(key)
            if count % OBJECTS_EVERY == 0:
                self._wake_objects()
                self._left_over.set()
            await self._clock.sleep(spread_s(RESYNC_S * self._leisure, self._clock))

    def _wake_objects(self) -> None:
        for key, thing in self._held.assignments.items():
            if isinstance(thing, PoolAssignment | NetworkAssignment):
                self._lanes.wake(key)

    async def _sweep(self) -> None:
        """Networks that this node does not have any more leave nothing behind."""
        while True:
            await self._left_over.wait()
            self._left_over.clear()
            try:
                await self._objects.sweep()
            except CorralError as error:
                log.warning("sweep: %s", error.message)  # the next resync tries again

    async def _take_inventory(self) -> None:
        attempt = 0
        while True:
            try:
                self._reporter.put(
                    "inventory", "", await within(CALL_S, "inventory", self._hypervisor.inventory())
                )
                attempt, wait_s = 0, INVENTORY_S * self._leisure
            except CorralError as error:
                log.warning("inventory: %s", error.message)
                wait_s = backoff_s(attempt, self._clock, most_s=10.0)
                attempt += 1
            await self._clock.sleep(spread_s(wait_s, self._clock))

    # ---- link

    async def _keep_linked(self) -> None:
        """Dial, talk, and dial again when the stream breaks."""
        self._attempt = 0
        while True:
            try:
                stream = await self._dial()
                try:
                    await self._session.talk(stream, self._welcomed)
                finally:
                    self.linked = False
                    await close_quietly(stream)
            except CorralError as error:
                log.info("link: %s", error.message, extra={"code": error.code})
            await self._clock.sleep(backoff_s(self._attempt, self._clock, most_s=DIAL_AGAIN_S_MAX))
            self._attempt += 1

    async def _dial(self) -> Stream:
        try:
            async with asyncio.timeout(DIAL_S):
                return await self._link.dial()
        except TimeoutError:
            raise LinkDown(f"no server answered within {DIAL_S:g} s") from None

    def _welcomed(self) -> None:
        self.linked, self._attempt = True, 0

    def _console(self, asked: OpenConsole | TakeScreenshot | SendDisk) -> None:
        if isinstance(asked, OpenConsole):
            work = bring_console(asked, self._hypervisor, self._link)
        elif isinstance(asked, SendDisk):
            work = bring_disk(asked, self._storage, self._link, self._clock)
        else:
            work = bring_screenshot(asked, self._hypervisor, self._link)
        self._tasks.spawn(work, f"console {asked.vm}")
