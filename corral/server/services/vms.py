"""VMs: what users can ask for.

In this room   each request as a pure decision on the mirror: what to write, or why not
Comes in       requests.py's bodies, and Asking
Goes out       Operations; controllers/vm.py does the rest
Always true    only spec, labels and deleted_at are written here; status belongs to the controllers
Next door      disks.py and nics.py make a new VM's volumes and ports
Start here     VMs.create()
"""

from typing import Any

import msgspec

from corral.clock import new_id
from corral.controllers.copying import clones_to_come
from corral.errors import CorralError, InUse, Invalid, Protected
from corral.model.ids import NodeId, VmId
from corral.model.migration import MigrationStage
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.profile import VMProfileSpec
from corral.model.resource import Resource
from corral.model.vm import VM, Disk, MigrationWish, Nic, VMSpec
from corral.model.volume import Volume
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_labels, check_name
from corral.server.services.changes import Changes
from corral.server.services.cloudinit import check_cloud_init
from corral.server.services.disks import new_volumes
from corral.server.services.groups import groups_for
from corral.server.services.hardware import check_size, hardware_of, moves_live, on_networks, warnings
from corral.server.services.migration import (
    Figures,
    Preflight,
    check_policy,
    deadline_s,
    foreseen,
    preflight,
    refuse_prevented,
)
from corral.server.services.nics import Addresses, new_ports
from corral.server.services.policies import check_policy_name
from corral.server.services.profiles import choices_for
from corral.server.services.requests import CreateVM, MigrateVM, UpdateVM
from corral.server.services.snapshots import refuse_keeping_volumes, refuse_leaving_volumes, refuse_migration
from corral.server.services.vm_states import Migrating as Migrating
from corral.server.services.vm_states import NotRunning as NotRunning
from corral.server.services.vm_states import StillHeld as StillHeld
from corral.server.services.vm_states import VmGoing as VmGoing
from corral.server.services.vm_states import runs
from corral.store.interface import Put, Write

CLEAN_UP = "corral.dev/vm"  # finalizer: domain, volumes and ports go first


class DiskMoves(CorralError):
    """A disk of the VM is on its way to another pool, so the VM stays where it is."""

    code = "vm.disk_moves"
    status = 409
    retryable = True

    def __init__(self, vm: VM, volume: Volume) -> None:
        super().__init__(
            f"volume {volume.name} of VM {vm.name} is on its way to another pool",
            hint="Wait until it has arrived, or cancel that move.",
            vm=vm.id,
            volume=volume.id,
        )


class BoundToNode(CorralError):
    """The VM's hardware ties it to its node."""

    code = "migration.bound"
    status = 409

    def __init__(self, vm: VM, why: str) -> None:
        super().__init__(
            f"VM {vm.name} can't move while it runs: {why}",
            hint="Stop it, or give it no device of its node.",
            vm=vm.id,
        )


class Drifted(CorralError):
    """Somebody else has changed the VM's definition; that has to be settled first."""

    code = "vm.drifted"
    status = 409

    def __init__(self, vm: VM) -> None:
        super().__init__(
            f"the definition of {vm.name} was changed behind Corral's back, which another node could not know",
            hint=f"`corral vm drift {vm.name}` shows what was changed, and settles it.",
            vm=vm.id,
        )


