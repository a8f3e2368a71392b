"""Assignments: what a node is to do, derived from the mirror.

In this room   pure functions: the assignment of one node about one resource, and which of them a change touches
Comes in       the mirror, a node, an id
Goes out       an Assignment, or None: the node has nothing to do with it
Always true    at most one node has the role OWNER or SOURCE of a VM; a VM that is being deleted has no owner. A node
               is told to delete an old file of a volume only once it has nothing of the volume's VM any more.
Next door      hub.py sends them; controllers write the statuses that they follow from
Start here     assignment()
"""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import msgspec

from corral.controllers.copying import copies_of_snapshot, waits_for_snapshot
from corral.controllers.migration_plan import reverting
from corral.model.hardware import Bus, Pinning
from corral.model.ids import ImageId, NetworkId, NodeId, PoolId, SnapshotId, VmId, VolumeId
from corral.model.image import Image, ImageCopy
from corral.model.link import (
    Assignment,
    CdAssignment,
    CopySource,
    DiskAssignment,
    Forward,
    HostName,
    ImageAssignment,
    ImageSource,
    MigrateAssignment,
    NetworkAssignment,
    NicAssignment,
    OtherPlace,
    PoolAssignment,
    Port,
    RevertAssignment,
    SnapshotAssignment,
    VmAssignment,
    VmRole,
    VolumeAssignment,
)
from corral.model.network import Network
from corral.model.node import Node
from corral.model.pool import StoragePool
from corral.model.port import Port as PortResource
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.units import cpu_set, members
from corral.model.vm import VM, Disk, MigrationStage, Nic
from corral.model.volume import FoundFile, Volume
from corral.storage.interface import volume_path
from corral.store.interface import Change
from corral.store.mirror import Mirror


def assignment(mirror: Mirror, node: NodeId, key: str) -> Assignment | None:
    """What `node` is to do about `key`: an id, or image@pool for a copy of an image."""
    if "@" in key:
        return _image(mirror, node, key)
    match mirror.get(key):
        case VM() as vm:
            return _vm(mirror, node, vm)
        case Volume() as volume:
            return _volume(mirror, node, volume)
        case StoragePool() as pool:
            return _pool(mirror, node, pool)
        case Network() as network:
            return _network(mirror, node, network)
    return None


def _pool(mirror: Mirror, node: NodeId, pool: StoragePool) -> PoolAssignment | None:
    if not pool.on(node):
        return None
    own = mirror.get(node)
    seen = own.status.pools.get(pool.id) if isinstance(own, Node) else None
    marker = pool.status.marker if pool.spec.shared else (seen.marker if seen else "")
    return PoolAssignment(pool=PoolId(pool.id), path=pool.spec.path, shared=pool.spec.shared, marker=marker)


def keys_of(mirror: Mirror, node: NodeId) -> Iterator[str]:
    """Everything that `node` may have something to do with."""
    yield from (p.id for p in mirror.list(StoragePool) if p.on(node))
    yield from (n.id for n in mirror.list(Network) if n.on(node))
    yield from (v.id for v in mirror.select(Volume, "at", node))
    yield from (vm.id for vm in mirror.select(VM, "node", node))
    for image in mirror.list(Image):
        yield from (
            f"{image.id}@{c.pool}"
            for c in image.status.copies.values()
            if c.node == node and (image.deleting or c.going)
        )


