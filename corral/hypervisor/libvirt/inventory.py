"""Inventory: what a host has, read from libvirt's capabilities and from /proc and /sys.

In this room   parsing only: text and a root folder in, Inventory out; no libvirt connection
Comes in       the capabilities XML; `root`, which is / but for tests
Goes out       Capabilities (also for domain_xml.HostProfile); Inventory
Always true    what a host does not show is empty, never an error: containers, old kernels and other
               architectures lack a lot. Lists are sorted, so that equal hosts give equal inventories.
Next door      node_devices.py reads what libvirt knows of PCI devices; driver.py adds the accelerator's trial and
               the names of foreign domains
Start here     read_inventory()
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.hypervisor.libvirt.node_devices import DeviceFacts, with_most
from corral.model.node import CpuInfo, HostDisk, Inventory, NumaCell, PciDevice, UsbDevice
from corral.model.units import KiB, members

NOT_DISKS: Final = re.compile(r"(loop|ram|zram|dm-|md|nbd|rbd|drbd|sr|fd)\d*")
SECTOR_BYTES: Final = 512  # of /sys/block/*/size, whatever the disk's own sectors are
GPU_CLASS: Final = "0x03"  # display controllers
SMALL_PAGE_BYTES: Final = 4 * KiB
NO_FACTS: Final[Mapping[str, DeviceFacts]] = {}
UNITS: Final = {"bytes": 1, "KiB": KiB, "MiB": KiB**2, "GiB": KiB**3}


class Capabilities(Struct, frozen=True, kw_only=True):
    """What libvirt says of the host and its QEMU."""

    architecture: str = "x86_64"
    cpu: CpuInfo = CpuInfo()
    cells: tuple[NumaCell, ...] = ()
    emulator: str = ""
    machine: str = ""  # the newest q35, with its version
    machines: tuple[str, ...] = ()  # all q35, with their versions
    offers_kvm: bool = False


def read_inventory(
    capabilities: Capabilities, hypervisor: str, root: Path, facts: Mapping[str, DeviceFacts] = NO_FACTS
) -> Inventory:
    """All but the accelerator, the migration address and the domains. facts: of PCI devices, by address"""
    pci, memory_bytes = _pci_devices(root, facts), _memory_bytes(root)
    return Inventory(
        hostname=_text(root / "proc/sys/kernel/hostname"),
        kernel=_text(root / "proc/sys/kernel/osrelease"),
        architecture=capabilities.architecture,
        hypervisor=hypervisor,
        cpus=_cpus(root, capabilities),
        cpu=capabilities.cpu,
        memory_bytes=memory_bytes,
        cells=_whole(capabilities.cells, memory_bytes),
        disks=_disks(root),
        bridges=_bridges(root),
        gpus=tuple(d for d in pci if d.pci_class.startswith(GPU_CLASS) and not d.physical_function),
        iommu_groups=_iommu_groups(root),
        devices=tuple(device for device in pci if device.iommu_group is not None or device.slices),
        usb=_usb_devices(root),
    )


def parse_capabilities(document: str) -> Capabilities:
    """What libvirt says of itself. raises ValueError: not a capabilities document"""
    try:
        root = ET.fromstring(document)
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    host = root.find("host")
    if root.tag != "capabilities" or host is None:
        raise ValueError("not a capabilities document")
    architecture = host.findtext("cpu/arch", "x86_64")
    arch = _guest_architecture(root, architecture)
    return Capabilities(
        architecture=architecture,
        cpu=_cpu(host.find("cpu")),
        cells=tuple(sorted(map(_cell, host.iterfind("topology/cells/cell")), key=lambda cell: cell.id)),
        emulator=arch.findtext("emulator", "") if arch is not None else "",
        machine=_machine(arch) if arch is not None else "",
        machines=_machines(arch) if arch is not None else (),
        offers_kvm=arch is not None and arch.find("domain[@type='kvm']") is not None,
    )


def _guest_architecture(root: ET.Element, architecture: str) -> ET.Element | None:
    for guest in root.iterfind("guest"):
        arch = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and arch is not None and arch.get("name") == architecture:
            return arch
    return None


def _machine(arch: ET.Element) -> str:
    """What the alias q35 stands for on this QEMU; without that alias, the machine libvirt names first."""
    for machine in arch.iter("machine"):
        if machine.text == "q35":
            return machine.get("canonical", "q35")
    first = arch.find("machine")
    return (first.get("canonical") or first.text or "") if first is not None else ""


def _machines(arch: ET.Element) -> tuple[str, ...]:
    return tuple(sorted({m.text or "" for m in arch.iter("machine") if (m.text or "").startswith("pc-q35-")}))


def _cpu(cpu: ET.Element | None) -> CpuInfo:
    if cpu is None:
        return CpuInfo()
    topology = cpu.find("topology")
    counts = topology.attrib if topology is not None else {}
    return CpuInfo(
        model=cpu.findtext("model", ""),
        vendor=cpu.findtext("vendor", ""),
        sockets=int(counts.get("sockets", 1)),
        cores=int(counts.get("cores", 1)) * int(counts.get("dies", 1)),
        threads=int(counts.get("threads", 1)),
        features=tuple(sorted(feature.get("name", "") for feature in cpu.iterfind("feature"))),
    )


def _cell(cell: ET.Element) -> NumaCell:
    pages = {_bytes_of(p.get("size", "0"), p): int(p.text or 0) for p in cell.iterfind("pages")}
    memory = cell.find("memory")
    return NumaCell(
        id=int(cell.get("id", 0)),
        cpus=tuple(sorted(int(cpu.get("id", 0)) for cpu in cell.iterfind("cpus/cpu"))),
        memory_bytes=_bytes_of(memory.text or "0", memory) if memory is not None else 0,
        hugepages={
            str(size): count for size, count in sorted(pages.items()) if size > SMALL_PAGE_BYTES and count
        },
        cores=_cores(cell),
    )


def _cores(cell: ET.Element) -> tuple[tuple[int, ...], ...]:
    """CPUs that share a core, where some do."""
    siblings = {tuple(sorted(members(cpu.get("siblings", "")))) for cpu in cell.iterfind("cpus/cpu")}
    return tuple(sorted(siblings)) if any(len(core) > 1 for core in siblings) else ()


def _whole(cells: tuple[NumaCell, ...], memory_bytes: int) -> tuple[NumaCell, ...]:
    """A single cell holds all memory: libvirt counts what was there when it started, and memory can be added."""
    if len(cells) != 1 or not memory_bytes:
        return cells
    return (msgspec.structs.replace(cells[0], memory_bytes=memory_bytes),)


def _bytes_of(number: str, element: ET.Element) -> int:
    return int(number) * UNITS.get(element.get("unit", "KiB"), KiB)


def _text(path: Path) -> str:
    """The file's text; empty if it can't be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _cpus(root: Path, capabilities: Capabilities) -> int:
    """CPUs that are online: "0-3,8" is five."""
    count = 0
    for part in _text(root / "sys/devices/system/cpu/online").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            count += int(last or first) - int(first) + 1
    cpu = capabilities.cpu
    return (
        count or sum(len(cell.cpus) for cell in capabilities.cells) or cpu.sockets * cpu.cores * cpu.threads
    )


