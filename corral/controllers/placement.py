"""Placement controller's own part: the fleet kept up to date, and what a VM asks of it.

In this room   FleetKeeper, which follows the mirror; ask_of(), a VM as the scheduler sees it
Next door      vm.py uses both; scheduler/ decides
"""

from collections.abc import Container, Mapping, Sequence

import numpy as np

from corral.controllers.rules import policy_of, rules_of
from corral.model.group import PlacementGroup
from corral.model.hardware import DeviceKind, Hardware
from corral.model.ids import NodeId, VmId
from corral.model.network import Network, Segment
from corral.model.node import Node
from corral.model.policy import SchedulingPolicy
from corral.model.pool import StoragePool
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.scheduler.claims import iops_of, mbit_of, watts_of
from corral.scheduler.columns import LOG
from corral.scheduler.cpus import Cpus
from corral.scheduler.dimensions import MILLI
from corral.scheduler.flavours import warm_aside
from corral.scheduler.fleet import Fleet
from corral.scheduler.packing import SETTLED_S, bonus
from corral.scheduler.placement import Ask
from corral.scheduler.traits import needs_of
from corral.store.interface import Change, ChangeVerb
from corral.store.mirror import Mirror

ROUND_S = 300.0  # ages are looked at so often


class FleetKeeper:
    """A Fleet that is always as new as the mirror, and what knows CPU models."""

    def __init__(self, mirror: Mirror, cpus: Cpus) -> None:
        self.mirror, self.fleet, self.cpus = mirror, Fleet(), cpus
        for node in mirror.list(Node):
            self.fleet.see_node(node)
        for vm in mirror.list(VM):
            self.fleet.see_vm(vm)
        self._groups = {vm.id: vm.spec.groups for vm in mirror.list(VM) if vm.spec.groups}
        self.close = mirror.on_change(self._changed)
        warm_aside(self.fleet)
        self._aged_s, self._aged_changes = (
            -ROUND_S,
            0,
        )  # when ages were looked at, and at which of Columns.changes

    def look_at_ages(self, now_s: float) -> None:
        """Know which nodes are worth being kept full, see scheduler/packing.py. To be called before a decision.

        costs  as many rows as have changed since the last call; once in ROUND_S all VMs
        """
        columns = self.fleet.columns
        behind = columns.changes - self._aged_changes
        if not behind and now_s < self._aged_s + ROUND_S:
            return
        if now_s >= self._aged_s + ROUND_S:
            self._aged_s, behind = now_s, LOG + 1
            self._count_settled(now_s)
        if behind > LOG:
            rows = np.arange(columns.size)
        else:
            rows = np.unique(columns.log[np.arange(self._aged_changes, columns.changes) % LOG])
        empty = columns.vms[rows] == 0
        new = rows[~empty & (columns.since_s[rows] == 0)]
        columns.since_s[new] = now_s
        found = bonus(columns.since_s[rows], columns.settled[rows], empty, self._aged_s)
        changed = found != columns.bonus[rows]
        columns.bonus[rows] = found
        for row in rows[changed].tolist():
            columns.touch(row)
        self._aged_changes = columns.changes

    def _count_settled(self, now_s: float) -> None:
        """Since when each node has VMs, and how many vCPUs of VMs that have been there for long."""
        fleet, columns = self.fleet, self.fleet.columns
        columns.settled[:] = 0.0
        for id, claims in fleet.claims.items():
            vm = self.mirror.get(id)
            if not isinstance(vm, VM):
                continue
            for claim in claims:
                row = fleet.row[claim.node]
                columns.since_s[row] = min(columns.since_s[row] or now_s, vm.created_at)
                if vm.created_at <= now_s - SETTLED_S:
                    columns.settled[row] += vm.spec.cpus

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            removed = change.verb is ChangeVerb.REMOVE
            match change.resource:
                case Node() as node:
                    self.fleet.forget_node(NodeId(node.id)) if removed else self.fleet.see_node(node)
                case PlacementGroup() | SchedulingPolicy() | Volume():
                    self.fleet.room += 1  # who was refused because of it may fit now
                case VM() as vm:
                    self.fleet.forget_vm(VmId(vm.id)) if removed else self.fleet.see_vm(vm)
                    self._see_groups(vm, removed=removed)
        warm_aside(self.fleet)

    def _see_groups(self, vm: VM, *, removed: bool) -> None:
        """Who was refused for the sake of a VM's group may fit once it has left that."""
        now = () if removed else vm.spec.groups
        before = self._groups.pop(vm.id, now)
        if now:
            self._groups[vm.id] = now
        self.fleet.room += now != before


def keeper_of(mirror: Mirror, cpus: Cpus) -> FleetKeeper:
    """The one that follows this mirror, made when somebody asks first: arrays are not built for a question."""
    keeper = mirror.beside.get("fleet")
    if not isinstance(keeper, FleetKeeper):
        keeper = mirror.beside["fleet"] = FleetKeeper(mirror, cpus)
    return keeper