def touched(mirror: Mirror, change: Change) -> Iterator[tuple[NodeId | None, str]]:
    """Node (None: all) and key of each assignment that the change may have changed."""
    match change.resource:
        case VM() as vm:
            nodes = {*vm.status.traces, *vm.claimed_on}
            for node in sorted(nodes):
                yield node, vm.id
                for network in sorted({nic.network for nic in vm.spec.nics}):
                    yield node, network
            if vm.deleting:
                for snapshot in mirror.select(Snapshot, "vm", vm.id):
                    yield from _made_from(mirror, snapshot)
            yield from _old_files(mirror, vm)
        case Volume() as volume:
            for node in sorted({*volume.status.traces, *((at,) if (at := volume.status.node) else ())}):
                yield node, volume.id
        case Snapshot() as snapshot:
            yield from _made_from(mirror, snapshot)
            of = mirror.get(snapshot.spec.vm)
            if isinstance(of, VM) and of.status.node:
                yield of.status.node, of.id
        case StoragePool() | Network() as thing:
            yield None, thing.id
        case PortResource() as port:
            if names_everywhere(mirror, port.spec.network):
                yield None, port.spec.network
        case Image() as image:
            for copy in image.status.copies.values():
                yield copy.node, f"{image.id}@{copy.pool}"
        case Node() as node:
            yield from (
                (NodeId(node.id), pool.id) for pool in mirror.list(StoragePool) if not pool.spec.shared
            )
            for vm in mirror.select(VM, "node", node.id):
                if vm.status.migration:  # its address may be new
                    yield vm.status.migration.source, vm.id


def names_everywhere(mirror: Mirror, network: str) -> bool:
    """Whether every node of the network answers the names of all of its VMs."""
    known = mirror.get(network)
    return isinstance(known, Network) and bool(known.spec.domain) and known.spans_nodes


def _made_from(mirror: Mirror, snapshot: Snapshot) -> Iterator[tuple[NodeId, str]]:
    """Volumes that wait for it: it is there now, or never will be."""
    for volume in copies_of_snapshot(snapshot, mirror):
        if volume.status.node:
            yield volume.status.node, volume.id


def _old_files(mirror: Mirror, vm: VM) -> Iterator[tuple[NodeId, str]]:
    """Files of its volumes that may go once their node has let go of the VM."""
    for disk in vm.spec.disks:
        volume = mirror.get(disk.volume)
        if isinstance(volume, Volume):
            yield from ((node, volume.id) for node in volume.status.traces)


def role(vm: VM, node: NodeId) -> VmRole:
    """What `node` is to the VM."""
    if vm.deleting:
        return VmRole.NONE
    migration = vm.status.migration
    if migration and node == migration.target:
        return VmRole.TARGET
    if node != vm.status.node:
        return VmRole.NONE
    return VmRole.SOURCE if migration and migration.stage is not MigrationStage.PREPARING else VmRole.OWNER


def _vm(mirror: Mirror, node: NodeId, vm: VM) -> VmAssignment | None:
    if node not in vm.status.traces and node not in vm.claimed_on:
        return None
    as_what = role(vm, node)
    if as_what is VmRole.NONE:
        return VmAssignment(
            vm=VmId(vm.id),
            name=vm.name,
            role=as_what,
            generation=vm.generation,
            stint=vm.status.stint,
            running=False,
            keep=vm.spec.released and node == vm.status.node,
            autostart=vm.spec.autostart,
        )
    return VmAssignment(
        vm=VmId(vm.id),
        name=vm.name,
        role=as_what,
        generation=vm.generation,
        stint=vm.status.stint,
        boot=vm.spec.boot,
        running=vm.spec.running,
        cpus=vm.spec.cpus,
        memory_bytes=vm.spec.memory_bytes,
        hardware=msgspec.structs.replace(vm.spec.hardware, pinning=pinning_on(mirror, vm, node)),
        platform=vm.status.platform,
        disks=tuple(_disks(mirror, vm)),
        nics=tuple(_nics(mirror, vm)),
        cloud_init=vm.spec.cloud_init,
        stop_timeout_s=vm.spec.stop_timeout_s,
        restart=vm.spec.restart,
        migrate=_migrate(mirror, node, vm),
        base_xml=vm.spec.base_xml,
        settles=vm.spec.settles,
        adopt=0 < vm.spec.adoption == vm.status.stint,
        adopted=vm.spec.adoption > 0,
        snapshots=tuple(_snapshots(mirror, vm)) if as_what is VmRole.OWNER else (),
        revert=_revert(mirror, vm) if as_what is VmRole.OWNER else None,
        cd=_cd(mirror, vm),
        paused=vm.spec.paused,
        turn=vm.spec.turn,
        saved=vm.spec.saved,
        forced=vm.spec.forced,
    )


