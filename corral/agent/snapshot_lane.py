"""Snapshot lane: carries out what snapshots.py plans, as a part of its VM's lane.

In this room   SnapshotLane: the calls of the hypervisor, and what is known afterwards
Comes in       steps; the VM's notes (held.py)
Goes out       reports by snapshot (`known`), notes on disk after a revert
Always true    nothing here is needed after a crash: what is known is looked at again
Next door      vm_lane.py calls act() and puts `known` into the VM's report
Start here     SnapshotLane.act()
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from corral.agent import snapshots as s
from corral.agent.held import Held
from corral.agent.lanes import Tasks
from corral.agent.looking import within
from corral.clock import Clock
from corral.errors import CorralError
from corral.hypervisor.interface import Hypervisor, HypervisorGone
from corral.model.ids import VmId
from corral.model.link import SnapshotAssignment, VmAssignment
from corral.model.resource import Trouble
from corral.model.snapshot import SnapshotReport, SnapshotState

TAKE_S: Final = 600.0  # memory is written to the disk meanwhile
AGAIN_S: Final = 10.0  # until dropping is tried again


class SnapshotLane:
    """For all VMs of a node."""

    def __init__(
        self, held: Held, hypervisor: Hypervisor, clock: Clock, tasks: Tasks, wake: Callable[[str], None]
    ) -> None:
        self._held, self._hypervisor, self._clock = held, hypervisor, clock
        self._tasks, self._wake = tasks, wake
        self._known: dict[str, s.Known] = {}  # by VmId, then by SnapshotId

    def known(self, vm: VmAssignment) -> s.Known:
        """What is known of those that the assignment is about; the rest is forgotten."""
        if not vm.snapshots and vm.revert is None:
            self._known.pop(vm.vm, None)
            return {}
        about = {wish.snapshot for wish in vm.snapshots} | ({vm.revert.to.snapshot} if vm.revert else set())
        kept = {id: seen for id, seen in self._known.get(vm.vm, {}).items() if id in about}
        self._known[vm.vm] = kept
        return kept

    def forget(self, vm: str) -> None:
        self._known.pop(vm, None)

    async def act(self, vm: VmAssignment, step: s.SnapshotStep) -> None:
        """Raises CorralError: it has to be tried again"""
        match step:
            case s.LookAtSnapshots(wishes):
                for wish in wishes:
                    await self._look(vm.vm, wish)
            case s.TakeSnapshot(wish):
                await self._take(vm.vm, wish)
            case s.DropSnapshot(wish):
                await self._drop(vm.vm, wish)
            case s.Revert(to, note):
                await within(TAKE_S, "reverting", self._hypervisor.revert(vm.vm, to))
                await self._held.note(vm.vm, note)

    def _note(self, vm: VmId, wish: SnapshotAssignment, seen: SnapshotReport) -> None:
        """One that is not wanted counts as gone only after it was dropped: `wanted` says which is which."""
        self._known.setdefault(vm, {})[wish.snapshot] = seen

    async def _look(self, vm: VmId, wish: SnapshotAssignment) -> None:
        try:
            look = self._hypervisor.see_snapshot(vm, wish)
            self._note(vm, wish, await within(TAKE_S, "looking at a snapshot", look))
        except HypervisorGone:
            raise
        except CorralError as error:
            self._failed(vm, wish, error)

    async def _take(self, vm: VmId, wish: SnapshotAssignment) -> None:
        try:
            taken = await within(TAKE_S, "taking a snapshot", self._hypervisor.take_snapshot(vm, wish))
            self._note(vm, wish, replace(taken, taken_at=taken.taken_at or self._clock.now_s()))
        except HypervisorGone:
            self._known.pop(vm, None)  # it may have been taken all the same
            raise
        except CorralError as error:
            self._failed(vm, wish, error)

    async def _drop(self, vm: VmId, wish: SnapshotAssignment) -> None:
        try:
            await within(TAKE_S, "dropping a snapshot", self._hypervisor.drop_snapshot(vm, wish))
            self._note(vm, wish, SnapshotReport(state=SnapshotState.ABSENT, wanted=wish.wanted))
        except HypervisorGone:
            raise
        except CorralError as error:
            self._failed(vm, wish, error)

    def _failed(self, vm: VmId, wish: SnapshotAssignment, error: CorralError) -> None:
        trouble = Trouble.of(error, self._clock.now_s())
        self._note(vm, wish, SnapshotReport(state=SnapshotState.FAILED, wanted=wish.wanted, trouble=trouble))
        if not wish.wanted:
            self._tasks.spawn(self._again(vm, wish), f"drop {wish.snapshot} again")

    async def _again(self, vm: VmId, wish: SnapshotAssignment) -> None:
        """A VM does not wait for a snapshot that can't be dropped at the moment."""
        await self._clock.sleep(AGAIN_S)
        self._known.get(vm, {}).pop(wish.snapshot, None)
        self._wake(vm)
