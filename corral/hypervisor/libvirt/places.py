"""Places: a VM that is defined anew keeps its devices where they were.

In this room   pure: a new definition, and the one before it as libvirt wrote it down, with all addresses
Goes out       the new definition with the old names and slots; a mark that tells what can't change while it runs
Always true    a device that stays keeps its slot: guests name NICs by slots, and would not find them again.
               Only what the new definition leaves open is filled in.
Next door      domain_xml.py builds definitions; live.py compares the marks
Start here     keep_places()
"""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from hashlib import blake2b
from typing import Final

from corral.hypervisor.libvirt import shape
from corral.hypervisor.libvirt.identity import PREFIX, XMLNS
from corral.hypervisor.libvirt.shape import Shape

CHANGEABLE: Final = ("name", "uuid", "metadata", "maxMemory", "memory", "currentMemory", "vcpu", "vcpus", "iothreads", "cputune")  # fmt: skip
CHANGEABLE_DEVICES: Final = ("disk", "interface", "memory", "controller")
Key = tuple[str, ...]


def keep_places(document: str, former: str = "") -> str:
    """The definition, marked, with what stays in its place."""
    domain = ET.fromstring(document)
    mark_fixed(domain)
    if former:
        _keep(domain, Shape(ET.fromstring(former)))
    ET.register_namespace(PREFIX, XMLNS)
    return ET.tostring(domain, encoding="unicode") + "\n"


def keep_sources(document: str, running: str) -> str:
    """The definition, with each disk on the file that the running domain has open. One that was decided on before a
    disk moved must not send it back at the next start: that file may be gone.
    """
    domain, live = ET.fromstring(document), Shape(ET.fromstring(running))
    for key, disk in Shape(domain).disks.items():
        ours, open_ = disk.find("source"), live.disks[key].find("source") if key in live.disks else None
        if disk.get("device", "disk") != "disk":
            continue  # another disc in a drive is a change that is wanted
        if ours is not None and open_ is not None and ours.get("file") and open_.get("file"):
            ours.set("file", open_.get("file", ""))
    ET.register_namespace(PREFIX, XMLNS)
    return ET.tostring(domain, encoding="unicode") + "\n"


def mark_fixed(domain: ET.Element) -> None:
    """Note in the definition a digest of all that takes a restart: the running domain keeps the one it began with."""
    mark = domain.find(f"metadata/{{{XMLNS}}}vm")
    if mark is not None:
        mark.set("fixed", fixed_digest(domain))


def fixed_digest(domain: ET.Element) -> str:
    copy = deepcopy(domain)
    for tag in CHANGEABLE:
        for element in copy.findall(tag):
            copy.remove(element)
    cpu, devices, features = copy.find("cpu"), copy.find("devices"), copy.find("features")
    parts = (
        (cpu, ("topology", "numa")),
        (devices, CHANGEABLE_DEVICES),
        (features, ("tcg",)),  # an emulator's cache, which goes by vCPUs to come: no guest can tell
    )
    for parent, tags in parts:
        for element in [e for e in parent if e.tag in tags] if parent is not None else ():
            assert parent is not None
            parent.remove(element)
    text = ET.canonicalize(ET.tostring(copy, encoding="unicode"), strip_text=True)
    return blake2b(text.encode(), digest_size=6).hexdigest()


def _keep(domain: ET.Element, former: Shape) -> None:
    devices = domain.find("devices")
    if devices is None:
        return
    places = dict(_keyed(former.devices))
    _keep_letters(devices, places)
    for key, device in _keyed(devices):
        old = places.get(key)
        if old is None or device.find("address") is not None or not _same_bus(device, old):
            continue
        address = old.find("address")
        if address is not None:
            device.append(deepcopy(address))
    _keep_ports(devices, former)


def _keep_letters(devices: ET.Element, places: dict[Key, ET.Element]) -> None:
    """A disk that stays keeps its name, and a new one gets a name that is free."""
    taken: set[str] = set()
    new: list[ET.Element] = []
    for key, disk in _keyed(devices):
        if disk.tag != "disk":
            continue
        old = places.get(key)
        if old is not None and _same_bus(disk, old):
            _rename(disk, shape.target(old))
            taken.add(shape.target(old))
        else:
            new.append(disk)
    for disk in new:
        _rename(disk, shape.free_target(disk, taken))
        taken.add(shape.target(disk))


def _rename(disk: ET.Element, name: str) -> None:
    found = disk.find("target")
    if found is not None:
        found.set("dev", name)


def _keep_ports(devices: ET.Element, former: Shape) -> None:
    """Slots that were there stay, also when fewer are needed."""
    have = {c.get("index") for c in devices.findall("controller") if c.get("type") == "pci"}
    for number, port in sorted(former.controllers("pci").items()):
        if str(number) not in have and port.get("model") == "pcie-root-port":
            devices.append(deepcopy(port))


def _same_bus(device: ET.Element, old: ET.Element) -> bool:
    """Whether an address of the old one means something to the new one."""
    if device.tag == "interface":
        return shape.nic_how(device)[0] == shape.nic_how(old)[0]
    if device.tag == "disk":
        return shape.bus(device) == shape.bus(old)
    return device.get("model") == old.get("model")


def _keyed(devices: ET.Element) -> Iterator[tuple[Key, ET.Element]]:
    """Each device by what tells it apart: a name of its own, or how many of its sort come before it."""
    counts: Counter[Key] = Counter()
    for device in devices:
        match device.tag:
            case "disk":
                key: Key = ("disk", shape.disk_key(device))
            case "interface":
                key = ("interface", shape.nic_key(device))
            case "controller":
                key = ("controller", device.get("type", ""), device.get("index", ""))
            case tag:
                sort = (tag, device.get("model", ""), device.get("type", ""))
                key = (*sort, str(counts[sort]))
                counts[sort] += 1
        yield key, device
