"""Images: their bytes, received from users and handed on to nodes.

In this room   ImageStore: a directory with one file an image, named by its id
Comes in       uploads (chunks), once an Image is committed; the ids of images that go
Goes out       Image.status (READY, or FAILED with the reason) and the operation that says so; chunks for nodes
Always true    READY is committed after the file is whole, checked and on disk; a file of no READY image is nobody's
Next door      storage/incoming.py writes; storage/sniff.py judges; controllers/image.py calls forget()
Start here     ImageStore.receive()
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from corral.clock import new_id
from corral.errors import Conflict, CorralError, NotFound
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.operation import Operation, Verb
from corral.model.resource import Trouble
from corral.model.units import MiB
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.storage import files, sniff
from corral.storage.check import check_tables
from corral.storage.incoming import Arrived, Incoming
from corral.storage.interface import BadImage
from corral.storage.lane import WRITE_S, Lane
from corral.store.interface import Put

CHUNK_BYTES: Final = MiB
RESERVE_BYTES: Final = 64 * MiB  # left to the server's database, which may be on the same file system
SUFFIX: Final = ".part"
WRITING_AGAIN: Final = 20  # times that a status is committed anew because somebody was faster


class ImageNotEmpty(CorralError):
    """The image has its bytes: volumes may be made from them, so they never change."""

    code = "image.not_empty"
    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f"image {name} has its content already",
            hint="Create another image for other content.",
            image=name,
        )


class UploadRunning(CorralError):
    """Somebody else uploads this image at the moment."""

    code = "image.upload_running"
    status = 409
    retryable = True

    def __init__(self, name: str) -> None:
        super().__init__(
            f"image {name} is being uploaded by someone else", hint="Wait until that upload ends.", image=name
        )


class ImageStore:
    """The server's images."""

    def __init__(self, directory: Path, desk: Desk, *, qemu_img: str = "qemu-img") -> None:
        self.directory = directory
        self._desk = desk
        self._lane = Lane(directory, threads=8)
        self._qemu_img = qemu_img
        self._receiving: set[str] = set()
        self._swept = False

    # ---- from users

    async def receive(self, image: str, chunks: AsyncIterator[bytes], asking: Asking) -> Operation:
        """Take an image's bytes, and return the ended operation once they are checked and kept.

        raises  NotFound, ImageNotEmpty, UploadRunning; BadImage: the image is FAILED then and may be uploaded
                again; PoolFull, StorageFailed, and what `chunks` raises: the image stays as it was
        """
        await self.sweep()
        target = self._desk.mirror.find(Image, image)
        if target.status.phase is ImagePhase.READY or target.deleting:
            return await self._desk.submit(asking, lambda: self._ready(target.id, target.status))
        if target.id in self._receiving:
            raise UploadRunning(target.name)
        self._receiving.add(target.id)
        try:
            return await self._take(target, chunks, asking)
        finally:
            self._receiving.discard(target.id)

    async def _take(self, image: Image, chunks: AsyncIterator[bytes], asking: Asking) -> Operation:
        temporary = self._path(f".{image.id}.{new_id('up', self._desk.clock)}{SUFFIX}")
        async with Incoming(temporary, self._lane, reserve_bytes=RESERVE_BYTES) as incoming:
            arrived = await incoming.take(chunks)
            try:
                status = await self._judge(image, arrived, temporary)
            except BadImage as error:
                if not asking.dry_run:
                    await self._note_failure(image.id, error)
                raise
            if asking.dry_run:
                return await self._desk.submit(asking, lambda: self._ready(image.id, status))
            path = self._path(image.id)
            await self._lane.run(lambda: _keep(temporary, path), "an image", deadline_s=WRITE_S)
            try:
                return await self._desk.submit(asking, lambda: self._ready(image.id, status))
            except NotFound:  # deleted meanwhile
                await self.forget(image.id)
                raise

    async def _judge(self, image: Image, arrived: Arrived, path: Path) -> ImageStatus:
        """What the image is. raises BadImage"""
        if image.spec.sha256 and arrived.sha256 != image.spec.sha256:
            raise BadImage(
                "the bytes have another checksum than promised",
                hint="Download or copy the image again: it changed on the way, or the checksum is of another file.",
                field="sha256", value=arrived.sha256, expected=image.spec.sha256,
            )  # fmt: skip
        format, virtual_bytes = sniff.accept(arrived.header, arrived.size_bytes, image.spec.format)
        if format == sniff.QCOW2:
            await check_tables(path, self._qemu_img)
        return ImageStatus(
            phase=ImagePhase.READY,
            format=format,
            size_bytes=arrived.size_bytes,
            virtual_bytes=virtual_bytes,
            sha256=arrived.sha256,
        )

    def _ready(self, id: str, status: ImageStatus) -> Change:
        """The image with what is known of its bytes, as it is at the moment otherwise."""
        image = self._desk.mirror.get(id)
        if not isinstance(image, Image) or image.deleting:
            raise NotFound("Image", id)
        if image.status.phase is ImagePhase.READY:
            raise ImageNotEmpty(image.name)
        status = msgspec.structs.replace(status, copies=image.status.copies, since=self._desk.clock.now_s())
        after = image.having(status=status)
        return Change(
            target=after, writes=(Put(after),), expect={id: image.revision}, verb=Verb.UPDATE, done=True
        )

    async def _note_failure(self, id: str, error: BadImage) -> None:
        """Say in the image's status what was wrong; a READY image stays what it is."""
        for _ in range(WRITING_AGAIN):
            image = self._desk.mirror.get(id)
            if not isinstance(image, Image) or image.deleting or image.status.phase is ImagePhase.READY:
                return
            now_s = self._desk.clock.now_s()
            status = ImageStatus(phase=ImagePhase.FAILED, trouble=Trouble.of(error, now_s), since=now_s)
            try:
                stored = await self._desk.store.commit(
                    [Put(image.having(status=status))], expect={id: image.revision}
                )
            except Conflict:
                await self._desk.catch_up()
            else:
                await self._desk.mirror.wait_for(stored[0].revision)
                return

    # ---- to nodes

    async def chunks(self, image: str) -> AsyncIterator[bytes]:
        """The bytes of a READY image, in order. raises NotFound, StorageFailed"""
        known = self._desk.mirror.find(Image, image)
        if known.status.phase is not ImagePhase.READY:
            raise NotFound("Image", image)
        path = self._path(known.id)
        file = await self._lane.run(lambda: path.open("rb"), "reading an image")
        try:
            while chunk := await self._lane.run(lambda: file.read(CHUNK_BYTES), "reading an image"):
                yield chunk
        finally:
            file.close()

    def path_of(self, image: Image) -> Path:
        """Where its bytes are, once it is READY."""
        return self._path(image.id)

    # ---- tidying up

    async def forget(self, image_id: str) -> None:
        """Remove the bytes of an image that goes. No error when there are none."""
        path = self._path(image_id)
        await self._lane.run(lambda: files.remove(path), "removing an image")

    async def sweep(self) -> None:
        """Once, with the mirror loaded: remove uploads that broke off, and files of images that are gone."""
        if self._swept:
            return
        self._swept = True
        ready = {i.id for i in self._desk.mirror.list(Image) if i.status.phase is ImagePhase.READY}
        await self._lane.run(lambda: _sweep(self.directory, ready | self._receiving), "opening the images")

    def _path(self, name: str) -> Path:
        assert "/" not in name
        return self.directory / name


def _keep(temporary: Path, path: Path) -> None:
    """Blocks. An image that is not READY has no readers, so what an attempt left there may be replaced."""
    temporary.replace(path)
    files.sync(path.parent)


def _sweep(directory: Path, kept: set[str]) -> None:
    """Blocks. Only files that are surely ours are touched."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(directory.iterdir()):
        unfinished = path.name.startswith(f".{Image.PREFIX}-") and path.name.endswith(SUFFIX)
        if unfinished or (path.name.startswith(f"{Image.PREFIX}-") and path.name not in kept):
            with suppress(OSError):
                path.unlink()
