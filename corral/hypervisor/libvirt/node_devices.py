"""Node devices: what libvirt knows of a host's PCI devices beyond their addresses.

In this room   parsing of libvirt's `<device>` documents: names, drivers, SR-IOV, types of mediated devices and those made
Comes in       the documents; `root` of the host's files, which is / but for tests
Goes out       DeviceFacts by PCI address, which inventory.py puts into PciDevices
Always true    a document that can't be read is left out: a device that is not known is not handed out
Next door      inventory.py reads the devices themselves; mdevs.py makes and removes mediated devices
Start here     parse_node_devices()
"""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.model.hardware import SLICES
from corral.model.node import MdevType

MOST: Final = re.compile(r"max_instances?=(\d+)")  # as NVIDIA's driver describes a type
PARENT: Final = re.compile(r"pci_([0-9a-f]{4})_([0-9a-f]{2})_([0-9a-f]{2})_([0-7])")


class DeviceFacts(Struct, frozen=True, kw_only=True):
    """Of one PCI function."""

    model: str = ""
    driver: str = ""
    physical_function: str = ""
    virtual_functions: int = 0
    slices: tuple[MdevType, ...] = ()


def parse_node_devices(documents: Iterable[str]) -> dict[str, DeviceFacts]:
    """By PCI address."""
    facts: dict[str, DeviceFacts] = {}
    made = Counter[tuple[str, str]]()  # Corral's, by parent and type
    for document in documents:
        try:
            device = ET.fromstring(document)
        except ET.ParseError:
            continue
        if (pci := device.find("capability[@type='pci']")) is not None:
            facts[_address(pci)] = _facts(device, pci)
        elif (type := device.find("capability[@type='mdev']/type")) is not None and _is_ours(device):
            made[_parent(device), type.get("id", "")] += 1
    return {address: _with_made(address, each, made) for address, each in facts.items()}


def _is_ours(device: ET.Element) -> bool:
    """Before libvirt 7.3 the name alone has the UUID: mdev_c044a100_…"""
    name = device.findtext("name", "").removeprefix("mdev_").replace("_", "-")
    return device.findtext("capability/uuid", name).startswith(SLICES)


def _facts(device: ET.Element, pci: ET.Element) -> DeviceFacts:
    physical = pci.find("capability[@type='phys_function']/address")
    virtual = pci.findall("capability[@type='virt_functions']/address")
    return DeviceFacts(
        model=pci.findtext("product", "").strip(),
        driver=device.findtext("driver/name", ""),
        physical_function=_hex_address(physical) if physical is not None else "",
        virtual_functions=len(virtual),
        slices=tuple(
            MdevType(
                type=each.get("id", ""),
                name=each.findtext("name", ""),
                instances=_number(each.findtext("availableInstances", "")),
            )
            for each in pci.iterfind("capability[@type='mdev_types']/type")
        ),
    )


def _with_made(address: str, facts: DeviceFacts, made: Mapping[tuple[str, str], int]) -> DeviceFacts:
    """Libvirt tells how many more there could be: those that Corral made are its own to give again."""
    slices = tuple(
        msgspec.structs.replace(
            each, instances=each.instances + made[address, each.type], made=made[address, each.type]
        )
        for each in facts.slices
    )
    return msgspec.structs.replace(facts, slices=slices)


def with_most(root: Path, address: str, slices: tuple[MdevType, ...]) -> tuple[MdevType, ...]:
    """With how many the whole card can have, where its driver describes that."""
    return tuple(msgspec.structs.replace(each, most=_most(root, address, each.type)) for each in slices)


def _most(root: Path, address: str, type: str) -> int:
    file = root / "sys/class/mdev_bus" / address / "mdev_supported_types" / type / "description"
    try:
        found = MOST.search(file.read_text(errors="replace"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _address(pci: ET.Element) -> str:
    domain, bus, slot, function = (
        _number(pci.findtext(part, "")) for part in ("domain", "bus", "slot", "function")
    )
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _hex_address(address: ET.Element) -> str:
    domain, bus, slot, function = (
        int(address.get(part, "0"), 0) for part in ("domain", "bus", "slot", "function")
    )
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _parent(device: ET.Element) -> str:
    """PCI address of what a mediated device was cut from."""
    found = PARENT.fullmatch(device.findtext("parent", ""))
    return "{}:{}:{}.{}".format(*found.groups()) if found else ""


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0