def ask_of(keeper: FleetKeeper, vm: VM, *, target: NodeId | None = None, moving: bool = False) -> Ask:
    """What the VM needs of a node; for a migration, of another one than its own.

    moving   it is to be live-migrated: volumes in local pools go along, where its policy allows
    """
    mirror, hardware = keeper.mirror, vm.spec.hardware
    own = keeper.fleet.inventories.get(vm.status.node) if vm.status.node else None
    needs = needs_of(
        hardware,
        vm.spec.nics,
        vm.status.platform,
        known_cpus=keeper.fleet.cpus,
        cpus=keeper.cpus,
        accelerator=own.accelerator.kind if own else None,
    )
    volumes = [v for id in vm.spec.volumes if isinstance(v := mirror.get(id), Volume)]
    movable = local_volumes(mirror, vm) if moving and vm.spec.migration_policy.local_disks else []
    along = {v.id for v in movable if len(mirror.select(VM, "volume", v.id)) == 1}
    return Ask(
        vm=VmId(vm.id),
        cpus=vm.spec.cpus,
        memory_bytes=vm.spec.memory_bytes,
        pools=_pools(volumes, along),
        networks=tuple(dict.fromkeys(nic.network for nic in vm.spec.nics)),
        only=target or vm.spec.node,
        near=_near(mirror, [v for v in volumes if v.id not in along]),
        without=_without(vm, [v for v in volumes if v.id in along]),
        policy=policy_of(mirror, vm),
        rules=rules_of(mirror, vm),
        needs=tuple(needs),
        hugepage_bytes=hardware.hugepage_bytes,
        devices=hardware.devices,
        links={id: link for d in hardware.devices if (link := link_of(mirror, id := d.network))},
        pinning=hardware.pinning,
        dedicated=hardware.dedicated,
        gpu_milli=MILLI * _gpus(keeper.fleet, hardware),
        iops=iops_of(vm),
        mbit=mbit_of(vm),
        watts=watts_of(vm.spec),
        batch=(vm.project, vm.spec.groups, *vm.labels.items()) if vm.spec.groups or vm.labels else None,
    )


def _gpus(fleet: Fleet, hardware: Hardware) -> int:
    """Devices that it asks for and that are GPUs on some node, as a whole."""
    asked = hardware.devices
    return sum(d.count for d in asked if d.kind == DeviceKind.GPU or d.id in fleet.gpu_ids)


def link_of(mirror: Mirror, network: str) -> str:
    """The link, bond or bridge of hosts that a network is on; empty: none that Corral has not made."""
    found = mirror.get(network) if network else None
    if not isinstance(found, Network):
        return ""
    return {Segment.VLAN: found.spec.uplink, Segment.BRIDGE: found.spec.bridge}.get(found.spec.segment, "")


def local_volumes(mirror: Mirror, vm: VM) -> list[Volume]:
    """Its volumes that are files of one node only."""
    found = (mirror.get(d.volume) for d in vm.spec.disks)
    return [
        v
        for v in found
        if isinstance(v, Volume)
        and v.spec.file is None  # where that was before Corral, it stays
        and isinstance(pool := mirror.get(v.pool), StoragePool)
        and not pool.spec.shared
    ]


def _without(vm: VM, along: Sequence[Volume]) -> frozenset[NodeId]:
    """Its own node, and nodes that may still have an old file of a volume that would go along."""
    old = {n for v in along for n in v.status.traces}
    return frozenset({*old, *((vm.status.node,) if vm.status.node else ())})


def _pools(volumes: Sequence[Volume], along: Container[str]) -> Mapping[str, int]:
    """Bytes of volumes that are still to be made, by pool."""
    room: dict[str, int] = {}
    for volume in volumes:
        if volume.spec.file:
            continue
        new = 0 if volume.status.report and volume.id not in along else volume.spec.size_bytes
        room[volume.spec.pool] = room.get(volume.spec.pool, 0) + new
    return room


def _near(mirror: Mirror, volumes: Sequence[Volume]) -> frozenset[NodeId] | None:
    """Nodes that see all volumes which exist in local pools; None: any node does."""
    nodes = [node for volume in volumes if (node := _tied_to(mirror, volume))]
    return frozenset(nodes[:1]).intersection(*({node} for node in nodes)) if nodes else None


def _tied_to(mirror: Mirror, volume: Volume) -> NodeId | None:
    """The one node that sees it, or that can make it."""
    if file := volume.spec.file:
        return None if file.shared else volume.status.node
    pool = mirror.get(volume.pool)
    if not isinstance(pool, StoragePool) or pool.spec.shared:
        return None
    return volume.status.node or volume.spec.node
