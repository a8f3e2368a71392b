"""Two schedulers at once: claims never exceed capacity, nor is a GPU given twice, whoever leads and whenever that changes."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from corral.clock import SystemClock
from corral.controllers.desk import LeaderDesk
from corral.controllers.placement import FleetKeeper, ask_of
from corral.controllers.platform import settle
from corral.errors import Conflict
from corral.hypervisor.simulated.devices import a_gpu
from corral.model.hardware import DeviceKind, Hardware, HostDevice
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus
from corral.model.units import GiB
from corral.model.vm import VM, VMPhase, VMSpec
from corral.scheduler.cpus import PlainCpus
from corral.scheduler.placement import place
from corral.store.interface import Deposed, LeaderLease, Put
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror

NODES, VMS, FIT, LEAD_S = 4, 40, 32, 0.004  # VMs of 2 GiB and a GPU; nodes of 16 and 8
GPUS = tuple(a_gpu(bus, bus % 2) for bus in range(1, 9))
WITH_GPU = Hardware(devices=(HostDevice(kind=DeviceKind.GPU),))


def a_node(name: str, *, cordoned: bool = False) -> Node:
    spec = NodeSpec(reserve_memory_bytes=0, cordoned=cordoned)
    inventory = Inventory(cpus=64, memory_bytes=16 * GiB, devices=GPUS, gpus=GPUS)
    status = NodeStatus(phase=NodePhase.READY, inventory=inventory)
    return Node(id=f"node-{name}", name=name, spec=spec, status=status)


class Scheduler:
    """What places VMs on one server."""

    def __init__(self, name: str, store: MemoryStore, seed: int) -> None:
        self.name, self.store, self.dice = name, store, random.Random(f"{name}{seed}")
        self.mirror = Mirror()
        self.led, self.conflicts = 0, 0

    async def run(self) -> None:
        follow = asyncio.create_task(self.mirror.follow(self.store))
        await self.mirror.wait_loaded()
        self.keeper = FleetKeeper(self.mirror, PlainCpus())
        while await self._unplaced_ones():
            try:
                lease = await self.store.lead("controllers", self.name, LEAD_S)
                self.led += 1
                await self.mirror.wait_for(await self.store.revision())
                await self._place_as(lease)
            except* Deposed:
                pass
            await asyncio.sleep(self.dice.random() * 2 * LEAD_S)
        follow.cancel()

    async def _place_as(self, lease: LeaderLease) -> None:
        """As ServerCore does it: a desk for each leadership, and nothing goes on when it ends."""
        desk = LeaderDesk(self.store, self.mirror, SystemClock())
        desk.fence = lease.fence
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self._place_some(desk))

    async def _unplaced_ones(self) -> bool:
        await self.mirror.wait_for(await self.store.revision())
        placed = [vm for vm in self.mirror.list(VM) if vm.status.node]
        return len(placed) < FIT

    async def _place_some(self, desk: LeaderDesk) -> None:
        for vm in self.dice.sample(self.mirror.list(VM), VMS):
            now = self.mirror.get(vm.id)
            if not isinstance(now, VM) or now.status.node or VmId(vm.id) in self.keeper.fleet.claims:
                continue
            decision = place(self.keeper.fleet, ask_of(self.keeper, now))
            if decision.node:
                await self._take(desk, now, decision.node)
            await asyncio.sleep(self.dice.random() * 0.001)

    async def _take(self, desk: LeaderDesk, vm: VM, node: NodeId) -> None:
        """As VmController does it: claimed while the commit is on the way."""
        platform = settle(self.keeper, vm, node)
        status = msgspec.structs.replace(vm.status, node=node, phase=VMPhase.PREPARING, platform=platform)
        placed, there = vm.having(status=status), self.mirror.get(node)
        assert there
        self.keeper.fleet.see_vm(placed)
        try:
            await desk.commit([Put(placed)], {vm.id: vm.revision, node: there.revision})
        except BaseException as error:
            now = self.mirror.get(vm.id)
            assert isinstance(now, VM)
            self.keeper.fleet.see_vm(now)  # the mirror's word counts: somebody else may have placed it
            if not isinstance(error, Conflict):
                raise
            self.conflicts += 1


@pytest.mark.parametrize("seed", range(6))
async def test_two_schedulers_never_give_more_than_there_is(seed: int) -> None:
    """They take turns at leading, every few milliseconds, with commits on the way; nodes change meanwhile."""
    store, dice = MemoryStore(SystemClock()), random.Random(seed)
    await store.commit([Put(a_node(str(n))) for n in range(NODES)])
    await store.commit(
        [
            Put(VM(id=f"vm-{n}", name=f"v{n}", spec=VMSpec(cpus=1, memory_bytes=2 * GiB, hardware=WITH_GPU)))
            for n in range(VMS)
        ]
    )
    both = [Scheduler(name, store, seed) for name in ("one", "other")]
    running = [asyncio.create_task(s.run()) for s in both]
    while not all(task.done() for task in running):
        name = str(dice.randrange(NODES))
        await store.commit(
            [Put(a_node(name, cordoned=dice.random() < 0.3))]
        )  # conflicts with who is about to use it
        resources = (await store.load()).resources
        held = Counter(vm.status.node for vm in resources if isinstance(vm, VM) and vm.status.node)
        assert all(count * 2 * GiB <= 16 * GiB for count in held.values()), held
        gpus = Counter(
            (vm.status.node, device.key)
            for vm in resources
            if isinstance(vm, VM)
            for device in vm.status.platform.devices
        )
        assert gpus.total() == held.total() and set(gpus.values()) <= {1}, gpus
        await asyncio.sleep(0.001)
    await asyncio.gather(*running)
    placed = [vm for vm in (await store.load()).resources if isinstance(vm, VM) and vm.status.node]
    assert len(placed) == FIT, "what fits was placed, and no claim of a lost commit was left behind"
    assert all(s.led for s in both), "both have led"
