"""Devices: which of a node's devices a VM gets, one by one.

In this room   pick(): the devices for a VM on one node, or why not; can_pin() for pinning
Comes in       the node's Inventory and units, what others hold there, what the VM asks for
Goes out       HeldDevices, those named by address first
Always true    no device is given twice. A PCI device is given only with its whole IOMMU group, because devices of
               one group reach each other's memory: bridges aside, all of the group goes to this VM or to nobody.
               A device and what was cut from it (virtual functions, slices) never go to guests both.
Next door      units.py says what can be asked for by class; special.py asks for each node; fleet.py counts what is held
Start here     pick()
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from corral.model.hardware import BY_CLASS, DeviceKind, HeldDevice, HostDevice, Pinning
from corral.model.node import Inventory, PciDevice
from corral.model.units import members
from corral.scheduler.dimensions import MILLI
from corral.scheduler.stock import Cards, free_of
from corral.scheduler.units import BRIDGES, Unit, fits, units_of

NO_LINKS: Mapping[str, str] = {}


def pick(
    inventory: Inventory,
    held: Mapping[str, int],
    asked: Sequence[HostDevice],
    near: AbstractSet[int] = frozenset(),
    *,
    links: Mapping[str, str] = NO_LINKS,
    units: Sequence[Unit] | None = None,
) -> tuple[tuple[HeldDevice, ...], str]:
    """The devices, or () and the reason why not.

    held   VMs that have each already, by HeldDevice.key
    near   NUMA cells of the VM: devices of these come first; none: all from one cell, if that can be
    links  what each network that is asked for is on, see units.fits()
    units  of the inventory, where they are known already
    """
    units = units_of(inventory) if units is None else units
    taken: list[HeldDevice] = []
    now, home = dict(held), near or _home(free_by_cell(inventory, units, held, asked, links))
    for device in _one_by_one(asked):
        if device.kind in BY_CLASS:
            found, why = _of_class(units, now, device, home, links)
        elif device.kind == DeviceKind.PCI:
            found, why = _pci(inventory, units, now, device, near)
        else:
            found, why = _usb(inventory, now, device)
        if not found:
            return (), why
        taken += found
        for each in found:
            now[each.key] = now.get(each.key, 0) + 1
    addresses = frozenset(d.id for d in taken if d.kind in (DeviceKind.PCI, DeviceKind.VF))
    if why := _group_trouble(inventory, addresses):
        return (), why
    return tuple(taken), ""


def _one_by_one(asked: Sequence[HostDevice]) -> list[HostDevice]:
    """Addresses before kinds, a certain model before any."""

    def order(device: HostDevice) -> tuple[bool, int, int]:
        particular = len(device.model.split()) + bool(device.network)
        return device.kind in BY_CLASS, -len(device.id), -particular

    return [device for device in sorted(asked, key=order) for _ in range(device.count)]


def gpus_of(inventory: Inventory, units: Sequence[Unit]) -> dict[str, tuple[int | None, int]]:
    """What of its GPUs a guest can have: NUMA cell, where told, and thousandths of a GPU, by HeldDevice.key."""
    can = {device.address for device in inventory.devices if device.iommu_group is not None}
    whole = {gpu.address: gpu for gpu in inventory.gpus if not gpu.physical_function}
    found: dict[str, tuple[int | None, int]] = {
        f"{DeviceKind.PCI}:{address}": (gpu.numa_cell, MILLI)
        for address, gpu in whole.items()
        if address in can
    }
    slices = [unit for unit in units if unit.of.kind == DeviceKind.MDEV and unit.card in whole]
    of_card = Counter[tuple[str, str]]()
    for unit in slices:
        of_card[unit.card, unit.of.id] += unit.slices
    for unit in slices:
        could_be = unit.most or of_card[unit.card, unit.of.id] or 1
        found[unit.parts[0].key] = unit.cell, MILLI // could_be
    return found


def _of_class(
    units: Sequence[Unit],
    held: Mapping[str, int],
    asked: HostDevice,
    near: AbstractSet[int],
    links: Mapping[str, str],
) -> tuple[tuple[HeldDevice, ...], str]:
    free = free_of(units, held)
    can = [n for n, unit in enumerate(units) if free[n] and fits(unit.of, asked, links)]
    if not can:
        return (), too_few(asked)
    cards = Cards(units, held).parts
    best = min(can, key=lambda n: (units[n].cell not in near, units[n].card not in cards, n))
    parts = units[best].parts  # slices and virtual functions come from cards that are in use already
    if asked.network:
        return tuple(msgspec.structs.replace(part, network=asked.network) for part in parts), ""
    return parts, ""


def free_by_cell(
    inventory: Inventory,
    units: Sequence[Unit],
    held: Mapping[str, int],
    asked: Sequence[HostDevice],
    links: Mapping[str, str] = NO_LINKS,
) -> dict[int, int]:
    """How many of the devices that are asked for each NUMA cell could give."""
    free, found = free_of(units, held), Counter[int]()
    for device in asked:
        by_cell = Counter[int]()
        for unit, left in zip(units, free, strict=True):
            if left and unit.cell is not None and fits(unit.of, device, links):
                by_cell[unit.cell] += left
        for pci in inventory.devices if device.kind == DeviceKind.PCI else ():
            if pci.numa_cell is not None and device.id in (pci.address, pci.id):
                by_cell[pci.numa_cell] += f"{DeviceKind.PCI}:{pci.address}" not in held
        found.update({cell: min(left, device.count) for cell, left in by_cell.items()})
    return dict(found)


def _home(found: Mapping[int, int]) -> frozenset[int]:
    """The cell that has most."""
    return frozenset([min(found, key=lambda cell: (-found[cell], cell))]) if found else frozenset()


def _pci(
    inventory: Inventory,
    units: Sequence[Unit],
    held: Mapping[str, int],
    asked: HostDevice,
    near: AbstractSet[int],
) -> tuple[tuple[HeldDevice, ...], str]:
    fitting = [d for d in inventory.devices if d.iommu_group is not None and asked.id in (d.address, d.id)]
    if not fitting:
        return (), f"no PCI device {asked.id} with an IOMMU group there"
    free = [d for d in fitting if not _in_use(d, inventory, units, held)]
    if not free:
        return (), f"PCI device {asked.id} is in use there"
    nearest = min(free, key=lambda d: d.numa_cell not in near)  # the first of them, where none is near
    return (HeldDevice(kind=DeviceKind.PCI, id=nearest.address),), ""


def _in_use(device: PciDevice, inventory: Inventory, units: Sequence[Unit], held: Mapping[str, int]) -> bool:
    """Whether a VM has it, or what it was cut from, or what was cut from it."""
    cut = (d.address for d in inventory.devices if d.physical_function == device.address)
    keys = (f"{DeviceKind.PCI}:{address}" for address in (device.address, device.card, *cut))
    if any(held.get(key, 0) > 0 for key in keys):
        return True
    slices = (u.parts[0] for u in units if u.of.kind == DeviceKind.MDEV)
    return any(
        held.get(part.key, 0) > 0 and device.address in (part.parent, _card(inventory, part.parent))
        for part in slices
    )


def _card(inventory: Inventory, address: str) -> str:
    return next((d.card for d in inventory.devices if d.address == address), address)


def _usb(
    inventory: Inventory, held: Mapping[str, int], asked: HostDevice
) -> tuple[tuple[HeldDevice, ...], str]:
    count = sum(device.id == asked.id for device in inventory.usb)
    if count != 1:
        return (), f"{count or 'no'} USB device{'s' * (count > 1)} {asked.id} there"
    device = HeldDevice(kind=asked.kind, id=asked.id)
    if held.get(device.key, 0) > 0:
        return (), f"USB device {asked.id} is in use there"
    return (device,), ""


def _group_trouble(inventory: Inventory, addresses: frozenset[str]) -> str:
    """Who else is in the groups of these devices; empty: nobody."""
    groups = {
        d.iommu_group for d in inventory.devices if d.address in addresses and d.iommu_group is not None
    }
    others = [
        d.address
        for d in inventory.devices
        if d.iommu_group in groups and d.address not in addresses and not d.pci_class.startswith(BRIDGES)
    ]
    return f"IOMMU group shared with {'+'.join(others)} there" if others else ""


def none_there(asked: HostDevice) -> str:
    return (
        f"it has no {asked.words}" if asked.count == 1 else f"it has fewer than {asked.count}: {asked.words}"
    )


def none_given(asked: HostDevice) -> str:
    return f"the host uses it, or it shares its IOMMU group: {asked.words}"


def too_few(asked: HostDevice) -> str:
    return f"no free {asked.words}" if asked.count == 1 else f"fewer than {asked.count} free: {asked.words}"


def needs_a_look(asked: Sequence[HostDevice]) -> bool:
    """Whether free counts by class leave open if a node has it all: what is asked for may be the same devices."""
    kinds = [device.kind for device in asked]
    return len(set(kinds)) < len(kinds) or not BY_CLASS.issuperset(kinds)


def can_pin(inventory: Inventory, pinning: Pinning) -> bool:
    """Whether the node has all CPUs and cells that are named."""
    cpus = {cpu for cell in inventory.cells for cpu in cell.cpus} or set(range(inventory.cpus))
    named = frozenset().union(*map(members, (*pinning.vcpus, pinning.emulator)))
    return named <= cpus and members(pinning.cells) <= {cell.id for cell in inventory.cells}
