"""Objects: pools, networks, volumes and copies of images on this node.

In this room   a step for each kind: look, do what is missing, report
Comes in       assignments (held.py), drivers
Goes out       parts of the report; wakes lanes that waited (volumes for their pool, VMs for volumes and networks)
Always true    a volume is made only in a pool that is open; what is reported READY was seen or just made
Next door      vm_lane.py asks missing() before it starts a VM
Start here     Objects.step()
"""

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from msgspec.structs import replace

from corral.agent.held import Held, drives
from corral.agent.looking import within
from corral.agent.moving import Mover, other_of
from corral.agent.ports import Link
from corral.agent.reporting import Reporter, coarse, steady, steady_room
from corral.clock import Clock, backoff_s
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor
from corral.model.ids import PoolId
from corral.model.link import (
    Assignment,
    DiskAssignment,
    ImageAssignment,
    NetworkAssignment,
    NicAssignment,
    PoolAssignment,
    VmAssignment,
    VolumeAssignment,
)
from corral.model.node import NetworkOnNode, PoolOnNode
from corral.model.resource import Trouble
from corral.model.volume import ObjectReport, ObjectState
from corral.network.interface import Networking
from corral.storage.interface import Storage, StorageFailed

CALL_S: Final = 60.0
STALL_S: Final = 300.0  # without progress, making a volume is given up and tried again
NOT_READY_LOOK_S: Final = 5.0
GROWN_LOOK_S: Final = 1.0  # how often a volume is looked at that a VM's QEMU is about to grow


class VolumeLost(StorageFailed):
    """A volume that was made before is not in its pool any more."""

    code = "volume.lost"

    def __init__(self, volume: VolumeAssignment) -> None:
        super().__init__(
            f"the file of {volume.volume} is gone from {volume.pool_path}",
            hint="Is the right file system mounted there? Corral does not make an empty one in its place: "
            "put the file back, or delete the volume.",
            volume=volume.volume,
            path=volume.pool_path,
        )


