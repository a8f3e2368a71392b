"""Snapshots: what users can ask for.

In this room   taking, going back, deleting, as pure decisions on the mirror; and what other requests may not do to a
               VM that has snapshots
Comes in       requests.py's bodies, and Asking
Goes out       Operations; controllers/snapshot.py and the VM's node do the rest
Always true    the tree is kept here: a snapshot's parent is what the disks stood on, and when one goes, its children
               and the VM stand on its parent. Each change of the tree is also a change of the VM, so that two of them,
               or one and a migration, never pass each other.
Next door      model/snapshot.py; vms.py calls refuse_…()
Start here     Snapshots.create()
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from corral.clock import new_id
from corral.controllers.copying import copies_of_snapshot
from corral.controllers.migration_plan import reverting
from corral.errors import CorralError, InUse, Invalid
from corral.hypervisor.libvirt.reading import firmware_of
from corral.hypervisor.libvirt.xmltree import parse
from corral.model.hardware import Firmware
from corral.model.ids import SnapshotId, VmId
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool
from corral.model.snapshot import Beside, RevertWish, Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus
from corral.model.vm import VM, DomainState, VMSpec
from corral.model.volume import Volume, VolumePhase
from corral.server.services.asking import Asking
from corral.server.services.base import Change, check_labels, check_name
from corral.server.services.requests import CreateSnapshot, UpdateLabels
from corral.server.services.things import Things
from corral.store.interface import Put
from corral.store.mirror import Mirror

SNAPSHOTS_MAX: Final = 32  # of a VM: QEMU reads the table of all of them whenever it opens a disk
CREATE_S: Final = 900.0  # memory is written to the disk meanwhile
DESCRIPTION_MAX: Final = 1000


class TooManySnapshots(CorralError):
    """The VM has as many snapshots as a VM may have."""

    code = "snapshot.too_many"
    status = 409

    def __init__(self, vm: VM) -> None:
        super().__init__(
            f"VM {vm.name} has {SNAPSHOTS_MAX} snapshots",
            hint="Delete some that nobody needs: `corral snapshot list --vm` shows them.",
            vm=vm.id,
            most=SNAPSHOTS_MAX,
        )


class SnapshotNotReady(CorralError):
    """The snapshot is being taken or deleted, or could not be taken."""

    code = "snapshot.not_ready"
    status = 409

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(
            f"snapshot {snapshot.name} is {snapshot.status.phase}",
            hint=f"`corral snapshot show {snapshot.name}` says more.",
            snapshot=snapshot.id,
        )


class NotNow(CorralError):
    """Something else is being done to the VM, or its disks are not there yet."""

    code = "snapshot.not_now"
    status = 409
    retryable = True

    def __init__(self, vm: VM, why: str) -> None:
        super().__init__(f"VM {vm.name} {why}", hint="Try again in a moment.", vm=vm.id)


class OtherHardware(CorralError):
    """The VM's hardware is not what it was when the snapshot was taken."""

    code = "snapshot.other_hardware"
    status = 409

    def __init__(self, vm: VM, snapshot: Snapshot, what: str, now: object, then: object) -> None:
        super().__init__(
            f"VM {vm.name} has {what} {now} now, and had {then} when {snapshot.name} was taken",
            hint="Set that back first; or `corral vm clone --snapshot` makes a new VM of the snapshot's disks.",
            vm=vm.id,
            snapshot=snapshot.id,
        )


class WouldLoseSnapshots(CorralError):
    """What was asked for would leave the VM's snapshots behind."""

    code = "snapshot.would_be_lost"
    status = 409

    def __init__(self, vm: VM, count: int, why: str, *, instead: str = "") -> None:
        super().__init__(
            f"VM {vm.name} has {count} snapshots, which {why}",
            hint=f"Delete them first: `corral snapshot list --vm {vm.name}` shows them.{instead}",
            vm=vm.id,
            count=count,
        )


