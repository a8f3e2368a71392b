"""Simulated storage: files in memory; shared pools are seen from all hosts.

In this room   Files (what is on disk: survives an agent), SimulatedStorage (one host's driver)
Always true    a file appears only when it is whole
Next door      directory.py is the real one
Start here     SimulatedStorage
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from corral.clock import Clock
from corral.faults import Faults, NoFaults
from corral.model.link import CopySource, ImageSource, PoolAssignment, SendDisk, VolumeAssignment
from corral.model.node import PoolOnNode
from corral.model.resource import Trouble
from corral.model.units import GiB, TiB
from corral.model.volume import ObjectReport, ObjectState
from corral.storage.interface import (
    Exported,
    FileState,
    ImageFetch,
    NotMounted,
    PoolFull,
    Progress,
    StorageFailed,
    image_path,
    volume_path,
)

VOLUME_BYTES = 256 * 1024  # of a new one's file
ROUND_BYTES = GiB  # free room is told in steps: noise is no change


@dataclass
class Files:
    """Sizes in bytes by path."""

    sizes: dict[str, int] = field(default_factory=dict)
    virtual: dict[str, int] = field(default_factory=dict)  # of volumes: as guests see them
    total_bytes: int = 10 * TiB
    wiped: dict[str, None] = field(default_factory=dict)  # paths that were overwritten
    partial: dict[str, None] = field(default_factory=dict)  # paths of files that are only being copied
    standing: dict[str, str] = field(default_factory=dict)  # images' paths by volumes' paths
    markers: dict[str, str] = field(default_factory=dict)  # of pools, by path
    stamps: dict[str, int] = field(default_factory=dict)  # by path: the last write of a guest to it
    _summed: tuple[int, int] = (
        0,
        0,
    )  # how many files there were, and their bytes, when they were last added up

    def used_bytes(self) -> int:
        """Added up anew only when files have come or gone: a fleet has tens of thousands."""
        if self._summed[0] != len(self.sizes):
            self._summed = len(self.sizes), sum(self.sizes.values())
        return self._summed[1]


@dataclass
class SharedFiles(Files):
    """Files that all hosts see, in the pools below `pools`."""

    pools: dict[str, None] = field(default_factory=dict)  # paths, in order of appearance


class SimulatedFile:
    """A finished export."""

    def __init__(self, content: bytes) -> None:
        self._content, self.size_bytes, self.sha256 = content, len(content), sha256(content).hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._content


@dataclass
class HostDisks:
    """What the guests of one host see of the files: hypervisor/simulated/disks.py's Disks."""

    local: Files
    shared: SharedFiles

    def exists(self, path: str) -> bool:
        return path in self._files(path).sizes

    def stamp(self, path: str) -> int:
        return self._files(path).stamps.get(path, 0)

    def write(self, path: str, stamp: int) -> None:
        self._files(path).stamps[path] = stamp

    def _files(self, path: str) -> Files:
        return files_of(path, self.local, self.shared)


def files_of(path: str, local: Files, shared: SharedFiles) -> Files:
    return shared if any(path == p or path.startswith(f"{p}/") for p in shared.pools) else local


