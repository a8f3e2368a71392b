"""Hail: a fleet as Ganeti's htools have it in text files, and one allocation asked of `hail` and of us.

Next door      placement.py measures with it; the format is in htools(1)
Start here     Htools
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

HAIL: Final = Path("/usr/lib/ganeti/iallocators/hail")
GROUP: Final = "uuid-1"
POLICY: Final = "default|128,1,1,1,1,1|1,1,1,0,0,1;1048576,1024,1048576,16,64,1024|ext,diskless,plain,drbd,file|16.0|1024.0"
CPUS, MEMORY_MIB = 64, 262_144  # of each node


def text_of(vms: list[tuple[str, int, int, str]], nodes: list[str]) -> str:
    """A cluster: VMs as (name, vCPUs, MiB, node). Nodes are alike."""
    used = dict.fromkeys(nodes, 0)
    for _, _, memory, node in vms:
        used[node] += memory
    lines = [f"default|{GROUP}|preferred||", ""]
    lines += [
        f"{name}|{MEMORY_MIB}|512|{MEMORY_MIB - 512 - used[name]}|1000000|1000000|{CPUS}|{'M' if not n else 'N'}|{GROUP}|1"
        for n, name in enumerate(nodes)
    ]
    lines += [
        "",
        *(f"{name}|{memory}|1024|{cpus}|running|Y|{node}||ext||1" for name, cpus, memory, node in vms),
    ]
    return "\n".join([*lines, "", f"|{POLICY.partition('|')[2]}", POLICY, ""])


def request(cpus: int, memory: int) -> dict[str, Any]:
    """One VM, in JSON; the cluster comes from the text."""
    return {
        "cluster_tags": [],
        "enabled_hypervisors": ["kvm"],
        "instances": {},
        "nodes": {},
        "nodegroups": {},
        "ipolicy": {},
        "request": {
            "type": "allocate",
            "name": "new-vm",
            "memory": memory,
            "vcpus": cpus,
            "spindle_use": 1,
            "disk_space_total": 1024,
            "disk_template": "ext",
            "disks": [{"mode": "rw", "size": 1024, "spindles": 1}],
            "nics": [{"bridge": None, "ip": None, "mac": "00:11:22:33:44:55"}],
            "tags": [],
            "os": "debian",
            "required_nodes": 1,
            "hypervisor": "kvm",
        },
    }


def hail(cluster: Path, cpus: int, memory: int) -> tuple[float, float, str]:
    """Seconds, peak MiB, and the node that it chose. raises RuntimeError: it could not"""
    asked = cluster.with_suffix(".json")
    asked.write_text(json.dumps(request(cpus, memory)))
    begin = time.perf_counter()
    seconds, mib, out = _run([str(HAIL), "--no-capacity-checks", "-t", str(cluster), str(asked)])
    answer = json.loads(out[out.index("{") :])
    if not answer["success"]:
        raise RuntimeError(answer["info"])
    return seconds or time.perf_counter() - begin, mib, str(answer["result"][0])


def cold(cluster: Path, cpus: int, memory: int) -> tuple[float, float, str]:
    """The same by us in a new process: seconds from its start, peak MiB, the node."""
    return _run([sys.executable, "-m", "bench.hail", str(cluster), str(cpus), str(memory)])


def _run(command: list[str]) -> tuple[float, float, str]:
    """Seconds of wall time, peak MiB of memory, output."""
    begin = time.perf_counter()
    done = subprocess.run(
        ["/usr/bin/env", "time", "-f", "%M", *command], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-500:]}")
    found = re.findall(r"(\d+)\s*$", done.stderr)
    return seconds, int(found[-1]) / 1024 if found else 0.0, done.stdout.strip()


def read(cluster: Path) -> Any:
    """A fleet of ours from the text."""
    from corral.model.ids import NodeId, VmId
    from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus
    from corral.scheduler.fleet import Claim, Fleet

    fleet = Fleet()
    _, nodes, vms, *_ = cluster.read_text().split("\n\n")
    for line in nodes.splitlines():
        name, total, own, _, _, _, cpus, *_ = line.split("|")
        fleet.see_node(
            Node(
                id=name,
                name=name,
                spec=NodeSpec(reserve_memory_bytes=int(own) << 20, cpu_overcommit=16.0),
                status=NodeStatus(
                    phase=NodePhase.READY,
                    inventory=Inventory(cpus=int(cpus), memory_bytes=int(total) << 20),
                ),
            )
        )
    for line in vms.splitlines():
        name, memory, _, cpus, _, _, node, *_ = line.split("|")
        fleet.claim(VmId(name), (Claim(NodeId(node), int(cpus), int(memory) << 20),))
    return fleet


def main() -> None:
    from corral.model.ids import VmId
    from corral.scheduler.placement import Ask, place

    cluster, cpus, memory = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ask = Ask(vm=VmId("new-vm"), cpus=cpus, memory_bytes=memory << 20, policy="balance")
    print(place(read(cluster), ask).node)


if __name__ == "__main__":
    main()
