"""A server core on a memory store and virtual time, with agents played by the test."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from corral.model.ids import NodeId
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.link import Assign, Hello, Report, Welcome
from corral.model.node import Inventory, NetworkOnNode, Node, PoolOnNode
from corral.model.units import GiB
from corral.server.core import ServerCore
from corral.server.http.routes.manifests import apply_documents
from corral.server.services.asking import Asking
from corral.server.services.manifests import Applied
from corral.server.services.requests import CreateNetwork, CreatePool, CreateVM, NewDisk
from corral.store.interface import Put
from corral.store.memory import MemoryStore
from tests.sim.loop import SimClock, SimLoop
from tests.sim.process import Process, bury, task_factory
from tests.sim.wire import End, Weather, Wire

ASKING = Asking(by="test")


class PlayedAgent:
    """An agent's end of a stream, in the hands of a test."""

    def __init__(self, rig: "Rig", node: str) -> None:
        self.rig, self.node, self.seq = rig, NodeId(node), 0
        self.wire = Wire(self.node, Weather(random.Random(0)), rig.clock)
        self.end = End(self.wire, self.wire.up, self.wire.down)
        self.held: dict[str, Any] = {}

    async def link(self, assigned: dict[str, str] | None = None) -> Welcome:
        self.rig.process.spawn(self.rig.core.hub.serve(End(self.wire, self.wire.down, self.wire.up)))
        await self.end.send(Hello(node=self.node, agent_version="1", assigned=assigned or {}))
        welcome = await self.end.receive()
        assert isinstance(welcome, Welcome)
        return welcome

    async def report(self, **parts: Any) -> None:
        self.seq += 1
        await self.end.send(Report(seq=self.seq, **parts))
        await self.rig.clock.sleep(0.1)

    async def assigned(self) -> list[Assign]:
        """What arrives within a tenth of a second; `held` then has it all."""
        await self.rig.clock.sleep(0.1)
        arrived = [self.wire.down.arrived.get_nowait() for _ in range(self.wire.down.arrived.qsize())]
        messages = [self.wire.down.decode(m) for m in arrived if m]
        for message in messages:
            if isinstance(message, Assign):
                self.held |= {item.key: item for item in message.items}
                for key in message.forget:
                    self.held.pop(key, None)
        return [m for m in messages if isinstance(m, Assign)]


class Rig:
    """A server that leads, with an image; nodes join as the test says."""

    def __init__(self, loop: SimLoop) -> None:
        self.clock = SimClock(loop, random.Random(1))
        self.store = MemoryStore(self.clock)
        self.core = ServerCore(self.store, self.clock, holder="server")
        self.process = Process("server")
        self.mirror, self.services = self.core.mirror, self.core.services

    async def begin(self) -> None:
        status = ImageStatus(
            phase=ImagePhase.READY, format="qcow2", virtual_bytes=GiB, size_bytes=5, sha256="a" * 64
        )
        await self.store.commit([Put(Image(id="img-1", name="debian", status=status))])
        await self.process.spawn(self.core.start())
        await self.clock.sleep(0.2)
        assert self.core.leading

    async def node(self, name: str, memory: int = 8) -> PlayedAgent:
        """A node that is ready, with pool `default` and network `lan` if these were made before."""
        await self.store.commit([Put(Node(id=f"node-{name}", name=name))])
        agent = PlayedAgent(self, f"node-{name}")
        await agent.link()
        await agent.assigned()
        await agent.report(
            inventory=Inventory(cpus=4, memory_bytes=memory * GiB, migration_address=f"10.0.0.{name[-1]}")
        )
        await agent.report(
            pools={
                k: PoolOnNode(ready=True, free_bytes=100 * GiB) for k in agent.held if k.startswith("pool-")
            },
            networks={k: NetworkOnNode(ready=True) for k in agent.held if k.startswith("net-")},
        )
        return agent

    async def shared_pool(self) -> None:
        await self.services.pools.create(CreatePool(name="default", path="/pool", shared=True), ASKING)

    async def lan(self, **fields: Any) -> None:
        await self.services.networks.create(CreateNetwork(name="lan", bridge="br0", **fields), ASKING)

    async def apply(self, **manifest: Any) -> Applied:
        return (await self.apply_all([manifest]))[0]

    async def apply_all(
        self, manifests: Sequence[dict[str, Any]], asking: Asking = ASKING
    ) -> tuple[Applied, ...]:
        """As POST /apply does it."""
        return await apply_documents(self.services.manifests, manifests, asking)

    async def vm(self, name: str = "web", **fields: Any) -> Any:
        ask = CreateVM(**{"name": name, "disks": (NewDisk(image="debian"),), **fields})
        return await self.services.vms.create(ask, ASKING)


def in_rig(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Run the test on virtual time."""

    def run() -> None:
        loop = SimLoop()
        loop.set_task_factory(task_factory)
        rig = Rig(loop)

        async def all_of_it() -> None:
            await rig.begin()
            await test(rig)

        try:
            loop.run_until_complete(all_of_it())
        finally:
            rig.process.kill()
            loop.run_until_complete(rig.clock.sleep(0.01))
            loop.close()
            bury()

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
