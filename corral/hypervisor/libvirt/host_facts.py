"""Host facts: how busy the host is, from /proc.

In this room   HostMeter: one reading after another, each since the one before
Comes in       `root`, which is / but for tests
Goes out       a row in the order of model.link.NODE_COLUMNS
Always true    what the kernel does not show (PSI may be off) reads as 0
Start here     HostMeter.read()
"""

import re
from pathlib import Path
from typing import Final

from corral.model.units import KiB

IDLE_COLUMNS: Final = (3, 4)  # idle and iowait, of the line "cpu" in /proc/stat; source: proc(5)
COUNTED_COLUMNS: Final = 8  # up to steal: the guest columns after it are in user and nice already


class HostMeter:
    """Keeps the CPU counters of the last reading."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._last = cpu_ticks(_text(self._proc / "stat"))

    def read(self) -> tuple[float, ...]:
        """The row; cpu_share is of the time since the reading before (or since the meter was made)."""
        before, self._last = self._last, cpu_ticks(_text(self._proc / "stat"))
        return (
            busy_share(before, self._last),
            float(memory_used_bytes(_text(self._proc / "meminfo"))),
            pressure(_text(self._proc / "pressure/cpu")),
            pressure(_text(self._proc / "pressure/memory")),
            pressure(_text(self._proc / "pressure/io")),
            load1(_text(self._proc / "loadavg")),
        )


def cpu_ticks(stat: str) -> tuple[int, int]:
    """Busy and all ticks of all CPUs since boot."""
    match = re.search(r"^cpu +(.*)$", stat, re.MULTILINE)
    ticks = [int(text) for text in match[1].split()[:COUNTED_COLUMNS]] if match else []
    idle = sum(ticks[column] for column in IDLE_COLUMNS if column < len(ticks))
    return sum(ticks) - idle, sum(ticks)


def busy_share(before: tuple[int, int], now: tuple[int, int]) -> float:
    """0 to 1. The idle counter may step back a little (proc(5)), hence the bounds."""
    passed = now[1] - before[1]
    return min(1.0, max(0.0, (now[0] - before[0]) / passed)) if passed > 0 else 0.0


def memory_used_bytes(meminfo: str) -> int:
    """Total less available: caches that the kernel would give up do not count."""
    figures = {name: int(kib) * KiB for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.MULTILINE)}
    return max(0, figures.get("MemTotal", 0) - figures.get("MemAvailable", figures.get("MemFree", 0)))


def pressure(text: str) -> float:
    """Share of the last 10 s in which some task waited, 0 to 1."""
    match = re.search(r"^some avg10=([\d.]+)", text)
    return float(match[1]) / 100 if match else 0.0


def load1(text: str) -> float:
    return float(text.split()[0]) if text else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # no PSI in this kernel: ENOENT; PSI switched off: EOPNOTSUPP
        return ""
