"""Adopting: a domain that was there before Corral becomes a VM, and a VM a domain without Corral again.

In this room   plan_adoption(): what an adoption makes, or why it is refused; requests to adopt and to release
Comes in       FoundDomains as nodes report them; the mirror
Goes out       a VM with volumes on the files as found, ports, networks for bridges that had none; Operations
Always true    the guest is not touched. One domain is one VM: the same UUID or the same file on two nodes, or in
               use by a VM, is refused. The files stay when the VM goes, unless that is asked for.
Next door      reconcile.py marks the domain on its node; hypervisor/libvirt/reading.py has read its XML
Start here     plan_adoption()
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct

from corral.clock import Clock, new_id
from corral.errors import CorralError
from corral.hypervisor.libvirt.editing import bus_of
from corral.hypervisor.libvirt.identity import adopted_id, domain_uuid
from corral.model.domain import DomainModel, FoundDisk, FoundNic
from corral.model.found import FoundDomain
from corral.model.ids import NetworkId, NodeId, PoolId, VmId, VolumeId
from corral.model.network import Network, NetworkSpec
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool
from corral.model.port import Port, PortSpec
from corral.model.resource import Resource
from corral.model.vm import VM, Disk, DomainState, Nic, VMPhase, VMSpec, VMStatus
from corral.model.volume import FoundFile, Volume, VolumePhase, VolumeSpec, VolumeStatus
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_labels, check_name
from corral.server.services.nics import port_name
from corral.server.services.requests import AdoptDomain
from corral.server.services.vms import CLEAN_UP, Migrating, VmGoing
from corral.store.interface import Put
from corral.store.mirror import Mirror

NAME_LENGTH_MAX = 63
RUNS = (DomainState.RUNNING, DomainState.PAUSED)


class AdoptionRefused(CorralError):
    """The domain can't be managed; the element of its XML and the reason are in the message."""

    code = "adoption.refused"
    status = 409


class UuidInUse(CorralError):
    """A VM, or a domain on another node, has the domain's UUID already."""

    code = "adoption.uuid_in_use"
    status = 409


class FileInUse(CorralError):
    """A volume, or another domain, is on the same file already."""

    code = "adoption.file_in_use"
    status = 409


class MacInUse(CorralError):
    """A port on the same network has the NIC's MAC address already."""

    code = "adoption.mac_in_use"
    status = 409


class Adoption(Struct, frozen=True, kw_only=True):
    """What an adoption makes."""

    domain: str  # its name in libvirt, which it keeps
    node: str
    vm: VM
    volumes: tuple[Volume, ...] = ()
    ports: tuple[Port, ...] = ()
    networks: tuple[Network, ...] = ()  # new ones, for bridges that had none
    kept: tuple[str, ...] = ()  # what Corral does not model and gives back on each define


def plan_adoption(found: FoundDomain, ask: AdoptDomain, mirror: Mirror, clock: Clock) -> Adoption:
    """What would be made of the domain. raises AdoptionRefused, UuidInUse, FileInUse, MacInUse, Invalid"""
    node, model = mirror.find(Node, found.spec.node), _model(found)
    _check(found, model, mirror)
    name = ask.name or vm_name(found.status.name)
    check_name(name)
    check_labels(ask.labels)
    id, now_s = VmId(adopted_id(new_id("vm", clock), found.spec.uuid)), clock.now_s()
    volumes = tuple(new_volumes(model, name, id, found.spec.node, mirror, clock))
    networks = tuple(_new_networks(model.nics, node, mirror, clock))
    ports = tuple(new_ports(model.nics, id, found.spec.node, networks, mirror, clock))
    running = found.status.state in RUNS
    spec = VMSpec(
        cpus=model.cpus,
        memory_bytes=model.memory_bytes,
        disks=disks_of(model, volumes),
        nics=tuple(Nic(network=p.spec.network, mac=p.spec.mac, anti_spoofing=False) for p in ports),
        running=running,
        boot=1 if running else 0,
        base_xml=found.status.xml,
        autostart=found.status.autostart,
        adoption=found.revision,
    )
    status = VMStatus(
        phase=VMPhase.PREPARING,
        since=now_s,
        node=found.spec.node,
        traces=(found.spec.node,),
        stint=found.revision,
    )
    vm = VM(
        id=id,
        name=name,
        labels=ask.labels,
        created_at=now_s,
        finalizers=(CLEAN_UP,),
        spec=spec,
        status=status,
    )
    kept = [f"{d.target}: {d.kept}" for d in model.disks if d.kept]
    kept += [f"{n.mac or 'NIC'}: {n.kept}" for n in model.nics if n.kept]
    return Adoption(
        domain=found.status.name, node=node.name, vm=vm, volumes=volumes, ports=ports, networks=networks,
        kept=(*kept, *model.kept),
    )  # fmt: skip


