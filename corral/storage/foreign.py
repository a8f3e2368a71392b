"""Foreign disks: what other hypervisors write, and whether such a file stands alone.

In this room   pure functions on the first bytes of a VMDK, VHDX, VDI or VHD file
Comes in       bytes of unknown origin: these formats can name other files, which QEMU would then open
Goes out       nothing, or BadImage
Always true    what refuse_others() lets pass has its data in itself; QEMU refuses differencing VHDX and VDI by itself
Next door      sniff.py tells the format; server/conversion.py has qemu-img convert what passes
Start here     refuse_others()
source         QEMU block/vmdk.c (vmdk_open, vmdk_parent_open, vmdk_parse_extents), block/vpc.c, block/vdi.c
"""

import re
import struct
from typing import Final

from corral.storage.interface import BadImage
from corral.storage.qcow2 import truncated

CONVERTED: Final = ("vmdk", "vhdx", "vdi", "vpc")  # into qcow2, on arrival
VMDK_SPARSE: Final = struct.Struct(
    "<4sIIQQQQ"
)  # magic, version, flags, capacity, grain, descriptor's place and size
SECTOR: Final = 512
EXTENT: Final = re.compile(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)", re.MULTILINE)
ALONE: Final = ("monolithicSparse", "streamOptimized")
CREATE_TYPE: Final = re.compile(rb'createType\s*=\s*"([^"]*)"')
VHD_DYNAMIC: Final = 3
VDI_FIELDS: Final = (0x158, 0x178, 0x184)  # start of the data, bytes of a block, blocks that are used
VDI_TYPES: Final = (1, 2)  # dynamic, static; 3 and 4 lie over another file


def refuse_others(format: str, header: bytes) -> None:
    """Raises BadImage: the file needs others, or could make QEMU open them.

    header  the first sniff.HEADER_BYTES
    """
    match format:
        case "vmdk":
            _refuse_vmdk(header)
        case "vpc" if int.from_bytes(header[60:64], "big") != VHD_DYNAMIC:
            raise _needs_others("a Virtual PC disk (VHD)", "it is no dynamic disk")
        case "vdi" if int.from_bytes(header[76:80], "little") not in VDI_TYPES:
            raise _needs_others("a VirtualBox disk (VDI)", "it lies over another disk")


def refuse_cut_off(format: str, header: bytes, size_bytes: int, tail: bytes) -> None:
    """Raises BadImage: the end of the file is missing, where QEMU would not notice. tail: its last 512 bytes"""
    if format == "vpc" and not tail.startswith(b"conectix"):
        raise truncated(
            "a Virtual PC disk (VHD) with its footer", needs_bytes=size_bytes + 1, size_bytes=size_bytes
        )
    if format == "vdi":
        start, block, used = (int.from_bytes(header[at : at + 4], "little") for at in VDI_FIELDS)
        if (needs := start + block * used) > size_bytes:
            raise truncated("a VirtualBox disk (VDI)", needs_bytes=needs, size_bytes=size_bytes)


def _refuse_vmdk(header: bytes) -> None:
    what = "a VMware disk (VMDK)"
    if not header.startswith(b"KDMV") or len(header) < VMDK_SPARSE.size:
        raise _needs_others(what, "it is a descriptor or of an old kind")
    _, _, _, capacity, _, descriptor, sectors = VMDK_SPARSE.unpack_from(header)
    if capacity == 0:
        raise _needs_others(what, "its data is in other files")
    if b"parentFileNameHint" in header:  # wherever QEMU looks for it
        raise _needs_others(what, "it lies over another disk")
    end = (descriptor + sectors) * SECTOR
    if end > len(header):
        raise BadImage(f"this is {what} whose descriptor is out of place", hint=EXPORT)
    text = header[descriptor * SECTOR : end]
    kinds = EXTENT.findall(text)
    if len(kinds) > 1 or any(kind.upper() != b"SPARSE" for kind in kinds):
        raise _needs_others(what, "its data is in other files")
    kind = CREATE_TYPE.search(text)
    if kind and kind[1].decode(errors="replace") not in ALONE:
        raise _needs_others(what, "it is not in one file")


EXPORT: Final = "Export it as one file that holds the whole disk, or convert it: `qemu-img convert -O qcow2 FILE image.qcow2`."


def _needs_others(what: str, why: str) -> BadImage:
    return BadImage(f"this is {what} that does not stand alone: {why}", hint=EXPORT)
