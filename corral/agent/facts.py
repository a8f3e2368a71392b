"""Facts: fast-moving figures of the host and of its VMs.

In this room   HostFigures, where the host's come from (/proc); FactTaker, which turns counters into rates
Comes in       /proc, Hypervisor.facts()
Goes out       Facts messages (model/link.py), rows in the order of NODE_COLUMNS and VM_COLUMNS
Always true    a message goes out on time even if the hypervisor does not answer: it is the sign of life too
Next door      session.py sends them; server/facts.py keeps the last minutes
Start here     FactTaker.take()
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from corral.agent.looking import within
from corral.agent.writing import Writing
from corral.clock import Clock
from corral.errors import CorralError
from corral.hypervisor.interface import DomainFacts, Hypervisor
from corral.model.ids import VmId
from corral.model.link import Facts

ANSWER_S: Final = 1.0


class HostFigures(Protocol):
    """Where the host's own figures come from."""

    def row(self) -> tuple[float, ...]:
        """In the order of NODE_COLUMNS, over the time since the last call."""


class ProcFigures:
    """From /proc of this host. A figure that can't be read is 0."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._busy, self._total = self._cpu()

    def row(self) -> tuple[float, ...]:
        busy, total = self._cpu()
        cpu = (busy - self._busy) / max(1, total - self._total)
        self._busy, self._total = busy, total
        pressure = [self._pressure(what) for what in ("cpu", "memory", "io")]
        load = self._read("loadavg").split()
        return (cpu, self._memory_used_bytes(), *pressure, float(load[0]) if load else 0.0)

    def _cpu(self) -> tuple[int, int]:
        """Ticks of all CPUs since boot: busy, and all.  source  proc(5), /proc/stat"""
        line = self._read("stat").partition("\n")[0].split()
        ticks = [int(word) for word in line[1:9]]  # guest time is part of user time
        idle = sum(ticks[3:5])  # idle, iowait
        return sum(ticks) - idle, sum(ticks)

    def _memory_used_bytes(self) -> float:
        fields = dict(line.split(":", 1) for line in self._read("meminfo").splitlines() if ":" in line)
        total, free = (int(fields.get(name, "0 kB").split()[0]) for name in ("MemTotal", "MemAvailable"))
        return (total - free) * 1024.0

    def _pressure(self, what: str) -> float:
        """Share of the last 10 s in which some task waited."""
        some = self._read(f"pressure/{what}").partition("\n")[0]
        words = dict(word.split("=") for word in some.split()[1:])
        return float(words.get("avg10", 0.0)) / 100

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text()
        except OSError:
            return ""


class FactTaker:
    """Rates come from the difference to the last counters."""

    def __init__(
        self, hypervisor: Hypervisor, figures: HostFigures, clock: Clock, writing: Writing | None = None
    ) -> None:
        self._writing = writing
        self._hypervisor, self._figures, self._clock = hypervisor, figures, clock
        self._last: Mapping[VmId, DomainFacts] = {}
        self._last_s = clock.monotonic_s()

    async def take(self) -> Facts:
        """The figures since the last call; without VMs if the hypervisor does not answer in time."""
        try:
            now = await within(ANSWER_S, "counting", self._hypervisor.facts())
        except CorralError:
            return Facts(at=self._clock.now_s(), node=self._figures.row())
        at_s = self._clock.monotonic_s()
        seconds = max(1e-3, at_s - self._last_s)
        rows = tuple(
            (*rates(self._last.get(vm), facts, seconds), self._dirty_bytes_s(vm)) for vm, facts in now.items()
        )
        self._last, self._last_s = now, at_s
        return Facts(at=self._clock.now_s(), node=self._figures.row(), vm_ids=tuple(now), vms=rows)

    def _dirty_bytes_s(self, vm: VmId) -> float:
        measured = self._writing.of(vm).dirty_bytes_s if self._writing else None
        return -1.0 if measured is None else measured


def rates(old: DomainFacts | None, new: DomainFacts, seconds: float) -> tuple[float, ...]:
    """A row in the order of VM_COLUMNS, but for the last. Counters that went back (the VM was restarted) give 0."""
    if old is None:
        return (0.0, float(new.memory_bytes), 0.0, 0.0, 0.0, 0.0)
    return (
        max(0.0, new.cpu_s - old.cpu_s) / seconds,
        float(new.memory_bytes),
        max(0, new.block_read_bytes - old.block_read_bytes) / seconds,
        max(0, new.block_write_bytes - old.block_write_bytes) / seconds,
        max(0, new.net_in_bytes - old.net_in_bytes) / seconds,
        max(0, new.net_out_bytes - old.net_out_bytes) / seconds,
    )
