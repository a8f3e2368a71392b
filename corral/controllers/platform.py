"""Platform: what is settled when a VM gets its node, so that its guest never sees another machine.

In this room   settle(): machine version and CPU that all nodes it may run on have, and the devices it gets
Comes in       the fleet, a VM, the node it is placed on
Goes out       Platform, committed together with the placement
Always true    a VM that has a platform keeps it. Nodes that VMs can't move to from its own (another accelerator,
               another vendor's CPU) do not count, nor does any other node if it is bound to one.
Next door      scheduler/traits.py filters by it afterwards; hypervisor/libvirt/cpu_xml.py writes it out
Start here     settle()
"""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from corral.controllers.placement import FleetKeeper, ask_of
from corral.model.hardware import SLICES, CellPart, DeviceKind, GuestCpu, HeldDevice, Platform
from corral.model.ids import NodeId
from corral.model.network import Network
from corral.model.node import Inventory
from corral.model.vm import VM
from corral.scheduler.batches import devices_for
from corral.scheduler.cellparts import pick_cells
from corral.scheduler.fleet import Fleet
from corral.scheduler.traits import Traits, accelerator_in, cpu_name, machines_in, newest
from corral.store.mirror import Mirror


def settle(keeper: FleetKeeper, vm: VM, node: NodeId) -> Platform:
    """Equal fleets give equal platforms."""
    hardware, fleet = vm.spec.hardware, keeper.fleet
    inventory = fleet.inventories.get(node, Inventory())
    own = fleet.traits(node)
    others = [own] if vm.spec.node else _may_run_on(fleet, own)
    cells = _cells(keeper, vm, node)
    near = frozenset(part.cell for part in cells)
    devices = devices_for(fleet, ask_of(keeper, vm), node, near) if hardware.devices else ()
    cpu = inventory.offers.cpu
    return Platform(
        machine=hardware.machine or _machine(own, others),
        cpu=_baseline(keeper, cpu, others) if cpu and hardware.cpu_model == "auto" else None,
        host_cpu=cpu_name(cpu) if hardware.cpu_model == "host" else "",
        devices=tuple(_named(keeper.mirror, vm, n, device) for n, device in enumerate(devices)),
        cells=cells,
        near_cell=None if cells or hardware.pinning else _near(inventory, devices),
    )


def _near(inventory: Inventory, devices: Sequence[HeldDevice]) -> int | None:
    """The one NUMA cell that all its devices are in, if the node has memory in several."""
    at = {device.address: device.numa_cell for device in inventory.devices}
    cells = {at.get(device.parent or device.id) for device in devices}
    with_memory = {cell.id for cell in inventory.cells if cell.memory_bytes}
    return cells.pop() if len(cells) == 1 and cells <= with_memory and len(with_memory) > 1 else None


def _cells(keeper: FleetKeeper, vm: VM, node: NodeId) -> tuple[CellPart, ...]:
    hardware = vm.spec.hardware
    if not hardware.dedicated:
        return ()
    return pick_cells(
        keeper.fleet,
        node,
        cpus=vm.spec.cpus,
        memory_bytes=vm.spec.memory_bytes,
        hugepage_bytes=hardware.hugepage_bytes,
        devices=hardware.devices,
        links=ask_of(keeper, vm).links,
    )


def _named(mirror: Mirror, vm: VM, number: int, device: HeldDevice) -> HeldDevice:
    """With what it is called on the node and in its network: made of the VM's id, so the same at each start."""
    digest = blake2b(f"{vm.id}/{number}".encode(), digest_size=16).hexdigest()
    if device.kind == DeviceKind.MDEV:
        parts = (
            digest[8:12],
            f"8{digest[13:16]}",
            f"8{digest[17:20]}",
            digest[20:],
        )  # version 8: by our own rule
        return msgspec.structs.replace(device, uuid=f"{SLICES}{'-'.join(parts)}")
    if device.kind == DeviceKind.VF:
        network = mirror.get(device.network)
        vlan = network.spec.vlan if isinstance(network, Network) else 0
        mac = ":".join(["0e", *(digest[at : at + 2] for at in range(0, 10, 2))])
        return msgspec.structs.replace(device, mac=mac, vlan=vlan)
    return device


def _may_run_on(fleet: Fleet, own: Traits) -> list[Traits]:
    """Kinds of nodes, not nodes: there are few of them."""
    return [kind for kind in fleet.all_traits() if accelerator_in(kind) == accelerator_in(own)]


def _machine(own: Traits, others: list[Traits]) -> str:
    """The newest one in common; the node's own newest where there is none."""
    known = [machines for kind in others if (machines := machines_in(kind))]
    common = frozenset.intersection(*known) if known else frozenset()
    return newest(common) or newest(machines_in(own))


def _baseline(keeper: FleetKeeper, cpu: GuestCpu, others: list[Traits]) -> GuestCpu:
    names = {word.removeprefix("cpu:") for kind in others for word in kind if word.startswith("cpu:")}
    hosts = (keeper.fleet.cpus[name] for name in names if name in keeper.fleet.cpus)
    return keeper.cpus.baseline(frozenset(h for h in hosts if h.vendor == cpu.vendor)) or cpu
