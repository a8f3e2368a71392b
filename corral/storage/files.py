"""Files: making them appear whole or not at all, and telling errors of the disk in our words.

In this room   small blocking functions; callers run them in threads
Always true    a name shows either nothing or a whole file that has reached the disk
Next door      directory.py, copies.py, seed.py, server/images.py
Start here     publish()
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.model.units import format_size
from corral.storage.interface import PoolFull, StorageFailed

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)  # file systems without hard links


def publish(temporary: Path, path: Path) -> bool:
    """Give a finished file its name, never in place of another file. False: the name was taken; ours is gone.

    A link and not a rename: on NFS, replacing a file pulls it away from under the nodes that have it open.
    """
    sync(temporary)
    try:
        os.link(temporary, path)
    except FileExistsError:
        temporary.unlink()
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            temporary.unlink()
            return False
        temporary.rename(path)
    else:
        temporary.unlink()
    sync(path.parent)
    return True


def replace_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a small file in place of whatever has its name."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.touch(mode)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or a directory's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file for good; no error when there is none."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def free_bytes(path: Path) -> int:
    """Room for others than root; 0 when it can't be told."""
    with suppress(OSError):
        room = os.statvfs(path)
        return room.f_bavail * room.f_frsize
    return 0


def storage_error(error: OSError, directory: Path, doing: str, needs_bytes: int = 0) -> StorageFailed:
    """An error of the disk, in our words."""
    if error.errno in FULL:
        return full(directory, doing, needs_bytes)
    return StorageFailed(
        f"{doing} in {directory} failed: {error.strerror or error}",
        hint="Look at the directory, its mount and its owner on the node.",
        path=str(error.filename or directory),
        errno=error.errno or 0,
    )


def full(directory: Path, doing: str, needs_bytes: int = 0) -> PoolFull:
    """What to say when there is no room."""
    free = free_bytes(directory)
    needs = f"{format_size(needs_bytes)} needed, " if needs_bytes else ""
    return PoolFull(
        f"no room for {doing} in {directory}: {needs}{format_size(free)} free",
        hint="Delete volumes or images that nobody needs, or choose another pool.",
        path=str(directory),
        free_bytes=free,
        needs_bytes=needs_bytes,
    )
