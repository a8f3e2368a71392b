"""Agent: what the program on each node needs when there is nothing to do.

What it does   a lab of one node (real libvirt, real QEMU) with VMs whose guests are up and idle; after a while of
               rest, the agent's CPU time over a minute and its resident memory at the end of it
Peer           none
"""

import argparse
import json
import os
import time
from pathlib import Path

from bench.lab import a_lab
from bench.machine import machine, rss_mb
from corral.lab.lab import Lab

TICKS = os.sysconf("SC_CLK_TCK")


def agent_pid(lab: Lab) -> int:
    """Of the node's agent, as seen from outside."""
    log = str(lab.plan.dir)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"agent" in words and b"run" in words and (log.encode() in environment or _in_machine(lab, entry)):
            return int(entry.name)
    raise AssertionError("no agent runs")


def _in_machine(lab: Lab, entry: Path) -> bool:
    process = lab.machine(lab.plan.node("node1")).process
    assert process is not None
    ours = (Path(f"/proc/{process.pid}/ns/pid_for_children")).readlink()
    return (entry / "ns/pid").readlink() == ours


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(lab: Lab, vms: int, seconds: float) -> dict[str, float]:
    client = lab.client
    client.nodes.update("node1", cpu_overcommit=16.0)
    for number in range(vms):
        begun = client.vms.create(
            name=f"idle-{number}",
            memory="128MiB",
            disks=[{"image": "guest", "pool": "shared"}],
            nics=[{"network": "default"}],
        )
        client.operations.wait(begun, timeout_s=120)
        while not client.vms.get(f"idle-{number}").status.guest.up:
            time.sleep(0.2)
    time.sleep(15.0)
    pid = agent_pid(lab)
    before, began = cpu_s(pid), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_s(pid) - before, time.monotonic() - began
    return {"rss_mb": round(rss_mb(pid), 1), "cpu_percent": round(100 * used / took, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=agent")
    parser.add_argument("--vms", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.4", "cbench3") as lab:
        figures = measure(lab, given.vms, given.seconds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
