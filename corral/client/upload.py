"""Uploads: the bytes of an image, checked on both ends.

In this room   upload(): checksum, image record, content
Comes in       a file and a name
Goes out       the Image, ready; or the error, and no half image left that this upload made
Always true    the checksum is of what was read before sending: a file that changes meanwhile is noticed
Next door      connection.py sends the body again when the connection broke
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import quote

import msgspec

from corral.client.connection import Connection, Request
from corral.client.watch import ended, wait
from corral.errors import CorralError, Invalid
from corral.model.image import Image
from corral.model.operation import Operation

PIECE_BYTES: Final = 1 << 20
TIDY_S_MAX: Final = 10.0  # how long deleting a half image is followed
Progress = Callable[[str, int, int], None]  # "checksum" or "upload", bytes done, bytes in all


class ImageNoun(Protocol):
    def create(self, *, name: str, sha256: str, format: str, os: str, labels: dict[str, str]) -> object: ...
    def get(self, name: str) -> Image: ...
    def delete(self, name: str) -> Operation: ...


def upload(
    images: ImageNoun,
    connection: Connection,
    name: str,
    path: Path,
    *,
    promised: str = "",
    format: str = "",
    os: str = "",
    labels: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Image:
    """Raises  Invalid: no such file, or not the promised checksum; CorralError: the server refuses"""
    size = _size_of(path)
    digest = checksum(path, size, progress)
    if promised and promised.lower() != digest:
        raise Invalid(
            "sha256", digest, f"{promised}, which was promised", hint="The file is not the one you mean."
        )
    images.create(name=name, sha256=digest, format=format, os=os, labels=labels or {})
    try:
        answer = connection.send(
            Request(
                "PUT",
                f"/api/v1/images/{quote(name, safe='')}/content",
                body=lambda: _pieces(path, "upload", size, progress),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            )
        )
        ended(wait(connection, msgspec.json.decode(answer.body, type=Operation)))
    except (CorralError, KeyboardInterrupt):
        with suppress(CorralError):  # what went wrong first is what to tell
            wait(connection, images.delete(name), timeout_s=TIDY_S_MAX)
        raise
    return images.get(name)


def checksum(path: Path, size: int, progress: Progress | None = None) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = sha256()
    for piece in _pieces(path, "checksum", size, progress):
        digest.update(piece)
    return digest.hexdigest()


def _size_of(path: Path) -> int:
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
    if not size:
        raise Invalid("path", path, "a file with something in it")
    return size


def _pieces(path: Path, what: str, size: int, progress: Progress | None) -> Iterator[bytes]:
    """Exactly `size` bytes of the file. raises Invalid: it has become shorter"""
    done = 0
    with _opened(path) as file:
        while done < size:
            piece = file.read(min(PIECE_BYTES, size - done))
            if not piece:
                raise Invalid("path", path, f"the same file as before: it ends after {done} of {size} bytes")
            done += len(piece)
            if progress:
                progress(what, done, size)
            yield piece


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Invalid("path", path, "a file that can be read", hint=error.strerror or "") from None
