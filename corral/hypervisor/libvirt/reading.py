"""Reading: from domain XML to what Corral models of it.

In this room   read_domain(), refusal_of(); a table of what is modelled
Comes in       a domain's tree (xmltree.py), as libvirt or another tool wrote it
Goes out       DomainModel, which names what it leaves out; or Refusal: the element and the reason
Always true    what is not modelled is no reason to refuse. Refused is only what QEMU would not run, what libvirt
               would not take either, and what is another's.
Next door      editing.py writes back what a user changed
Start here     read_domain()
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from corral.hypervisor.libvirt.canonical import bytes_of
from corral.hypervisor.libvirt.identity import XMLNS
from corral.hypervisor.libvirt.xmltree import Element, prefixes_in, resolved
from corral.model.domain import DomainModel, FoundDisk, FoundNic, Refusal

TYPES: Final = (
    "kvm",
    "qemu",
    "test",  # libvirt's test driver: in files only, no host has it, and written like the others
)
MODELLED: Final = frozenset({"name", "uuid", "title", "description", "metadata", "memory", "currentMemory", "vcpu",
                             "devices"})  # fmt: skip
MODELLED_DEVICES: Final = frozenset({"emulator", "disk", "interface"})
SOURCES: Final = {"file": "file", "block": "dev", "dir": "dir", "volume": "volume", "network": "name"}


class Refused(Exception):
    """The domain can't be managed."""

    def __init__(self, element: str, reason: str) -> None:
        super().__init__(f"{element}: {reason}")
        self.refusal = Refusal(element=element, reason=reason)


def read_domain(domain: Element) -> DomainModel:
    """What Corral models of the domain. raises Refused"""
    _check(domain)
    return DomainModel(
        uuid=domain.text("uuid").lower(),
        name=domain.text("name"),
        type=domain.attributes["type"],
        title=domain.text("title"),
        description=domain.text("description"),
        cpus=cpus_of(domain),
        cpus_max=cpus_max_of(domain),
        memory_bytes=memory_of(domain),
        architecture=domain.get("arch", "os", "type"),
        machine=domain.get("machine", "os", "type"),
        firmware=firmware_of(domain),
        disks=tuple(_disks(domain)),
        nics=tuple(_nics(domain)),
        kept=_kept(domain),
    )


def refusal_of(domain: Element) -> Refusal | None:
    """Why it can't be managed; None: it can."""
    try:
        _check(domain)
    except Refused as refused:
        return refused.refusal
    return None


def _check(domain: Element) -> None:
    kind = domain.attributes.get("type", "")
    if kind not in TYPES:
        raise Refused(
            "domain/@type", f"{kind or 'nothing'!r} is no domain of QEMU's: Corral runs kvm and qemu"
        )
    if not domain.text("name"):
        raise Refused("name", "there is none: libvirt would not take it either")
    if (runs := domain.text("os", "type", default="hvm")) != "hvm":
        raise Refused("os/type", f"{runs!r} is not for QEMU, which runs hvm only")
    for number in (memory_of, cpus_max_of, cpus_of):
        number(domain)
    if owner := owner_of(domain):
        raise Refused("metadata/corral:vm", f"it is marked as {owner} of a Corral already")


# ---- numbers


def memory_of(domain: Element) -> int:
    """Bytes that the guest may use at most, hotplugged memory included. raises Refused"""
    element = domain.find("memory")
    cells = domain.all("cpu", "numa", "cell")
    if element is not None and element.content.strip():
        return size_in(element, "memory")
    if cells:  # libvirt takes their sum
        return sum(_size(cell.attributes.get("memory", ""), cell, "cpu/numa/cell/@memory") for cell in cells)
    raise Refused("memory", "there is none: libvirt would not take it either")


def size_in(element: Element, path: str) -> int:
    """Bytes, of an element with a number and a unit. raises Refused"""
    return _size(element.content.strip(), element, path)


def _size(text: str, element: Element, path: str) -> int:
    unit = element.attributes.get("unit", "KiB")
    try:
        size = bytes_of(text, unit)
    except ValueError:
        raise Refused(path, f"{text!r} {unit} is no size") from None
    if size <= 0:
        raise Refused(path, f"{text!r} {unit} is no memory at all")
    return size


def cpus_max_of(domain: Element) -> int:
    return _count(domain.text("vcpu") or "1", "vcpu")


def cpus_of(domain: Element) -> int:
    """VCPUs that the guest starts with."""
    return _count(domain.get("current", "vcpu") or domain.text("vcpu") or "1", "vcpu/@current")


def _count(text: str, path: str) -> int:
    if not text.isdecimal() or not int(text):
        raise Refused(path, f"{text!r} is no number of vCPUs")
    return int(text)


# ---- firmware