class Snapshots(Things):
    """Requests about snapshots."""

    async def create(self, vm: str, ask: CreateSnapshot, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(self.mirror.find(VM, vm), ask))

    async def update(self, snapshot: str, ask: UpdateLabels, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._relabel(self.mirror.find(Snapshot, snapshot), ask.labels)
        )

    async def revert(self, snapshot: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._revert(self.mirror.find(Snapshot, snapshot)))

    async def delete(self, snapshot: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(Snapshot, snapshot)))

    def _create(self, vm: VM, ask: CreateSnapshot) -> Change:
        check_name(ask.name)
        check_labels(ask.labels)
        if len(ask.description) > DESCRIPTION_MAX:
            raise Invalid("description", "(long text)", f"at most {DESCRIPTION_MAX} characters")
        refuse_unless_free(vm)
        if ask.memory and not _runs(vm):
            raise Invalid("memory", ask.memory, "possible: the VM does not run")
        snapshot = new_snapshot(
            vm, f"{vm.name}.{ask.name}", self.mirror, self.clock.now_s(), new_id("snap", self.clock)
        )
        spec = msgspec.structs.replace(
            snapshot.spec,
            memory=ask.memory,
            freeze=ask.freeze,
            description=ask.description,
            left_out=() if ask.memory else snapshot.spec.left_out,
        )
        snapshot = snapshot.having(spec=spec, labels=ask.labels)
        return Change(
            target=snapshot,
            writes=(Put(snapshot), Put(standing_on(vm, SnapshotId(snapshot.id)))),
            expect={snapshot.id: 0, vm.id: vm.revision},
            verb=Verb.CREATE,
            deadline_s=CREATE_S,
        )

    def _revert(self, snapshot: Snapshot) -> Change:
        vm = self.mirror.find(VM, snapshot.spec.vm)
        refuse_unless_free(vm)
        if snapshot.status.phase is not SnapshotPhase.READY or snapshot.deleting:
            raise SnapshotNotReady(snapshot)
        _refuse_other_hardware(vm, snapshot, self.mirror)
        wish = RevertWish(id=new_id("op", self.clock), snapshot=SnapshotId(snapshot.id))
        spec = msgspec.structs.replace(vm.spec, revert=wish, snapshot=wish.snapshot)
        if snapshot.spec.memory and not spec.running:
            spec = msgspec.structs.replace(spec, running=True, boot=spec.boot + 1)
        after = vm.having(generation=vm.generation + 1, spec=spec)
        return Change(
            target=after,
            writes=(Put(after),),
            expect={vm.id: vm.revision},
            verb=Verb.REVERT,
            boot=spec.boot if spec.running else 0,
            deadline_s=CREATE_S,
            operation_id=wish.id,
        )

    def _delete(self, snapshot: Snapshot) -> Change:
        vm = self.mirror.get(snapshot.spec.vm)
        if isinstance(vm, VM) and reverting(vm) and vm.spec.revert and vm.spec.revert.snapshot == snapshot.id:
            raise NotNow(vm, f"is being reverted to {snapshot.name}")
        if copies := copies_of_snapshot(snapshot, self.mirror):
            raise InUse("Snapshot", snapshot.name, f"Volume {copies[0].name}, which is being made from it")
        return msgspec.structs.replace(
            without(snapshot, self.mirror, self.clock.now_s()), deadline_s=CREATE_S
        )


def new_snapshot(vm: VM, name: str, mirror: Mirror, now_s: float, id: str) -> Snapshot:
    """Of all disks of the VM. raises TooManySnapshots, NotNow, Invalid: it has no disks, or they are not made yet"""
    if len(mirror.select(Snapshot, "vm", vm.id)) >= SNAPSHOTS_MAX:
        raise TooManySnapshots(vm)
    if not vm.spec.disks:
        raise Invalid("vm", vm.name, "a VM with disks: there is nothing to keep")
    volumes = [v for disk in vm.spec.disks if isinstance(v := mirror.get(disk.volume), Volume)]
    busy = any(v.status.phase is not VolumePhase.READY or v.moves for v in volumes)
    if busy or len(volumes) < len(vm.spec.disks):
        raise NotNow(vm, "has disks that are not ready, or on their way to another pool")
    return Snapshot(
        id=id,
        name=name,
        project=vm.project,
        created_at=now_s,
        finalizers=("corral.dev/snapshot",),
        spec=SnapshotSpec(
            vm=VmId(vm.id),
            disks=tuple(disk.volume for disk in vm.spec.disks),
            parent=vm.spec.snapshot,
            cpus=vm.spec.cpus,
            memory_bytes=vm.spec.memory_bytes,
            nics=len(vm.spec.nics),
            sizes_bytes=tuple(volume.spec.size_bytes for volume in volumes),
            hardware=vm.spec.hardware,
            left_out=tuple(beside_disks(vm)),
        ),
        status=SnapshotStatus(since=now_s),
    )


def beside_disks(vm: VM) -> Iterator[Beside]:
    """What a snapshot of its disks alone leaves out."""
    hardware, own = vm.spec.hardware, parse(vm.spec.base_xml) if vm.spec.base_xml else None
    if hardware.firmware is not Firmware.BIOS or (own and firmware_of(own) != "bios"):
        yield Beside.VARIABLES
    if hardware.tpm or (own and own.find("devices", "tpm")):
        yield Beside.TPM


def standing_on(vm: VM, snapshot: SnapshotId | None) -> VM:
    """The VM with another place in the tree. No new generation: nothing of its definition changes."""
    return vm.having(spec=msgspec.structs.replace(vm.spec, snapshot=snapshot))