def vm_name(domain: str) -> str:
    """The domain's name as a VM may be called: small letters, digits, dashes and dots."""
    plain = re.sub(r"[^a-z0-9.]+", "-", domain.lower())[:NAME_LENGTH_MAX].strip("-.")
    return plain or "adopted"


# ---- what stands in the way


def _model(found: FoundDomain) -> DomainModel:
    refusal, model = found.status.refusal, found.status.model
    if refusal or model is None:
        what = f"{refusal.element}: {refusal.reason}" if refusal else "its XML can't be read"
        raise AdoptionRefused(
            f"{found.status.name} can't be adopted: {what}",
            hint="It goes on as it is. `corral vm found` shows what each node has.",
            domain=found.status.name,
            element=refusal.element if refusal else "domain",
        )
    return model


def _check(found: FoundDomain, model: DomainModel, mirror: Mirror) -> None:
    """Raises UuidInUse, FileInUse"""
    uuid, name = found.spec.uuid, found.status.name
    for vm in mirror.list(VM):
        if _uuid(vm.id) == uuid:
            raise UuidInUse(
                f"{name} has the UUID of VM {vm.name}",
                hint=f"Is it left over from {vm.name}? `virsh undefine {name}` on its node takes it away.",
                uuid=uuid,
                vm=vm.id,
            )
    for other in mirror.select(FoundDomain, "uuid", uuid):
        if other.id != found.id:
            where = _name(mirror, other.spec.node)
            raise UuidInUse(
                f"{name} is defined on node {where} too, where it is {other.status.state}",
                hint=f"Undefine the one that is not needed: `virsh undefine {other.status.name}` on {where}.",
                uuid=uuid,
                node=other.spec.node,
            )
    for disk in model.disks:
        if not disk.kept:
            check_file(disk, name, found.spec.node, found.id, mirror)


_uuid = lru_cache(maxsize=200_000)(domain_uuid)


def check_file(disk: FoundDisk, domain: str, node: NodeId, found: str, mirror: Mirror) -> None:
    """Whether a volume may be made on the file. raises FileInUse: what is on it already

    found    id of the found domain that the disk is of; empty: of none
    """
    shared = is_shared(disk, node, mirror)
    if volume := volume_on(disk.path, node, shared, mirror):
        raise FileInUse(
            f"{disk.path} of {domain} is the file of volume {volume.name}",
            hint=f"Only one VM may write to it. `corral volume show {volume.name}` says whose it is.",
            path=disk.path,
            volume=volume.id,
        )
    for other in mirror.list(FoundDomain):
        if other.id == found or other.status.model is None or (other.spec.node != node and not shared):
            continue
        if any(d.path == disk.path and not d.kept for d in other.status.model.disks):
            where = _name(mirror, other.spec.node)
            raise FileInUse(
                f"{disk.path} of {domain} is a disk of domain {other.status.name} on node {where} too",
                hint="Two VMs on one file destroy it. Take the disk out of one of them, or mark it <shareable/>.",
                path=disk.path,
                node=other.spec.node,
            )


def volume_on(path: str, node: NodeId, shared: bool, mirror: Mirror) -> Volume | None:
    """The volume whose file this is: as found before, or made by Corral in one of its pools."""
    for volume in mirror.select(Volume, "path", path):
        assert volume.spec.file
        if volume.status.node == node or shared or volume.spec.file.shared:
            return volume
    own = mirror.get(PurePosixPath(path).stem) if _pool_of(path, node, mirror) else None
    return own if isinstance(own, Volume) and own.spec.file is None else None


def _pool_of(path: str, node: NodeId, mirror: Mirror) -> StoragePool | None:
    """The pool that the file lies in."""
    pools = (pool for pool in mirror.list(StoragePool) if pool.on(node))
    return next((pool for pool in pools if path.startswith(f"{pool.spec.path}/")), None)


def is_shared(disk: FoundDisk, node: NodeId, mirror: Mirror) -> bool:
    """Whether other nodes see the file too: its file system says so, or its pool."""
    pool = _pool_of(disk.path, node, mirror)
    return disk.shared or (pool is not None and pool.spec.shared)


def _name(mirror: Mirror, id: str) -> str:
    resource = mirror.get(id)
    return resource.name if resource else id


# ---- what is made


def new_volumes(
    model: DomainModel, name: str, vm: VmId, node: NodeId, mirror: Mirror, clock: Clock
) -> Iterator[Volume]:
    """A volume for each disk that becomes one."""
    for number, disk in enumerate(d for d in model.disks if not d.kept):
        pool = _pool_of(disk.path, node, mirror)
        shared = is_shared(disk, node, mirror)
        spec = VolumeSpec(
            pool=PoolId(pool.id if pool else ""),
            size_bytes=disk.size_bytes,
            vm=vm,
            node=node,
            file=FoundFile(path=disk.path, format=disk.format, shared=shared),
        )
        yield Volume(
            id=new_id("vol", clock),
            name=f"{name}-{number}",
            created_at=clock.now_s(),
            spec=spec,
            status=VolumeStatus(phase=VolumePhase.CREATING, node=node, made=True, since=clock.now_s()),
        )


