"""QMP: what QEMU is asked directly, where libvirt has no call for it. Blocking, for use in a thread.

Always true    only commands that leave libvirt's own picture of the domain true are sent: snapshots inside disks, jobs
               of ours; never anything about devices or migrations
Start here     ask()
"""

import json
from typing import Any, Final

import libvirt
import libvirt_qemu

from corral.hypervisor.interface import SnapshotFailed

ENDED: Final = "concluded"


def ask(domain: libvirt.virDomain, command: str, **arguments: object) -> Any:
    """QEMU's answer. raises SnapshotFailed: it refuses; libvirtError"""
    text = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
    if "error" in answer:
        raise SnapshotFailed(f"QEMU refuses {command}: {answer['error'].get('desc', 'no reason given')}")
    return answer.get("return")


def nodes_by_path(domain: libvirt.virDomain) -> dict[str, str]:
    """Name of the block node of each disk, by the path of its file."""
    found = (entry.get("inserted") or {} for entry in ask(domain, "query-block"))
    return {
        path_of(node["file"]): node["node-name"] for node in found if "file" in node and "node-name" in node
    }


def path_of(filename: str) -> str:
    """The disk's own file. QEMU writes `json:{…}` where a plain path would not say all, as over a backing file."""
    if not filename.startswith("json:"):
        return filename
    layer = json.loads(filename.removeprefix("json:"))
    while isinstance(layer, dict) and "filename" not in layer:
        layer = layer.get("file")
    return str(layer["filename"]) if isinstance(layer, dict) else str(layer or "")


def job_error(domain: libvirt.virDomain, job: str) -> str | None:
    """None: it runs still; empty: it is over, or there is none; else what went wrong. One that is over is dismissed."""
    for known in ask(domain, "query-jobs"):
        if known["id"] == job:
            if known["status"] != ENDED:
                return None
            ask(domain, "job-dismiss", id=job)
            return str(known.get("error", ""))
    return ""
