"""OVF: the description in an OVA, to and from our own words.

In this room   build_ovf(), parse_ovf(); pure
Comes in       ArchivedVM; or XML of unknown origin
Goes out       an OVF 1.1 envelope; or ArchivedVM
Always true    XML with a DOCTYPE is refused, so that no entity is ever expanded; what is not understood and matters (more
               than one system, compressed or split disks) is refused by name
Next door      contents.py
source         DMTF DSP0243 1.1.1; resource types: DSP1043, CIM_ResourceAllocationSettingData
"""

import re
import xml.etree.ElementTree as ET
from typing import Final

from corral.client.archives.contents import ArchivedDisk, ArchivedNic, ArchivedVM, BadArchive
from corral.model.units import MiB

OVF: Final = "http://schemas.dmtf.org/ovf/envelope/1"
RASD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD: Final = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
STREAM: Final = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
CPU, MEMORY, SCSI, NIC, DISK = "3", "4", "6", "10", "17"
UNITS: Final = re.compile(r"byte(?:\s*\*\s*2\^(\d+))?")
OLD_UNITS: Final = {"kilobytes": 2**10, "megabytes": 2**20, "gigabytes": 2**30, "mb": 2**20, "gb": 2**30}
ADAPTERS: Final = {"e1000e": "E1000e", "virtio": "VirtIO"}


def build_ovf(vm: ArchivedVM) -> bytes:
    """The envelope. Its disks are stream-optimised VMDKs."""
    for prefix, uri in (("", OVF), ("ovf", OVF), ("rasd", RASD), ("vssd", VSSD)):
        if prefix:
            ET.register_namespace(prefix, uri)
    envelope = ET.Element(_q("Envelope"))
    references = ET.SubElement(envelope, _q("References"))
    section = _section(envelope, "DiskSection", "Virtual disks")
    for number, disk in enumerate(vm.disks):
        ET.SubElement(references, _q("File"), {_q("id"): f"file{number}", _q("href"): disk.file})
        ET.SubElement(section, _q("Disk"), {
            _q("diskId"): f"disk{number}", _q("fileRef"): f"file{number}",
            _q("capacity"): str(disk.size_bytes), _q("format"): STREAM,
        })  # fmt: skip
    networks = _section(envelope, "NetworkSection", "Networks")
    for name in dict.fromkeys(nic.network for nic in vm.nics):
        network = ET.SubElement(networks, _q("Network"), {_q("name"): name})
        ET.SubElement(network, _q("Description")).text = name
    system = _section(envelope, "VirtualSystem", "A virtual machine", {_q("id"): vm.name})
    ET.SubElement(system, _q("Name")).text = vm.name
    windows = vm.hardware.get("guest") == "windows"
    os = _section(system, "OperatingSystemSection", "Guest", {_q("id"): "103" if windows else "101"})
    ET.SubElement(os, _q("Description")).text = "Windows 64-Bit" if windows else "Linux 64-Bit"
    _hardware(system, vm)
    ET.indent(envelope)
    document: bytes = ET.tostring(envelope, encoding="utf-8", xml_declaration=True)
    return document