def disks_of(model: DomainModel, volumes: tuple[Volume, ...]) -> tuple[Disk, ...]:
    """The VM's disks, in the order of the XML."""
    by_path = {v.spec.file.path: v for v in volumes if v.spec.file}
    return tuple(
        Disk(volume=VolumeId(by_path[d.path].id), bus=bus_of(d.bus))
        for d in model.disks
        if not d.kept and d.path in by_path
    )


def _new_networks(nics: tuple[FoundNic, ...], node: Node, mirror: Mirror, clock: Clock) -> Iterator[Network]:
    """A network for each bridge that none is on."""
    for bridge in dict.fromkeys(nic.source for nic in nics if not nic.kept):
        if network_on(bridge, NodeId(node.id), mirror) is None:
            name = vm_name(bridge)
            if mirror.named(Network, name):
                name = f"{name}-{node.name}"
            spec = NetworkSpec(bridge=bridge, nodes=(NodeId(node.id),))
            yield Network(id=new_id("net", clock), name=name, created_at=clock.now_s(), spec=spec)


def network_on(bridge: str, node: NodeId, mirror: Mirror) -> Network | None:
    """The network on this bridge of the node; one without a subnet first: the NIC has its address already."""
    fit = [n for n in mirror.list(Network) if n.spec.bridge == bridge and n.on(node) and not n.deleting]
    return min(fit, key=lambda n: (n.spec.subnet is not None, n.id), default=None)


def new_ports(
    nics: tuple[FoundNic, ...],
    vm: VmId,
    node: NodeId,
    new: tuple[Network, ...],
    mirror: Mirror,
    clock: Clock,
) -> Iterator[Port]:
    """A port for each NIC that becomes one. raises MacInUse"""
    for nic in nics:
        if nic.kept:
            continue
        network = next((n for n in new if n.spec.bridge == nic.source), None) or network_on(
            nic.source, node, mirror
        )
        if network is None:
            raise AdoptionRefused(
                f"no network is on bridge {nic.source}",
                hint=f"Make one first: `corral network create NAME --bridge {nic.source}`.",
                bridge=nic.source,
            )
        name = port_name(network, nic.mac)
        if other := mirror.named(Port, name):
            raise MacInUse(
                f"{nic.mac} is the MAC address of a NIC of {_name(mirror, other.spec.vm)} on network {network.name}",
                hint="Change one of them: two NICs with one address disturb each other.",
                mac=nic.mac,
            )
        spec = PortSpec(network=NetworkId(network.id), vm=vm, mac=nic.mac)
        yield Port(id=new_id("port", clock), name=name, created_at=clock.now_s(), spec=spec)


# ---- requests


class Adoptions:
    """Requests to take domains over, and to hand VMs back."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    def preview(self, found: str, ask: AdoptDomain) -> Adoption:
        """What an adoption would make; nothing is changed."""
        return plan_adoption(self.mirror.find(FoundDomain, found), ask, self.mirror, self.clock)

    async def adopt(self, found: str, ask: AdoptDomain, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._adopt(self.mirror.find(FoundDomain, found), ask))

    async def release(self, vm: str, asking: Asking) -> Operation:
        """Its domain goes on, without Corral; its files stay, the records go."""
        return await self.desk.submit(asking, lambda: self._release(self.mirror.find(VM, vm)))

    def _adopt(self, found: FoundDomain, ask: AdoptDomain) -> Change:
        adoption = plan_adoption(found, ask, self.mirror, self.clock)
        new: tuple[Resource, ...] = (adoption.vm, *adoption.volumes, *adoption.ports, *adoption.networks)
        seen = found.having(
            generation=found.generation + 1
        )  # of two requests only one gets it; its node drops it
        return Change(
            target=adoption.vm,
            writes=tuple(Put(r) for r in (seen, *new)),
            expect={found.id: found.revision, **{r.id: 0 for r in new}},
            verb=Verb.ADOPT,
            deadline_s=120.0,
        )

    def _release(self, vm: VM) -> Change:
        if vm.deleting:
            raise VmGoing(vm)
        if vm.status.migration:
            raise Migrating(vm)
        spec = msgspec.structs.replace(vm.spec, released=True, protected=False)
        gone = vm.having(spec=spec, deleted_at=self.clock.now_s(), generation=vm.generation + 1)
        return Change(target=gone, writes=(Put(gone),), expect={vm.id: vm.revision}, verb=Verb.RELEASE)