def without(snapshot: Snapshot, mirror: Mirror, now_s: float) -> Change:
    """It is to go; what stood on it stands on its parent now."""
    gone = snapshot.having(deleted_at=snapshot.deleted_at or now_s, generation=snapshot.generation + 1)
    changed: list[Snapshot | VM] = [gone]
    parent = snapshot.spec.parent
    for child in mirror.select(Snapshot, "vm", snapshot.spec.vm):
        if child.spec.parent == snapshot.id:
            changed.append(child.having(spec=msgspec.structs.replace(child.spec, parent=parent)))
    vm = mirror.get(snapshot.spec.vm)
    if isinstance(vm, VM):
        on = parent if vm.spec.snapshot == snapshot.id else vm.spec.snapshot
        changed.append(standing_on(vm, on))
    return Change(
        target=gone,
        writes=tuple(Put(r) for r in changed),
        expect={r.id: r.revision for r in changed},
        verb=Verb.DELETE,
    )


# ---- what others may not do


def refuse_unless_free(vm: VM) -> None:
    """Raises NotNow: it is moving, being reverted, or being deleted, or has no node"""
    if vm.deleting:
        raise NotNow(vm, "is being deleted")
    if vm.status.migration or _migrates(vm.spec, vm):
        raise NotNow(vm, "is migrating")
    if reverting(vm):
        raise NotNow(vm, "is being reverted to a snapshot")
    if vm.status.node is None:
        raise NotNow(vm, "has no node yet")


def refuse_migration(vm: VM, mirror: Mirror) -> None:
    """Raises NotNow: snapshots are being taken or dropped; WouldLoseSnapshots: they live in a local pool"""
    snapshots = mirror.select(Snapshot, "vm", vm.id)
    if reverting(vm):
        raise NotNow(vm, "is being reverted to a snapshot")
    if any(s.deleting or s.status.phase is SnapshotPhase.CREATING for s in snapshots):
        raise NotNow(vm, "has a snapshot that is being taken or deleted")
    volumes = [v for s in snapshots for id in s.spec.disks if isinstance(v := mirror.get(id), Volume)]
    pools = [mirror.get(v.pool) for v in volumes]
    if any(isinstance(pool, StoragePool) and not pool.spec.shared for pool in pools):
        raise WouldLoseSnapshots(
            vm, len(snapshots), "live in a local pool, and copying a disk leaves them behind"
        )


def refuse_keeping_volumes(vm: VM, mirror: Mirror) -> None:
    """Raises WouldLoseSnapshots: nobody could get at them without the VM, be its volumes in the trash or not"""
    if snapshots := mirror.select(Snapshot, "vm", vm.id):
        why, instead = "would be left in its volumes, out of reach", " Or let all go for good: --purge."
        raise WouldLoseSnapshots(vm, len(snapshots), why, instead=instead)


def refuse_leaving_volumes(vm: VM, mirror: Mirror) -> None:
    """Raises WouldLoseSnapshots: volumes that are not the VM's own stay when it goes, and its snapshots would in them"""
    own = {volume.id for volume in mirror.select(Volume, "vm", vm.id)}
    left = [s for s in mirror.select(Snapshot, "vm", vm.id) if not own.issuperset(s.spec.disks)]
    if left:
        raise WouldLoseSnapshots(vm, len(left), "would be left in volumes that stay, out of reach")


def _refuse_other_hardware(vm: VM, snapshot: Snapshot, mirror: Mirror) -> None:
    then = snapshot.spec
    if set(then.disks) != {disk.volume for disk in vm.spec.disks}:
        raise OtherHardware(vm, snapshot, "disks", len(vm.spec.disks), "others")
    if not then.memory:
        return
    sizes = [v.spec.size_bytes for id in then.disks if isinstance(v := mirror.get(id), Volume)]
    for what, now, was in (
        ("bytes of disks", sum(sizes), sum(then.sizes_bytes)),
        ("vCPUs", vm.spec.cpus, then.cpus),
        ("memory", vm.spec.memory_bytes, then.memory_bytes),
        ("NICs", len(vm.spec.nics), then.nics),
    ):
        if now != was:
            raise OtherHardware(vm, snapshot, what, now, was)
    if vm.spec.hardware != then.hardware:
        raise OtherHardware(vm, snapshot, "hardware", "set in another way", "other settings")


def _migrates(spec: VMSpec, vm: VM) -> bool:
    last = vm.status.last_migration
    return spec.migration is not None and (last is None or last.wish != spec.migration.id)


def _runs(vm: VM) -> bool:
    return vm.report is not None and vm.report.state in (DomainState.RUNNING, DomainState.PAUSED)
