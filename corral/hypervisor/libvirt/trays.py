"""Trays: a CD drive that was plugged in while the domain ran, opened and closed past libvirt.

libvirt 9 asks QEMU at a domain's start which drives have a tray, and takes those that come later for drives without
one: it never opens them, and QEMU then refuses to change the disc.

In this room   one question or order to QEMU a function, for a thread
Next door      updates.py uses them when libvirt failed
"""

import json
from typing import Any

import libvirt
import libvirt_qemu


def open_tray(domain: libvirt.virDomain, alias: str, *, force: bool) -> None:
    """Ask for it; a guest that has locked the drive is only told."""
    _qmp(domain, "blockdev-open-tray", id=alias, force=force)


def close_tray(domain: libvirt.virDomain, alias: str) -> None:
    _qmp(domain, "blockdev-close-tray", id=alias)


def is_open(domain: libvirt.virDomain, alias: str) -> bool:
    drives: list[dict[str, Any]] = _qmp(domain, "query-block")
    return any(d.get("tray_open", False) for d in drives if d.get("qdev") == alias)


def _qmp(domain: libvirt.virDomain, command: str, **arguments: object) -> Any:
    text = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
    if "error" in answer:
        raise libvirt.libvirtError(answer["error"].get("desc", command))
    return answer["return"]
