"""Directory pools: volumes as qcow2 files, thin on top of images, in a directory of the host.

In this room   DirectoryStorage, the real driver
Comes in       assignments; an image's bytes, from the server
Goes out       POOL/volumes/ID.qcow2 and POOL/images/ID; seeds as DIRECTORY/VM.iso
Always true    a name shows a whole file or none; an existing volume is never written over. Each pool has threads
               of its own: one whose file server hangs delays nobody else.
Next door      copies.py fetches images; seed.py; simulated.py has the same behaviour without a disk
Start here     DirectoryStorage.make_volume()
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from corral import command
from corral.clock import Clock
from corral.errors import CorralError, Invalid
from corral.model.link import CopySource, ImageSource, PoolAssignment, SendDisk, VolumeAssignment
from corral.model.node import PoolOnNode
from corral.model.resource import Trouble
from corral.model.units import MiB, format_size
from corral.model.volume import ObjectReport, ObjectState
from corral.storage import copies, files, qcow2, seed, sniff, wiping
from corral.storage.convert import SourceBusy, convert, failed, needed_bytes
from corral.storage.copies import Copies, virtual_bytes
from corral.storage.export import ExportedFile, measured, words_of
from corral.storage.interface import (
    FileState,
    ImageFetch,
    NotMounted,
    Progress,
    StorageFailed,
    image_path,
    marker_path,
    partial_path,
    volume_path,
)
from corral.storage.lane import WRITE_S, Lane

ROUND_BYTES: Final = 64 * MiB  # finer changes of free room are noise
MAKE_S: Final = 60.0  # for qemu-img create: it writes 200 KiB
FETCH_SHARE: Final = 0.95  # of a volume's progress
COPY_FETCH_SHARE: Final = 0.3  # the same, when a volume is copied after that
SUFFIX: Final = ".part"


class DirectoryStorage:
    """Pools that are directories of this host.

    node        names this host's unfinished files, so that nodes on a shared pool leave each other's alone
    seeds_path  where seeds live; QEMU's user has to reach it
    """

    def __init__(self, *, node: str, seeds_path: str, clock: Clock, qemu_img: str = "qemu-img") -> None:
        self._node, self._chance = node, clock.chance
        self._run = (
            f"{clock.chance.getrandbits(40):010x}"  # tells this process's unfinished files from older ones
        )
        self._seeds = Path(seeds_path)
        self._qemu_img = qemu_img
        self._copies = Copies(self._temporary)
        self._numbers = count()
        self._lanes: dict[str, Lane] = {}
        self._swept: set[str] = set()
        self._marked: dict[str, str] = {}  # markers of pools that were opened, by path

    async def open_pool(self, pool: PoolAssignment) -> PoolOnNode:
        try:
            lane = self._lane(pool.path)
            marker, (total, free) = await lane.run(
                lambda: (self._marker(pool), self._open(pool.path)), "opening the pool"
            )
        except CorralError as error:
            return PoolOnNode(trouble=Trouble.of(error))
        return PoolOnNode(
            ready=True,
            total_bytes=total // ROUND_BYTES * ROUND_BYTES,
            free_bytes=free // ROUND_BYTES * ROUND_BYTES,
            marker=marker,
        )

    async def see_volume(self, volume: VolumeAssignment) -> ObjectReport:
        path = _path(volume)
        seen = await self._lane(volume.pool_path).run(lambda: _look_inside(path), "looking at a volume")
        if seen is None:
            return ObjectReport(state=ObjectState.ABSENT, wanted=volume.wanted)
        return ObjectReport(
            state=ObjectState.READY,
            wanted=volume.wanted,
            progress=1.0,
            path=str(path),
            allocated_bytes=seen[0],
            size_bytes=seen[1],
        )

    async def make_volume(
        self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress
    ) -> ObjectReport:
        seen = await self.see_volume(volume)
        if seen.state is ObjectState.READY:
            return seen
        await self._lane(volume.pool_path).run(lambda: self._open(volume.pool_path), "opening the pool")
        share = COPY_FETCH_SHARE if volume.source else FETCH_SHARE
        backing: tuple[str, str] | None = None
        size_bytes = volume.size_bytes
        if volume.image:
            await self._copies.have(
                self._lane(volume.pool_path), volume.image, fetch, lambda done: progress(done * share)
            )
            backing, size_bytes = await self._on_top_of(volume, volume.image)
        if volume.source:
            begin = share if volume.image else 0.0
            await self._copy(volume, volume.source, backing, lambda p: progress(begin + p * (0.99 - begin)))
        else:
            await self._create(volume, backing, size_bytes)
        if (
            volume.image
        ):  # it may have been tidied up meanwhile; from now on the volume is seen to stand on it
            await self._copies.have(self._lane(volume.pool_path), volume.image, fetch, lambda _: None)
        progress(1.0)
        return await self.see_volume(volume)

    # ---- on its way to another pool

    async def file_state(self, volume: VolumeAssignment) -> FileState:
        path = _path(volume)
        return await self._lane(volume.pool_path).run(lambda: _state(path), "looking at a volume")

    async def begin_partial(self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress) -> str:
        lane, path = self._lane(volume.pool_path), _path(volume)
        await lane.run(lambda: self._open(volume.pool_path), "opening the pool")
        backing: tuple[str, str] | None = None
        size_bytes = volume.size_bytes
        if volume.image:
            await self._copies.have(lane, volume.image, fetch, progress)
            backing, size_bytes = await self._on_top_of(volume, volume.image)
        mark = Path(partial_path(str(path)))
        await lane.run(lambda: files.replace_durably(mark, b""), "marking a volume")
        on = ["-b", backing[0], "-F", backing[1], "-u"] if backing else []
        await self._qemu("create", "-q", "-f", "qcow2", *on, str(path), str(size_bytes), path=path)
        return str(path)

    async def accept_partial(self, volume: VolumeAssignment) -> None:
        mark = Path(partial_path(str(_path(volume))))
        await self._lane(volume.pool_path).run(lambda: files.remove(mark), "keeping a volume")

    async def remove_file(self, volume: VolumeAssignment) -> None:
        path, lane = _path(volume), self._lane(volume.pool_path)
        if await lane.run(path.exists, "looking at a volume"):
            await self._qemu("info", "-f", "qcow2", str(path), path=path, unless_broken=True)
        await self.delete_volume(volume)

    async def wipe_volume(self, volume: VolumeAssignment, progress: Progress) -> None:
        path, lane = _path(volume), self._lane(volume.pool_path)
        parts = await lane.run(lambda: wiping.parts(path), "wiping a volume")
        for number, part in enumerate(parts):
            await lane.run(lambda p=part: wiping.overwrite(path, p), "wiping a volume", deadline_s=WRITE_S)  # type: ignore[misc]
            progress((number + 1) / len(parts))

    async def grow_volume(self, path: str, size_bytes: int) -> None:
        file = Path(path)
        lane = self._lane(str(file.parent.parent))
        if await lane.run(lambda: qcow2.virtual_bytes(file), "looking at a volume") < size_bytes:
            await self._qemu("resize", "-q", "-f", "qcow2", path, str(size_bytes), path=file)

    async def delete_volume(self, volume: VolumeAssignment) -> None:
        lane = self._lane(volume.pool_path)
        await lane.run(lambda: self._mounted(volume.pool_path), "deleting a volume")
        path = _path(volume)
        for gone in (path, Path(partial_path(str(path)))):  # the mark last: half a file must not look whole
            await lane.run(lambda file=gone: files.remove(file), "deleting a volume")  # type: ignore[misc]

    async def delete_image(self, pool_path: str, image: str) -> None:
        path = Path(image_path(pool_path, _checked("image", image)))
        await self._lane(pool_path).run(lambda: copies.remove(path), "deleting an image")

    @asynccontextmanager
    async def exported(self, asked: SendDisk, progress: Progress) -> AsyncIterator[ExportedFile]:
        lane = self._lane(asked.pool_path)
        origin = Path(volume_path(asked.pool_path, _checked("volume", asked.volume)))
        format, options = words_of(asked.format)
        source = CopySource(volume=asked.volume, pool_path=asked.pool_path, snapshot=asked.snapshot)
        await lane.run(lambda: _check_origin(origin, None), "looking at a volume")
        target = origin.with_name(f"{origin.stem}.{format}")
        await self._check_room(target, source, over_image=False)
        async with self._unfinished(target) as temporary:
            await convert(
                origin, temporary, source_format="qcow2", target_format=format, snapshot=asked.snapshot,
                options=options, qemu_img=self._qemu_img, progress=progress,
            )  # fmt: skip
            yield await measured(temporary, lane)

    async def make_seed(self, vm: str, files: dict[str, str]) -> str:
        write = lambda: seed.write_seed(self._seeds, _checked("vm", vm), files)  # noqa: E731
        return str(await self._lane(str(self._seeds)).run(write, "writing a seed"))

    async def delete_seed(self, vm: str) -> None:
        path = seed.seed_path(self._seeds, _checked("vm", vm))
        await self._lane(str(self._seeds)).run(lambda: files.remove(path), "deleting a seed")

    async def _on_top_of(self, volume: VolumeAssignment, image: ImageSource) -> tuple[tuple[str, str], int]:
        """The backing image's path and format, and the volume's size.

        The path is relative, so that a pool which is mounted elsewhere, or restored there, still holds together.
        """
        path = Path(image_path(volume.pool_path, image.image))
        needs = await self._lane(volume.pool_path).run(
            lambda: virtual_bytes(path, image.format), "reading an image"
        )
        if 0 < volume.size_bytes < needs:
            raise Invalid(
                "size_bytes", volume.size_bytes, f"at least the image's {needs} bytes",
                hint=f"Ask for {format_size(needs)} or more: what lies beyond would be cut off.",
            )  # fmt: skip
        return (f"../images/{path.name}", image.format), max(needs, volume.size_bytes)

    async def _create(
        self, volume: VolumeAssignment, backing: tuple[str, str] | None, size_bytes: int
    ) -> None:
        path = _path(volume)
        on = ["-b", backing[0], "-F", backing[1], "-u"] if backing else []
        async with self._unfinished(path) as temporary:
            await self._qemu("create", "-q", "-f", "qcow2", *on, str(temporary), str(size_bytes), path=path)
            await self._publish(temporary, path)

    async def _copy(
        self,
        volume: VolumeAssignment,
        source: CopySource,
        backing: tuple[str, str] | None,
        progress: Progress,
    ) -> None:
        """Make it a copy of another volume: of all of it, or of what lies over the image that both stand on."""
        path = _path(volume)
        origin = Path(volume_path(source.pool_path, _checked("volume", source.volume)))
        await self._lane(source.pool_path).run(
            lambda: _check_origin(origin, volume.image), "looking at a volume"
        )
        await self._check_room(path, source, over_image=backing is not None)
        async with self._unfinished(path) as temporary:
            await convert(
                origin, temporary, source_format="qcow2", backing=backing, snapshot=source.snapshot,
                qemu_img=self._qemu_img, progress=progress
            )  # fmt: skip
            await self._qemu("resize", "-q", "-f", "qcow2", str(temporary), str(volume.size_bytes), path=path)
            await self._publish(temporary, path)

    async def _check_room(self, path: Path, source: CopySource, *, over_image: bool) -> None:
        """Raises PoolFull: a copy would not fit; said before the pool is full"""
        origin = Path(volume_path(source.pool_path, source.volume))
        if over_image:
            needs = await self._lane(source.pool_path).run(lambda: _look(origin) or 0, "looking at a volume")
        else:
            needs = await needed_bytes(
                origin, source_format="qcow2", snapshot=source.snapshot, qemu_img=self._qemu_img
            )
        free = await self._lane(str(path.parent.parent)).run(
            lambda: files.free_bytes(path.parent), "looking at room"
        )
        if needs > free:
            raise files.full(path.parent, f"volume {path.stem}", needs)

    async def _qemu(self, *words: str, path: Path, unless_broken: bool = False) -> None:
        """Raises PoolFull, SourceBusy: somebody has it open; StorageFailed, unless what is wrong may be the file"""
        ran = await command.run(
            self._qemu_img, *words, deadline_s=MAKE_S, failed=StorageFailed, package="qemu-utils"
        )
        error = failed(ran, path, f"volume {path.stem}") if ran.code else None
        if error and not (unless_broken and not isinstance(error, SourceBusy)):
            raise error

    @asynccontextmanager
    async def _unfinished(self, path: Path) -> AsyncIterator[Path]:
        """A name for a file that is not whole yet; what has it at the end is removed."""
        temporary = self._temporary(path)
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()

    async def _publish(self, temporary: Path, path: Path) -> None:
        await self._lane(str(path.parent.parent)).run(
            lambda: files.publish(temporary, path), "keeping a volume", deadline_s=WRITE_S
        )

    def _marker(self, pool: PoolAssignment) -> str:
        """What tells this pool's file system from others. Blocks. raises NotMounted"""
        path = Path(marker_path(pool.path))
        if not path.exists():
            if pool.marker:
                raise NotMounted(pool.path, pool.marker)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            temporary = self._temporary(path)
            temporary.write_text(f"{self._chance.getrandbits(64):016x}\n")
            files.publish(temporary, path)  # of two nodes that do so at once, one finds the other's
        found = path.read_text().strip()
        if pool.marker and found != pool.marker:
            raise NotMounted(pool.path, pool.marker)
        self._marked[pool.path] = found
        return found

    def _mounted(self, pool_path: str) -> None:
        """Blocks. raises NotMounted: what was there when it was opened is not there any more"""
        marker = self._marked.get(pool_path)
        if marker and not Path(marker_path(pool_path)).exists():
            raise NotMounted(pool_path, marker)

    def _open(self, pool_path: str) -> tuple[int, int]:
        """Total and free bytes of a pool whose directories are there and can be written. Blocks."""
        self._mounted(pool_path)
        for part in ("images", "volumes"):
            directory = Path(pool_path, part)
            directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise PermissionError(13, "it can't be written", str(directory))
            if pool_path not in self._swept:
                self._sweep(directory)
                copies.restore(directory)
        self._swept.add(pool_path)
        room = os.statvfs(pool_path)
        return room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize

    def _sweep(self, directory: Path) -> None:
        """Remove what an earlier process of this node left unfinished. Blocks."""
        for path in sorted(directory.glob(f".*.{self._node}.*{SUFFIX}")):
            if f".{self._node}.{self._run}-" not in path.name:
                with suppress(OSError):
                    path.unlink()

    def _temporary(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{self._node}.{self._run}-{next(self._numbers)}{SUFFIX}")

    def _lane(self, directory: str) -> Lane:
        if directory not in self._lanes:
            self._lanes[directory] = Lane(Path(directory))
        return self._lanes[directory]


def _path(volume: VolumeAssignment) -> Path:
    if volume.path:
        return Path(volume.path)  # as found: Corral never made it
    return Path(volume_path(volume.pool_path, _checked("volume", volume.volume)))


def _checked(field: str, id: str) -> str:
    """Ids become file names: one with a slash would lead out of the pool."""
    if "/" in id or id.startswith(".") or not id:
        raise Invalid(field, id, "an id")
    return id


def _state(path: Path) -> FileState:
    """Blocks."""
    if not path.exists():
        return FileState.NONE
    return FileState.PARTIAL if Path(partial_path(str(path))).exists() else FileState.WHOLE


def _look(path: Path) -> int | None:
    """Bytes on disk, or None: there is no such file, or only a part of it."""
    if Path(partial_path(str(path))).exists():
        return None
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return None


def _look_inside(path: Path) -> tuple[int, int] | None:
    """Bytes on disk, and as a guest sees it; None: there is no such file."""
    allocated = _look(path)
    return None if allocated is None else (allocated, qcow2.virtual_bytes(path))


def _check_origin(path: Path, image: ImageSource | None) -> None:
    """Blocks. raises StorageFailed: it is not there; Invalid: more than one layer lies over the image"""
    if not path.exists():
        raise StorageFailed(
            f"{path.stem}, which is to be copied, is not in {path.parent} on this node",
            hint="Is its pool mounted here?", path=str(path),
        )  # fmt: skip
    if image is None:
        return
    with path.open("rb") as file:
        below = qcow2.backing_file(file.read(sniff.HEADER_BYTES))
    if Path(below).name != image.image:
        raise Invalid(
            "linked", below, f"on image {image.image} directly",
            hint="Its snapshots lie between: clone it in full.",
        )  # fmt: skip
