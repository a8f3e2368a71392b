"""Devices: which of a node's devices a VM gets, one by one.

In this room   pick(): the devices for a VM on one node, or why not; set_of_cpus for pinning
Comes in       the node's Inventory, what others hold there, what the VM asks for
Goes out       HostDevice with addresses, in the order asked for
Always true    no device is given twice. A PCI device is given only with its whole IOMMU group, because devices of
               one group reach each other's memory: bridges aside, all of the group goes to this VM or to nobody.
Next door      placement.py asks for each node; fleet.py counts what is held
Start here     pick()
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from corral.model.hardware import DeviceKind, HostDevice, Pinning
from corral.model.node import Inventory, PciDevice
from corral.model.units import members

BRIDGES = "0x06"  # PCI class of bridges, which belong to the path and not to the guest


def pick(
    inventory: Inventory,
    held: AbstractSet[str],
    asked: Sequence[HostDevice],
    near: AbstractSet[int] = frozenset(),
) -> tuple[tuple[HostDevice, ...], str]:
    """The devices, or () and the reason why not.

    held   what VMs there have already, as key() writes it
    near   NUMA cells of the VM: devices of these come first
    """
    taken: list[HostDevice] = []
    for device in sorted(asked, key=lambda d: len(d.id), reverse=True):  # addresses before kinds
        names = frozenset(map(key, taken))
        if device.kind == DeviceKind.PCI:
            found, why = _pci(inventory, held | names, device, near)
        else:
            found, why = _usb(inventory, held | names, device)
        if found is None:
            return (), why
        taken.append(found)
    if why := _group_trouble(inventory, frozenset(d.id for d in taken if d.kind == DeviceKind.PCI)):
        return (), why
    return tuple(taken), ""


def key(device: HostDevice) -> str:
    return f"{device.kind}:{device.id}"


def gpus_of(inventory: Inventory) -> dict[str, int | None]:
    """Its GPUs that a guest can have: NUMA cell, where told, by key()."""
    can = {device.address for device in inventory.devices}
    return {f"{DeviceKind.PCI}:{gpu.address}": gpu.numa_cell for gpu in inventory.gpus if gpu.address in can}


def _pci(
    inventory: Inventory, held: AbstractSet[str], asked: HostDevice, near: AbstractSet[int]
) -> tuple[HostDevice | None, str]:
    fitting = [d for d in inventory.devices if asked.id in (d.address, pci_id(d))]
    if not fitting:
        return None, f"no PCI device {asked.id} with an IOMMU group there"
    free = [d for d in fitting if f"{DeviceKind.PCI}:{d.address}" not in held]
    if not free:
        return None, f"PCI device {asked.id} is in use there"
    nearest = min(free, key=lambda d: d.numa_cell not in near)  # the first of them, where none is near
    return HostDevice(kind=DeviceKind.PCI, id=nearest.address), ""


def _usb(inventory: Inventory, held: AbstractSet[str], asked: HostDevice) -> tuple[HostDevice | None, str]:
    count = sum(device.id == asked.id for device in inventory.usb)
    if count != 1:
        return None, f"{count or 'no'} USB device{'s' * (count > 1)} {asked.id} there"
    if key(asked) in held:
        return None, f"USB device {asked.id} is in use there"
    return asked, ""


def _group_trouble(inventory: Inventory, addresses: frozenset[str]) -> str:
    """Who else is in the groups of these devices; empty: nobody."""
    groups = {d.iommu_group for d in inventory.devices if d.address in addresses}
    others = [
        d.address
        for d in inventory.devices
        if d.iommu_group in groups and d.address not in addresses and not d.pci_class.startswith(BRIDGES)
    ]
    return f"IOMMU group shared with {'+'.join(others)} there" if others else ""


def pci_id(device: PciDevice) -> str:
    """`10de:2204` of what sysfs says, 0x10de and 0x2204."""
    return f"{device.vendor.removeprefix('0x')}:{device.device.removeprefix('0x')}"


def can_pin(inventory: Inventory, pinning: Pinning) -> bool:
    """Whether the node has all CPUs and cells that are named."""
    cpus = {cpu for cell in inventory.cells for cpu in cell.cpus} or set(range(inventory.cpus))
    named = frozenset().union(*map(members, (*pinning.vcpus, pinning.emulator)))
    return named <= cpus and members(pinning.cells) <= {cell.id for cell in inventory.cells}
