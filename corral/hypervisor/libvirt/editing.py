"""Editing: a domain's own XML, changed only where a VM's spec says something else.

In this room   edited(): base XML and wish in, XML out; marked(), unmarked(): Corral's mark in the metadata
Comes in       VMSpec.base_xml (how the domain was found, or what a user accepted), DomainWish
Goes out       XML for libvirt to define: equivalent to the base where the wish says what the base says
Always true    what is not modelled comes back as it was, down to its comments; the UUID and the name stay
Next door      reading.py says what is modelled; domain_xml.py builds the domains that Corral makes itself
Start here     edited()
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

from corral.errors import CorralError
from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.device_xml import nic_element
from corral.hypervisor.libvirt.disk_xml import PREFIXES, DiskPlan, disk_element
from corral.hypervisor.libvirt.identity import PREFIX, XMLNS
from corral.hypervisor.libvirt.reading import (
    cpus_max_of,
    cpus_of,
    disk_path,
    marks_in,
    memory_of,
    modelled_disks,
    modelled_nics,
    size_in,
)
from corral.hypervisor.libvirt.xmltree import Element, Text, parse
from corral.model.hardware import Bus
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.units import KiB

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"


class NotEditable(CorralError):
    """The VM's own XML holds something that does not allow this change."""

    code = "vm.not_editable"
    status = 409


def edited(base: Element, wish: DomainWish) -> Element:
    """The domain as wished for. raises NotEditable"""
    domain = base.copy()
    _set_memory(domain, wish)
    _set_cpus(domain, wish)
    _set_disks(domain, wish.disks)
    _set_nics(domain, wish.nics)
    return domain


def marked(domain: Element, wish: DomainWish) -> Element:
    """With Corral's mark, by which every node knows whose it is."""
    new = unmarked(domain)
    metadata = new.find("metadata") or new.add(Element("metadata"), before=_after_names(new))
    attributes = {f"xmlns:{PREFIX}": XMLNS, "id": wish.vm, "generation": str(wish.generation)}
    metadata.add(Element(f"{PREFIX}:vm", attributes))
    return new


def unmarked(domain: Element) -> Element:
    """As it was before Corral, metadata that then is empty included."""
    new = domain.copy()
    for metadata, mark in marks_in(new):
        metadata.remove(mark)
        if not metadata.elements and not metadata.content.strip() and _only_text(metadata):
            new.remove(metadata)
    return new


def _only_text(element: Element) -> bool:
    return all(isinstance(child, Text) for child in element.children)


def _after_names(domain: Element) -> Element | None:
    """Where metadata goes: behind name, UUID, title and description, as libvirt writes it."""
    return next(
        (e for e in domain.elements if e.tag not in ("name", "uuid", "genid", "title", "description")), None
    )


# ---- memory


