"""Core: the server without its transports, the same in production and in simulation.

In this room   ServerCore: store, mirror, hub, services, controllers, and who leads
Comes in       a store, a clock; streams of agents (hub), requests (services)
Goes out       a running control plane
Always true    controllers run only while this server leads, and stop when it does not
Next door      main.py adds HTTP and gRPC; tests/sim runs several of these on virtual time
Start here     ServerCore.start()
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from corral.clock import Clock, new_id
from corral.controllers.desk import LeaderDesk
from corral.controllers.image import KEEP_S, ImageController
from corral.controllers.janitor import Janitor
from corral.controllers.node import NodeController
from corral.controllers.operation import OperationController
from corral.controllers.rebalance import RebalanceController, Think, think_here
from corral.controllers.runner import Controller, Runner
from corral.controllers.snapshot import SnapshotController
from corral.controllers.vm import VmController
from corral.controllers.volume import VolumeController
from corral.errors import CorralError
from corral.server.cpus import best_cpus
from corral.server.hub import Hub
from corral.server.services import Services
from corral.server.services.base import Desk
from corral.store.interface import Deposed, LeaderLease, Store
from corral.store.mirror import Mirror

if TYPE_CHECKING:
    from corral.server.consoles import Consoles
    from corral.server.images import ImageStore
    from corral.server.joining import JoinTokens

log = logging.getLogger("corral.server")
LEAD_S = 10.0  # a leader that falls silent is replaced after so long


class ServerCore:
    """A server's thinking parts."""

    join_tokens: "JoinTokens"
    image_store: "ImageStore"
    consoles: "Consoles"

    def __init__(self, store: Store, clock: Clock, *, holder: str = "", secret_key: bytes = b"") -> None:
        """`holder` names the server as a leader: one that restarts under its name leads again at once.
        `secret_key` is Desk's.
        """
        self.store, self.clock = store, clock
        self.holder = holder or new_id("server", clock)
        self.mirror = Mirror()
        self.hub = Hub(store, self.mirror, clock)
        self.services = Services(Desk(store, self.mirror, clock, secret_key=secret_key))
        self.cpus = best_cpus()
        self.services.vms.figures = self.hub.vm_facts
        self.leading = False
        self.think_with(think_here)
        self.forget_image: Callable[[str], Awaitable[None]] | None = None
        self.fetch_image: Callable[[str], None] | None = None
        self.image_keep_s = KEEP_S
        self.tasks: list[asyncio.Task[Any]] = []

    def think_with(self, think: Think) -> None:
        """What makes plans that take long; before start()."""
        self.think = self.services.rebalancing.think = think

    async def start(self) -> None:
        """Load the mirror, then follow the store and try to lead. Returns when reads can be served."""
        self.tasks.append(asyncio.create_task(self.mirror.follow(self.store), name="mirror"))
        await self.mirror.wait_loaded()
        self.tasks.append(asyncio.create_task(self._lead(), name="lead"))

    async def stop(self) -> None:
        for task in reversed(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def read_barrier(self) -> None:
        """Return when the mirror shows everything that was committed before the call."""
        await self.mirror.wait_for(await self.store.revision())

    @property
    def ready(self) -> bool:
        """Whether requests can be served: the mirror is loaded and followed."""
        return bool(self.tasks) and not self.tasks[0].done()

    async def _lead(self) -> None:
        """Run the controllers whenever the lease can be had."""
        while True:
            try:
                lease = await self.store.lead("controllers", self.holder, LEAD_S)
                await self._run_controllers(lease)
            except Deposed:
                log.info("another server leads")
            except CorralError as error:
                log.warning("leading failed: %s", error)
            except BaseExceptionGroup as group:
                if group.split(CorralError)[1] is not None:
                    log.exception("controllers stopped")
            self.leading = False
            await self.clock.sleep(LEAD_S / 5)

    async def _run_controllers(self, lease: LeaderLease) -> None:
        """Until deposed. raises Deposed, possibly within a group"""
        desk = LeaderDesk(self.store, self.mirror, self.clock)
        desk.fence = lease.fence
        await self.read_barrier()  # decide on nothing older than the leadership
        self.leading = True
        log.info("leading", extra={"fencing_number": lease.number})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_leading(), name="keep leading")
            for controller in self.controllers(desk):
                group.create_task(Runner(controller, self.mirror, self.clock).run(), name=controller.name)

    def controllers(self, desk: LeaderDesk) -> list[Controller]:
        """All loops that run on the leader."""
        return [
            NodeController(desk, self.hub.silent_s, self.hub.lost_after_s),
            VmController(desk, self.cpus),
            VolumeController(desk),
            SnapshotController(desk),
            ImageController(desk, self.forget_image, self.fetch_image, self.image_keep_s),
            RebalanceController(desk, self.cpus, self.think),
            OperationController(desk),
            Janitor(desk),
        ]

    async def _keep_leading(self) -> None:
        while True:
            await self.clock.sleep(LEAD_S / 3)
            await self.store.lead("controllers", self.holder, LEAD_S)
