"""ISO 9660: a small disc image from a few files, byte for byte the same from the same content.

In this room   one pure function and the records it is made of
Comes in       a volume id, and files by name
Goes out       the bytes of the disc
Always true    equal content gives equal bytes on every node (no dates, no chance): a guest that is migrated
               sees the same disc on its new node
Next door      seed.py writes NoCloud discs with it
Start here     build()
source         ECMA-119 (ISO 9660); Joliet specification (Microsoft, 1995), which keeps the names' letters
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

BLOCK: Final = 2048
PRIMARY, SUPPLEMENTARY, END = 1, 2, 255
JOLIET_LEVEL_3: Final = b"%/E"
DIRECTORY: Final = 2  # flag of a directory record
NEW_YEAR_2000: Final = bytes([100, 1, 1, 0, 0, 0, 0])  # always the same, so that discs are
# blocks: 0-15 unused, 16-18 descriptors, 19-22 path tables, then the two directories, then the files
TABLES_AT: Final = 19
DIRECTORIES_AT: Final = 23


def build(volume_id: str, files: Mapping[str, bytes]) -> bytes:
    """A disc with these files in its root, each name as it is (Joliet) and in capitals (plain ISO 9660).

    volume_id  up to 16 letters
    files      up to 30 of them, so that a directory fits into one block; names without / of up to 64 letters
    """
    assert len(volume_id) <= 16 and len(files) <= 30 and all("/" not in n and len(n) <= 64 for n in files)
    names = sorted(files)
    places = _places([len(files[name]) for name in names], first=DIRECTORIES_AT + 4)
    entries = list(zip(names, places, (len(files[n]) for n in names), strict=True))
    blocks = DIRECTORIES_AT + 4 + sum(_blocks(len(files[name])) for name in names)
    plain = _directory([(_plain(i, n), at, size) for i, (n, at, size) in enumerate(entries)], DIRECTORIES_AT)
    joliet = _directory([(_joliet(n), at, size) for n, at, size in entries], DIRECTORIES_AT + 2)
    parts = [
        bytes(16 * BLOCK),
        _descriptor(PRIMARY, volume_id.encode("ascii").ljust(32), blocks, TABLES_AT, DIRECTORIES_AT),
        _descriptor(
            SUPPLEMENTARY,
            volume_id.encode("utf-16-be").ljust(32, b"\0"),
            blocks,
            TABLES_AT + 2,
            DIRECTORIES_AT + 2,
        ),
        bytes([END]) + b"CD001\1" + bytes(BLOCK - 7),
        *(
            _padded(_path_table(at, order), 1)
            for at in (DIRECTORIES_AT, DIRECTORIES_AT + 2)
            for order in "<>"
        ),
        _padded(plain, 2),
        _padded(joliet, 2),
        *(_padded(files[name], _blocks(len(files[name]))) for name in names),
    ]
    return b"".join(parts)


def _blocks(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK)


def _places(sizes: Sequence[int], first: int) -> list[int]:
    """The first block of each file, one after the other."""
    places = []
    for size in sizes:
        places.append(first)
        first += _blocks(size)
    return places


def _padded(content: bytes, blocks: int) -> bytes:
    assert len(content) <= blocks * BLOCK
    return content.ljust(blocks * BLOCK, b"\0")


def _both(number: int, size: int) -> bytes:
    """A number little-endian, then big-endian."""
    return number.to_bytes(size, "little") + number.to_bytes(size, "big")


def _plain(index: int, name: str) -> bytes:
    """A name of plain ISO 9660: eight capitals, made unique by the index. Only systems without Joliet see it."""
    letters = "".join(c if c.isalnum() and c.isascii() else "_" for c in name.upper())[:6]
    return f"{letters}{index:02}.;1".encode("ascii")


def _joliet(name: str) -> bytes:
    return name.encode("utf-16-be")


def _record(name: bytes, at: int, size_bytes: int, flags: int = 0) -> bytes:
    """A directory record."""
    body = _both(at, 4) + _both(size_bytes, 4) + NEW_YEAR_2000 + bytes([flags, 0, 0]) + _both(1, 2)
    body += bytes([len(name)]) + name + (b"" if len(name) % 2 else b"\0")
    return bytes([len(body) + 2, 0]) + body


def _directory(entries: Sequence[tuple[bytes, int, int]], at: int) -> bytes:
    """The root: itself, its parent (itself), and the files in the order of their names. No record crosses a block."""
    content = _record(b"\0", at, 2 * BLOCK, DIRECTORY) + _record(b"\1", at, 2 * BLOCK, DIRECTORY)
    for record in (_record(*entry) for entry in sorted(entries)):
        if len(content) // BLOCK != (len(content) + len(record) - 1) // BLOCK:
            content = content.ljust(_blocks(len(content)) * BLOCK, b"\0")
        content += record
    return content


def _path_table(root_at: int, order: str) -> bytes:
    return struct.pack(f"{order}BBIH", 1, 0, root_at, 1) + b"\0\0"


def _descriptor(type: int, volume_id: bytes, blocks: int, table_at: int, root_at: int) -> bytes:
    """A volume descriptor, field by field as in ECMA-119 8.4."""
    space = b"\0" if type == SUPPLEMENTARY else b" "
    escape = (JOLIET_LEVEL_3 if type == SUPPLEMENTARY else b"").ljust(32, b"\0")
    no_date = b"0" * 16 + b"\0"
    return b"".join(
        [
            bytes([type]), b"CD001", b"\1", b"\0", space * 32, volume_id, bytes(8), _both(blocks, 4), escape,
            _both(1, 2), _both(1, 2), _both(BLOCK, 2), _both(10, 4),
            struct.pack("<II", table_at, 0), struct.pack(">II", table_at + 1, 0),
            _record(b"\0", root_at, 2 * BLOCK, DIRECTORY),
            space * 128, space * 128, space * 128, space * 128, space * 37, space * 37, space * 37,
            no_date * 4, b"\1", bytes(1 + 512 + 653),
        ]
    )  # fmt: skip
