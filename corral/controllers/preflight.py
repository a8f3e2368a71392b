"""Preflight: what would prevent a live migration, named before anything begins.

In this room   obstacles_of() a VM by itself, obstacles_at() a node; pure
Comes in       the mirror: the VM, its volumes and snapshots, what nodes last said of themselves
Goes out       Obstacles, each with a code for programs and a hint for people
Always true    no node is asked: an answer costs nothing and changes nothing. What only the target can see (a file
               that is missing) it says itself, before the source is told to go.
Next door      vm.py keeps nodes with obstacles out of the choice; server/services/migration.py answers users
Start here     obstacles_at()
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from corral.controllers.placement import FleetKeeper, ask_of, local_volumes
from corral.model.hardware import HostDevice
from corral.model.ids import NodeId
from corral.model.migration import MigrationTls
from corral.model.network import Network
from corral.model.node import AcceleratorKind, Node
from corral.model.pool import StoragePool
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.units import format_size
from corral.model.vm import VM, DomainState
from corral.scheduler.fleet import CPU, MEMORY
from corral.store.mirror import Mirror

VERSION: Final = re.compile(r"(\d+)\.(\d+)")


class Obstacle(Struct, frozen=True, kw_only=True):
    """Something that prevents a migration."""

    code: str
    message: str
    hint: str = ""


# ---- of the VM, wherever it would go


def obstacles_of(mirror: Mirror, vm: VM) -> tuple[Obstacle, ...]:
    return tuple(_of_vm(mirror, vm))


def _of_vm(mirror: Mirror, vm: VM) -> Iterator[Obstacle]:
    report, source = vm.report, mirror.get(vm.status.node or "")
    if not isinstance(source, Node) or not source.reachable:
        yield Obstacle(code="node.lost", message="its node is silent", hint="Wait until the node is back.")
    elif report is None or report.state is not DomainState.RUNNING:
        start = f"`corral vm start {vm.name}` starts it."
        yield Obstacle(code="vm.not_running", message=f"it is {vm.status.phase}, not running", hint=start)
    if vm.status.migration:
        yield Obstacle(code="vm.migrating", message="it is migrating already", hint="Wait, or cancel that.")
    for device in vm.spec.hardware.devices:
        yield Obstacle(
            code="migration.device",
            message=f"it has a device of its node: {_named(mirror, device).words}",
            hint="Take the device away first: what a guest holds of a host can't move.",
        )
    if vm.spec.hardware.dedicated:
        yield Obstacle(
            code="migration.dedicated",
            message="it has CPUs of its node for itself",
            hint="A VM that shares CPUs can go everywhere.",
        )
    yield from _of_snapshots(mirror, vm)
    yield from _of_volumes(mirror, vm)


def _named(mirror: Mirror, device: HostDevice) -> HostDevice:
    """With the name of its network."""
    network = mirror.get(device.network) if device.network else None
    return msgspec.structs.replace(device, network=network.name) if network else device


def _of_snapshots(mirror: Mirror, vm: VM) -> Iterator[Obstacle]:
    snapshots = mirror.select(Snapshot, "vm", vm.id)
    if any(s.deleting or s.status.phase is SnapshotPhase.CREATING for s in snapshots):
        yield Obstacle(code="migration.snapshot_busy", message="a snapshot of it is being taken or deleted")
    local = {v.id: v.name for v in local_volumes(mirror, vm)}
    kept = sorted({local[id] for s in snapshots for id in s.spec.disks if id in local})
    if kept:
        yield Obstacle(
            code="migration.local_snapshots",
            message=f"volume {', '.join(kept)} is in a local pool and has snapshots, which a copy leaves behind",
            hint="Delete the snapshots, or move the volume to a shared pool.",
        )


def _of_volumes(mirror: Mirror, vm: VM) -> Iterator[Obstacle]:
    for volume in local_volumes(mirror, vm):
        if not vm.spec.migration_policy.local_disks:
            yield Obstacle(
                code="migration.local_disk",
                message=f"volume {volume.name} is in a local pool, and its policy does not let local disks go along",
                hint=f"`corral vm policy {vm.name} --local-disks` allows it.",
            )
        elif len(mirror.select(VM, "volume", volume.id)) > 1:
            yield Obstacle(
                code="migration.local_disk",
                message=f"volume {volume.name} is in a local pool, and another VM has it too",
            )


# ---- of a node


def obstacles_at(keeper: FleetKeeper, vm: VM, node: Node) -> tuple[Obstacle, ...]:
    """What the VM would meet there, besides obstacles_of()."""
    if node.id == vm.status.node:
        return (Obstacle(code="migration.here", message="the VM is there already"),)
    return (*_of_node(vm, node), *_of_room(keeper, vm, node), *incompatible(keeper.mirror, vm, node))


def _of_node(vm: VM, node: Node) -> Iterator[Obstacle]:
    if not node.takes_vms:
        why = "cordoned" if node.spec.cordoned else node.status.phase
        yield Obstacle(
            code="node.not_ready", message=f"{node.name} is {why}", hint="`corral node list` shows all."
        )
    if vm.spec.node and vm.spec.node != node.id:
        yield Obstacle(code="migration.bound", message="the VM is bound to another node")


def _of_room(keeper: FleetKeeper, vm: VM, node: Node) -> Iterator[Obstacle]:
    mirror, fleet = keeper.mirror, keeper.fleet
    ask, row = ask_of(keeper, vm, moving=True), fleet.row.get(NodeId(node.id))
    for id, size_bytes in ask.pools.items():
        pool, seen = mirror.get(id), node.status.pools.get(id)
        name = pool.name if isinstance(pool, StoragePool) else id
        if seen is None or not seen.ready:
            yield Obstacle(code="migration.no_pool", message=f"pool {name} is not ready on {node.name}")
        elif seen.free_bytes < size_bytes:
            short = f"{format_size(size_bytes)} are needed, {format_size(seen.free_bytes)} are free"
            yield Obstacle(
                code="migration.pool_full", message=f"pool {name} on {node.name} is too full: {short}"
            )
    for volume in local_volumes(mirror, vm):
        if node.id in volume.status.traces:
            yield Obstacle(
                code="migration.old_file",
                message=f"{node.name} may still have an old file of volume {volume.name}",
                hint="It is being removed: try again in a moment.",
            )
    for id in ask.networks:
        network, on = mirror.get(id), node.status.networks.get(id)
        if on is None or not on.ready:
            name = network.name if isinstance(network, Network) else id
            yield Obstacle(code="migration.no_network", message=f"network {name} is not ready on {node.name}")
    if row is not None:
        free = fleet.capacity[row] - fleet.claimed[row]
        if free[CPU] < ask.cpus:
            yield Obstacle(code="migration.no_cpus", message=f"{node.name} has {free[CPU]:g} vCPUs to give")
        if free[MEMORY] < ask.memory_bytes:
            left = format_size(max(0, free[MEMORY]))
            yield Obstacle(code="migration.no_memory", message=f"{node.name} has {left} of memory to give")


def incompatible(mirror: Mirror, vm: VM, node: Node) -> tuple[Obstacle, ...]:
    """What of the host itself the guest can't live with."""
    source = mirror.get(vm.status.node or "")
    return tuple(_of_host(vm, source, node)) if isinstance(source, Node) else ()