class Objects:
    """All lanes that are not VMs."""

    def __init__(
        self,
        held: Held,
        storage: Storage,
        hypervisor: Hypervisor,
        networking: Networking,
        link: Link,
        reporter: Reporter,
        clock: Clock,
        wake: Callable[[str], None],
    ) -> None:
        self._held, self._storage, self._networking, self._link = held, storage, networking, link
        self._reporter, self._clock, self._wake = reporter, clock, wake
        self._open: set[str] = set()  # pools
        self._ready: dict[str, VolumeAssignment] = {}  # volumes, with the assignment that they were seen for
        self._served: dict[str, NetworkAssignment] = {}  # networks, as they are served now
        self._making: dict[str, asyncio.Task[ObjectReport]] = {}
        self._making_in: dict[str, str] = {}  # pool, by volume
        self._attempts: dict[str, int] = {}
        self._mover = Mover(held, storage, hypervisor, link.fetch)

    async def step(self, thing: Assignment) -> float | None:
        """One step for this pool, network, volume or image; seconds until the next, None: none."""
        try:
            wait_s = await self._do(thing)
        except CorralError as error:
            return self._failed(thing, error)
        self._attempts.pop(thing.key, None)
        return wait_s

    async def missing(self, vm: VmAssignment) -> str:
        """In words, what the VM stands on and is not ready; empty: nothing. raises CorralError"""
        for disk in drives(vm):
            if not await self._disk_ready(disk):
                return "volumes"
        return "" if all(self._nic_ready(nic) for nic in vm.nics) else "networks"

    async def sweep(self) -> None:
        """Remove what is left of networks that this node is not assigned any more. raises CorralError"""
        await within(CALL_S, "removing old networks", self._networking.sweep(self._networks))

    def _networks(self) -> list[NetworkAssignment]:
        return [thing for thing in self._held.assignments.values() if isinstance(thing, NetworkAssignment)]

    def changed(self, key: str) -> None:
        """The assignment is new, changed or gone: what is done for the old one is not wanted any more."""
        making, thing = self._making.get(key), self._held.assignments.get(key)
        wanted = isinstance(thing, VolumeAssignment) and thing.wanted
        if making and not (wanted and self._making_in.get(key) == getattr(thing, "pool", "")):
            making.cancel()

    def forget(self, key: str) -> None:
        """The key is not this node's business any more. Nothing is touched."""
        for field in ("pools", "networks", "volumes", "images"):
            self._reporter.drop(field, key)
        self._open.discard(key)
        self._ready.pop(key, None)
        self._served.pop(key, None)
        self._attempts.pop(key, None)

    async def _do(self, thing: Assignment) -> float | None:
        match thing:
            case PoolAssignment():
                return await self._pool(thing)
            case NetworkAssignment():
                return await self._network(thing)
            case VolumeAssignment():
                return await self._volume(thing)
            case ImageAssignment():
                return await self._image(thing)
            case VmAssignment():
                raise AssertionError("VMs have their own lanes")

    async def _pool(self, pool: PoolAssignment) -> float | None:
        if not pool.wanted:
            self._open.discard(pool.key)
            self._reporter.put("pools", pool.key, PoolOnNode())
            return None
        seen = await within(CALL_S, f"opening pool {pool.path}", self._storage.open_pool(pool))
        self._reporter.put("pools", pool.key, steady_room(seen, self._reporter.get("pools", pool.key)))
        if not seen.ready:
            self._open.discard(pool.key)
            return NOT_READY_LOOK_S
        if pool.key not in self._open:
            self._open.add(pool.key)
            self._wake_volumes(pool.pool)
        return None

    async def _network(self, network: NetworkAssignment) -> float | None:
        if not network.wanted:
            await within(CALL_S, f"dropping network {network.key}", self._networking.drop(network.key))
            self._served.pop(network.key, None)
            self._reporter.put("networks", network.key, NetworkOnNode())
            return None
        seen = await within(CALL_S, f"serving network {network.key}", self._networking.serve(network))
        self._reporter.put("networks", network.key, seen)
        if not seen.ready:
            self._served.pop(network.key, None)
            return NOT_READY_LOOK_S
        if self._served.get(network.key) != network:
            self._served[network.key] = network
            for vm in self._held.vms_on(network.key):
                self._wake(vm)
        return None

    async def _volume(self, volume: VolumeAssignment) -> float | None:
        if not volume.wanted and not self._closed(volume.pool):
            self._ready.pop(volume.key, None)
            if volume.wipe:
                await self._wipe(volume)
            await within(CALL_S, f"deleting {volume.key}", self._storage.delete_volume(volume))
            if volume.other:
                await within(CALL_S, f"deleting {volume.key}", self._storage.delete_volume(other_of(volume)))
            gone = ObjectReport(state=ObjectState.ABSENT, wanted=False, stint=volume.stint)
            self._reporter.put("volumes", volume.key, gone)
            self._room_changed(volume.pool)
            return None
        if self._closed(volume.pool):
            return NOT_READY_LOOK_S  # the pool wakes it when it is open
        if volume.other:
            return await self._move(volume)
        seen = await within(CALL_S, f"looking for {volume.key}", self._storage.see_volume(volume))
        if seen.state is not ObjectState.READY:
            if volume.made:
                raise VolumeLost(volume)
            made = await self._make(volume)
            if made is None:
                return 0.0
            seen = made
            self._room_changed(volume.pool)
        if volume.grows and 0 < seen.size_bytes < volume.size_bytes:
            grow = self._storage.grow_volume(seen.path, volume.size_bytes)
            await within(CALL_S, f"growing {volume.key}", grow)
            seen = await within(CALL_S, f"looking at {volume.key}", self._storage.see_volume(volume))
        self._reporter.put("volumes", volume.key, replace(seen, stint=volume.stint))
        self._ready[volume.key] = _as_made(volume)
        for vm in self._held.vms_with(volume.volume):
            self._wake(vm)
        return GROWN_LOOK_S if 0 < seen.size_bytes < volume.size_bytes else None

    async def _wipe(self, volume: VolumeAssignment) -> None:
        """Overwrite it, however long that takes, as long as it gets on. After a crash it begins anew."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STALL_S) as limit:

                def progress(share: float) -> None:
                    limit.reschedule(loop.time() + STALL_S)
                    self._reporter.put(
                        "volumes",
                        volume.key,
                        ObjectReport(state=ObjectState.CREATING, wanted=False, progress=coarse(share)),
                    )

                await self._storage.wipe_volume(volume, progress)
        except TimeoutError:
            raise StorageFailed(f"wiping {volume.key} made no progress for {STALL_S:g} s") from None

    async def _move(self, volume: VolumeAssignment) -> float | None:
        report, wait_s = await self._mover.step(volume, self._make)
        if report is None and wait_s is None:
            raise VolumeLost(volume)
        if report:
            seen = self._reporter.get("volumes", volume.key)
            progress = report.progress if report.progress == 1.0 else coarse(report.progress)
            room = seen.allocated_bytes if isinstance(seen, ObjectReport) else 0
            self._reporter.put(
                "volumes", volume.key, replace(report, progress=progress, allocated_bytes=room)
            )
            self._ready[volume.key] = replace(volume, made=False)
            for vm in self._held.vms_with(volume.volume):
                self._wake(vm)
        if wait_s is None:
            for pool in (volume.pool, other_of(volume).pool):
                self._room_changed(pool)
        return wait_s

    async def _make(self, volume: VolumeAssignment) -> ObjectReport | None:
        """Make it; None: it was not wanted any more before it was done."""
        task = asyncio.create_task(self._make_in_time(volume), name=f"make {volume.key}")
        self._making[volume.key], self._making_in[volume.key] = task, volume.pool
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._making.pop(volume.key, None)
        return None if task.cancelled() else task.result()

    async def _make_in_time(self, volume: VolumeAssignment) -> ObjectReport:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STALL_S) as limit:

                def progress(share: float) -> None:
                    limit.reschedule(loop.time() + STALL_S)
                    self._creating(volume, coarse(share))

                self._creating(volume, 0.0)
                return await self._storage.make_volume(volume, self._link.fetch, progress)
        except TimeoutError:
            raise StorageFailed(f"making {volume.key} made no progress for {STALL_S:g} s") from None

    def _creating(self, volume: VolumeAssignment, share: float) -> None:
        seen = self._reporter.get("volumes", volume.key)
        trouble = seen.trouble if isinstance(seen, ObjectReport) else None  # of the last attempt
        report = ObjectReport(state=ObjectState.CREATING, progress=share, trouble=trouble, stint=volume.stint)
        if volume.other:  # it is there, whatever becomes of the copy
            report = replace(
                report, state=ObjectState.READY, pool=volume.other.pool, generation=volume.generation
            )
        self._reporter.put("volumes", volume.key, report)

    async def _image(self, image: ImageAssignment) -> float | None:
        assert not image.wanted, "copies of images are made with volumes only"
        delete = self._storage.delete_image(image.pool_path, image.image)
        await within(CALL_S, f"deleting {image.key}", delete)
        self._reporter.put("images", image.key, ObjectReport(state=ObjectState.ABSENT, wanted=False))
        return None

    def _failed(self, thing: Assignment, error: CorralError) -> float | None:
        attempt = self._attempts.get(thing.key, 0)
        self._attempts[thing.key] = attempt + 1
        trouble = Trouble.of(error, self._clock.now_s())
        match thing:
            case PoolAssignment():
                old = self._reporter.get("pools", thing.key)
                trouble = steady(trouble, old.trouble if isinstance(old, PoolOnNode) else None) or trouble
                self._reporter.put("pools", thing.key, PoolOnNode(trouble=trouble))
            case NetworkAssignment():
                old = self._reporter.get("networks", thing.key)
                trouble = steady(trouble, old.trouble if isinstance(old, NetworkOnNode) else None) or trouble
                self._reporter.put("networks", thing.key, NetworkOnNode(trouble=trouble))
            case VolumeAssignment() | ImageAssignment():
                self._object_failed(thing, trouble)
            case VmAssignment():
                raise AssertionError("VMs have their own lanes")
        return backoff_s(attempt, self._clock) if error.retryable else None

    def _object_failed(self, thing: VolumeAssignment | ImageAssignment, trouble: Trouble) -> None:
        field = "volumes" if isinstance(thing, VolumeAssignment) else "images"
        old = self._reporter.get(field, thing.key)
        trouble = steady(trouble, old.trouble if isinstance(old, ObjectReport) else None) or trouble
        stint = thing.stint if isinstance(thing, VolumeAssignment) else 0
        report = ObjectReport(state=ObjectState.FAILED, wanted=thing.wanted, trouble=trouble, stint=stint)
        if isinstance(thing, VolumeAssignment) and thing.other and trouble.code != VolumeLost.code:
            report = replace(
                report, state=ObjectState.READY, pool=thing.other.pool, generation=thing.generation
            )
        self._reporter.put(field, thing.key, report)

    async def _disk_ready(self, disk: DiskAssignment) -> bool:
        own = self._held.assignments.get(disk.volume)
        if isinstance(own, VolumeAssignment):
            return own.wanted and self._ready.get(disk.volume) == _as_made(own)
        pool_path = str(PurePosixPath(disk.path).parent.parent)  # made elsewhere: is it visible here?
        probe = VolumeAssignment(
            volume=disk.volume, pool=PoolId(""), pool_path=pool_path, path=disk.path, size_bytes=0
        )
        seen = await within(CALL_S, f"looking for {disk.volume}", self._storage.see_volume(probe))
        return seen.state is ObjectState.READY

    def _nic_ready(self, nic: NicAssignment) -> bool:
        """The network is served, this NIC's address and rules included."""
        network = self._served.get(nic.network)
        return network is not None and any(port.mac == nic.mac for port in network.ports)

    def _closed(self, pool: str) -> bool:
        """Whether the pool is one of this node's, and could not be opened yet."""
        return pool not in self._open and pool in self._held.assignments

    def _room_changed(self, pool: str) -> None:
        if pool in self._held.assignments:
            self._wake(pool)

    def _wake_volumes(self, pool: str) -> None:
        for key, thing in self._held.assignments.items():
            if isinstance(thing, VolumeAssignment) and thing.pool == pool:
                self._wake(key)


def _as_made(volume: VolumeAssignment) -> VolumeAssignment:
    """Without what does not tell one volume from another."""
    return replace(volume, made=False, grows=True)
