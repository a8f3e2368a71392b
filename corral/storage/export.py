"""Export: a snapshot of a volume as one file of its own, for as long as somebody reads it.

In this room   ExportedFile, what is handed on; the words for qemu-img
Always true    the file stands on no other one; it is made beside the volume, under a temporary name
Next door      directory.py makes it; agent/sending.py sends it
"""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from corral.storage.interface import StorageFailed
from corral.storage.lane import WRITE_S, Lane

CHUNK_BYTES: Final = 1024 * 1024
OPTIONS: Final = {  # by format of the file: qemu-img's own name, and options
    "qcow2": ("qcow2", ("-c", "-o", "compression_type=zstd")),
    "vmdk": ("vmdk", ("-o", "subformat=streamOptimized")),
}


class ExportedFile:
    """A finished file."""

    def __init__(self, path: Path, size_bytes: int, sha256: str, lane: Lane) -> None:
        self._path, self._lane = path, lane
        self.size_bytes, self.sha256 = size_bytes, sha256

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it, in order. raises StorageFailed"""
        file = await self._lane.run(lambda: self._path.open("rb"), "reading an export")
        try:
            while chunk := await self._lane.run(lambda: file.read(CHUNK_BYTES), "reading an export"):
                yield chunk
        finally:
            file.close()


async def measured(path: Path, lane: Lane) -> ExportedFile:
    """With its size and checksum."""
    size, digest = await lane.run(lambda: _digest(path), "reading an export", deadline_s=30 * WRITE_S)
    return ExportedFile(path, size, digest, lane)


def words_of(format: str) -> tuple[str, tuple[str, ...]]:
    """Raises StorageFailed"""
    if format not in OPTIONS:
        raise StorageFailed(f"{format} is no format to export to", hint=f"There are {', '.join(OPTIONS)}.")
    return OPTIONS[format]


def _digest(path: Path) -> tuple[int, str]:
    """Blocks."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
