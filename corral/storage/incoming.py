"""Incoming: a file that arrives in chunks, measured and hashed on the way, and kept only when it is right.

In this room   one file under a temporary name, from its first byte to its last
Comes in       chunks, from a user's upload (server) or from the server (agent)
Goes out       Arrived: size, checksum and first bytes; the caller gives the file its name
Always true    leaving the `with` block removes the temporary file, however it is left; a file that was published is safe
Next door      copies.py, server/images.py
Start here     Incoming
"""

import os
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Final, Self, TypeVar

from msgspec import Struct

from corral.storage import files, sniff
from corral.storage.lane import WRITE_S, Lane

T = TypeVar("T")
ZEROS: Final = bytes(64 * 1024)
READ_BYTES: Final = 4 * 1024 * 1024


class Arrived(Struct, frozen=True, kw_only=True):
    """A file as it arrived."""

    size_bytes: int
    sha256: str
    header: bytes  # the first sniff.HEADER_BYTES


class Incoming:
    """A file on its way in; `needs_bytes` is for the error when there is no room."""

    def __init__(self, temporary: Path, lane: Lane, *, needs_bytes: int = 0, reserve_bytes: int = 0) -> None:
        self.temporary = temporary
        self._lane = lane
        self.needs_bytes = needs_bytes
        self.reserve_bytes = reserve_bytes  # room that must be left on the file system
        self._file: BufferedWriter | None = None
        self._hash = sha256()
        self._header = b""
        self._size_bytes = 0

    async def __aenter__(self) -> Self:
        self._file = await self._run(lambda: self.temporary.open("wb"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Not awaited in between, so that a cancelled caller leaves nothing behind either."""
        with suppress(OSError):
            if self._file:
                self._file.close()
        with suppress(OSError):
            self.temporary.unlink()

    async def take(
        self, chunks: AsyncIterable[bytes], seen: Callable[[int], None] = lambda _: None
    ) -> Arrived:
        """Write all chunks and see them onto the disk; `seen` is told the bytes so far.

        raises  PoolFull, StorageFailed; and whatever the chunks raise
        """
        async for chunk in chunks:
            await self._run(partial(self._write, chunk))
            seen(self._size_bytes)
        await self._run(self._finish)
        return Arrived(size_bytes=self._size_bytes, sha256=self._hash.hexdigest(), header=self._header)

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._lane.run(work, "an image", needs_bytes=self.needs_bytes, deadline_s=WRITE_S)

    def _write(self, chunk: bytes) -> None:
        """Blocks. Runs of zeros become holes: an empty part of a raw disk takes no room."""
        assert self._file
        if self.reserve_bytes and files.free_bytes(self.temporary.parent) < self.reserve_bytes + len(chunk):
            raise OSError(files.FULL[0], os.strerror(files.FULL[0]))
        self._hash.update(chunk)
        if len(self._header) < sniff.HEADER_BYTES:
            self._header += chunk[: sniff.HEADER_BYTES - len(self._header)]
        for start in range(0, len(chunk), len(ZEROS)):
            piece = chunk[start : start + len(ZEROS)]
            if piece == ZEROS:
                self._file.seek(len(ZEROS), os.SEEK_CUR)
            else:
                self._file.write(piece)
        self._size_bytes += len(chunk)

    def _finish(self) -> None:
        assert self._file
        self._file.truncate(self._size_bytes)
        self._file.flush()
        os.fsync(self._file.fileno())


async def measured(path: Path, lane: Lane) -> Arrived:
    """A file that is there already, read from its first byte to its last. raises StorageFailed"""
    digest, header, size = sha256(), b"", 0
    file = await lane.run(lambda: path.open("rb"), "an image")
    try:
        while chunk := await lane.run(lambda: file.read(READ_BYTES), "an image", deadline_s=WRITE_S):
            await lane.run(partial(digest.update, chunk), "an image")
            header += chunk[: sniff.HEADER_BYTES - len(header)]
            size += len(chunk)
    finally:
        file.close()
    return Arrived(size_bytes=size, sha256=digest.hexdigest(), header=header)