def firmware_of(domain: Element) -> str:
    """bios, uefi, or uefi with Secure Boot."""
    loader = domain.find("os", "loader")
    if domain.get("firmware", "os") == "efi" or (
        loader is not None and loader.attributes.get("type") == "pflash"
    ):
        secure = loader is not None and loader.attributes.get("secure") == "yes"
        secure |= any(
            f.attributes.get("name") == "secure-boot" and f.attributes.get("enabled") == "yes"
            for f in domain.all("os", "firmware", "feature")
        )
        return "uefi with Secure Boot" if secure else "uefi"
    return "bios"


# ---- devices


def modelled_disks(domain: Element) -> dict[str, Element]:
    """Disks that are volumes, by the path of their file."""
    disks = domain.all("devices", "disk")
    uses = Counter(disk_path(element) for element in disks)
    return {
        path: element
        for element in disks
        if not why_kept_disk(element) and uses[path := disk_path(element)] == 1
    }


def modelled_nics(domain: Element) -> dict[str, Element]:
    """NICs that are ports, by their MAC address."""
    nics = domain.all("devices", "interface")
    uses = Counter(mac_of(element) for element in nics)
    return {
        mac: element for element in nics if not why_kept_nic(element) and uses[mac := mac_of(element)] == 1
    }


def disk_path(disk: Element) -> str:
    kind = disk.attributes.get("type", "file")
    return disk.get(SOURCES.get(kind, ""), "source")


def why_kept_disk(disk: Element) -> str:
    """Why it becomes no volume, in words; empty: it becomes one."""
    device, kind = disk.attributes.get("device", "disk"), disk.attributes.get("type", "file")
    if device != "disk":
        return f"a {device}"
    if kind != "file":
        return f"on {kind}, not on a file"
    if not disk_path(disk).startswith("/"):
        return "without a file"
    for tag, why in (
        ("readonly", "read-only"), ("shareable", "shared between VMs"), ("transient", "forgets what is written")
    ):  # fmt: skip
        if disk.find(tag) is not None:
            return why
    return "" if disk.get("dev", "target") else "without a target"


def _disks(domain: Element) -> Iterator[FoundDisk]:
    volumes = modelled_disks(domain)
    for disk in domain.all("devices", "disk"):
        path, why = disk_path(disk), why_kept_disk(disk)
        if not why and path not in volumes:
            why = "its file is there twice"
        yield FoundDisk(
            target=disk.get("dev", "target"),
            bus=disk.get("bus", "target"),
            device=disk.attributes.get("device", "disk"),
            source=disk.attributes.get("type", "file"),
            path=path,
            format=disk.get("type", "driver", default="raw"),
            kept=why,
        )


def mac_of(nic: Element) -> str:
    return nic.get("address", "mac").lower()


def why_kept_nic(nic: Element) -> str:
    """Why it becomes no port, in words; empty: it becomes one."""
    kind = nic.attributes.get("type", "")
    if kind != "bridge":
        return f"of type {kind}"
    if nic.find("virtualport") is not None:
        return f"on a {nic.get('type', 'virtualport')} switch"
    if not nic.get("bridge", "source"):
        return "without a bridge"
    return "" if mac_of(nic) else "without a MAC address"


def _nics(domain: Element) -> Iterator[FoundNic]:
    ports = modelled_nics(domain)
    for nic in domain.all("devices", "interface"):
        why = why_kept_nic(nic)
        if not why and mac_of(nic) not in ports:
            why = "its MAC address is there twice"
        yield _nic(nic, why)


def _nic(nic: Element, kept: str) -> FoundNic:
    source = nic.find("source")
    values = source.attributes if source is not None else {}
    return FoundNic(
        mac=mac_of(nic),
        kind=nic.attributes.get("type", ""),
        source=next((values[k] for k in ("bridge", "network", "dev", "path") if k in values), ""),
        model=nic.get("type", "model"),
        kept=kept,
    )


# ---- what is kept, and whose it is


def _kept(domain: Element) -> tuple[str, ...]:
    """Names of what Corral does not model, each once: cputune, devices/hostdev, qemu:commandline."""
    top = (element.tag for element in domain.elements if element.tag not in MODELLED)
    devices = (
        f"devices/{element.tag}"
        for element in (e for parent in domain.all("devices") for e in parent.elements)
        if element.tag not in MODELLED_DEVICES
    )
    return tuple(sorted({*top, *devices}))


def marks_in(domain: Element) -> list[tuple[Element, Element]]:
    """Corral's marks in the metadata, each with the element that it stands in."""
    outer = prefixes_in(domain, {})
    found = []
    for metadata in domain.all("metadata"):
        inside = prefixes_in(metadata, outer)
        for child in metadata.elements:
            if resolved(child.tag, prefixes_in(child, inside)) == f"{{{XMLNS}}}vm":
                found.append((metadata, child))
    return found


def owner_of(domain: Element) -> str:
    """The id of the VM that it is marked as; empty: of none."""
    return next((mark.attributes.get("id", "a VM") for _, mark in marks_in(domain)), "")
