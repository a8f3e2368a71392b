"""Clones: a new VM that begins as a copy of another one, or of a snapshot of it.

In this room   one request as a pure decision on the mirror: the new VM with its volumes and ports, and the snapshot that
               they are copied from
Comes in       CloneVM, and Asking
Goes out       an Operation that creates the new VM; the nodes copy
Always true    nothing that is changing is copied: a snapshot is taken for it if none was named, and goes when the copies
               are whole. The clone is somebody else: name, id (and so cloud-init's instance-id), MACs and addresses are
               its own. It depends on images only, never on the VM that it was copied from.
Next door      snapshots.py; volumes.py copies single volumes; controllers/snapshot.py takes the snapshot away
Start here     Clones.clone()
"""

from collections.abc import Sequence

import msgspec

from corral.clock import new_id
from corral.errors import InUse, Invalid
from corral.model.hardware import BY_CLASS, Hardware
from corral.model.ids import ImageId, NodeId, SnapshotId, VmId, VolumeId
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.profile import VMProfileSpec
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.vm import VM, CloudInit, Disk, Nic, VMSpec
from corral.model.volume import Volume, VolumeSource
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_labels, check_name
from corral.server.services.disks import plan_volume
from corral.server.services.nics import Addresses, new_ports
from corral.server.services.profiles import completed
from corral.server.services.requests import CloneVM, CreateVM, NewNic
from corral.server.services.snapshots import SnapshotNotReady, new_snapshot, refuse_unless_free
from corral.server.services.volumes import copied_on, size_deadline_s
from corral.store.interface import Put

CLEAN_UP = "corral.dev/vm"  # finalizer, as of every VM
_PLAIN = completed(
    VMProfileSpec()
)  # ports have to begin as something; then they become what the source's are
CLONE_S = 600.0  # beside the time for copying


