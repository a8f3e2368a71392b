"""Storage: pools, volumes and copies of images on one host.

In this room   the driver interface and its errors
Comes in       assignments (model/link.py)
Goes out       ObjectReport and PoolOnNode: what is there
Always true    files appear under their names only when whole (made under another name, then renamed), so that
               two nodes on one shared pool, or a crash, never leave half a volume. Calls may be repeated.
Next door      directory.py (real, qemu-img), simulated.py
Start here     Storage
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from corral.errors import CorralError
from corral.model.link import ImageSource, PoolAssignment, SendDisk, VolumeAssignment
from corral.model.node import PoolOnNode
from corral.model.volume import ObjectReport

Progress = Callable[[float], None]  # called with 0 to 1


class FileState(StrEnum):
    """A volume's file in a pool."""

    NONE = "none"
    PARTIAL = "partial"  # a copy is being written to it, and a mark beside it says so
    WHOLE = "whole"


class StorageFailed(CorralError):
    """The pool could not do it; trying again may help."""

    code = "storage.failed"
    status = 502
    retryable = True


class PoolFull(StorageFailed):
    """No room in the pool."""

    code = "storage.full"
    status = 507


class NotMounted(StorageFailed):
    """The pool's directory is there, and not the file system that was in it before."""

    code = "pool.not_mounted"

    def __init__(self, path: str, marker: str) -> None:
        super().__init__(
            f"the pool at {path} is not mounted here: its marker is missing, or another one is there",
            hint=f"Mount it. If this directory is right after all: `echo {marker} > {marker_path(path)}`.",
            path=path,
            marker=marker,
        )


class BadImage(CorralError):
    """The bytes are not the image that was promised, or none that may be used."""

    code = "image.bad"
    status = 422


class ImageFetch(Protocol):
    """Where a node gets an image's bytes: the server that holds its link."""

    def __call__(self, image: ImageSource) -> AsyncIterator[bytes]:
        """The file's bytes in order, in chunks."""


class Exported(Protocol):
    """A file that is there for as long as somebody reads it."""

    size_bytes: int
    sha256: str

    def chunks(self) -> AsyncIterator[bytes]: ...


class Storage(Protocol):
    """Pools on one host."""

    async def open_pool(self, pool: PoolAssignment) -> PoolOnNode:
        """Make the directories if needed and look at the room. Troubles are in the answer, not raised."""

    async def see_volume(self, volume: VolumeAssignment) -> ObjectReport:
        """ABSENT, or READY with path and allocated bytes."""

    async def make_volume(
        self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress
    ) -> ObjectReport:
        """Make it, fetching its image into the pool first if it is not there. READY when it returns.

        raises  PoolFull, BadImage, StorageFailed
        """

    async def file_state(self, volume: VolumeAssignment) -> FileState:
        """What is there under its name."""

    async def begin_partial(self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress) -> str:
        """Mark it as partial, then make it: empty, for somebody to copy into. Returns its path.

        raises  PoolFull, BadImage, StorageFailed
        """

    async def accept_partial(self, volume: VolumeAssignment) -> None:
        """Take the mark away: what was copied into it is all there."""

    async def remove_file(self, volume: VolumeAssignment) -> None:
        """Remove a file that is not the volume any more, or never was. raises SourceBusy: somebody has it open"""

    async def wipe_volume(self, volume: VolumeAssignment, progress: Progress) -> None:
        """Overwrite all that it holds with zeros. Its file stays. No error when there is none."""

    async def grow_volume(self, path: str, size_bytes: int) -> None:
        """Make the volume with this file, which nobody uses now, at least so large. Never makes it smaller.

        raises  StorageFailed: someone uses it, or it is not there
        """

    async def delete_volume(self, volume: VolumeAssignment) -> None:
        """Remove its file. No error when there is none."""

    async def delete_image(self, pool_path: str, image: str) -> None:
        """Remove the pool's copy. No error when there is none."""

    def exported(self, asked: SendDisk, progress: Progress) -> AbstractAsyncContextManager[Exported]:
        """A snapshot of a volume as one file that stands alone; gone when the block is left.

        raises  PoolFull, StorageFailed
        """

    async def make_seed(self, vm: str, files: dict[str, str]) -> str:
        """Write a NoCloud ISO with these files (name: text) and return its path. The same content: no rewrite."""

    async def delete_seed(self, vm: str) -> None:
        """Remove it. No error when there is none."""


def partial_path(path: str) -> str:
    """The mark beside a volume's file while a copy is being written to it."""
    return f"{path}.partial"


def marker_path(pool_path: str) -> str:
    """Where a pool's marker is: written when the pool was first opened, looked for ever after."""
    return f"{pool_path}/.corral-pool"


def volume_path(pool_path: str, volume: str) -> str:
    """Where a volume's file is: the same on each node."""
    return f"{pool_path}/volumes/{volume}.qcow2"


def image_path(pool_path: str, image: str) -> str:
    """Where a pool's copy of an image is."""
    return f"{pool_path}/images/{image}"
