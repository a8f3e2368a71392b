"""Sniffing: what a file is, told by its first bytes and never by its name.

In this room   pure functions on a file's first HEADER_BYTES and its size; no I/O
Comes in       bytes of unknown origin: an upload may be broken, or made to read the host's files
Goes out       Sniffed: format, what it looks like to a person, size as a guest sees it; or BadImage
Always true    what accept() returns has no backing file and no external data file, so QEMU opens this file alone
Next door      qcow2.py reads that header; store and server look a second time with qemu-img (the tables inside)
Start here     accept()
source         magic numbers: QEMU block/*.c; UEFI specification 5.3 (GPT); ECMA-119 8.4 (ISO 9660)
"""

from typing import Final

from msgspec import Struct

from corral.storage import qcow2
from corral.storage.interface import BadImage

HEADER_BYTES: Final = 68 * 1024  # reaches to the magic of btrfs at 64 KiB
SECTOR: Final = 512

RAW, QCOW2, ISO, UNKNOWN, EMPTY, TEXT = "raw", "qcow2", "iso", "unknown", "empty", "text"
CONVERT: Final = "Convert it first: `qemu-img convert -O qcow2 FILE image.qcow2`."
UNPACK: Final = "Unpack it first and upload the disk image inside."
KERNEL: Final = "Upload the image of a whole disk."

