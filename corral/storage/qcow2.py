"""qcow2: what its header says, and whether this file stands alone.

In this room   pure functions on the header of a qcow2 file
Comes in       the first bytes of a file, and its size
Goes out       the size as a guest sees it, or BadImage
Always true    any reference to another file is refused: QEMU would open whatever path the uploader wrote there
Next door      sniff.py calls it for what begins with MAGIC
Start here     check()
source         QEMU docs/interop/qcow2.txt
"""

import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.storage.interface import BadImage

MAGIC: Final = b"QFI\xfb"
V2: Final = struct.Struct(">4sIQIIQIIQQIIQ")  # version 2, 72 bytes
V3: Final = struct.Struct(">QQQII")  # what version 3 adds, 32 bytes
CORRUPT, DATA_FILE = 1 << 1, 1 << 2
KNOWN: Final = 0b11111  # dirty, corrupt, external data file, compression type, extended L2 entries
EXTENSION_DATA_FILE: Final = 0x44415441
L1_BYTES_MAX: Final = 32 * 1024**2  # QEMU's own limit
VIRTUAL_BYTES_MAX: Final = 2**56


class Header(Struct, frozen=True, kw_only=True):
    """Fields as they stand in the file; offsets and lengths in bytes unless said otherwise."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    virtual_bytes: int
    crypt: int  # 0 none, 1 AES, 2 LUKS
    l1_entries: int  # of 8 bytes
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    header_length: int = V2.size

    @property
    def cluster_bytes(self) -> int:
        return 1 << self.cluster_bits


def read(header: bytes) -> Header:
    """The header's fields. raises BadImage: it is cut off, or of an unknown version"""
    if len(header) < V2.size:
        raise truncated("a qcow2 disk", needs_bytes=V2.size, size_bytes=len(header))
    _, version, *rest = V2.unpack_from(header)
    first = Header(**dict(zip(Header.__struct_fields__[1:12], rest, strict=True)), version=version)
    if version == 2:
        return first
    if version != 3:
        raise _bad(
            f"qcow2 version {version} is not known", "Convert it with a current qemu-img.", version=version
        )
    if len(header) < V2.size + V3.size:
        raise truncated("a qcow2 disk", needs_bytes=V2.size + V3.size, size_bytes=len(header))
    incompatible, _, _, _, length = V3.unpack_from(header, V2.size)
    return msgspec.structs.replace(first, incompatible=incompatible, header_length=length)


def backing_file(header: bytes) -> str:
    """The name of the file that it lies over, as it stands there; "": none. raises BadImage"""
    found = read(header)
    return header[found.backing_offset : found.backing_offset + min(found.backing_length, 1023)].decode(
        "utf-8", "replace"
    )


def virtual_bytes(path: Path) -> int:
    """The size of a volume as its guest sees it; 0: it can't be read. Fine while someone uses it. Blocks."""
    with suppress(OSError, BadImage), path.open("rb") as file:
        return read(file.read(V2.size + V3.size)).virtual_bytes
    return 0


def check(header: bytes, size_bytes: int) -> int:
    """The size as a guest sees it, in bytes, of a whole qcow2 file that refers to no other file.

    raises  BadImage: a backing or data file, encryption, an unknown feature, truncated, or nonsense in it
    """
    found = read(header)
    _refuse_other_files(found, header)
    _refuse_features(found)
    _refuse_nonsense(found)
    needs = max(
        found.l1_offset + 8 * found.l1_entries,
        found.refcount_offset + found.refcount_clusters * found.cluster_bytes,
        found.snapshots_offset if found.snapshots else 0,
    )
    if needs > size_bytes:
        raise truncated("a qcow2 disk", needs_bytes=needs, size_bytes=size_bytes)
    return found.virtual_bytes


def _refuse_other_files(found: Header, header: bytes) -> None:
    if found.backing_offset or found.backing_length:
        raise _bad(
            "the image needs a foreign backing file",
            "Flatten it first: `qemu-img convert -O qcow2 FILE flat.qcow2`.",
            backing_file=backing_file(header),
        )
    if found.incompatible & DATA_FILE or EXTENSION_DATA_FILE in _extensions(found, header):
        raise _bad("the image keeps its data in another file", "Flatten it with `qemu-img convert -O qcow2`.")


def _extensions(found: Header, header: bytes) -> list[int]:
    """Types of the header's extensions, up to the end mark or the end of the first cluster."""
    types: list[int] = []
    at = found.header_length
    while at + 8 <= min(len(header), found.cluster_bytes):
        type, length = struct.unpack_from(">II", header, at)
        if type == 0:
            break
        types.append(type)
        at += 8 + (length + 7) // 8 * 8
    return types


def _refuse_features(found: Header) -> None:
    if found.crypt:
        raise _bad(
            "the image is encrypted",
            "Upload it decrypted.",
            encryption={1: "aes", 2: "luks"}.get(found.crypt, "?"),
        )
    if found.incompatible & CORRUPT:
        raise _bad("the image is marked as corrupt", "Repair it with `qemu-img check -r all FILE`.")
    if unknown := found.incompatible & ~KNOWN:
        raise _bad(
            "the image needs features that are not known",
            "Convert it with `qemu-img convert`.",
            features=hex(unknown),
        )


def _refuse_nonsense(found: Header) -> None:
    if not 9 <= found.cluster_bits <= 21:
        raise _bad(
            "the header makes no sense", field="cluster_bits", value=found.cluster_bits, expected="9 to 21"
        )
    if not 0 < found.virtual_bytes <= VIRTUAL_BYTES_MAX:
        raise _bad(
            "the header makes no sense",
            field="size",
            value=found.virtual_bytes,
            expected="above 0, to 64 PiB",
        )
    entry = 16 if found.incompatible & 1 << 4 else 8  # of an L2 table, which fills one cluster
    needed = -(-found.virtual_bytes // (found.cluster_bytes * (found.cluster_bytes // entry)))
    if found.l1_entries < needed or 8 * found.l1_entries > L1_BYTES_MAX:
        raise _bad(
            "the header makes no sense",
            field="l1_size",
            value=found.l1_entries,
            expected=f"at least {needed}",
        )
    for field, offset in (
        ("l1_table_offset", found.l1_offset),
        ("refcount_table_offset", found.refcount_offset),
    ):
        if offset == 0 or offset % found.cluster_bytes:
            raise _bad(
                "the header makes no sense",
                field=field,
                value=offset,
                expected="a multiple of the cluster size",
            )


def _bad(
    message: str, hint: str = "Make the image anew with `qemu-img convert`.", **context: str | int | float
) -> BadImage:
    return BadImage(message, hint=hint, **context)


def truncated(what: str, *, needs_bytes: int, size_bytes: int) -> BadImage:
    return BadImage(
        f"the file is truncated: {what} of at least {needs_bytes} bytes, but only {size_bytes} are there",
        hint="Download or copy the image again, and compare its checksum.",
        needs_bytes=needs_bytes,
        size_bytes=size_bytes,
    )