def _set_memory(domain: Element, wish: DomainWish) -> None:
    was = memory_of(domain)
    if not wish.memory_bytes or was == wish.memory_bytes:
        return
    cells = domain.all("cpu", "numa", "cell")
    if len(cells) > 1 or domain.find("devices", "memory") is not None or domain.find("maxMemory") is not None:
        raise NotEditable(
            f"the memory of {wish.name} is laid out by NUMA cells or memory devices of its own XML",
            hint="Change it with `virsh edit`, then `corral vm drift --accept`.",
            vm=wish.vm,
        )
    current = domain.find("currentMemory")
    ballooned = current is not None and size_in(current, "currentMemory") < min(was, wish.memory_bytes)
    memory = domain.find("memory") or domain.add(Element("memory"), before=domain.find("os"))
    for element in (memory, None if ballooned else current):
        if element is not None:
            _set_size(element, wish.memory_bytes)
    for cell in cells:
        cell.attributes["memory"], cell.attributes["unit"] = str(wish.memory_bytes // KiB), "KiB"


def _set_size(element: Element, size_bytes: int) -> None:
    element.attributes["unit"] = "KiB"
    element.set_text(str(size_bytes // KiB))


# ---- vCPUs


def _set_cpus(domain: Element, wish: DomainWish) -> None:
    if wish.cpus == cpus_of(domain):
        return
    vcpu = domain.find("vcpu") or domain.add(Element("vcpu"), before=domain.find("os"))
    for each in domain.all("vcpus"):  # which of them are on: counted anew
        domain.remove(each)
    if wish.cpus < cpus_max_of(domain) and "current" in vcpu.attributes:
        vcpu.attributes["current"] = str(wish.cpus)
        return
    vcpu.attributes.pop("current", None)
    vcpu.set_text(str(wish.cpus))
    _fit_topology(domain, wish)
    _drop_pins(domain, wish.cpus)


def _fit_topology(domain: Element, wish: DomainWish) -> None:
    """As many sockets as it takes; where that does not come out even, one socket of single-threaded cores."""
    cells = domain.all("cpu", "numa", "cell")
    if len(cells) > 1:
        raise NotEditable(
            f"the vCPUs of {wish.name} are spread over NUMA cells by its own XML",
            hint="Change it with `virsh edit`, then `corral vm drift --accept`.",
            vm=wish.vm,
        )
    for cell in cells:
        cell.attributes["cpus"] = f"0-{wish.cpus - 1}" if wish.cpus > 1 else "0"
    topology = domain.find("cpu", "topology")
    if topology is None:
        return
    a_socket = 1
    for level in ("dies", "clusters", "cores", "threads"):
        count = topology.attributes.get(level, "1")
        a_socket *= int(count) if count.isdecimal() and int(count) else 1
    if wish.cpus % a_socket == 0:
        topology.attributes["sockets"] = str(wish.cpus // a_socket)
        return
    for level in ("sockets", "dies", "clusters", "threads"):
        if level in topology.attributes:
            topology.attributes[level] = "1"
    topology.attributes["cores"] = str(wish.cpus)


def _drop_pins(domain: Element, cpus: int) -> None:
    """Of vCPUs that there are no more: libvirt would refuse them."""
    for cputune in domain.all("cputune"):
        for pin in cputune.all("vcpupin"):
            number = pin.attributes.get("vcpu", "")
            if number.isdecimal() and int(number) >= cpus:
                cputune.remove(pin)


# ---- disks


def _set_disks(domain: Element, wished: Sequence[DiskAssignment]) -> None:
    """Disks are told apart by their files; one that only its file changed of keeps its place in the guest."""
    here = modelled_disks(domain)
    wanted = {disk.path: disk for disk in wished}
    gone = [element for path, element in here.items() if path not in wanted]
    new = [disk for path, disk in wanted.items() if path not in here]
    for element, disk in _moved(gone, new):
        _set_file(element, disk)
        gone.remove(element)
        new.remove(disk)
    for element in gone:
        _devices(domain).remove(element)
    for disk in new:
        devices = _devices(domain)
        devices.add(_disk(disk, _free_target(domain, disk.bus)), before=_behind(devices, "disk"))


def _devices(domain: Element) -> Element:
    return domain.find("devices") or domain.add(Element("devices"))


def _moved(gone: list[Element], new: list[DiskAssignment]) -> list[tuple[Element, DiskAssignment]]:
    """Disks whose file has another path now: as many came as went, on the same buses in the same order."""
    fits = len(gone) == len(new) and all(
        bus_of(element.get("bus", "target")) is disk.bus for element, disk in zip(gone, new, strict=True)
    )
    return list(zip(gone, new, strict=True)) if fits else []


def bus_of(word: str) -> Bus:
    """The bus as Corral knows it. What it does not know (ide) behaves like SATA, and stays in the XML as it is."""
    try:
        return Bus(word or "virtio")
    except ValueError:
        return Bus.SATA


def _set_file(element: Element, disk: DiskAssignment) -> None:
    source = element.find("source")
    assert source is not None, f"a modelled disk has a source: {disk_path(element)}"
    source.attributes["file"] = disk.path
    for chain in element.all("backingStore"):  # of the old file; libvirt finds the new one's by itself
        element.remove(chain)
    driver = element.find("driver") or element.add(Element("driver", {"name": "qemu"}), before=source)
    driver.attributes["type"] = disk.format


def _disk(disk: DiskAssignment, target: str) -> Element:
    """As for a VM of Corral's own, but for its place among what is booted from."""
    element = _tree(disk_element(disk, DiskPlan(target=target, order=0)))
    for boot in element.all("boot"):
        element.remove(boot)
    return element


def _tree(element: ET.Element) -> Element:
    return parse(ET.tostring(element, encoding="unicode"))


def _free_target(domain: Element, bus: Bus) -> str:
    prefix = PREFIXES.get(bus, "vd")
    taken = {disk.get("dev", "target") for disk in domain.all("devices", "disk")}
    ends: list[str] = [*ALPHABET, *(one + two for one in ALPHABET for two in ALPHABET)]  # a … z, aa … zz
    free: list[str] = [prefix + end for end in ends if prefix + end not in taken]
    return free[0]


# ---- NICs


def _set_nics(domain: Element, wished: Sequence[NicAssignment]) -> None:
    here = modelled_nics(domain)
    wanted = {nic.mac.lower(): nic for nic in wished}
    for mac, element in here.items():
        if mac not in wanted:
            _devices(domain).remove(element)
        elif element.get("bridge", "source") != wanted[mac].bridge:
            for source in element.all("source"):
                source.attributes["bridge"] = wanted[mac].bridge
    for mac, nic in wanted.items():
        if mac not in here:
            devices = _devices(domain)
            devices.add(_tree(nic_element(nic)), before=_behind(devices, "interface"))


def _behind(devices: Element, tag: str) -> Element | None:
    """The element in front of which one more of this sort goes: behind the others of its sort."""
    last = next((n for n, e in reversed(list(enumerate(devices.elements))) if e.tag == tag), None)
    if last is None or last + 1 >= len(devices.elements):
        return None
    return devices.elements[last + 1]