def pinning_on(mirror: Mirror, vm: VM, node: NodeId) -> Pinning | None:
    """Its own; else the CPUs that are dedicated to it; else all but those that are for others."""
    record = mirror.get(node)
    if vm.spec.hardware.pinning or not isinstance(record, Node) or not record.spec.dedicated_cpus:
        return vm.spec.hardware.pinning
    dedicated = members(record.spec.dedicated_cpus)
    cells = record.status.inventory.cells
    parts = vm.status.platform.cells if node == vm.status.node else ()
    near = {part.cell for part in parts}
    shared = [
        cpu for cell in cells if not near or cell.id in near for cpu in cell.cpus if cpu not in dedicated
    ]
    others = cpu_set(shared) or cpu_set([cpu for cell in cells for cpu in cell.cpus if cpu not in dedicated])
    if not vm.spec.hardware.dedicated:
        return Pinning(vcpus=(others,), emulator=others) if others else None
    return Pinning(
        vcpus=tuple(cpu for part in parts for cpu in part.cpus.split(",") if cpu),
        emulator=others,
        cells=cpu_set(near),
    )


def _snapshots(mirror: Mirror, vm: VM) -> Iterator[SnapshotAssignment]:
    """Those to take or to drop; the others are only there."""
    for snapshot in mirror.select(Snapshot, "vm", vm.id):
        if snapshot.deleting or snapshot.status.phase is SnapshotPhase.CREATING:
            yield _snapshot(mirror, vm, snapshot)


def _snapshot(mirror: Mirror, vm: VM, snapshot: Snapshot) -> SnapshotAssignment:
    return SnapshotAssignment(
        snapshot=SnapshotId(snapshot.id),
        disks=tuple(_of_volumes(mirror, [Disk(volume=id) for id in snapshot.spec.disks])),
        memory=snapshot.spec.memory,
        freeze=snapshot.spec.freeze and not snapshot.spec.memory,
        wanted=not snapshot.deleting,
    )


def _revert(mirror: Mirror, vm: VM) -> RevertAssignment | None:
    wish = vm.spec.revert
    to = mirror.get(wish.snapshot) if wish and reverting(vm) else None
    if wish is None or not isinstance(to, Snapshot):
        return None
    return RevertAssignment(wish=wish.id, to=_snapshot(mirror, vm, to))


def _disks(mirror: Mirror, vm: VM) -> Iterator[DiskAssignment]:
    yield from _of_volumes(mirror, vm.spec.disks)


def _of_volumes(mirror: Mirror, disks: Iterable[Disk]) -> Iterator[DiskAssignment]:
    for disk in disks:
        volume = mirror.get(disk.volume)
        pool = mirror.get(volume.pool) if isinstance(volume, Volume) else None
        if isinstance(volume, Volume) and (file := volume.spec.file):
            yield DiskAssignment(
                volume=disk.volume,
                path=file.path,
                format=file.format,
                bus=disk.bus,
                tuning=disk.tuning,
                shared=file.shared,
            )
        elif isinstance(volume, Volume) and isinstance(pool, StoragePool):
            path = volume_path(pool.spec.path, volume.id)
            yield DiskAssignment(
                volume=disk.volume,
                path=path,
                size_bytes=volume.spec.size_bytes if is_too_small(volume) else 0,
                bus=disk.bus,
                tuning=disk.tuning,
                shared=pool.spec.shared,
            )


def is_too_small(volume: Volume) -> bool:
    """Whether it was made, and has grown since only in its spec."""
    report = volume.status.report
    return report is not None and 0 < report.size_bytes < volume.spec.size_bytes