class Clones:
    """Requests for copies of VMs."""

    def __init__(self, desk: Desk, addresses: Addresses) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock
        self.addresses = addresses

    async def clone(self, vm: str, ask: CloneVM, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._clone(self.mirror.find(VM, vm), ask))

    def _clone(self, source: VM, ask: CloneVM) -> Change:
        check_name(ask.name)
        check_labels(ask.labels or {})
        if source.spec.base_xml:
            raise Invalid(
                "vm", source.name, "a VM of Corral's own making: an adopted one has a definition for it alone",
                hint="Stop it, make an image of its disk (`corral image upload NAME FILE`), and new VMs from that.",
            )  # fmt: skip
        id = VmId(new_id("vm", self.clock))
        snapshot, new_snapshots = self._snapshot(source, ask, id)
        volumes = self._volumes(source, ask, id, snapshot)
        ports, nics = self._nics(source, ask, id)
        vm = VM(
            id=id,
            name=ask.name,
            project=source.project,
            labels=source.labels if ask.labels is None else ask.labels,
            created_at=self.clock.now_s(),
            finalizers=(CLEAN_UP,),
            spec=self._spec(source, ask, _disks(source, snapshot, volumes), nics),
        )
        new: tuple[Resource, ...] = (vm, *volumes, *ports, *new_snapshots)
        held: tuple[Resource, ...] = (source,) if new_snapshots else (source, snapshot)
        return Change(  # source and snapshot are written as they are: whoever changes them now looks again
            target=vm,
            writes=tuple(Put(r) for r in (*new, *held)),
            expect={**{r.id: 0 for r in new}, **{r.id: r.revision for r in held}},
            verb=Verb.CREATE,
            boot=vm.spec.boot if vm.spec.running else 0,
            deadline_s=CLONE_S + sum(size_deadline_s(v) for v in volumes),
        )

    def _snapshot(self, source: VM, ask: CloneVM, new: VmId) -> tuple[Snapshot, tuple[Snapshot, ...]]:
        """What is copied, and that again if it is to be taken for this."""
        if ask.snapshot:
            found = self.mirror.find(Snapshot, ask.snapshot)
            if found.spec.vm != source.id:
                raise Invalid("snapshot", ask.snapshot, f"a snapshot of VM {source.name}")
            if found.deleting or found.status.phase is not SnapshotPhase.READY:
                raise SnapshotNotReady(found)
            return found, ()
        refuse_unless_free(source)
        name = f"{source.name}.clone-{new[-8:].lower()}"
        snapshot = new_snapshot(source, name, self.mirror, self.clock.now_s(), new_id("snap", self.clock))
        taken = snapshot.having(spec=msgspec.structs.replace(snapshot.spec, copy_for=new))
        return taken, (taken,)

    def _volumes(self, source: VM, ask: CloneVM, new: VmId, snapshot: Snapshot) -> list[Volume]:
        copies: list[Volume] = []
        for number, id in enumerate(snapshot.spec.disks):
            origin = self.mirror.find(Volume, id)
            pool = ask.pool or origin.spec.pool
            size = origin.spec.size_bytes
            name = f"{ask.name}-{number}"
            copy = plan_volume(name, source.project, pool, "", size, self.mirror, self.clock, "", new)
            image = None if ask.full else origin.spec.image
            spec = msgspec.structs.replace(
                copy.spec,
                image=ImageId(image) if image else None,
                source=VolumeSource(volume=VolumeId(origin.id), snapshot=SnapshotId(snapshot.id)),
                node=copied_on(origin, copy.spec.pool, self.mirror),
            )
            copies.append(copy.having(spec=spec))
        return copies

    def _nics(self, source: VM, ask: CloneVM, new: VmId) -> tuple[Sequence[Resource], tuple[Nic, ...]]:
        """On the same networks, as somebody else."""
        like = CreateVM(name=ask.name, nics=tuple(NewNic(network=nic.network) for nic in source.spec.nics))
        ports, fresh = new_ports(like, new, self.addresses, self.mirror, self.clock, _PLAIN.nic)
        nics = (
            msgspec.structs.replace(old, mac=nic.mac, address=nic.address)
            for old, nic in zip(source.spec.nics, fresh, strict=True)
        )
        return ports, tuple(nics)

    def _spec(self, source: VM, ask: CloneVM, disks: tuple[Disk, ...], nics: tuple[Nic, ...]) -> VMSpec:
        spec = source.spec
        node = NodeId(self.mirror.find(Node, ask.node).id) if ask.node else None
        return VMSpec(  # what is not named here is about the source: what it waits for, what was saved of it
            cpus=spec.cpus,
            memory_bytes=spec.memory_bytes,
            hardware=_shareable(source, spec.hardware),
            disks=disks,
            nics=nics,
            cloud_init=as_somebody_else(spec.cloud_init, spec.nics, nics),
            running=ask.running,
            boot=1 if ask.running else 0,
            stop_timeout_s=spec.stop_timeout_s,
            restart=spec.restart,
            policy=spec.policy,
            groups=spec.groups,
            profile=spec.profile,
            migration_policy=spec.migration_policy,
            node=node,
        )


def as_somebody_else(old: CloudInit, was: Sequence[Nic], now: Sequence[Nic]) -> CloudInit:
    """Its own instance-id and name (made from the VM), and its own MACs where a network config names them."""
    network = old.network_config
    for one, other in zip(was, now, strict=True):
        network = network.replace(one.mac, other.mac)
    return msgspec.structs.replace(old, meta_data="", network_config=network)


def _shareable(source: VM, hardware: Hardware) -> Hardware:
    """Raises InUse: a device of the host is in one VM only. Of what is asked for by class there may be more."""
    if any(device.kind not in BY_CLASS for device in hardware.devices):
        raise InUse("VM", source.name, "a device of its node, which no second VM can have")
    return hardware


def _disks(source: VM, snapshot: Snapshot, volumes: Sequence[Volume]) -> tuple[Disk, ...]:
    """Attached as those that they are copies of."""
    attached = {disk.volume: disk for disk in source.spec.disks}
    return tuple(
        msgspec.structs.replace(attached.get(id, Disk(volume=id)), volume=VolumeId(volume.id))
        for id, volume in zip(snapshot.spec.disks, volumes, strict=True)
    )