FOREIGN: Final = (  # offset, magic, format, what it looks like, what to do about it
    (0, b"KDMV", "vmdk", "a VMware disk (VMDK)", CONVERT),
    (0, b"COWD", "vmdk", "a VMware disk (VMDK)", CONVERT),
    (0, b"# Disk DescriptorFile", "vmdk", "the descriptor of a VMware disk (VMDK)", CONVERT),
    (0, b"vhdxfile", "vhdx", "a Hyper-V disk (VHDX)", CONVERT),
    (0, b"conectix", "vpc", "a Virtual PC disk (VHD)", CONVERT),
    (64, b"\x7f\x10\xda\xbe", "vdi", "a VirtualBox disk (VDI)", CONVERT),
    (0, b"QED\0", "qed", "a QED disk", CONVERT),
    (0, b"WithoutFreeSpace", "parallels", "a Parallels disk", CONVERT),
    (0, b"WithouFreSpacExt", "parallels", "a Parallels disk", CONVERT),
    (0, b"LUKS\xba\xbe", "luks", "an encrypted disk (LUKS)", "Upload it decrypted."),
    (0, b"\x1f\x8b", "gzip", "a file compressed with gzip", UNPACK),
    (0, b"\xfd7zXZ\0", "xz", "a file compressed with xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "a file compressed with zstd", UNPACK),
    (0, b"BZh", "bzip2", "a file compressed with bzip2", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "a 7-Zip archive", UNPACK),
    (0, b"PK\x03\x04", "zip", "a ZIP archive", UNPACK),
    (257, b"ustar", "tar", "a tar archive (an OVA is one too)", UNPACK),
    (0x202, b"HdrS", "kernel", "a Linux kernel", KERNEL),
    (0, b"\x7fELF", "elf", "a program (ELF)", KERNEL),
)
FILE_SYSTEMS: Final = (  # offset, magic, what it looks like: disks without a partition table
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a btrfs file system"),
    (0, b"hsqs", "a squashfs file system"),
)


class Sniffed(Struct, frozen=True, kw_only=True):
    """What a file is."""

    format: str  # raw, qcow2, iso; or one that is not taken: vmdk, gzip, text, empty, unknown …
    looks_like: str  # for people
    hint: str = ""  # when it is not taken
    bootable: bool = False  # raw: has a partition table or a boot sector
    ends_at_bytes: int = 0  # raw and iso: the file is at least this long when whole


def sniff(header: bytes, size_bytes: int) -> Sniffed:
    """What the file is, from its first HEADER_BYTES (fewer when it is shorter) and its size."""
    if size_bytes == 0:
        return Sniffed(format=EMPTY, looks_like="an empty file")
    if header.startswith(qcow2.MAGIC):
        return _sniff_qcow(header)
    for offset, magic, format, looks_like, hint in FOREIGN:
        if header.startswith(magic, offset):
            return Sniffed(format=format, looks_like=looks_like, hint=hint)
    return _sniff_disk(header) or _sniff_text(header) or _sniff_zeros(header)


def accept(header: bytes, size_bytes: int, promised: str = "") -> tuple[str, int]:
    """The format ("raw" or "qcow2") to open the file with, and its size as a guest sees it, in bytes.

    promised  format that the uploader stated; "" takes what the bytes say. Raw bytes without a partition
              table or boot sector are taken only when raw was promised.
    raises    BadImage: not an image, not the promised format, truncated, or it refers to other files
    """
    found = sniff(header, size_bytes)
    format = RAW if found.format in (RAW, ISO) else found.format
    if format == UNKNOWN and promised == RAW:
        format = RAW
    if format not in (RAW, QCOW2):
        raise _not_taken(found)
    if promised and format != promised:
        raise BadImage(
            f"promised was {promised}, but this is {found.looks_like}",
            hint=f"Upload it as {format}, or leave the format away.",
            field="format", value=format, expected=promised,
        )  # fmt: skip
    if format == QCOW2:
        return QCOW2, qcow2.check(header, size_bytes)
    if not found.bootable and promised != RAW:
        raise BadImage(
            f"this is {found.looks_like}, not the image of a whole disk",
            hint="Promise format raw if these bytes are meant to be a disk.",
            looks_like=found.looks_like, size_bytes=size_bytes,
        )  # fmt: skip
    if found.ends_at_bytes > size_bytes:
        raise qcow2.truncated(found.looks_like, needs_bytes=found.ends_at_bytes, size_bytes=size_bytes)
    return RAW, -(-size_bytes // SECTOR) * SECTOR


def _not_taken(found: Sniffed) -> BadImage:
    hint = (
        found.hint
        or "Upload the image of a whole disk, as qcow2 or raw. Did the download answer with an error page?"
    )
    return BadImage(f"this is {found.looks_like}, not a disk image", hint=hint, looks_like=found.looks_like)


def _sniff_qcow(header: bytes) -> Sniffed:
    version = int.from_bytes(header[4:8], "big")
    if version == 1:
        return Sniffed(format="qcow", looks_like="a disk of QEMU's first format (qcow)", hint=CONVERT)
    return Sniffed(format=QCOW2, looks_like="a qcow2 disk")


def _sniff_disk(header: bytes) -> Sniffed | None:
    """ISO 9660 before MBR: hybrid images have both."""
    if header.startswith(b"CD001", 0x8001):
        blocks, block = (
            int.from_bytes(header[0x8050:0x8054], "little"),
            int.from_bytes(header[0x8080:0x8082], "little"),
        )
        return Sniffed(format=ISO, looks_like="an ISO 9660 disc", bootable=True, ends_at_bytes=blocks * block)
    for sector in (SECTOR, 4096):
        if header.startswith(b"EFI PART", sector):
            backup = int.from_bytes(header[sector + 32 : sector + 40], "little")
            ends_at = (backup + 1) * sector  # the backup table's header is the disk's last sector
            return Sniffed(format=RAW, looks_like="a disk with a GPT", bootable=True, ends_at_bytes=ends_at)
    for offset, magic, looks_like in FILE_SYSTEMS:
        if header.startswith(magic, offset):
            return Sniffed(format=RAW, looks_like=looks_like, bootable=_has_boot_sector(header))
    if _has_boot_sector(header):
        return Sniffed(
            format=RAW, looks_like="a disk with an MBR", bootable=True, ends_at_bytes=_mbr_end(header)
        )
    return None


def _has_boot_sector(header: bytes) -> bool:
    return header[510:512] == b"\x55\xaa"


def _mbr_end(header: bytes) -> int:
    """Where the last partition ends; 0 when these are no four partition entries (a lone boot sector)."""
    entries = [header[start : start + 16] for start in range(446, 510, 16)]
    if any(entry[0] not in (0x00, 0x80) for entry in entries):
        return 0
    used = [
        e for e in entries if e[4] not in (0x00, 0xEE)
    ]  # 0xEE: stands for the whole disk, often too large
    return max((_u32(e, 8) + _u32(e, 12) for e in used), default=0) * SECTOR


def _u32(entry: bytes, offset: int) -> int:
    return int.from_bytes(entry[offset : offset + 4], "little")


def _sniff_text(header: bytes) -> Sniffed | None:
    start = header[:4096]
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start):
        return None
    html = start.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    looks_like = "a web page (HTML)" if html else f"text that begins with {_first_line(start)!r}"
    return Sniffed(format=TEXT, looks_like=looks_like)


def _first_line(start: bytes) -> str:
    return start.strip().decode("utf-8", "replace").splitlines()[0][:40] if start.strip() else ""


def _sniff_zeros(header: bytes) -> Sniffed:
    looks_like = "a file that begins with zeros" if not any(header) else "data of no known kind"
    return Sniffed(format=UNKNOWN, looks_like=looks_like)
