"""Machine: what a figure was measured on."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """CPUs, memory, kernel and how busy it is, in one line."""
    memory = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    model = next(
        (
            li.split(":")[1].strip()
            for li in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in li
        ),
        "",
    )
    gib = int(memory.split()[1]) / 1024**2
    return f"{os.cpu_count()} CPUs ({model}), {gib:.0f} GiB, Linux {platform.release()}, load {load}"


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6