def _cd(mirror: Mirror, vm: VM) -> CdAssignment | None:
    cd = vm.spec.cd
    volume = mirror.get(cd.volume) if cd and cd.volume else None
    pool = mirror.get(volume.spec.pool) if isinstance(volume, Volume) else None
    if cd is None or not isinstance(volume, Volume) or not isinstance(pool, StoragePool):
        return CdAssignment(bus=cd.bus) if cd else None
    path = volume_path(pool.spec.path, volume.id)
    medium = DiskAssignment(volume=VolumeId(volume.id), path=path, bus=Bus(cd.bus), shared=pool.spec.shared)
    return CdAssignment(disk=medium, bus=cd.bus)


def _nics(mirror: Mirror, vm: VM) -> Iterator[NicAssignment]:
    for nic in vm.spec.nics:
        network = mirror.get(nic.network)
        if isinstance(network, Network):
            yield NicAssignment(
                network=nic.network,
                bridge=network.spec.bridge,
                mac=nic.mac,
                address=nic.address,
                mtu=network.spec.mtu,
                model=nic.model,
                queues=nic.queues,
                limits=nic.limits,
            )


def _migrate(mirror: Mirror, node: NodeId, vm: VM) -> MigrateAssignment | None:
    migration = vm.status.migration
    if migration is None or node not in (migration.source, migration.target):
        return None
    peer = migration.target if node == migration.source else migration.source
    other = mirror.get(peer)
    return MigrateAssignment(
        wish=migration.wish,
        peer=peer,
        peer_address=other.status.inventory.migration_address if isinstance(other, Node) else "",
        go=node == migration.source and migration.stage is not MigrationStage.PREPARING,
        cancel=migration.stage is MigrationStage.CANCELLING,
        how=migration.how,
    )


def _volume(mirror: Mirror, node: NodeId, volume: Volume) -> VolumeAssignment | None:
    if volume.spec.file:
        return _found_file(node, volume, volume.spec.file)
    moving = volume.status.moving
    goes_to = volume.spec.pool if moving else volume.pool  # only once it is noted that something may be there
    pool = mirror.get(goes_to)
    status = volume.status
    if node not in (status.node, *status.traces) or not isinstance(pool, StoragePool):
        return None
    if waits_for_snapshot(volume, mirror) and not volume.deleting:
        return None
    wanted = node in (status.node, status.moving_to) and not volume.deleting
    if not wanted and node != status.node and _in_use(mirror, node, volume):
        return None  # until the VM is surely gone from there
    image = mirror.get(volume.spec.image) if volume.spec.image else None
    return VolumeAssignment(
        volume=VolumeId(volume.id),
        pool=goes_to,
        pool_path=pool.spec.path,
        size_bytes=volume.spec.size_bytes,
        image=_source(image) if isinstance(image, Image) else None,
        wipe=volume.deleting and volume.spec.wipe,
        source=_copied(mirror, volume) if node == status.node else None,
        made=status.made and node == status.node,  # where it moves to, an empty file is made first
        grows=not is_too_small(volume) or not mirror.select(VM, "volume", volume.id),
        wanted=wanted,
        stint=status.stint,
        other=_other(mirror, volume) if node == status.node else None,
        generation=volume.generation if moving else 0,
    )


def _other(mirror: Mirror, volume: Volume) -> OtherPlace | None:
    """Of a volume that moves: the pool that it comes from, or that it went to when the move was given up."""
    moving = volume.status.moving
    pool = mirror.get(volume.pool if volume.spec.pool == moving else moving) if moving else None
    return (
        OtherPlace(pool=PoolId(pool.id), pool_path=pool.spec.path) if isinstance(pool, StoragePool) else None
    )


def _found_file(node: NodeId, volume: Volume, file: FoundFile) -> VolumeAssignment | None:
    """Never made; deleted only where that was asked for."""
    if volume.status.node != node or (volume.deleting and not volume.spec.erase):
        return None
    return VolumeAssignment(
        volume=VolumeId(volume.id),
        pool=volume.spec.pool,
        pool_path=str(PurePosixPath(file.path).parent),
        size_bytes=volume.spec.size_bytes,
        path=file.path,
        made=True,
        wanted=not volume.deleting,
        wipe=volume.deleting and volume.spec.wipe,
    )


