"""Changes of a VM: vCPUs, memory, disks, NICs, CD and name; of one that runs, too.

In this room   each request as a pure decision on the mirror: the VM's next spec, or why not
Comes in       requests.py's bodies, and Asking
Goes out       Operations. The node brings the running domain to the new spec as far as that goes; what it refuses
               is taken back by controllers/change_plan.py, with Undo
Always true    no room, no change: the claim grows with the commit. A disk or NIC that is taken away stays the
               VM's (`leaving`) until its node says that the guest has let go: nobody else gets it before
Next door      disks.py and nics.py make volumes and ports; vms.py starts and stops
Start here     Changes
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from corral.clock import new_id
from corral.errors import InUse, Invalid, NotFound
from corral.model.hardware import NicLimits
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool
from corral.model.profile import PRESETS
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot
from corral.model.units import MiB, parse_size
from corral.model.vm import VM, Cd, Disk, Leaving, Nic, Undo, VMSpec
from corral.model.volume import Volume
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_labels, check_name
from corral.server.services.disks import plan_volume, usable_image, users_of
from corral.server.services.groups import groups_for
from corral.server.services.hardware import (
    CPUS_MAX,
    MEMORY_BYTES_MAX,
    MEMORY_BYTES_MIN,
    check_disk,
    check_hardware,
    check_nic,
    layered,
    tuned_disk,
)
from corral.server.services.migration import check_policy
from corral.server.services.nics import Addresses, new_ports
from corral.server.services.policies import check_policy_name
from corral.server.services.requests import (
    CreateVM,
    InsertMedium,
    LimitDisk,
    LimitNic,
    NewDisk,
    NewNic,
    UpdateVM,
)
from corral.server.services.room import check_room
from corral.server.services.vm_states import Migrating, NotRunning, StillHeld, VmGoing, runs
from corral.server.services.volumes import VolumeMoves
from corral.store.interface import Put

CHANGE_S = 120.0  # for the node to carry out a change
PLAIN = (
    "protected",
    "restart",
    "stop_timeout_s",
    "policy",
    "migration_policy",
)  # fields of UpdateVM that no node has to know of


class Changes:
    """Requests that change what a VM is made of."""

    def __init__(self, desk: Desk, addresses: Addresses) -> None:
        self.desk, self.mirror, self.clock, self.addresses = desk, desk.mirror, desk.clock, addresses

    async def update(self, vm: str, ask: UpdateVM, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._update(self._here(vm), ask))

    async def attach_disk(self, vm: str, ask: NewDisk, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._attach_disk(self._here(vm), ask))

    async def detach_disk(self, vm: str, volume: str, asking: Asking, *, force: bool = False) -> Operation:
        return await self.desk.submit(asking, lambda: self._detach_disk(self._here(vm), volume, force))

    async def attach_nic(self, vm: str, ask: NewNic, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._attach_nic(self._here(vm), ask))

    async def detach_nic(self, vm: str, nic: str, asking: Asking, *, force: bool = False) -> Operation:
        return await self.desk.submit(asking, lambda: self._detach_nic(self._here(vm), nic, force))

    async def limit_disk(self, vm: str, volume: str, ask: LimitDisk, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._limit_disk(self._here(vm), volume, ask))

    async def limit_nic(self, vm: str, nic: str, ask: LimitNic, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._limit_nic(self._here(vm), nic, ask))

    async def insert(self, vm: str, ask: InsertMedium, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._insert(self._here(vm), ask))

    async def eject(self, vm: str, asking: Asking, *, force: bool = False) -> Operation:
        return await self.desk.submit(asking, lambda: self._eject(self._here(vm), force))

    async def pause(self, vm: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._turn(self._here(vm), Verb.PAUSE, paused=True))

    async def resume(self, vm: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._turn(self._here(vm), Verb.RESUME, paused=False))

    async def suspend(self, vm: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._suspend(self._here(vm)))

    def _here(self, name: str) -> VM:
        """It, if it can be changed now."""
        vm = self.mirror.find(VM, name)
        if vm.deleting:
            raise VmGoing(vm)
        return vm

    # ---- spec

    def _update(self, vm: VM, ask: UpdateVM) -> Change:
        given = {f: getattr(ask, f) for f in PLAIN if getattr(ask, f) is not UNSET}
        if ask.stop_timeout_s is not UNSET and not 0 <= ask.stop_timeout_s <= 3600:
            raise Invalid("stop_timeout_s", ask.stop_timeout_s, "0 to 3600 seconds")
        if ask.migration_policy is not UNSET:
            check_policy(ask.migration_policy)
        if ask.policy is not UNSET:
            check_policy_name(ask.policy, self.mirror)
        if ask.groups is not UNSET:
            given["groups"] = groups_for(ask.groups, self.mirror)
        if ask.labels is not UNSET:
            check_labels(ask.labels)
            vm = vm.having(labels=ask.labels)
        if ask.name is not UNSET:
            check_name(ask.name)
            vm = vm.having(name=ask.name)
        size = _size(vm, ask)
        renamed = ask.name is not UNSET
        if not size and not renamed:
            return self._plain(vm, given)
        return self._changed(vm, **given, **size)

    def _plain(self, vm: VM, given: dict[str, Any]) -> Change:
        """What is done as soon as it is written."""
        new = vm.having(generation=vm.generation + 1, spec=replace(vm.spec, **given))
        return Change(
            target=new,
            writes=(Put(new),),
            expect={vm.id: vm.revision},
            verb=Verb.UPDATE,
            boot=_boot(new),
            done=True,
        )

    def _changed(
        self,
        vm: VM,
        *,
        made: Sequence[Resource] = (),
        kept: Sequence[Resource] = (),
        forced: bool = False,
        **spec: Any,
    ) -> Change:
        """A new generation with these fields of its spec replaced, which a node has to carry out.

        made  resources that exist for this change only
        kept  existing ones that it takes or lets go, as they will be
        """
        if vm.status.migration:
            raise Migrating(vm)
        operation_id = new_id("op", self.clock)
        undo = _undo(vm, operation_id, [r.id for r in made])
        wanted = replace(vm.spec, **{**spec, "undo": undo, "forced": forced})
        check_room(vm, wanted, self.mirror)
        new = vm.having(generation=vm.generation + 1, spec=wanted)
        return Change(
            target=new,
            writes=tuple(Put(r) for r in (new, *made, *kept)),
            expect={vm.id: vm.revision, **{r.id: 0 for r in made}, **{r.id: r.revision for r in kept}},
            verb=Verb.UPDATE,
            boot=_boot(new),
            operation_id=operation_id,
            deadline_s=CHANGE_S,
        )

    def _leaving(self, vm: VM, **what: Any) -> tuple[Leaving, ...]:
        """With this too; without it when no node ever had the VM and nothing else is to go with it."""
        if vm.status.node is None and not what.get("discard") and not what.get("mac"):  # a NIC has a port
            return vm.spec.leaving
        return (*vm.spec.leaving, Leaving(generation=vm.generation + 1, **what))

    # ---- disks

    def _attach_disk(self, vm: VM, ask: NewDisk) -> Change:
        made, kept = self._volume(vm, ask)
        volume = (*made, *kept)[0]
        choice = layered(PRESETS[vm.spec.hardware.guest].disk, ask)
        disks = (*vm.spec.disks, tuned_disk(Disk(volume=VolumeId(volume.id)), choice, "disk"))
        return self._changed(vm, made=made, kept=kept, disks=disks)

    def _volume(self, vm: VM, ask: NewDisk) -> tuple[tuple[Volume, ...], tuple[Volume, ...]]:
        """A new one, or an existing one that is free."""
        if not ask.volume:
            new = plan_volume(
                self._free_name(vm),
                vm.project,
                ask.pool,
                ask.image,
                ask.size,
                self.mirror,
                self.clock,
                "",
                VmId(vm.id),
            )
            return (new.having(spec=replace(new.spec, node=vm.status.node)),), ()
        if ask.image or ask.size or ask.pool:
            raise Invalid("volume", ask.volume, "either a volume, or image, size and pool")
        return (), (self._free_volume(vm, ask.volume),)

    def _free_volume(self, vm: VM, name: str) -> Volume:
        volume = self.mirror.find(Volume, name)
        if volume.deleting or volume.spec.trash:
            raise Invalid("volume", name, "a volume that is not being deleted")
        if volume.moves:
            raise VolumeMoves(volume)
        if volume.id in vm.spec.leaving_volumes:
            raise StillHeld(vm, f"volume {volume.name}")
        if users := users_of(volume, self.mirror):
            raise InUse("Volume", volume.name, f"VM {users[0].name}")
        pool, node = self.mirror.get(volume.spec.pool), volume.status.node or volume.spec.node
        local = isinstance(pool, StoragePool) and not pool.spec.shared
        if local and node and vm.status.node and node != vm.status.node:
            raise Invalid("volume", name, "a volume on the VM's own node, or in a shared pool")
        # A new generation, so that of two VMs that want the same volume at once only one gets it.
        return volume.having(generation=volume.generation + 1, spec=replace(volume.spec))

    def _free_name(self, vm: VM, word: str = "") -> str:
        """For a volume of the VM: NAME-1, NAME-2, …"""
        number = len(vm.spec.disks)
        while self.mirror.named(Volume, f"{vm.name}-{word}{number}"):
            number += 1
        return f"{vm.name}-{word}{number}"

    def _detach_disk(self, vm: VM, name: str, force: bool) -> Change:
        volume = self.mirror.find(Volume, name)
        if volume.id in vm.spec.leaving_volumes:
            return self._changed(vm, forced=force)  # asked again, with force perhaps
        if volume.id not in {disk.volume for disk in vm.spec.disks}:
            raise NotFound("Disk", name)
        if volume.moves:
            raise VolumeMoves(volume)
        if snapshots := self.mirror.select(Snapshot, "volume", volume.id):
            raise InUse("Volume", volume.name, f"Snapshot {snapshots[0].name}")
        if runs(vm) and volume.id == vm.spec.disks[0].volume:
            raise Invalid("volume", name, "another disk than the one that the running guest booted from")
        own = volume.spec.vm == vm.id
        kept = (volume.having(spec=replace(volume.spec, vm=None)),) if own else ()
        return self._changed(
            vm,
            kept=kept,
            forced=force,
            disks=tuple(disk for disk in vm.spec.disks if disk.volume != volume.id),
            leaving=self._leaving(vm, volume=VolumeId(volume.id)),
        )

    def _limit_disk(self, vm: VM, name: str, ask: LimitDisk) -> Change:
        refuse_own_definition(vm)
        volume = self.mirror.find(Volume, name)
        disk = next((disk for disk in vm.spec.disks if disk.volume == volume.id), None)
        if disk is None:
            raise NotFound("Disk", name)
        limited = replace(disk, tuning=replace(disk.tuning, limits=ask.limits))
        check_disk(limited, "disk")
        return self._changed(vm, disks=tuple(limited if d == disk else d for d in vm.spec.disks))

    # ---- NICs

    def _attach_nic(self, vm: VM, ask: NewNic) -> Change:
        if ask.mac and ask.mac.lower() in {e.mac for e in vm.spec.leaving}:
            raise StillHeld(vm, f"NIC {ask.mac}")
        asked = CreateVM(name=vm.name, nics=(ask,))
        choice = PRESETS[vm.spec.hardware.guest].nic
        ports, nics = new_ports(asked, VmId(vm.id), self.addresses, self.mirror, self.clock, choice)
        return self._changed(vm, made=ports, nics=(*vm.spec.nics, *nics))

    def _detach_nic(self, vm: VM, name: str, force: bool) -> Change:
        """By its MAC address, IP address, or network if it has only one there."""
        if name.lower() in {entry.mac for entry in vm.spec.leaving}:
            return self._changed(vm, forced=force)
        nic = self._nic(vm, name)
        return self._changed(
            vm,
            forced=force,
            nics=tuple(n for n in vm.spec.nics if n != nic),
            leaving=self._leaving(vm, mac=nic.mac),
        )

    def _limit_nic(self, vm: VM, name: str, ask: LimitNic) -> Change:
        refuse_own_definition(vm)
        nic, node = self._nic(vm, name), self.mirror.get(vm.status.node or "")
        limited = replace(nic, limits=ask.limits)
        check_nic(limited, "nic")
        shapes = not isinstance(node, Node) or node.status.inventory.offers.nic_limits
        if ask.limits != NicLimits() and not shapes:
            raise Invalid("limits", "given", "possible: the kernel of the VM's node can't limit a NIC")
        return self._changed(vm, nics=tuple(limited if n == nic else n for n in vm.spec.nics))

    def _nic(self, vm: VM, name: str) -> Nic:
        found = [nic for nic in vm.spec.nics if name.lower() in (nic.mac, nic.address)]
        if not found:
            networks = {NetworkId(n.id) for n in self.mirror.list(Network) if name in (n.name, n.id)}
            found = [nic for nic in vm.spec.nics if nic.network in networks]
        if len(found) != 1:
            raise Invalid(
                "nic", name, f"the MAC address of one of its NICs; `corral vm show {vm.name}` lists them"
            )
        return found[0]

    # ---- CD

    def _insert(self, vm: VM, ask: InsertMedium) -> Change:
        if bool(ask.image) == bool(ask.volume):
            raise Invalid("image", ask.image, "either an image or a volume")
        before = vm.spec.cd or Cd()
        made: tuple[Volume, ...] = ()
        kept: tuple[Volume, ...] = ()
        if ask.image:
            image = usable_image(ask.image, self.mirror)
            name = self._free_name(vm, "cd")
            pool = ask.pool or self._pool_of(vm)
            volume = plan_volume(
                name, vm.project, pool, image.name, 0, self.mirror, self.clock, "", VmId(vm.id)
            )
            made = (volume.having(spec=replace(volume.spec, node=vm.status.node)),)
            medium = made[0]
        else:
            medium = self._free_volume(vm, ask.volume)
            kept = (medium,)
        cd = replace(before, volume=VolumeId(medium.id), image=medium.spec.image if made else None)
        return self._changed(
            vm, made=made, kept=kept, cd=cd, leaving=self._without_medium(vm), forced=ask.force
        )

    def _eject(self, vm: VM, force: bool) -> Change:
        cd = vm.spec.cd
        if cd is None or cd.volume is None:
            raise Invalid("vm", vm.name, "a VM with something in its CD drive")
        empty = replace(cd, volume=None, image=None)
        return self._changed(vm, cd=empty, leaving=self._without_medium(vm), forced=force)

    def _without_medium(self, vm: VM) -> tuple[Leaving, ...]:
        """A volume that was made for the drive goes with it, once the guest has let go."""
        cd = vm.spec.cd
        if cd is None or cd.volume is None:
            return vm.spec.leaving
        return self._leaving(vm, volume=cd.volume, discard=cd.image is not None)

    def _pool_of(self, vm: VM) -> str:
        """Where its first disk is; empty: the default."""
        volume = self.mirror.get(vm.spec.disks[0].volume) if vm.spec.disks else None
        return volume.spec.pool if isinstance(volume, Volume) else ""

    # ---- pause, suspend

    def _turn(self, vm: VM, verb: Verb, *, paused: bool) -> Change:
        if vm.status.migration:
            raise Migrating(vm)
        if not vm.spec.running or vm.report is None:
            raise NotRunning(vm)
        spec = replace(vm.spec, paused=paused, turn=vm.spec.turn + 1)
        return self._power(vm, verb, spec)

    def _suspend(self, vm: VM) -> Change:
        if vm.status.migration:
            raise Migrating(vm)
        if not runs(vm):
            raise NotRunning(vm)
        for id in vm.spec.volumes:  # what is kept of its memory names the files that its disks are on
            if isinstance(volume := self.mirror.get(id), Volume) and volume.moves:
                raise VolumeMoves(volume)
        return self._power(vm, Verb.SUSPEND, replace(vm.spec, running=False, saved=True))

    def _power(self, vm: VM, verb: Verb, spec: VMSpec) -> Change:
        new = vm.having(generation=vm.generation + 1, spec=spec)
        return Change(
            target=new,
            writes=(Put(new),),
            expect={vm.id: vm.revision},
            verb=verb,
            boot=_boot(new),
            deadline_s=600.0,
        )


def refuse_own_definition(vm: VM) -> None:
    """Raises Invalid: it was adopted, and its definition says of what is there how it is tuned"""
    if vm.spec.base_xml:
        raise Invalid(
            "vm", vm.name, "a VM of Corral's own making: limits of an adopted one stand in its own definition",
            hint=f"`virsh blkdeviotune` or `domiftune` with --config; then `corral vm drift {vm.name} --accept`.",
        )  # fmt: skip


def _undo(vm: VM, operation: str, made: list[str]) -> Undo:
    spec = vm.spec
    return Undo(
        operation=operation,
        generation=vm.generation + 1,
        cpus=spec.cpus,
        memory_bytes=spec.memory_bytes,
        hardware=spec.hardware,
        disks=spec.disks,
        nics=spec.nics,
        cd=spec.cd,
        leaving=spec.leaving,
        made=tuple(made),
    )


def _size(vm: VM, ask: UpdateVM) -> dict[str, Any]:
    """The fields of VMSpec that this asks to be changed, checked."""
    if ask.cpus is UNSET and ask.memory is UNSET:
        return {}
    cpus = vm.spec.cpus if ask.cpus is UNSET else ask.cpus
    memory_bytes = vm.spec.memory_bytes if ask.memory is UNSET else parse_size(ask.memory, "memory")
    if not 1 <= cpus <= CPUS_MAX:
        raise Invalid("cpus", cpus, f"a number of vCPUs from 1 to {CPUS_MAX}")
    if not MEMORY_BYTES_MIN <= memory_bytes <= MEMORY_BYTES_MAX or memory_bytes % MiB:
        raise Invalid("memory", ask.memory, "16MiB to 12TiB in whole MiB")
    now = vm.spec.hardware  # what it outgrows comes with its next start
    hardware = replace(
        now,
        cpus_max=max(now.cpus_max, cpus) if now.topology is None else now.cpus_max,
        memory_max_bytes=max(now.memory_max_bytes, memory_bytes),
    )
    check_hardware(hardware, cpus, memory_bytes)
    return {"cpus": cpus, "memory_bytes": memory_bytes, "hardware": hardware}


def _boot(vm: VM) -> int:
    return vm.spec.boot if vm.spec.running else 0
