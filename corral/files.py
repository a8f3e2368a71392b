"""Files: small ones that must be whole, and directories that only one program may use."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corral.errors import CorralError


class DataDirBusy(CorralError):
    """Another process works on the directory."""

    code = "files.data_dir_busy"
    status = 409


def write_whole(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all, durably; readable by its owner only unless `mode` says more."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make what was created, renamed or removed in it durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def held(directory: Path, *, mode: int = 0o700) -> Iterator[None]:
    """Make the directory if needed and have it to oneself. The kernel lets go when the process ends, however it ends.

    mode    of the directory if it is made
    raises  DataDirBusy
    """
    directory.mkdir(mode=mode, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode(errors="replace").strip() or "?"
            raise DataDirBusy(
                f"{directory} is in use by process {pid}",
                hint="Stop that one first, or choose another directory with --data-dir.",
                directory=str(directory),
                pid=pid,
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
