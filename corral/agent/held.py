"""Held: what this node was told and what it noted, in memory and on disk.

In this room   assignments by key, notes by VM; every change is on disk before anyone can act on it
Comes in       Assign messages; notes of VM lanes
Goes out       what lanes read; the digests that Hello carries
Next door      ports.py has Memory; session.py adopts, vm_lane.py notes
Start here     Held
"""

from collections.abc import Iterator

from corral.agent.ports import LocalVm, Memory
from corral.model.ids import VolumeId
from corral.model.link import Assign, Assignment, DiskAssignment, VmAssignment, VmRole, digest


class Held:
    """Assignments and notes. Reading is plain; writing is durable when it returns."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.assignments: dict[str, Assignment] = {}
        self.notes: dict[str, LocalVm] = {}

    async def load(self) -> None:
        assignments, notes = await self._memory.load()
        self.assignments, self.notes = dict(assignments), dict(notes)

    def digests(self) -> dict[str, str]:
        return {key: digest(assignment) for key, assignment in self.assignments.items()}

    def vms(self) -> Iterator[VmAssignment]:
        """What this node has to do about VMs that it may have."""
        for assignment in self.assignments.values():
            if isinstance(assignment, VmAssignment) and assignment.role is not VmRole.NONE:
                yield assignment

    def vms_with(self, volume: VolumeId) -> Iterator[str]:
        yield from (vm.vm for vm in self.vms() if any(disk.volume == volume for disk in drives(vm)))

    def vms_on(self, network: str) -> Iterator[str]:
        yield from (vm.vm for vm in self.vms() if any(nic.network == network for nic in vm.nics))

    async def adopt(self, message: Assign) -> tuple[str, ...]:
        """Keep what the server says; return the keys that it is about. raises CorralError: nothing was adopted"""
        changed: dict[str, Assignment | None] = {item.key: item for item in message.items}
        changed |= dict.fromkeys(message.forget)
        await self._memory.save_assignments(changed)
        for key, assignment in changed.items():
            if assignment is None:
                self.assignments.pop(key, None)
            else:
                self.assignments[key] = assignment
        return tuple(changed)

    async def note(self, vm: str, note: LocalVm | None) -> None:
        """Keep what must not be forgotten. raises CorralError: it was not kept"""
        if self.notes.get(vm) == note:
            return
        await self._memory.save_vm(vm, note)
        if note is None:
            self.notes.pop(vm, None)
        else:
            self.notes[vm] = note


def drives(vm: VmAssignment) -> tuple[DiskAssignment, ...]:
    """All volumes that it is to have: its disks, and what is in its CD drive."""
    return (*vm.disks, vm.cd.disk) if vm.cd and vm.cd.disk else vm.disks