def _memory_bytes(root: Path) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * KiB if match else 0


def _disks(root: Path) -> tuple[HostDisk, ...]:
    """Whole disks that hold something; not their partitions, nor what is built upon them."""
    block = root / "sys/block"
    found = (_disk(block / name) for name in _names(block) if not NOT_DISKS.fullmatch(name))
    return tuple(disk for disk in found if disk.size_bytes)


def _disk(folder: Path) -> HostDisk:
    sectors = _text(folder / "size")
    return HostDisk(
        name=folder.name,
        size_bytes=int(sectors) * SECTOR_BYTES if sectors.isdigit() else 0,
        rotational=_text(folder / "queue/rotational") == "1",
        model=_text(folder / "device/model"),
    )


def _bridges(root: Path) -> tuple[str, ...]:
    links = root / "sys/class/net"
    return tuple(name for name in _names(links) if (links / name / "bridge").is_dir())


def _pci_devices(root: Path, facts: Mapping[str, DeviceFacts]) -> tuple[PciDevice, ...]:
    folder = root / "sys/bus/pci/devices"
    return tuple(
        _pci_device(root, folder / address, facts.get(address, DeviceFacts())) for address in _names(folder)
    )


def _pci_device(root: Path, folder: Path, facts: DeviceFacts) -> PciDevice:
    group = folder / "iommu_group"
    cell = _text(folder / "numa_node")  # -1: the firmware does not say
    return PciDevice(
        address=folder.name,
        vendor=_text(folder / "vendor"),
        device=_text(folder / "device"),
        pci_class=_text(folder / "class"),
        iommu_group=int(group.resolve().name) if group.exists() and group.resolve().name.isdigit() else None,
        numa_cell=int(cell) if cell.isdigit() else None,
        model=facts.model,
        driver=facts.driver,
        physical_function=facts.physical_function,
        virtual_functions=facts.virtual_functions,
        links=_links(root, folder.parent / (facts.physical_function or folder.name)),
        busy=_busy(root, folder, facts),
        slices=with_most(root, folder.name, facts.slices),
    )


def _links(root: Path, nic: Path) -> tuple[str, ...]:
    """The host's link of a NIC, and the bonds and bridges upon it."""
    found = _names(nic / "net")
    for name in found:  # grows on the way
        upper = (
            n.removeprefix("upper_") for n in _names(root / "sys/class/net" / name) if n.startswith("upper_")
        )
        found += [name for name in upper if name not in found]
    return tuple(found)


def _busy(root: Path, folder: Path, facts: DeviceFacts) -> str:
    """What the host does with it. Drivers aside, that is: its console, or a link that is up."""
    if _text(folder / "boot_vga") == "1" and facts.driver != "vfio-pci":
        return "its console"
    if not facts.physical_function:
        return ""
    up = (name for name in _names(folder / "net") if _is_up(_text(root / "sys/class/net" / name / "flags")))
    return next((f"link {name} is up" for name in up), "")


def _is_up(flags: str) -> bool:
    """IFF_UP, of 0x1003."""
    try:
        return bool(int(flags, 16) & 1)
    except ValueError:
        return False


def _usb_devices(root: Path) -> tuple[UsbDevice, ...]:
    """All but hubs and the controllers' own (1d6b is Linux itself)."""
    folder = root / "sys/bus/usb/devices"
    found = []
    for address in _names(folder):
        vendor, product = (_text(folder / address / f"id{part}") for part in ("Vendor", "Product"))
        if vendor and vendor != "1d6b" and _text(folder / address / "bDeviceClass") != "09":
            name = _text(folder / address / "product")
            found.append(UsbDevice(address=address, id=f"{vendor}:{product}", name=name))
    return tuple(found)


def _iommu_groups(root: Path) -> dict[str, tuple[str, ...]]:
    folder = root / "sys/kernel/iommu_groups"
    return {group: tuple(_names(folder / group / "devices")) for group in _names(folder)}