class SimulatedStorage:
    """Pools of one host."""

    def __init__(
        self,
        local: Files,
        shared: SharedFiles,
        clock: Clock,
        *,
        faults: Faults | None = None,
        bytes_s: float = 2 * GiB,
        fetch_images: bool = False,
    ) -> None:
        self._local, self._shared, self._clock = local, shared, clock
        self._faults: Faults = faults or NoFaults()
        self._bytes_s = bytes_s  # how fast images are copied into a pool
        self._fetch_images = fetch_images  # True: really read them from the server

    def exists(self, path: str) -> bool:
        """Whether the host sees a file there."""
        return path in self._files(path).sizes

    async def open_pool(self, pool: PoolAssignment) -> PoolOnNode:
        await self._call("open_pool")
        if pool.shared:
            self._shared.pools[pool.path] = None
        files = self._files(pool.path)
        marker = files.markers.get(pool.path, "")
        if pool.marker and marker != pool.marker:
            return PoolOnNode(trouble=Trouble.of(NotMounted(pool.path, pool.marker)))
        if not marker:
            marker = files.markers[pool.path] = f"{self._clock.chance.getrandbits(64):016x}"
        free = max(0, files.total_bytes - files.used_bytes()) // ROUND_BYTES * ROUND_BYTES
        return PoolOnNode(ready=True, total_bytes=files.total_bytes, free_bytes=free, marker=marker)

    async def see_volume(self, volume: VolumeAssignment) -> ObjectReport:
        await self._call("see_volume")
        path = _path(volume)
        size = self._files(path).sizes.get(path)
        if size is None or path in self._files(path).partial:
            return ObjectReport(state=ObjectState.ABSENT)
        return ObjectReport(
            state=ObjectState.READY,
            progress=1.0,
            path=path,
            allocated_bytes=size,
            size_bytes=self._files(path).virtual.get(path, 0),
        )

    async def make_volume(
        self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress
    ) -> ObjectReport:
        await self._call("make_volume")
        if volume.image:
            await self._fetch(volume.pool_path, volume.image, fetch, progress)
        path = _path(volume)
        if volume.source and not self.exists(path):
            await self._copy(volume.source, path, progress)
        else:
            self._write(path, VOLUME_BYTES)
        await self._stand(volume, path, fetch)
        self.grow(path, volume.size_bytes)
        await self._faults.strike("storage.make_volume.end")
        return await self.see_volume(volume)

    async def file_state(self, volume: VolumeAssignment) -> FileState:
        await self._call("file_state")
        path = volume_path(volume.pool_path, volume.volume)
        if not self.exists(path):
            return FileState.NONE
        return FileState.PARTIAL if path in self._files(path).partial else FileState.WHOLE

    async def begin_partial(self, volume: VolumeAssignment, fetch: ImageFetch, progress: Progress) -> str:
        await self._call("begin_partial")
        if volume.image:
            await self._fetch(volume.pool_path, volume.image, fetch, progress)
        path = volume_path(volume.pool_path, volume.volume)
        self._files(path).partial[path] = None
        self._write(path, VOLUME_BYTES)
        await self._stand(volume, path, fetch)
        await self._faults.strike("storage.begin_partial.end")
        return path

    async def accept_partial(self, volume: VolumeAssignment) -> None:
        await self._call("accept_partial")
        path = volume_path(volume.pool_path, volume.volume)
        self._files(path).partial.pop(path, None)
        await self._faults.strike("storage.accept_partial.end")

    async def remove_file(self, volume: VolumeAssignment) -> None:
        await self.delete_volume(volume)

    async def _stand(self, volume: VolumeAssignment, path: str, fetch: ImageFetch) -> None:
        """It stands on its image from now on, which may have been tidied up a moment ago."""
        if volume.image:
            self._files(path).standing[path] = image_path(volume.pool_path, volume.image.image)
            await self._fetch(volume.pool_path, volume.image, fetch, lambda _: None)

    async def wipe_volume(self, volume: VolumeAssignment, progress: Progress) -> None:
        await self._call("wipe_volume")
        path = _path(volume)
        if self.exists(path):
            await self._clock.sleep(self._files(path).sizes[path] / self._bytes_s)
            self._files(path).wiped[path] = None
        progress(1.0)

    async def grow_volume(self, path: str, size_bytes: int) -> None:
        await self._call("grow_volume")
        if not self.exists(path):
            raise StorageFailed(f"{path} is not there", path=path)
        self.grow(path, size_bytes)
        await self._faults.strike("storage.grow_volume.end")

    def grow(self, path: str, size_bytes: int) -> None:
        """What QEMU does to a volume that it has open, too."""
        virtual = self._files(path).virtual
        virtual[path] = max(size_bytes, virtual.get(path, 0))

    async def delete_volume(self, volume: VolumeAssignment) -> None:
        await self._call("delete_volume")
        path = _path(volume)
        self._files(path).sizes.pop(path, None)
        self._files(path).partial.pop(path, None)
        self._files(path).standing.pop(path, None)
        self._files(path).stamps.pop(path, None)
        await self._faults.strike("storage.delete_volume.end")

    async def delete_image(self, pool_path: str, image: str) -> None:
        await self._call("delete_image")
        path = image_path(pool_path, image)
        if path in self._files(path).standing.values():
            raise StorageFailed(f"a volume stands on {path}", path=path)
        self._files(path).sizes.pop(path, None)
        await self._faults.strike("storage.delete_image.end")

    @asynccontextmanager
    async def exported(self, asked: SendDisk, progress: Progress) -> AsyncIterator[Exported]:
        """A disk of a few bytes that say which it is."""
        await self._call("exported")
        path = volume_path(asked.pool_path, asked.volume)
        if not self.exists(path):
            raise StorageFailed(f"{path} is not there", path=path)
        progress(0.5)
        yield SimulatedFile(f"{asked.format} {asked.volume} {asked.snapshot}".encode())

    async def make_seed(self, vm: str, files: dict[str, str]) -> str:
        await self._call("make_seed")
        path = f"/seeds/{vm}.iso"
        self._local.sizes[path] = sum(len(text) for text in files.values())
        return path

    async def delete_seed(self, vm: str) -> None:
        await self._call("delete_seed")
        self._local.sizes.pop(f"/seeds/{vm}.iso", None)
        await self._faults.strike("storage.delete_seed.end")

    async def _fetch(self, pool_path: str, image: ImageSource, fetch: ImageFetch, progress: Progress) -> None:
        """Copy the image into the pool, unless it is there."""
        path = image_path(pool_path, image.image)
        if self.exists(path):
            return
        if self._fetch_images:
            got = 0
            async for chunk in fetch(image):
                got += len(chunk)
                progress(got / max(1, image.size_bytes))
        else:
            for part in range(1, 5):
                await self._clock.sleep(image.size_bytes / self._bytes_s / 4)
                progress(part / 4)
        self._write(path, image.size_bytes)

    async def _copy(self, source: CopySource, path: str, progress: Progress) -> None:
        """Copy a volume's file; whatever becomes of the other one meanwhile, the new one is whole or not there."""
        origin = volume_path(source.pool_path, source.volume)
        if not self.exists(origin):
            raise StorageFailed(f"{origin} is not there", path=origin)
        size_bytes = self._files(origin).sizes[origin]
        for part in range(1, 5):
            await self._clock.sleep(size_bytes / self._bytes_s / 4)
            progress(part / 4)
        self._write(path, size_bytes)
        if path.rsplit("/", 1)[-1] == origin.rsplit("/", 1)[-1]:  # the same volume, in another pool
            self._files(path).stamps[path] = self._files(origin).stamps.get(origin, 0)

    def _write(self, path: str, size_bytes: int) -> None:
        files = self._files(path)
        free = files.total_bytes - files.used_bytes()
        if size_bytes > free:
            raise PoolFull(f"no room for {path}", path=path, asked_bytes=size_bytes, free_bytes=free)
        files.sizes[path] = size_bytes

    def _files(self, path: str) -> Files:
        return files_of(path, self._local, self._shared)

    async def _call(self, what: str) -> None:
        await self._faults.strike(f"storage.{what}")
        await self._clock.sleep(0.001 + 0.004 * self._clock.chance.random())


def _path(volume: VolumeAssignment) -> str:
    return volume.path or volume_path(volume.pool_path, volume.volume)