def _copied(mirror: Mirror, volume: Volume) -> CopySource | None:
    """What it begins as a copy of. A source that is gone is named all the same: no volume begins empty instead."""
    if volume.spec.source is None:
        return None
    source = mirror.get(volume.spec.source.volume)
    pool = mirror.get(source.pool) if isinstance(source, Volume) else None
    path = pool.spec.path if isinstance(pool, StoragePool) else ""
    snapshot = volume.spec.source.snapshot or ""
    return CopySource(volume=volume.spec.source.volume, pool_path=path, snapshot=snapshot)


def _in_use(mirror: Mirror, node: NodeId, volume: Volume) -> bool:
    """Whether a VM that has the volume may have something on the node."""
    return any(node in vm.status.traces for vm in mirror.select(VM, "volume", volume.id))


def _source(image: Image) -> ImageSource:
    status = image.status
    return ImageSource(
        image=ImageId(image.id), sha256=status.sha256, format=status.format, size_bytes=status.size_bytes
    )


def _image(mirror: Mirror, node: NodeId, key: str) -> ImageAssignment | None:
    id, _, pool_id = key.partition("@")
    image, pool = mirror.get(id), mirror.get(pool_id)
    if not isinstance(image, Image) or not isinstance(pool, StoragePool):
        return None
    copy = _copy(image, pool_id, node)
    if copy and not image.deleting and not copy.going:
        return None
    return (
        ImageAssignment(image=ImageId(image.id), pool=copy.pool, pool_path=pool.spec.path) if copy else None
    )


def _copy(image: Image, pool: str, node: NodeId) -> ImageCopy | None:
    return next((c for c in image.status.copies.values() if c.pool == pool and c.node == node), None)


def _network(mirror: Mirror, node: NodeId, network: Network) -> NetworkAssignment | None:
    if not network.on(node):
        return None
    spec = network.spec
    here = [vm for vm in mirror.select(VM, "node", node) if node in vm.claimed_on and not vm.deleting]
    nics = [(vm, nic) for vm in here for nic in vm.spec.nics if nic.network == network.id]
    return NetworkAssignment(
        network=NetworkId(network.id),
        bridge=spec.bridge,
        name=network.name,
        generation=network.generation,
        segment=spec.segment,
        uplink=spec.uplink,
        vlan=spec.vlan,
        mtu=spec.mtu,
        subnet=spec.subnet,
        domain=spec.domain,
        forwarders=spec.forwarders,
        names=_names(mirror, network, nics),
        ports=tuple(
            Port(
                mac=nic.mac,
                address=nic.address,
                name=vm.name,
                anti_spoofing=spec.anti_spoofing and nic.anti_spoofing,
            )
            for vm, nic in nics
        ),
        forwards=tuple(_forwards(network, nics)),
    )


def _names(mirror: Mirror, network: Network, here: list[tuple[VM, Nic]]) -> tuple[HostName, ...]:
    """Names of the VMs that can be reached on the network: where it spans nodes, all of them."""
    if not network.spec.domain:
        return ()
    if not network.spans_nodes:
        return tuple(HostName(name=vm.name, address=nic.address) for vm, nic in here if nic.address)
    ports = ((port, mirror.get(port.spec.vm)) for port in mirror.select(PortResource, "network", network.id))
    return tuple(
        HostName(name=vm.name, address=port.spec.address)
        for port, vm in ports
        if isinstance(vm, VM) and port.spec.address
    )


def _forwards(network: Network, here: list[tuple[VM, Nic]]) -> Iterator[Forward]:
    """Those of VMs of this node: a forward goes where its VM goes."""
    addresses = {vm.id: nic.address for vm, nic in here}
    for way in network.spec.forwards:
        if address := addresses.get(way.vm):
            yield Forward(protocol=way.protocol, port=way.port, address=address, to_port=way.to_port)
