"""Drifting: what was changed in a VM's definition behind Corral's back, and how that is settled.

In this room   accept (the VM takes it over) and revert (the definition becomes the VM's again), decided on the mirror
Comes in       VMReport.drift, as its node tells it
Goes out       a spec that names the drift it settles; the node overwrites that one and no other
Always true    nothing is overwritten that the caller has not seen: a newer drift has another digest
Next door      adopting.py has the same volumes and ports; hypervisor/libvirt/defining.py carries it out
Start here     Drifting.settle()
"""

import msgspec

from corral.errors import CorralError, Invalid
from corral.model.domain import DomainModel, Drift
from corral.model.ids import NodeId, VmId
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool
from corral.model.port import Port
from corral.model.resource import Resource
from corral.model.vm import VM, Disk, Nic, VMSpec
from corral.model.volume import Volume
from corral.server.services.adopting import (
    AdoptionRefused,
    check_file,
    disks_of,
    new_ports,
    new_volumes,
)
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.server.services.requests import SettleDrift
from corral.server.services.vms import Migrating, VmGoing
from corral.storage.interface import volume_path
from corral.store.interface import Put, Remove, Write
from corral.store.mirror import Mirror


class NoDrift(CorralError):
    """The VM's definition is as Corral left it."""

    code = "vm.no_drift"
    status = 409


class DriftChanged(CorralError):
    """The definition was changed once more since the drift was looked at."""

    code = "vm.drift_changed"
    status = 409


class Drifting:
    """Requests about drifts."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    async def settle(self, vm: str, ask: SettleDrift, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._settle(self.mirror.find(VM, vm), ask))

    def _settle(self, vm: VM, ask: SettleDrift) -> Change:
        if vm.deleting:
            raise VmGoing(vm)
        if vm.status.migration:
            raise Migrating(vm)
        drift = the_drift(vm, ask.digest)
        match ask.settle:
            case "accept":
                return self._accept(vm, drift)
            case "revert":
                return self._change(vm, msgspec.structs.replace(vm.spec, settles=drift.digest))
        raise Invalid("settle", ask.settle, "accept or revert")

    def _accept(self, vm: VM, drift: Drift) -> Change:
        if drift.model is None or vm.status.node is None:
            why = f"{drift.refusal.element}: {drift.refusal.reason}" if drift.refusal else "it can't be read"
            raise AdoptionRefused(
                f"what was changed in {vm.name} can't be managed: {why}",
                hint=f"`corral vm drift {vm.name} --revert` undoes it.",
                domain=vm.name,
            )
        kept, volumes = self._disks(vm, drift.model, vm.status.node)
        nics, ports, gone = self._nics(vm, drift.model, vm.status.node)
        spec = msgspec.structs.replace(
            vm.spec,
            cpus=drift.model.cpus,
            memory_bytes=drift.model.memory_bytes,
            disks=kept,
            nics=nics,
            base_xml=drift.xml,
            settles=drift.digest,
        )
        return self._change(vm, spec, new=(*volumes, *ports), gone=gone)

    def _disks(self, vm: VM, model: DomainModel, node: NodeId) -> tuple[tuple[Disk, ...], tuple[Volume, ...]]:
        """The VM's disks by their files; files that are new to it become volumes. raises FileInUse"""
        here = {path: disk for disk in vm.spec.disks if (path := path_of(disk, self.mirror))}
        unknown = tuple(d for d in model.disks if not d.kept and d.path not in here)
        for disk in unknown:
            check_file(disk, vm.name, node, "", self.mirror)
        partial = msgspec.structs.replace(model, disks=unknown)
        first = len(self.mirror.select(Volume, "vm", vm.id))
        volumes = tuple(
            v.having(name=f"{vm.name}-{first + n}")
            for n, v in enumerate(new_volumes(partial, vm.name, VmId(vm.id), node, self.mirror, self.clock))
        )
        new = {
            v.spec.file.path: d
            for v, d in zip(volumes, disks_of(partial, volumes), strict=True)
            if v.spec.file
        }
        return tuple(({**here, **new})[d.path] for d in model.disks if not d.kept), volumes

    def _nics(
        self, vm: VM, model: DomainModel, node: NodeId
    ) -> tuple[tuple[Nic, ...], tuple[Port, ...], tuple[Port, ...]]:
        """The VM's NICs by MAC address, new ports, and ports that are not needed any more. raises MacInUse"""
        here = {nic.mac: nic for nic in vm.spec.nics}
        wanted = [nic for nic in model.nics if not nic.kept]
        unknown = tuple(nic for nic in wanted if nic.mac not in here)
        ports = tuple(new_ports(unknown, VmId(vm.id), node, (), self.mirror, self.clock))
        new = {p.spec.mac: Nic(network=p.spec.network, mac=p.spec.mac, anti_spoofing=False) for p in ports}
        macs = {nic.mac for nic in wanted}
        gone = tuple(p for p in self.mirror.select(Port, "vm", vm.id) if p.spec.mac not in macs)
        return tuple(({**here, **new})[nic.mac] for nic in wanted), ports, gone

    def _change(
        self, vm: VM, spec: VMSpec, *, new: tuple[Resource, ...] = (), gone: tuple[Resource, ...] = ()
    ) -> Change:
        target = vm.having(spec=spec, generation=vm.generation + 1)
        writes: list[Write] = [Put(target), *(Put(r) for r in new), *(Remove(r.id) for r in gone)]
        return Change(
            target=target,
            writes=tuple(writes),
            expect={vm.id: vm.revision, **{r.id: 0 for r in new}, **{r.id: r.revision for r in gone}},
            verb=Verb.SETTLE,
            deadline_s=120.0,
        )


def the_drift(vm: VM, digest: str = "") -> Drift:
    """The drift that its node tells. raises NoDrift, DriftChanged"""
    drift = vm.report.drift if vm.report else None
    if drift is None:
        raise NoDrift(
            f"the definition of {vm.name} is as Corral left it",
            hint="Nodes compare every ten seconds: a change made just now is not known yet.",
            vm=vm.id,
        )
    if digest and digest != drift.digest:
        raise DriftChanged(
            f"the definition of {vm.name} was changed once more since you looked at it",
            hint=f"`corral vm drift {vm.name}` shows what it is now.",
            vm=vm.id,
        )
    return drift


def path_of(disk: Disk, mirror: Mirror) -> str:
    """Where the disk's file is; empty: its volume is gone."""
    volume = mirror.get(disk.volume)
    if not isinstance(volume, Volume):
        return ""
    pool = mirror.get(volume.pool)
    if volume.spec.file:
        return volume.spec.file.path
    return volume_path(pool.spec.path, volume.id) if isinstance(pool, StoragePool) else ""
