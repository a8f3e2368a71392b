"""Shape: what is read off a `<domain>` document to compare a running domain with its definition.

In this room   pure: Shape, a document with its parts in reach; small readers of one element each
Always true    an element that is missing reads as its default; sizes are in bytes
Next door      live.py compares
Start here     Shape
"""

import xml.etree.ElementTree as ET
from typing import Final

from corral.hypervisor.libvirt.identity import XMLNS
from corral.model.units import KiB

WORDS: Final = {"disk": "disk", "nic": "NIC"}
LIMITS: Final = ("total_iops_sec", "read_iops_sec", "write_iops_sec", "total_bytes_sec", "read_bytes_sec", "write_bytes_sec")  # fmt: skip
UNITS: Final = {"b": 1, "bytes": 1, "k": KiB, "KiB": KiB, "M": KiB**2, "MiB": KiB**2, "G": KiB**3, "GiB": KiB**3, "T": KiB**4, "TiB": KiB**4}  # fmt: skip
REMOVABLE: Final = frozenset({"cdrom", "floppy"})


class Shape:
    """A document. Disks and NICs are by what tells them apart, in the document's order."""

    def __init__(self, domain: ET.Element) -> None:
        self.domain = domain
        devices = domain.find("devices")
        self.devices = devices if devices is not None else ET.Element("devices")
        self.name = domain.findtext("name", "")
        self.emulated = domain.get("type") == "qemu"
        self.disks = {disk_key(d): d for d in self.devices.findall("disk")}
        self.nics = {nic_key(n): n for n in self.devices.findall("interface")}

    @property
    def fixed(self) -> str:
        """Digest of what can't change while it runs, as noted in the definition that it was started from."""
        marks = self.domain.find(f"metadata/{{{XMLNS}}}vm")
        return marks.get("fixed", "") if marks is not None else ""

    @property
    def cpus_max(self) -> int:
        return int(self.domain.findtext("vcpu", "1"))

    @property
    def cpus(self) -> int:
        vcpu = self.domain.find("vcpu")
        return int(vcpu.get("current", vcpu.text or "1")) if vcpu is not None else 1

    @property
    def virtio_mem(self) -> ET.Element | None:
        """Its one growing piece of memory, if it has one."""
        found = [m for m in self.devices.findall("memory") if m.get("model") == "virtio-mem"]
        return found[0] if len(found) == 1 else None

    @property
    def base_bytes(self) -> int:
        """Memory without what is plugged in."""
        plugged = sum(mem_size(m) for m in self.devices.findall("memory"))
        return size(self.domain.find("memory")) - plugged

    @property
    def memory_bytes(self) -> int:
        """Memory that it is to have now."""
        device = self.virtio_mem
        others = sum(mem_size(m) for m in self.devices.findall("memory") if m is not device)
        return self.base_bytes + others + (mem_requested(device) if device is not None else 0)

    @property
    def plugged_bytes(self) -> int:
        """What the guest has taken of its growing piece."""
        return mem_current(device) if (device := self.virtio_mem) is not None else 0

    def targets(self) -> tuple[str, ...]:
        return tuple(target(d) for d in self.devices.findall("disk"))

    def controllers(self, kind: str) -> dict[int, ET.Element]:
        """By index."""
        found = (c for c in self.devices.findall("controller") if c.get("type") == kind)
        return {int(c.get("index", "0")): c for c in found}

    def free_slots(self) -> set[int]:
        """Numbers of PCIe root ports into which nothing is plugged."""
        ports = {n for n, c in self.controllers("pci").items() if c.get("model") == "pcie-root-port"}
        used = {bus for a in self.devices.iter("address") if (bus := _bus_of(a)) is not None}
        return ports - used


def disk_key(disk: ET.Element) -> str:
    """Its serial number, a name of Corral's, where it is inserted, or where its data is."""
    if serial := disk.findtext("serial", ""):
        return serial
    if alias(disk).startswith("ua-"):
        return alias(disk).removeprefix("ua-")
    return target(disk) if removable(disk) else source(disk)


