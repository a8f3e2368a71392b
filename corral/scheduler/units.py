"""Units: what of a node's devices is handed out as one, by class.

In this room   Unit, and units_of() an inventory; Class, what units are counted by; fits(), for what is asked
Comes in       Inventory
Goes out       units, which stock.py counts and devices.py gives to VMs
Always true    a unit takes its whole IOMMU group, bridges aside: its other functions (the sound of a GPU) go along,
               and where others share the group it is not handed out. Nor is what the host uses: a GPU or a drive with a
               driver other than vfio-pci, a virtual function whose link is up, a card that was split up.
Next door      stock.py counts units by class; devices.py chooses among them
Start here     units_of()
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from corral.model.hardware import DeviceKind, HeldDevice, HostDevice
from corral.model.node import Inventory, PciDevice

BRIDGES: Final = "0x06"  # PCI class of bridges, which belong to the path and not to the guest
GPUS: Final = "0x03"  # display controllers
NVMES: Final = "0x0108"  # non-volatile memory controllers
SET_ASIDE: Final = frozenset({"", "vfio-pci", "pci-stub"})  # drivers that leave a device to guests
WORDS: Final = re.compile(r"[a-z0-9]+")


class Class(NamedTuple):
    """Units that are as good as each other, wherever they are."""

    kind: DeviceKind
    id: str  # vendor:device; of a slice its type
    model: str
    links: tuple[str, ...] = ()


class Unit(NamedTuple):
    """What is handed out as one; of slices all of one type that a device can be cut into."""

    of: Class
    parts: tuple[HeldDevice, ...]
    card: str  # PCI address of the physical device
    cell: int | None
    slices: int = 1  # that there could be
    made: int = 0  # of these that are there, whoever has them
    most: int = 0  # on the whole card; 0: nobody says
    kept: str = ""  # why nobody gets it


def units_of(inventory: Inventory) -> tuple[Unit, ...]:
    """In the order of addresses."""
    groups: dict[int, list[PciDevice]] = {}
    for device in inventory.devices:
        if device.iommu_group is not None and not device.pci_class.startswith(BRIDGES):
            groups.setdefault(device.iommu_group, []).append(device)
    return tuple(unit for device in inventory.devices for unit in _units(device, groups))


def _units(device: PciDevice, groups: Mapping[int, list[PciDevice]]) -> Iterator[Unit]:
    for slice in device.slices:
        part = HeldDevice(kind=DeviceKind.MDEV, id=slice.type, parent=device.address)
        yield Unit(
            Class(DeviceKind.MDEV, slice.type, slice.name),
            (part,),
            device.card,
            device.numa_cell,
            slice.instances,
            slice.made,
            slice.most,
        )
    kind = kind_of(device)
    if kind is None or device.iommu_group is None or (device.slices and device.physical_function):
        return
    group = groups[device.iommu_group]
    if kind is DeviceKind.GPU and _goes_along(device, group):
        return
    own = DeviceKind.VF if kind is DeviceKind.VF else DeviceKind.PCI
    parts = [HeldDevice(kind=own, id=device.address)]
    parts += [HeldDevice(kind=DeviceKind.PCI, id=other.address) for other in group if other is not device]
    yield Unit(
        Class(kind, device.id, device.model, device.links if kind is DeviceKind.VF else ()),
        tuple(parts),
        device.card,
        device.numa_cell,
        kept=_kept(device, kind, group),
    )


def kind_of(device: PciDevice) -> DeviceKind | None:
    """The class by which it can be asked for; None: by address or vendor:device only."""
    if device.physical_function:
        return DeviceKind.VF
    if device.pci_class.startswith(GPUS):
        return DeviceKind.GPU
    return DeviceKind.NVME if device.pci_class.startswith(NVMES) else None


def _goes_along(device: PciDevice, group: list[PciDevice]) -> bool:
    """Whether it is a further function of a card whose first one is the unit."""
    same = [d for d in group if _slot(d) == _slot(device) and kind_of(d) is DeviceKind.GPU]
    return same[0] is not device


def _slot(device: PciDevice) -> str:
    return device.address.rpartition(".")[0]


def _kept(device: PciDevice, kind: DeviceKind, group: list[PciDevice]) -> str:
    """Why nobody gets it; empty: who asks first does."""
    along = [d for d in group if d is not device]
    strangers = [d.address for d in along if kind is not DeviceKind.GPU or _slot(d) != _slot(device)]
    if strangers:
        return f"shares its IOMMU group with {'+'.join(strangers)}"
    if device.virtual_functions:
        return "is split into virtual functions"
    if device.busy:
        return f"is the host's: {device.busy}"
    if kind is not DeviceKind.VF and device.driver not in SET_ASIDE:
        return f"is the host's: bound to driver {device.driver}"
    return ""


def fits(of: Class, asked: HostDevice, links: Mapping[str, str]) -> bool:
    """Whether units of the class are what is asked for.

    links   the host's link, bond or bridge that each network of the ask is on
    """
    if of.kind != asked.kind:
        return False
    if asked.kind == DeviceKind.MDEV:
        return of.id == asked.id
    if asked.network and links.get(asked.network) not in of.links:
        return False
    return not asked.model or asked.model.lower() == of.id or _words(asked.model) <= _words(of.model)


def _words(text: str) -> frozenset[str]:
    return frozenset(WORDS.findall(text.lower()))
