"""Moving: carries out what move_plan.py says, as a part of its volume's lane.

In this room   Mover: one look and one step at a time
Comes in       a VolumeAssignment with `other`: the pool where the volume is, or may be something of it
Goes out       ObjectReport: in which pool the volume is, how far the copy is; the server then makes that its place
Always true    nothing is remembered: an agent that dies leaves QEMU copying, and the next one finds it
Next door      objects.py calls step(); storage and hypervisor have the calls
Start here     Mover.step()
"""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from corral.agent import move_plan as m
from corral.agent.held import Held
from corral.agent.looking import within
from corral.hypervisor.interface import DiskPlace, Hypervisor
from corral.model.ids import VmId
from corral.model.link import CopySource, VmAssignment, VmRole, VolumeAssignment
from corral.model.volume import ObjectReport, ObjectState
from corral.storage.interface import ImageFetch, Storage, volume_path

CALL_S: Final = 60.0
FETCH_S: Final = 3600.0  # for the copy of an image that it stands on
COPYING_LOOK_S: Final = 1.0
Make = Callable[[VolumeAssignment], Awaitable[ObjectReport | None]]


class Mover:
    """For all volumes of a node."""

    def __init__(self, held: Held, storage: Storage, hypervisor: Hypervisor, fetch: ImageFetch) -> None:
        self._held, self._storage, self._hypervisor, self._fetch = held, storage, hypervisor, fetch

    async def step(self, volume: VolumeAssignment, make: Make) -> tuple[ObjectReport | None, float | None]:
        """The report after one step (None: it can't be used at the moment), and seconds until the next; None: done.

        make  copies its file, as it makes any volume
        """
        told = self._told(volume)
        vm = told.vm if told else await self._user(volume)
        place, seen = await self._look(volume, vm, wanted_running=told is not None and told.running)
        step = m.plan_move(seen)
        report = self._report(volume, seen, step)
        match step:
            case m.Done():
                return report, None
            case m.Lost():
                return None, None
            case m.Wait() | m.LetStart():
                return report, COPYING_LOOK_S
            case m.CopyFile():
                if await make(copied_from(volume)) is not None:
                    await within(
                        CALL_S, f"removing {volume.key}", self._storage.remove_file(other_of(volume))
                    )
                return None, 0.0
        await self._act(volume, vm, place, step)
        return report if seen.running else None, 0.0

    async def _act(
        self, volume: VolumeAssignment, vm: VmId | None, place: DiskPlace, step: m.MoveStep
    ) -> None:
        match step:
            case m.Remove(where):
                gone = volume if where == "here" else other_of(volume)
                await within(CALL_S, f"removing {volume.key}", self._storage.remove_file(gone))
            case m.Accept():
                kept = volume if place.path == path_of(volume) else other_of(volume)
                await within(CALL_S, f"keeping {volume.key}", self._storage.accept_partial(kept))
            case m.BeginCopy():
                assert vm
                begun = self._storage.begin_partial(volume, self._fetch, lambda _: None)
                path = await within(FETCH_S, f"making room for {volume.key}", begun)
                await within(
                    CALL_S, f"copying {volume.key}", self._hypervisor.copy_disk(vm, place.path, path)
                )
            case m.Pivot():
                assert vm
                await within(CALL_S, f"pivoting {volume.key}", self._hypervisor.pivot_disk(vm, place.path))
            case m.EndCopy():
                assert vm
                await within(
                    CALL_S,
                    f"ending the copy of {volume.key}",
                    self._hypervisor.end_disk_copy(vm, place.path),
                )
            case _:
                raise AssertionError(step)

    async def _look(
        self, volume: VolumeAssignment, vm: VmId | None, *, wanted_running: bool
    ) -> tuple[DiskPlace, m.Places]:
        paths = {path_of(volume): "here", path_of(other_of(volume)): "there"}
        place = DiskPlace()
        if vm:
            look = self._hypervisor.disk_place(vm, tuple(paths))
            place = await within(CALL_S, f"looking for {volume.key}", look)
        here, there = [
            await within(CALL_S, f"looking for {volume.key}", self._storage.file_state(v))
            for v in (volume, other_of(volume))
        ]
        seen = m.Places(
            here=here,
            there=there,
            running=place.running and bool(place.path),
            at=paths.get(place.path, ""),
            copying=paths.get(place.copy_path, ""),
            copied=place.copied,
            progress=place.progress,
            wanted_running=wanted_running,
        )
        return place, seen

    def _told(self, volume: VolumeAssignment) -> VmAssignment | None:
        """The VM that this node runs, and that has it as a disk."""
        found = [self._held.assignments.get(key) for key in self._held.vms_with(volume.volume)]
        return next((vm for vm in found if isinstance(vm, VmAssignment) and vm.role is VmRole.OWNER), None)

    async def _user(self, volume: VolumeAssignment) -> VmId | None:
        """A VM that has it open all the same: one that is being deleted, say, and shuts down."""
        paths = (path_of(volume), path_of(other_of(volume)))
        return await within(CALL_S, f"looking who has {volume.key}", self._hypervisor.disk_user(paths))

    def _report(self, volume: VolumeAssignment, seen: m.Places, step: m.MoveStep) -> ObjectReport:
        done = isinstance(step, m.Done)
        arrived = done or (seen.running and seen.at == "here")
        at = volume if arrived else other_of(volume)
        return ObjectReport(
            state=ObjectState.READY,
            pool=at.pool,
            generation=volume.generation,
            path=path_of(at),
            progress=1.0 if done else min(0.95, seen.progress),
        )


def other_of(volume: VolumeAssignment) -> VolumeAssignment:
    """The volume as it is in the other pool."""
    assert volume.other
    return replace(volume, pool=volume.other.pool, pool_path=volume.other.pool_path)


def copied_from(volume: VolumeAssignment) -> VolumeAssignment:
    """To be made as a copy of what is in the other pool."""
    assert volume.other
    return replace(volume, source=CopySource(volume=volume.volume, pool_path=volume.other.pool_path))


def path_of(volume: VolumeAssignment) -> str:
    return volume_path(volume.pool_path, volume.volume)
