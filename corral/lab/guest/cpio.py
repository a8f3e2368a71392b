"""cpio: the archive that Linux unpacks as its first file system, byte for byte the same from the same content.

source  Linux Documentation/driver-api/early-userspace/buffer-format.rst ("newc")
"""

import stat
from collections.abc import Mapping

from msgspec import Struct


class Entry(Struct, frozen=True, kw_only=True):
    """A file, directory, symbolic link or device, owned by root and without a date."""

    mode: int  # type and permissions, as in st_mode
    content: bytes = b""  # of a file; where a link points to
    device: tuple[int, int] = (0, 0)  # major and minor number


def directory(mode: int = 0o755) -> Entry:
    return Entry(mode=stat.S_IFDIR | mode)


def file(content: bytes, mode: int = 0o644) -> Entry:
    return Entry(mode=stat.S_IFREG | mode, content=content)


def link(to: str) -> Entry:
    return Entry(mode=stat.S_IFLNK | 0o777, content=to.encode())


def character_device(major: int, minor: int) -> Entry:
    return Entry(mode=stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Mapping[str, Entry]) -> bytes:
    """The archive of these entries by path (without a leading slash); missing directories are added."""
    whole = {parent: directory() for path in entries for parent in _parents(path)} | dict(entries)
    members = [_member(number, path, whole[path]) for number, path in enumerate(sorted(whole), start=1)]
    return b"".join([*members, _member(0, "TRAILER!!!", Entry(mode=0))])


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _member(number: int, path: str, entry: Entry) -> bytes:
    name = path.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    return _padded(b"070701" + b"".join(b"%08X" % field for field in fields) + name) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