def _hardware(system: ET.Element, vm: ArchivedVM) -> None:
    hardware = _section(system, "VirtualHardwareSection", "Virtual hardware")
    about = ET.SubElement(hardware, _q("System"))
    for key, value in (
        ("ElementName", "Virtual hardware family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", vm.name),
        ("VirtualSystemType", "vmx-13"),
    ):
        ET.SubElement(about, f"{{{VSSD}}}{key}").text = value
    _item(hardware, 1, CPU, ElementName=f"{vm.cpus} vCPUs", VirtualQuantity=str(vm.cpus))
    _item(
        hardware, 2, MEMORY, AllocationUnits="byte * 2^20", ElementName=f"{vm.memory_bytes // MiB} MiB",
        VirtualQuantity=str(vm.memory_bytes // MiB),
    )  # fmt: skip
    _item(hardware, 3, SCSI, Address="0", ElementName="Disk controller", ResourceSubType="lsilogic")
    for number, _ in enumerate(vm.disks):
        _item(
            hardware, 10 + number, DISK, AddressOnParent=str(number), ElementName=f"Disk {number + 1}",
            HostResource=f"ovf:/disk/disk{number}", Parent="3",
        )  # fmt: skip
    for number, nic in enumerate(vm.nics):
        _item(
            hardware, 100 + number, NIC, AutomaticAllocation="true", Connection=nic.network,
            ElementName=f"NIC {number + 1}", ResourceSubType=ADAPTERS.get(nic.model, "VirtIO"),
        )  # fmt: skip


def _item(hardware: ET.Element, instance: int, resource_type: str, **fields: str) -> None:
    """Its elements in alphabetical order, as the schema wants them."""
    item = ET.SubElement(hardware, _q("Item"))
    fields |= {"InstanceID": str(instance), "ResourceType": resource_type}
    for key in sorted(fields):
        ET.SubElement(item, f"{{{RASD}}}{key}").text = fields[key]


def _section(parent: ET.Element, tag: str, info: str, attributes: dict[str, str] | None = None) -> ET.Element:
    section = ET.SubElement(parent, _q(tag), attributes or {})
    ET.SubElement(section, _q("Info")).text = info
    return section


def _q(tag: str) -> str:
    return f"{{{OVF}}}{tag}"


# ---- reading


def parse_ovf(document: bytes) -> ArchivedVM:
    """Raises BadArchive"""
    if b"<!" in document.replace(b"<!--", b""):
        raise BadArchive("the OVF has a DOCTYPE or entities, which no OVF needs")
    try:
        envelope = ET.fromstring(document)
    except ET.ParseError as error:
        raise BadArchive(f"the OVF is no XML: {error}") from None
    systems = _all(envelope, "VirtualSystem")
    if len(systems) != 1:
        raise BadArchive(f"the OVF has {len(systems)} virtual systems; one can be imported at a time")
    items = _all(systems[0], "Item")
    files = {_attribute(f, "id"): f for f in _all(envelope, "File")}
    disks = {_attribute(d, "diskId"): d for d in _all(envelope, "Disk")}
    return ArchivedVM(
        name=_text(systems[0], "Name") or _attribute(systems[0], "id"),
        cpus=int(_number(items, CPU, 1)),
        memory_bytes=_memory(items),
        disks=tuple(_disk(item, disks, files) for item in items if _field(item, "ResourceType") == DISK),
        nics=tuple(
            ArchivedNic(
                network=_field(item, "Connection"),
                model="e1000e" if _field(item, "ResourceSubType").lower().startswith("e1000") else "",
            )
            for item in items
            if _field(item, "ResourceType") == NIC
        ),
        hardware=_guest(systems[0]),
    )


def _guest(system: ET.Element) -> dict[str, str]:
    kind = _text(system, "Description").lower()
    return {"guest": "windows"} if "windows" in kind else {}


def _disk(item: ET.Element, disks: dict[str, ET.Element], files: dict[str, ET.Element]) -> ArchivedDisk:
    id = _field(item, "HostResource").rpartition("/")[2]
    disk = disks.get(id)
    file = files.get(_attribute(disk, "fileRef")) if disk is not None else None
    if disk is None or file is None:
        raise BadArchive(f"the OVF has a disk {id} without a file")
    if _attribute(file, "compression") not in ("", "identity"):
        raise BadArchive(f"disk {id} is compressed as a whole", hint="Unpack it, and make the OVA anew.")
    if _attribute(file, "chunkSize"):
        raise BadArchive(f"disk {id} is split into chunks", hint="Export it again in one piece.")
    units = _scale(_attribute(disk, "capacityAllocationUnits") or "byte")
    return ArchivedDisk(
        file=_attribute(file, "href"), size_bytes=_whole(_attribute(disk, "capacity"), "capacity") * units
    )


def _memory(items: list[ET.Element]) -> int:
    for item in items:
        if _field(item, "ResourceType") == MEMORY:
            units = _scale(_field(item, "AllocationUnits") or "byte * 2^20")
            return _whole(_field(item, "VirtualQuantity"), "memory") * units
    raise BadArchive("the OVF does not say how much memory the VM has")


def _scale(text: str) -> int:
    plain = text.strip().lower()
    if plain in OLD_UNITS:
        return OLD_UNITS[plain]
    match = UNITS.fullmatch(plain)
    if match is None or int(match[1] or 0) > 50:
        raise BadArchive(f"{text[:40]} is no unit that is known")
    return int(2 ** int(match[1] or 0))


def _number(items: list[ET.Element], resource_type: str, default: int) -> int:
    found = [i for i in items if _field(i, "ResourceType") == resource_type]
    return _whole(_field(found[0], "VirtualQuantity"), "a quantity") if found else default


def _whole(text: str, what: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise BadArchive(f"{what} is {text[:40]!r}, and no whole number")
    return int(text)


def _all(parent: ET.Element, tag: str) -> list[ET.Element]:
    """By the name alone: OVF 1 and 2 differ in the namespace."""
    return [element for element in parent.iter() if element.tag.rpartition("}")[2] == tag]


def _text(parent: ET.Element, tag: str) -> str:
    found = _all(parent, tag)
    return (found[0].text or "").strip() if found else ""


def _field(item: ET.Element, tag: str) -> str:
    return _text(item, tag)


def _attribute(element: ET.Element, name: str) -> str:
    return next((v for k, v in element.attrib.items() if k.rpartition("}")[2] == name), "")
