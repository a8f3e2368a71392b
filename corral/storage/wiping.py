"""Wiping: a file's bytes overwritten, before it is deleted.

In this room   blocking functions; callers run them in threads, part by part
Always true    only what takes room is overwritten; holes stay holes. Each part has reached the disk when it is done.
               What a file system or a disk keeps of older versions elsewhere is beyond reach: no promise about SSDs
Start here     parts()
"""

import errno
import os
from pathlib import Path
from typing import Final

PART_BYTES: Final = 64 * 1024 * 1024
ZEROS: Final = bytes(1024 * 1024)
Part = tuple[int, int]  # first byte, and the one after the last


def parts(path: Path) -> list[Part]:
    """What takes room, in parts of which each is overwritten in a few seconds; none when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    try:
        size, at = os.fstat(descriptor).st_size, 0
        found: list[Part] = []
        while (data := _next_data(descriptor, at)) is not None and data < size:
            end = os.lseek(descriptor, data, os.SEEK_HOLE)
            found += [(start, min(start + PART_BYTES, end)) for start in range(data, end, PART_BYTES)]
            at = end
        return found
    finally:
        os.close(descriptor)


def overwrite(path: Path, part: Part) -> None:
    """Write zeros there, and see them onto the disk."""
    with path.open("r+b") as file:
        file.seek(part[0])
        left = part[1] - part[0]
        while left:
            left -= file.write(ZEROS[: min(left, len(ZEROS))])
        file.flush()
        os.fsync(file.fileno())


def _next_data(descriptor: int, at: int) -> int | None:
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole is left
            return None
        raise
