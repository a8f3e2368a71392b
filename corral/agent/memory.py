"""Memory of an agent that is simulated: it survives the agent, not the process."""

from collections.abc import Mapping

from corral.agent.ports import LocalVm
from corral.clock import Clock
from corral.faults import Faults, NoFaults
from corral.model.link import Assignment


class MemoryMemory:
    """What a simulated agent has on disk. Keep it, and give it to the agent that comes after a crash."""

    def __init__(
        self, clock: Clock | None = None, *, faults: Faults | None = None, write_s: float = 0.0
    ) -> None:
        self.assignments: dict[str, Assignment] = {}
        self.notes: dict[str, LocalVm] = {}
        self._clock, self._write_s = clock, write_s  # how long a synced write takes
        self._faults: Faults = faults or NoFaults()

    async def load(self) -> tuple[Mapping[str, Assignment], Mapping[str, LocalVm]]:
        return dict(self.assignments), dict(self.notes)

    async def save_assignments(self, changed: Mapping[str, Assignment | None]) -> None:
        await self._write("memory.save_assignments")
        for key, assignment in changed.items():
            if assignment is None:
                self.assignments.pop(key, None)
            else:
                self.assignments[key] = assignment

    async def save_vm(self, vm: str, note: LocalVm | None) -> None:
        await self._write("memory.save_vm")
        if note is None:
            self.notes.pop(vm, None)
        else:
            self.notes[vm] = note

    async def _write(self, point: str) -> None:
        await self._faults.strike(point)
        if self._clock and self._write_s:
            await self._clock.sleep(self._write_s)