class VMs:
    """Requests about VMs."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock
        self.addresses = Addresses(desk.mirror)
        self.figures: Figures = lambda vm: None  # the hub's, where there is one
        self.changes = Changes(desk, self.addresses)

    async def create(self, ask: CreateVM, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, vm: str, ask: UpdateVM, asking: Asking) -> Operation:
        return await self.changes.update(vm, ask, asking)

    async def start(self, vm: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._start(self._here(vm)))

    async def stop(self, vm: str, asking: Asking, *, force: bool = False) -> Operation:
        return await self.desk.submit(asking, lambda: self._stop(self._here(vm), force))

    async def restart(self, vm: str, asking: Asking, *, force: bool = False) -> Operation:
        return await self.desk.submit(asking, lambda: self._restart(self._here(vm), force))

    async def migrate(self, vm: str, ask: MigrateVM, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._migrate(self._here(vm), ask))

    def preflight(self, vm: str, to: str = "") -> Preflight:
        """What would prevent its migration, and what that would take. raises NotFound"""
        target = self.mirror.find(Node, to) if to else None
        return preflight(self.mirror, self._here(vm), self.figures, target)

    async def delete(
        self,
        vm: str,
        asking: Asking,
        *,
        keep_volumes: bool = False,
        purge: bool = False,
        erase: bool = False,
    ) -> Operation:
        """Its volumes go into the trash. `purge`: for good; `erase`: files that were there before Corral go too."""
        return await self.desk.submit(
            asking, lambda: self._delete(self.mirror.find(VM, vm), keep_volumes, purge, erase)
        )

    def _here(self, name: str) -> VM:
        vm = self.mirror.find(VM, name)
        if vm.deleting:
            raise VmGoing(vm)
        return vm

    def _create(self, ask: CreateVM) -> Change:
        chosen = choices_for(ask, self.mirror)
        self._check(ask, chosen)
        id, now_s = VmId(new_id("vm", self.clock)), self.clock.now_s()
        volumes, disks, used = new_volumes(ask, id, self.mirror, self.clock, chosen.disk)
        ports, nics = new_ports(ask, id, self.addresses, self.mirror, self.clock, chosen.nic)
        vm = VM(
            id=id,
            name=ask.name,
            project=ask.project,
            labels=ask.labels,
            created_at=now_s,
            finalizers=(CLEAN_UP,),
            spec=self._spec(ask, chosen, disks, nics),
        )
        new: tuple[Resource, ...] = (vm, *volumes, *ports)
        return Change(
            target=vm,
            writes=tuple(Put(r) for r in (*new, *used)),
            expect={**{r.id: 0 for r in new}, **{v.id: v.revision for v in used}},
            verb=Verb.CREATE,
            boot=vm.spec.boot if ask.running else 0,
            warnings=tuple(warnings(vm.spec.hardware, vm.spec.disks)),
        )

    def _check(self, ask: CreateVM, chosen: VMProfileSpec) -> None:
        check_name(ask.name)
        check_labels(ask.labels)
        check_size(chosen)
        check_policy_name(ask.policy, self.mirror)
        assert chosen.cloud_init
        check_cloud_init(chosen.cloud_init)
        check_policy(ask.migration_policy)

    def _spec(
        self, ask: CreateVM, chosen: VMProfileSpec, disks: tuple[Disk, ...], nics: tuple[Nic, ...]
    ) -> VMSpec:
        cpus, memory_bytes = check_size(chosen)
        assert chosen.cloud_init and chosen.restart and chosen.stop_timeout_s is not None
        return VMSpec(
            cpus=cpus,
            memory_bytes=memory_bytes,
            hardware=on_networks(hardware_of(chosen.hardware, cpus, memory_bytes), self.mirror),
            disks=disks,
            nics=nics,
            cloud_init=chosen.cloud_init,
            running=ask.running,
            boot=1 if ask.running else 0,
            stop_timeout_s=chosen.stop_timeout_s,
            restart=chosen.restart,
            protected=ask.protected,
            policy=ask.policy,
            groups=groups_for(ask.groups, self.mirror),
            profile=ask.profile,
            migration_policy=ask.migration_policy,
            node=NodeId(self.mirror.find(Node, ask.node).id) if ask.node else None,
        )

    def _start(self, vm: VM) -> Change:
        if vm.spec.running and runs(vm):
            return self._change(vm, Verb.START, boot=vm.spec.boot)
        return self._change(vm, Verb.START, boot=vm.spec.boot + 1, running=True, saved=False, **_unpaused(vm))

    def _stop(self, vm: VM, force: bool) -> Change:
        timeout_s = 0.0 if force else vm.spec.stop_timeout_s
        change = self._change(
            vm, Verb.STOP, running=False, saved=False, stop_timeout_s=timeout_s, **_unpaused(vm)
        )
        return msgspec.structs.replace(change, deadline_s=timeout_s + 120.0)

    def _restart(self, vm: VM, force: bool) -> Change:
        migration = vm.status.migration
        if migration and migration.stage is not MigrationStage.LOST:
            raise Migrating(vm)
        return self._change(
            vm,
            Verb.RESTART,
            boot=vm.spec.boot + 1,
            running=True,
            saved=False,
            stop_timeout_s=0.0 if force else vm.spec.stop_timeout_s,
            **_unpaused(vm),
        )

    def _migrate(self, vm: VM, ask: MigrateVM) -> Change:
        if not (vm.spec.running and runs(vm)):
            raise NotRunning(vm)
        refuse_migration(vm, self.mirror)
        for disk in vm.spec.disks:
            volume = self.mirror.get(disk.volume)
            if isinstance(volume, Volume) and volume.moves:
                raise DiskMoves(vm, volume)
        if why := moves_live(vm.spec.hardware):
            raise BoundToNode(vm, why)
        if vm.report and vm.report.drift:
            raise Drifted(vm)
        target = self.mirror.find(Node, ask.target) if ask.target else None
        if vm.spec.leaving:
            raise StillHeld(vm)
        if target and target.id == vm.status.node:
            raise Invalid("target", ask.target, "another node than the VM's own")
        if target and vm.spec.node not in (None, target.id):
            raise Invalid("target", ask.target, "the node that the VM is bound to")
        forecast = refuse_prevented(self.mirror, vm, self.figures, target)
        operation_id = new_id("op", self.clock)
        wish = MigrationWish(id=operation_id, target=NodeId(target.id) if target else None)
        change = self._change(vm, Verb.MIGRATE, migration=wish)
        return msgspec.structs.replace(
            change,
            operation_id=operation_id,
            deadline_s=deadline_s(vm.spec.migration_policy, forecast),
            foreseen=foreseen(forecast, target.id if target else ""),
        )

    def _delete(self, vm: VM, keep_volumes: bool, purge: bool, erase: bool) -> Change:
        if vm.spec.protected:
            raise Protected(vm.name)
        if keep_volumes and purge:
            raise Invalid("purge", "true", "possible without keep_volumes")
        if keep_volumes and vm.status.migration and vm.status.migration.volumes:
            raise Migrating(vm)  # which of their files is the right one shows when it has ended
        if to_come := clones_to_come(vm, self.mirror):
            raise InUse("VM", vm.name, f"volume {to_come[0].name}, which is being cloned from it")
        gone = vm.having(
            deleted_at=vm.deleted_at or self.clock.now_s(),
            generation=vm.generation + 1,
            spec=msgspec.structs.replace(vm.spec, trash_s=0.0 if purge else self.desk.trash_s),
        )
        writes: list[Write] = [Put(gone)]
        expect = {vm.id: vm.revision}
        if keep_volumes or (gone.spec.trash_s and not vm.deleting):
            refuse_keeping_volumes(vm, self.mirror)
        elif not vm.deleting:
            refuse_leaving_volumes(vm, self.mirror)
        changes: dict[str, object] = {"vm": None} if keep_volumes else {"erase": True} if erase else {}
        for volume in self.mirror.select(Volume, "vm", vm.id) if changes else ():
            spec = msgspec.structs.replace(volume.spec, **changes)
            writes.append(Put(volume.having(spec=spec, generation=volume.generation + 1)))
            expect[volume.id] = volume.revision
        return Change(target=gone, writes=tuple(writes), expect=expect, verb=Verb.DELETE)

    def _change(
        self, vm: VM, verb: Verb, *, boot: int | None = None, done: bool = False, **spec: object
    ) -> Change:
        """A new generation of the VM with these fields of its spec replaced."""
        if boot is not None:
            spec["boot"] = boot
        new = vm.having(generation=vm.generation + 1, spec=msgspec.structs.replace(vm.spec, **spec))
        return Change(
            target=new,
            writes=(Put(new),),
            expect={vm.id: vm.revision},
            verb=verb,
            boot=new.spec.boot if new.spec.running else 0,
            done=done,
        )


def _unpaused(vm: VM) -> dict[str, Any]:
    """Fields of its spec: it stands still no more."""
    return {"paused": False, "turn": vm.spec.turn + 1} if vm.spec.paused else {}