def nic_key(nic: ET.Element) -> str:
    mac = nic.find("mac")
    return mac.get("address", "").lower() if mac is not None else ""


def alias(device: ET.Element) -> str:
    return _attribute(device, "alias", "name")


def bus(disk: ET.Element) -> str:
    return _attribute(disk, "target", "bus")


def target(disk: ET.Element) -> str:
    return _attribute(disk, "target", "dev")


def removable(disk: ET.Element) -> bool:
    return disk.get("device") in REMOVABLE


def source(disk: ET.Element) -> str:
    """Where its data is; empty: no medium. What libvirt adds while it runs is left out."""
    found = disk.find("source")
    if found is None:
        return ""
    parts = {k: v for k, v in found.attrib.items() if k not in ("index", "startupPolicy")}
    if not parts and len(found) == 0:  # an empty drive that had a medium
        return ""
    return " ".join(parts.values()) if len(parts) == 1 else str(sorted(parts.items()))


def limits(disk: ET.Element) -> dict[str, int]:
    tune = disk.find("iotune")
    if tune is None:
        return {}
    return {name: value for name in LIMITS if (value := int(tune.findtext(name, "0")))}


def how(disk: ET.Element) -> tuple[str, ...]:
    """What can't change while it is plugged in."""
    driver = disk.find("driver")
    return (
        bus(disk),
        *(driver.get(n, "") if driver is not None else "" for n in ("type", "cache", "io", "discard")),
    )


def connected(nic: ET.Element) -> tuple[str, ...]:
    """To what, and whether its cable is plugged in."""
    found = nic.find("source")
    to = [found.get(name, "") for name in ("bridge", "network", "dev")] if found is not None else []
    return (*to, _attribute(nic, "link", "state") or "up")


def rates(nic: ET.Element) -> tuple[str, ...]:
    """What it may carry."""
    return tuple(e.tag + str(sorted(e.attrib.items())) for e in nic.findall("bandwidth/*"))


def nic_how(nic: ET.Element) -> tuple[str, ...]:
    queues = _attribute(nic, "driver", "queues")
    return (_attribute(nic, "model", "type"), queues if queues not in ("", "1") else "1")


def controller_of(disk: ET.Element) -> int:
    """Number of the controller that a SCSI disk hangs on."""
    return int(_attribute(disk, "address", "controller") or "0")


def slot(device: ET.Element) -> int | None:
    """Number of the root port that it is plugged into."""
    address = device.find("address")
    return _bus_of(address) if address is not None else None


def free_target(disk: ET.Element, taken: set[str]) -> str:
    """Its own name, or the next one of the same kind that is free."""
    name = target(disk)
    if name not in taken:
        return name
    prefix = name[:2]  # vd, sd, hd
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [prefix + x for x in letters] + [prefix + x + y for x in letters for y in letters]
    return next(n for n in names if n not in taken)


def size(element: ET.Element | None) -> int:
    """Of an element with a unit; KiB when it says nothing."""
    if element is None:
        return 0
    return int(element.text or "0") * UNITS[element.get("unit", "KiB")]


def mem_size(device: ET.Element) -> int:
    return size(device.find("target/size"))


def mem_block(device: ET.Element) -> int:
    return size(device.find("target/block")) or 2 * KiB**2


def mem_requested(device: ET.Element) -> int:
    return size(device.find("target/requested"))


def mem_current(device: ET.Element) -> int:
    """What the guest has taken of it."""
    return size(device.find("target/current"))


def _attribute(device: ET.Element, tag: str, name: str) -> str:
    found = device.find(tag)
    return found.get(name, "") if found is not None else ""


def _bus_of(address: ET.Element) -> int | None:
    if address.get("type") != "pci" or "bus" not in address.attrib:
        return None
    return int(address.get("bus", "0"), 0)
