"""Users: they ask for things all the time, by seed, and remember what they were promised.

In this room   Users, who call the services like REST does, with Idempotency-Keys, on whatever server is up
Goes out       promises: operations that were acknowledged and so must be in the store for ever
Always true    a call whose server died is repeated with its key until it is answered: as the SDK does
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from uuid import NAMESPACE_URL, uuid5

from corral.errors import CorralError
from corral.model.found import FoundDomain
from corral.model.hardware import DeviceKind, DiskLimits, HostDevice
from corral.model.migration import MigrationPolicy, MigrationStage
from corral.model.network import Segment, Subnet
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.profile import HardwareChoice
from corral.model.rebalance import Goal
from corral.model.snapshot import Snapshot
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.core import ServerCore
from corral.server.services.asking import Asking
from corral.server.services.requests import (
    AddForward,
    AdoptDomain,
    AskRebalance,
    CloneVM,
    CloneVolume,
    CreateNetwork,
    CreateSnapshot,
    CreateVM,
    CreateVolume,
    InsertMedium,
    LimitDisk,
    MigrateVM,
    MoveVolume,
    NewDisk,
    NewNic,
    ResizeVolume,
    RestoreVolume,
    SetAddress,
    UpdateNetwork,
    UpdateNode,
    UpdateVM,
)
from tests.sim.loop import SimClock
from tests.sim.process import Process

Call = Callable[[ServerCore, Asking], Awaitable[Operation]]
VMS_MAX = 8
OLD = [f"old-{where}-n{n}" for n in range(4) for where in ("local", "shared")]  # domains of before Corral
NAMES = [f"vm-{n}" for n in range(VMS_MAX)]
INSIDE = CreateNetwork(name="inside", segment=Segment.NAT, subnet=Subnet(cidr="10.80.0.0/24"))
DEVICES = (  # what a VM asks for, where hosts have such
    (),
    (),
    (HostDevice(kind=DeviceKind.GPU),),
    (HostDevice(kind=DeviceKind.VF, network="lan"),),
    (HostDevice(kind=DeviceKind.MDEV, id="nvidia-474"),),
    (HostDevice(kind=DeviceKind.MDEV, id="nvidia-474"),),
    (HostDevice(kind=DeviceKind.MDEV, id="nvidia-476"),),
    (HostDevice(kind=DeviceKind.PCI, id="10de:1aef"),),  # of a group: nobody can give it alone
    (HostDevice(kind=DeviceKind.GPU), HostDevice(kind=DeviceKind.VF)),
)
VOLUMES = ("data-0", "data-1", "copy-0", "copy-1")  # without a VM


def old_uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


class Users:
    """A few people at once."""

    def __init__(
        self,
        chance: Random,
        clock: SimClock,
        server: Callable[[], tuple[Process, ServerCore] | None],
        *,
        devices: bool = False,
    ) -> None:
        self.devices = devices  # whether they ask for some
        self.chance, self.clock, self.server = chance, clock, server
        self.promised: list[str] = []  # operations
        self.refused: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.stopped = False
        self.story: Callable[[str], None] = lambda line: None

    async def live(self) -> None:
        """One of them: ask, wait a little, ask again."""
        while not self.stopped:
            await self.clock.sleep(self.chance.expovariate(1 / 1.5))
            name, call = self.wish()
            self.asked[name.split(" ")[0]] += 1
            await self.ask(name, call)

    async def ask(self, name: str, call: Call) -> Operation | None:
        """Until it is answered: the operation, or None when it was refused."""
        key = f"key-{self.chance.getrandbits(64):x}"
        asking = Asking(by="sim", idempotency_key=key, fingerprint=name)
        while True:
            server = self.server()
            if server is None or not server[1].ready:
                await self.clock.sleep(0.2)
                continue
            process, core = server
            task = process.spawn(self._call(call, core, asking))
            await asyncio.wait([task])
            if task.cancelled() or not process.alive:
                self.story(f"user: no answer to {name}")
                continue
            answer = task.result()
            if isinstance(answer, Operation):
                self.promised.append(answer.id)
                self.story(f"user: {name} -> {answer.id}")
                return answer
            if answer.retryable and not self.stopped:  # once it is calm, what lasts is an answer
                await self.clock.sleep(0.2)
                continue
            self.refused[answer.code] += 1
            return None

    async def start_lost(self) -> None:
        """As an operator would: a guest that was lost in post-copy is started anew, once."""
        server = self.server()
        for vm in server[1].mirror.list(VM) if server else []:
            migration = vm.status.migration
            if migration and migration.stage is MigrationStage.LOST and vm.spec.boot <= migration.boot:
                id = vm.id
                await self.ask(
                    f"restart lost {vm.name}", lambda c, a, id=id: c.services.vms.restart(id, a, force=True)
                )

    async def _call(self, call: Call, core: ServerCore, asking: Asking) -> Operation | CorralError:
        try:
            return await call(core, asking)
        except CorralError as error:
            return error

    def wish(self) -> tuple[str, Call]:
        """What somebody wants now."""
        vm = self.chance.choice(NAMES)
        hardware = HardwareChoice()
        if self.devices:
            hardware = HardwareChoice(devices=self.chance.choice(DEVICES))
        inside = (NewNic(network="inside"),) if self.chance.random() < 0.3 else ()
        ask = CreateVM(
            name=vm,
            memory="512MiB",
            migration_policy=MigrationPolicy(post_copy=self.chance.random() < 0.5, timeout_s=60.0),
            disks=(NewDisk(image="image", pool=self.chance.choice(("shared", "shared", "local"))),),
            nics=(NewNic(network="lan"), *inside),
            policy=self.chance.choice(("spread", "pack")),
            hardware=hardware,
        )
        force, cordoned = self.chance.random() < 0.4, self.chance.random() < 0.3
        pick, volume, copy = (
            self.chance.random(),
            self.chance.choice(VOLUMES),
            self.chance.choice(VOLUMES[2:]),
        )
        data = CreateVolume(name=volume, size="1GiB", pool=self.chance.choice(("shared", "local")))
        origin, pool = self.chance.choice((f"{vm}-0", *VOLUMES)), self.chance.choice(("shared", "local"))
        clone = CloneVolume(
            name=copy, pool=self.chance.choice(("", "shared")), linked=self.chance.random() < 0.5
        )
        guarded = UpdateNetwork(anti_spoofing=self.chance.random() < 0.5)
        forward = AddForward(port=self.chance.choice((8080, 8081)), vm=vm)
        sizes = self.chance.choice(("256MiB", "512MiB", "1GiB"))
        snapshot = CreateSnapshot(name=self.chance.choice("abc"), memory=self.chance.random() < 0.3)
        twin = CloneVM(name=self.chance.choice(NAMES), full=self.chance.random() < 0.3)
        old = self.chance.choice(OLD)
        goal = self.chance.choice((Goal.BALANCE, Goal.BALANCE, Goal.CONSOLIDATE, Goal.REPAIR))
        node = f"n{self.chance.randrange(4)}"
        limit = LimitDisk(limits=DiskLimits(iops=int(pick * 4) * 100))
        wishes: list[tuple[str, Call]] = [
            (f"adopt {old}", lambda c, a: c.services.adoptions.adopt(_found(c, old), AdoptDomain(), a)),
            (f"adopt {old}", lambda c, a: c.services.adoptions.adopt(_found(c, old), AdoptDomain(), a)),
            (f"release {old}", lambda c, a: c.services.adoptions.release(old, a)),
            (f"migrate {old}", lambda c, a: c.services.vms.migrate(old, MigrateVM(), a)),
            (f"stop {old}", lambda c, a: c.services.vms.stop(old, a, force=force)),
            (f"start {old}", lambda c, a: c.services.vms.start(old, a)),
            (f"create {vm}", lambda c, a: c.services.vms.create(ask, a)),
            (f"create {vm}", lambda c, a: c.services.vms.create(ask, a)),
            (f"create {vm}", lambda c, a: c.services.vms.create(ask, a)),
            (f"migrate {vm}", lambda c, a: c.services.vms.migrate(vm, MigrateVM(), a)),
            (f"migrate {vm}", lambda c, a: c.services.vms.migrate(vm, MigrateVM(), a)),
            (f"migrate {vm}", lambda c, a: c.services.vms.migrate(vm, MigrateVM(), a)),
            (f"start {vm}", lambda c, a: c.services.vms.start(vm, a)),
            (f"set {vm}", lambda c, a: c.services.vms.update(vm, UpdateVM(cpus=1 + int(pick * 4), memory=sizes), a)),
            (f"attach-disk {vm}", lambda c, a: c.services.changes.attach_disk(vm, NewDisk(size="1GiB", pool="shared"), a)),
            (f"attach-volume {vm}", lambda c, a: c.services.changes.attach_disk(vm, NewDisk(volume=volume), a)),
            (f"detach-disk {vm}", lambda c, a: c.services.changes.detach_disk(vm, _last_volume(c, vm), a, force=force)),
            (f"limit-disk {vm}", lambda c, a: c.services.changes.limit_disk(vm, _last_volume(c, vm), limit, a)),
            (f"attach-nic {vm}", lambda c, a: c.services.changes.attach_nic(vm, NewNic(network="lan"), a)),
            (f"detach-nic {vm}", lambda c, a: c.services.changes.detach_nic(vm, _last_mac(c, vm), a, force=force)),
            (f"insert {vm}", lambda c, a: c.services.changes.insert(vm, InsertMedium(image="image"), a)),
            (f"eject {vm}", lambda c, a: c.services.changes.eject(vm, a)),
            (f"resize {vm}", lambda c, a: c.services.volumes.resize(f"{vm}-0", ResizeVolume(size=f"{2 + int(pick * 9)}GiB"), a)),
            (f"pause {vm}", lambda c, a: c.services.changes.pause(vm, a)),
            (f"resume {vm}", lambda c, a: c.services.changes.resume(vm, a)),
            (f"suspend {vm}", lambda c, a: c.services.changes.suspend(vm, a)),
            (f"stop {vm}", lambda c, a: c.services.vms.stop(vm, a, force=force)),
            (f"restart {vm}", lambda c, a: c.services.vms.restart(vm, a, force=force)),
            (f"delete {vm}", lambda c, a: c.services.vms.delete(vm, a, purge=force)),
            (f"create-volume {volume}", lambda c, a: c.services.volumes.create(data, a)),
            (f"snapshot {vm}", lambda c, a: c.services.snapshots.create(vm, snapshot, a)),
            (f"snapshot {vm}", lambda c, a: c.services.snapshots.create(vm, snapshot, a)),
            (f"revert {vm}", lambda c, a: c.services.snapshots.revert(_one_snapshot(c, pick), a)),
            (f"delete-snapshot {vm}", lambda c, a: c.services.snapshots.delete(_one_snapshot(c, pick), a)),
            (f"clone-vm {vm}", lambda c, a: c.services.clones.clone(vm, twin, a)),
            (f"clone {origin}", lambda c, a: c.services.volumes.clone(origin, clone, a)),
            (f"delete-volume {volume}", lambda c, a: c.services.volumes.delete(volume, a)),
            (f"move {origin}", lambda c, a: c.services.volumes.move(origin, MoveVolume(pool=pool), a)),
            (f"move {origin}", lambda c, a: c.services.volumes.move(origin, MoveVolume(pool=pool), a)),
            ("restore one", lambda c, a: c.services.volumes.restore(_one_deleted(c, pick), RestoreVolume(), a)),
            ("purge one", lambda c, a: c.services.volumes.delete(_one_deleted(c, pick), a, wipe=force)),
            ("rebalance fleet", lambda c, a: c.services.rebalancing.apply(AskRebalance(goal=goal), a)),
            (f"drain {node}", lambda c, a: c.services.rebalancing.apply(AskRebalance(goal=Goal.DRAIN, nodes=(node,)), a)),
            ("create-network inside", lambda c, a: c.services.networks.create(INSIDE, a)),
            ("change-network lan", lambda c, a: c.services.networks.update("lan", guarded, a)),
            ("delete-network inside", lambda c, a: c.services.networks.delete("inside", a)),
            (f"forward {vm}", lambda c, a: c.services.networks.add_forward("inside", forward, a)),
            (f"unforward {vm}", lambda c, a: c.services.networks.remove_forward("inside", "tcp-8080", a)),
            (f"readdress {vm}", lambda c, a: c.services.networks.set_address(vm, SetAddress(network="lan"), a)),
            ("cancel one", lambda c, a: c.services.operations.cancel(_one_running(c, pick), a)),
            ("cordon one", lambda c, a: c.services.nodes.update(_one_node(c, pick), UpdateNode(cordoned=cordoned), a)),
        ]  # fmt: skip
        return self.chance.choice(wishes)


def _one_running(core: ServerCore, pick: float) -> str:
    running = core.mirror.select(Operation, "phase", "running")
    return running[int(pick * len(running))].id if running else "op-none"


def _last_volume(core: ServerCore, name: str) -> str:
    vm = core.mirror.named(VM, name)
    disks = vm.spec.disks[1:] if isinstance(vm, VM) else ()
    return disks[-1].volume if disks else "vol-none"


def _last_mac(core: ServerCore, name: str) -> str:
    vm = core.mirror.named(VM, name)
    nics = vm.spec.nics[1:] if isinstance(vm, VM) else ()
    return nics[-1].mac if nics else "none"


def _one_snapshot(core: ServerCore, pick: float) -> str:
    snapshots = core.mirror.list(Snapshot)
    return snapshots[int(pick * len(snapshots))].id if snapshots else "snap-none"


def _one_deleted(core: ServerCore, pick: float) -> str:
    deleted = [v for v in core.mirror.list(Volume) if v.spec.trash]
    return deleted[int(pick * len(deleted))].id if deleted else "vol-none"


def _one_node(core: ServerCore, pick: float) -> str:
    nodes = core.mirror.list(Node)
    return nodes[int(pick * len(nodes))].id


def names_of(core: ServerCore) -> dict[str, str]:
    """VM names by id, for stories."""
    return {vm.id: vm.name for vm in core.mirror.list(VM)}


def _found(core: ServerCore, name: str) -> str:
    """The found domain of this name, wherever it is by now."""
    found = [domain for domain in core.mirror.list(FoundDomain) if domain.status.name == name]
    return found[0].name if found else "nowhere"
