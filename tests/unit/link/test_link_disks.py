"""Disks of snapshots over real gRPC: whole with their checksum, or an error that says why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from linkworld import LinkWorld

from corral.agent import sending
from corral.agent.grpc_link import GrpcLink
from corral.clock import SystemClock
from corral.errors import Invalid
from corral.model.ids import PoolId, SnapshotId, VmId, VolumeId
from corral.model.link import Hello, SendDisk
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.snapshot import Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus
from corral.model.units import GiB
from corral.model.volume import Volume, VolumeSpec
from corral.server.disks_out import DiskOut, ExportFailed, disk_out
from corral.server.services.snapshots import SnapshotNotReady
from corral.storage.interface import PoolFull, Progress
from corral.store.interface import Put

CONTENT = bytes(range(256)) * 20_000


class File:
    def __init__(self, content: bytes, size: int | None = None) -> None:
        self._content, self.sha256 = content, sha256(content).hexdigest()
        self.size_bytes = len(content) if size is None else size

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 100_000):
            yield self._content[start : start + 100_000]


class Exports:
    """Storage that only exports."""

    def __init__(self, file: File | PoolFull, takes_s: float = 0.0) -> None:
        self.file, self.takes_s, self.open = file, takes_s, 0

    @asynccontextmanager
    async def exported(self, asked: SendDisk, progress: Progress) -> AsyncIterator[File]:
        progress(0.5)
        await asyncio.sleep(self.takes_s)
        if isinstance(self.file, PoolFull):
            raise self.file
        self.open += 1
        try:
            yield self.file
        finally:
            self.open -= 1


async def snapshot_of(world: LinkWorld, vm: VmId) -> Snapshot:
    volume, pool = VolumeId("vol-1"), PoolId("pool-1")
    snapshot = Snapshot(
        id=SnapshotId("snap-1"),
        name="web.one",
        spec=SnapshotSpec(vm=vm, disks=(volume,)),
        status=SnapshotStatus(phase=SnapshotPhase.READY),
    )
    resources = (
        StoragePool(id=pool, name="default", spec=StoragePoolSpec(path="/pool")),
        Volume(id=volume, name="web-0", spec=VolumeSpec(pool=pool, size_bytes=GiB)),
        snapshot,
    )
    stored = await world.store.commit([Put(r) for r in resources])
    await world.mirror.wait_for(stored[-1].revision)
    return snapshot


async def agent(link: GrpcLink, storage: Exports) -> None:
    stream = await link.dial()
    await stream.send(Hello(node=link.identity.node, agent_version="1"))
    while True:
        message = await stream.receive()
        if isinstance(message, SendDisk):
            assert (message.pool_path, message.volume, message.snapshot) == ("/pool", "vol-1", "snap-1")
            await sending.bring_disk(message, storage, link, SystemClock())  # type: ignore[arg-type]


async def asked(world: LinkWorld, storage: Exports, format: str = "qcow2") -> DiskOut:
    link = await world.host("host-1")
    snapshot = await snapshot_of(world, await world.vm_on(link.identity.node))
    task = asyncio.create_task(agent(link, storage))
    world.tasks.append(task)  # type: ignore[attr-defined]
    while not world.hub.linked(link.identity.node):
        await asyncio.sleep(0.01)
    return await disk_out(world.consoles, world.mirror, snapshot, 0, format)


@pytest.fixture(autouse=True)
def tasks(world: LinkWorld) -> list[asyncio.Task[None]]:
    world.tasks = []  # type: ignore[attr-defined]
    return world.tasks  # type: ignore[attr-defined,no-any-return]


async def test_whole_with_its_checksum(world: LinkWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "WORD_S", 0.02)  # it says several times that it works on it
    storage = Exports(File(CONTENT), takes_s=0.2)
    async with asyncio.timeout(20):
        disk = await asked(world, storage)
        assert (disk.size_bytes, disk.sha256) == (len(CONTENT), sha256(CONTENT).hexdigest())
        assert b"".join([chunk async for chunk in disk.chunks]) == CONTENT
        while storage.open:
            await asyncio.sleep(0.01)


async def test_what_stands_in_the_way_is_said(world: LinkWorld) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(ExportFailed, match="no room"):
            await asked(world, Exports(PoolFull("no room for it")))


@pytest.mark.parametrize("size", [len(CONTENT) + 1, len(CONTENT) - 1], ids=["less", "more"])
async def test_another_number_of_bytes_is_no_disk(world: LinkWorld, size: int) -> None:
    async with asyncio.timeout(20):
        disk = await asked(world, Exports(File(CONTENT, size)))
        with pytest.raises(ExportFailed):
            [chunk async for chunk in disk.chunks]


async def test_who_leaves_early_leaves_nothing_behind(world: LinkWorld) -> None:
    storage = Exports(File(CONTENT))
    async with asyncio.timeout(20):
        disk = await asked(world, storage)
        async for _ in disk.chunks:
            break
        await disk.chunks.aclose()
        while storage.open:
            await asyncio.sleep(0.01)


async def test_what_can_not_be_asked_for(world: LinkWorld) -> None:
    link = await world.host("host-1")
    snapshot = await snapshot_of(world, await world.vm_on(link.identity.node))
    for number, format in ((0, "vdi"), (1, "qcow2"), (-1, "qcow2")):
        with pytest.raises(Invalid):
            await disk_out(world.consoles, world.mirror, snapshot, number, format)
    taking = snapshot.having(status=SnapshotStatus(phase=SnapshotPhase.CREATING))
    with pytest.raises(SnapshotNotReady):
        await disk_out(world.consoles, world.mirror, taking, 0, "qcow2")