def _of_host(vm: VM, source: Node, node: Node) -> Iterator[Obstacle]:
    here, there = source.status.inventory, node.status.inventory
    if vm.name in there.domains:
        yield Obstacle(
            code="migration.name_taken",
            message=f"{node.name} has another domain that is called {vm.name}",
            hint="Rename that domain, or choose another node.",
        )
    if not there.migration_address:
        yield Obstacle(code="migration.no_address", message=f"{node.name} has told no address for migrations")
    if here.architecture != there.architecture:
        yield Obstacle(
            code="migration.cpu", message=f"{node.name} is {there.architecture}, its node {here.architecture}"
        )
    elif here.accelerator.kind is not there.accelerator.kind:
        yield Obstacle(
            code="migration.accelerator",
            message=f"{node.name} runs guests with {there.accelerator.kind}, its node with {here.accelerator.kind}",
        )
    elif here.accelerator.kind is AcceleratorKind.KVM:
        yield from _of_cpu(vm, source, node)
    if (older := _older(vm, here.hypervisor, there.hypervisor)) is not None:
        yield Obstacle(
            code="migration.older_qemu",
            message=f"{node.name} has {older}, older than what the guest began on",
        )
    yield from _of_hugepages(vm, node)
    if vm.spec.migration_policy.tls is MigrationTls.ALWAYS and not (
        here.migration_tls and there.migration_tls
    ):
        yield Obstacle(
            code="migration.no_tls",
            message="its policy asks for TLS, and not both nodes have certificates for it",
            hint="docs/operations/migration.md says how nodes get them.",
        )


def _of_cpu(vm: VM, source: Node, node: Node) -> Iterator[Obstacle]:
    """A guest that has seen a feature must not lose it. A model that was pinned names all it has seen."""
    here, there = source.status.inventory.cpu, node.status.inventory.cpu
    pinned = vm.status.platform.cpu
    vendor, needed = (pinned.vendor, pinned.require) if pinned else (here.vendor, here.features)
    if vendor and vendor != there.vendor:
        yield Obstacle(
            code="migration.cpu",
            message=f"{node.name} has a CPU of {there.vendor}, the guest one of {vendor}",
        )
        return
    lacking = sorted(set(needed) - set(there.features))
    if lacking:
        shown = ", ".join(lacking[:8]) + (f" and {len(lacking) - 8} more" if len(lacking) > 8 else "")
        yield Obstacle(
            code="migration.cpu",
            message=f"the CPU of {node.name} lacks {shown}",
            hint="A VM whose CPU model all nodes have can go everywhere: see --cpu-model.",
        )


def _older(vm: VM, here: str, there: str) -> str | None:
    """The target's QEMU, where it is older than the guest's machine type (or, if that is not known, than the source's)."""
    machine = vm.status.platform.machine or vm.spec.hardware.machine
    began, has = VERSION.search(machine or here), VERSION.search(there)
    if began is None or has is None:
        return None
    older = tuple(map(int, has.groups())) < tuple(map(int, began.groups()))
    return there.split(",")[0] if older else None


def _of_hugepages(vm: VM, node: Node) -> Iterator[Obstacle]:
    size = vm.spec.hardware.hugepage_bytes
    if not size:
        return
    pages = sum(cell.hugepages.get(str(size), 0) for cell in node.status.inventory.cells)
    if pages * size < vm.spec.memory_bytes:
        yield Obstacle(
            code="migration.hugepages",
            message=f"{node.name} has {pages} hugepages of {format_size(size)}, the VM takes {vm.spec.memory_bytes // size}",
        )
