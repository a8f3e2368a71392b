"""Copies: a pool's own copies of images, fetched from the server when a volume first needs them.

In this room   one fetch an image and node, shared by all who wait for it
Comes in       ImageSource: what the copy has to be
Goes out       a file under POOL/images that is that image, whole and checked
Always true    under its name there is never anything but the promised bytes; two nodes that fetch into one
               shared pool do no harm: the second finds the name taken and drops its own
Next door      incoming.py, directory.py
Start here     Copies.have()
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final

from corral.model.link import ImageSource
from corral.model.units import format_size
from corral.storage import files, qcow2, sniff
from corral.storage.incoming import Arrived, Incoming
from corral.storage.interface import BadImage, ImageFetch, Progress, StorageFailed, image_path
from corral.storage.lane import WRITE_S, Lane

GOING: Final = ".going"  # of a copy that is being removed


class ImageInUse(StorageFailed):
    """A volume stands on the copy of an image that was to be removed."""

    code = "image.in_use_on_node"


class Copies:
    """The copies on one node."""

    def __init__(self, temporary: Callable[[Path], Path]) -> None:
        self._temporary = temporary  # a name for an unfinished file, this process's own
        self._fetches: dict[Path, _Fetch] = {}

    async def have(self, lane: Lane, image: ImageSource, fetch: ImageFetch, progress: Progress) -> Path:
        """The path of the copy, fetched if it is not there. raises PoolFull, BadImage, StorageFailed, LinkDown"""
        path = Path(image_path(str(lane.directory), image.image))
        running = self._fetches.get(path)
        if running is None:
            if await lane.run(lambda: _size_of(path), "looking at an image") == image.size_bytes:
                return path
            running = self._fetches.get(path) or _Fetch(partial(self._fetch, lane, path, image, fetch))
            self._fetches[path] = running
        try:
            await running.join(progress)
        finally:
            if running.over and self._fetches.get(path) is running:
                del self._fetches[path]
        return path

    async def _fetch(
        self, lane: Lane, path: Path, image: ImageSource, fetch: ImageFetch, progress: Progress
    ) -> None:
        what = f"image {image.image}"
        free = await lane.run(lambda: files.free_bytes(path.parent), what)
        if image.format != sniff.RAW and free < image.size_bytes:  # raw may have holes
            raise files.full(path.parent, what, image.size_bytes)
        temporary = self._temporary(path)
        async with Incoming(temporary, lane, needs_bytes=image.size_bytes) as incoming:
            arrived = await incoming.take(
                fetch(image), lambda size: progress(size / max(1, image.size_bytes))
            )
            check_arrived(arrived, image)
            await lane.run(
                partial(_put_in_place, temporary, path, image.size_bytes), what, deadline_s=WRITE_S
            )


class _Fetch:
    """A fetch that several wait for. It goes on while anybody waits, and ends with the last who gives up."""

    def __init__(self, start: Callable[[Progress], Coroutine[None, None, None]]) -> None:
        self._waiting: list[Progress] = []
        self._task = asyncio.create_task(start(self._tell))

    @property
    def over(self) -> bool:
        return self._task.done() or not self._waiting

    async def join(self, progress: Progress) -> None:
        self._waiting.append(progress)
        try:
            await asyncio.shield(self._task)
        finally:
            self._waiting.remove(progress)
            if not self._waiting and not self._task.done():
                self._task.cancel()

    def _tell(self, share: float) -> None:
        for progress in list(self._waiting):
            progress(share)


def check_arrived(arrived: Arrived, image: ImageSource) -> None:
    """Check size, checksum and format. raises BadImage: other bytes than promised, or ones that no node should open"""
    if arrived.size_bytes != image.size_bytes:
        raise BadImage(
            f"{image.image} arrived with {arrived.size_bytes} bytes instead of {image.size_bytes}",
            hint="The server's file has changed or the transfer broke off: it is tried again.",
            size_bytes=arrived.size_bytes, expected_bytes=image.size_bytes,
        )  # fmt: skip
    if arrived.sha256 != image.sha256:
        raise BadImage(
            f"{image.image} arrived with another checksum than promised",
            hint="The server's file is damaged: delete the image and upload it again.",
            sha256=arrived.sha256, expected_sha256=image.sha256,
        )  # fmt: skip
    sniff.accept(
        arrived.header, arrived.size_bytes, promised=image.format
    )  # the server may be wrong, or worse


def virtual_bytes(path: Path, format: str) -> int:
    """Size of a copy as a guest sees it. Blocks. raises BadImage, OSError"""
    with path.open("rb") as file:
        header = file.read(sniff.HEADER_BYTES)
    return sniff.accept(header, path.stat().st_size, promised=format)[1]


def remove(path: Path) -> None:
    """Remove a copy that no volume stands on. Blocks. raises ImageInUse

    It gets another name first: a volume that begins to stand on it meanwhile either misses it then, and has it fetched
    again, or is found by the second look.
    """
    _refuse_used(path)
    going = path.with_name(f".{path.name}{GOING}")
    try:
        path.rename(going)
    except FileNotFoundError:
        return
    try:
        _refuse_used(path)
    except ImageInUse:
        files.publish(going, path)
        raise
    files.remove(going)


def restore(directory: Path) -> None:
    """What a crash left while copies were being removed: back under its name if a volume stands on it. Blocks."""
    for going in sorted(directory.glob(f".*{GOING}")):
        path = going.with_name(going.name[1 : -len(GOING)])
        try:
            _refuse_used(path)
        except ImageInUse:
            files.publish(going, path)
        else:
            files.remove(going)


def _refuse_used(path: Path) -> None:
    """Raises ImageInUse: a volume of the pool stands on it. Looks at each volume's header."""
    for volume in sorted(path.parent.parent.joinpath("volumes").glob("*.qcow2")):
        try:
            with volume.open("rb") as file:
                below = qcow2.backing_file(file.read(sniff.HEADER_BYTES))
        except (OSError, BadImage):
            continue
        if Path(below).name == path.name:
            raise ImageInUse(
                f"volume {volume.stem} stands on {path.name}",
                hint="Its image is kept as long as it is there.", path=str(path), volume=volume.stem,
            )  # fmt: skip


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _put_in_place(temporary: Path, path: Path, size_bytes: int) -> None:
    """Another node may have been faster; a file of the wrong size is no copy of ours, and gives way."""
    temporary.chmod(0o644)  # QEMU's user reads it; nobody writes it
    if not files.publish(temporary, path) and _size_of(path) != size_bytes:
        raise BadImage(
            f"{path} is {format_size(_size_of(path) or 0)} long and not the image it should be",
            hint="Somebody changed the pool's copy. Remove that file: it is then fetched again.",
            path=str(path), expected_bytes=size_bytes,
        )  # fmt: skip
