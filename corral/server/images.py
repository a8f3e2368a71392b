"""Images: their bytes, received from users and handed on to nodes.

In this room   ImageStore: a directory with one file an image, named by its id
Comes in       uploads (chunks), once an Image is committed; the ids of images that go
Goes out       Image.status (READY, or FAILED with the reason) and the operation that says so; chunks for nodes
Always true    READY is committed after the file is whole, checked and on disk; a file of no READY image is nobody's
Next door      importing.py fetches from URLs; conversion.py; storage/incoming.py writes; storage/sniff.py judges; controllers/image.py calls forget()
Start here     ImageStore.receive()
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from corral.clock import new_id
from corral.errors import Conflict, CorralError, NotFound, Unavailable
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.operation import Operation, Verb
from corral.model.resource import Trouble
from corral.model.units import MiB
from corral.server.conversion import converted
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.storage import files, sniff
from corral.storage.check import check_tables
from corral.storage.foreign import CONVERTED
from corral.storage.incoming import Arrived, Incoming, measured
from corral.storage.interface import BadImage, Progress
from corral.storage.lane import WRITE_S, Lane
from corral.store.interface import Put

CHUNK_BYTES: Final = MiB
RESERVE_BYTES: Final = 64 * MiB  # left to the server's database, which may be on the same file system
SUFFIX: Final = ".part"
ON_ITS_WAY: Final = (ImagePhase.PENDING, ImagePhase.IMPORTING)
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


class ImageGone(NotFound):
    """An image that is being imported was deleted meanwhile, or somebody else has filled it."""

    def __init__(self, id: str) -> None:
        super().__init__("Image", id)


class UploadRunning(CorralError):
    """Somebody else uploads this image at the moment, or the server fetches it."""

    code = "image.upload_running"
    status = 409
    retryable = True

    def __init__(self, name: str) -> None:
        super().__init__(f"image {name} is on its way already", hint="Wait until that has ended.", image=name)


class ImageStore:
    """The server's images."""

    def __init__(self, directory: Path, desk: Desk, *, qemu_img: str = "qemu-img") -> None:
        self.directory = directory
        self.clock = desk.clock
        self._desk = desk
        self.lane = Lane(directory, threads=8)
        self._qemu_img = qemu_img
        self._receiving: set[str] = set()
        self._swept = False

    # ---- from users

    async def receive(self, image: str, chunks: AsyncIterator[bytes], asking: Asking) -> Operation:
        """Take an image's bytes, and return the ended operation once they are checked and kept.

        raises  NotFound, ImageNotEmpty, UploadRunning; BadImage: the image is FAILED then, with an operation that
                says so, and may be uploaded again; PoolFull, StorageFailed, and what `chunks` raises: the image stays as it was
        """
        await self.sweep()
        target = self._desk.mirror.find(Image, image)
        if target.status.phase is ImagePhase.READY or target.deleting:
            return await self._desk.submit(asking, lambda: self._ready(target.id, target.status))
        if target.id in self._receiving or (target.spec.url and target.status.phase in ON_ITS_WAY):
            raise UploadRunning(target.name)
        self._receiving.add(target.id)
        try:
            return await self._take(target, chunks, asking)
        finally:
            self._receiving.discard(target.id)

    async def _take(self, image: Image, chunks: AsyncIterator[bytes], asking: Asking) -> Operation:
        temporary = self._path(f".{image.id}.{new_id('up', self.clock)}{SUFFIX}")
        async with Incoming(temporary, self.lane, reserve_bytes=RESERVE_BYTES) as incoming:
            arrived = await incoming.take(chunks)
            try:
                status = await self._judge(image, arrived, temporary)
            except BadImage as error:
                if not asking.dry_run:
                    await self._refuse(image.id, error, asking)
                raise
            if asking.dry_run:
                return await self._desk.submit(asking, lambda: self._ready(image.id, status))
            path = self._path(image.id)
            await self.lane.run(lambda: _keep(temporary, path), "an image", deadline_s=WRITE_S)
            try:
                return await self._desk.submit(asking, lambda: self._ready(image.id, status))
            except NotFound:  # deleted meanwhile
                await self.forget(image.id)
                raise

    async def keep(self, id: str, arrived: Arrived, path: Path, progress: Progress) -> None:
        """Make a file that was fetched the image's content. raises BadImage, PoolFull, StorageFailed, ImageGone"""
        status = await self._judge(self.image(id), arrived, path, progress)
        target = self._path(id)
        await self.lane.run(lambda: _keep(path, target), "an image", deadline_s=WRITE_S)
        try:
            await self.put_status(id, lambda image: self._with(image, status))
        except ImageGone:
            await self.forget(id)
            raise

    async def _judge(
        self, image: Image, arrived: Arrived, path: Path, progress: Progress = lambda _: None
    ) -> ImageStatus:
        """What the image is; in another format, it is converted in its place. raises BadImage, PoolFull"""
        if image.spec.sha256 and arrived.sha256 != image.spec.sha256:
            raise BadImage(
                "the bytes have another checksum than promised",
                hint="Download or copy the image again: it changed on the way, or the checksum is of another file.",
                field="sha256", value=arrived.sha256, expected=image.spec.sha256,
            )  # fmt: skip
        came_as = sniff.sniff(arrived.header, arrived.size_bytes).format
        promised = image.spec.format
        if came_as in CONVERTED and promised in ("", came_as):
            arrived, promised = await self._convert(came_as, arrived, path, progress), sniff.QCOW2
        format, virtual_bytes = sniff.accept(arrived.header, arrived.size_bytes, promised)
        if format == sniff.QCOW2:
            await check_tables(path, self._qemu_img)
        return ImageStatus(
            phase=ImagePhase.READY,
            format=format,
            size_bytes=arrived.size_bytes,
            virtual_bytes=virtual_bytes,
            sha256=arrived.sha256,
            converted_from=came_as if came_as in CONVERTED else "",
        )

    async def _convert(self, format: str, arrived: Arrived, path: Path, progress: Progress) -> Arrived:
        """Put what it becomes as qcow2 in its place."""
        target = path.with_name(f"{path.name.removesuffix(SUFFIX)}.qcow2{SUFFIX}")
        room = await self.lane.run(lambda: files.free_bytes(self.directory), "an image") - RESERVE_BYTES
        try:
            await converted(
                path, target, format, arrived.header, room_bytes=room, qemu_img=self._qemu_img, progress=progress
            )  # fmt: skip
            new = await measured(target, self.lane)
            await self.lane.run(lambda: _put(target, path), "an image", deadline_s=WRITE_S)
            return new
        finally:
            with suppress(OSError):
                target.unlink()

    async def _refuse(self, id: str, error: BadImage, asking: Asking) -> None:
        """Note in the image what was wrong, with an operation that failed; the error then names it."""
        with suppress(NotFound, ImageNotEmpty):
            operation = await self._desk.submit(asking, lambda: self._failed(id, error))
            error.context["operation"] = operation.id

    def _ready(self, id: str, status: ImageStatus) -> Change:
        """The image with what is known of its bytes, as it is at the moment otherwise."""
        image = self._fillable(id)
        after = image.having(status=self._with(image, status))
        return Change(
            target=after, writes=(Put(after),), expect={id: image.revision}, verb=Verb.UPDATE, done=True
        )

    def _failed(self, id: str, error: CorralError) -> Change:
        image, trouble = self._fillable(id), Trouble.of(error, self.clock.now_s())
        after = image.having(status=self._with_trouble(image, trouble))
        return Change(
            target=after, writes=(Put(after),), expect={id: image.revision}, verb=Verb.UPDATE, failed=trouble
        )

    def _fillable(self, id: str) -> Image:
        """The image, if it waits for content still. raises NotFound, ImageNotEmpty"""
        image = self._desk.mirror.get(id)
        if not isinstance(image, Image) or image.deleting:
            raise NotFound("Image", id)
        if image.status.phase is ImagePhase.READY:
            raise ImageNotEmpty(image.name)
        return image

    def _with(self, image: Image, status: ImageStatus) -> ImageStatus:
        return msgspec.structs.replace(status, copies=image.status.copies, since=self.clock.now_s())

    def _with_trouble(self, image: Image, trouble: Trouble) -> ImageStatus:
        return ImageStatus(
            phase=ImagePhase.FAILED, step=image.status.step, trouble=trouble, since=self.clock.now_s()
        )

    # ---- for imports

    def image(self, id: str) -> Image:
        """As it is now, on its way to have content. raises ImageGone"""
        image = self._desk.mirror.get(id)
        if not isinstance(image, Image) or image.deleting or image.status.phase is ImagePhase.READY:
            raise ImageGone(id)
        return image

    def part(self, id: str) -> Path:
        """Where the bytes of an image are while they are fetched."""
        return self._path(f".{id}.url{SUFFIX}")

    async def put_status(self, id: str, status: Callable[[Image], ImageStatus]) -> None:
        """Write down how an import is getting on. raises ImageGone; Unavailable: others are faster all the time"""
        for _ in range(WRITING_AGAIN):
            image = self.image(id)
            try:
                stored = await self._desk.store.commit(
                    [Put(image.having(status=status(image)))], expect={id: image.revision}
                )
            except Conflict:
                await self._desk.catch_up()
            else:
                await self._desk.mirror.wait_for(stored[0].revision)
                return
        raise Unavailable("too many changes at once to the same image")

    async def note_failure(self, id: str, error: CorralError) -> None:
        """Say in the image's status why its import ended. raises ImageGone"""
        trouble = Trouble.of(error, self.clock.now_s())
        await self.put_status(id, lambda image: self._with_trouble(image, trouble))

    async def make_sure_of_room(self, needs_bytes: int) -> None:
        """Raises PoolFull: not beside what is left to the server's database"""
        free = await self.lane.run(lambda: files.free_bytes(self.directory), "an image")
        if free < needs_bytes + RESERVE_BYTES:
            raise files.full(self.directory, "an image", needs_bytes)

    # ---- to nodes

    async def chunks(self, image: str) -> AsyncIterator[bytes]:
        """The bytes of a READY image, in order. raises NotFound, StorageFailed"""
        known = self._desk.mirror.find(Image, image)
        if known.status.phase is not ImagePhase.READY:
            raise NotFound("Image", image)
        path = self._path(known.id)
        file = await self.lane.run(lambda: path.open("rb"), "reading an image")
        try:
            while chunk := await self.lane.run(lambda: file.read(CHUNK_BYTES), "reading an image"):
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
        await self.lane.run(lambda: files.remove(path), "removing an image")

    async def sweep(self) -> None:
        """Once, with the mirror loaded: remove uploads that broke off, and files of images that are gone."""
        if self._swept:
            return
        self._swept = True
        images = self._desk.mirror.list(Image)
        kept = {i.id for i in images if i.status.phase is ImagePhase.READY} | self._receiving
        fetched = {i.id for i in images if i.spec.url and not i.deleting and i.status.phase in ON_ITS_WAY}
        await self.lane.run(lambda: _sweep(self.directory, kept, fetched), "opening the images")

    def _path(self, name: str) -> Path:
        assert "/" not in name
        return self.directory / name


def _keep(temporary: Path, path: Path) -> None:
    """Blocks. An image that is not READY has no readers, so what an attempt left there may be replaced."""
    temporary.replace(path)
    files.sync(path.parent)


def _put(target: Path, path: Path) -> None:
    """Blocks."""
    files.sync(target)
    target.replace(path)


def _sweep(directory: Path, kept: set[str], fetched: set[str]) -> None:
    """Blocks. Only files that are surely ours are touched. What was fetched of an import stays: it goes on from there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(directory.iterdir()):
        unfinished = path.name.startswith(f".{Image.PREFIX}-") and path.name.endswith(SUFFIX)
        id, _, rest = path.name.removeprefix(".").partition(".")
        if unfinished and id in fetched and rest in (f"url{SUFFIX}", f"url.json{SUFFIX}"):
            continue
        if unfinished or (path.name.startswith(f"{Image.PREFIX}-") and path.name not in kept):
            with suppress(OSError):
                path.unlink()
