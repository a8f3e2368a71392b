"""Mdevs: slices of devices (mediated devices) that guests have, made when a guest starts and removed when it is gone.

In this room   make(), and sweep(), which removes those of guests that do not run; through the kernel's files in sysfs
Comes in       what a VM holds; `root` of the host's files, which is / but for tests
Goes out       devices below /sys/bus/mdev/devices
Always true    only those whose name begins as Corral's do (hardware.SLICES) are removed, and never one that a running
               domain names. What is there already, of the same type and parent, is not made again.
Next door      driver.py calls both; device_xml.py names them in domains; node_devices.py counts them
Start here     make()
"""

import logging
import xml.etree.ElementTree as ET
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.hypervisor.interface import HypervisorFailed
from corral.hypervisor.libvirt.identity import XMLNS
from corral.model.hardware import SLICES, DeviceKind, HeldDevice

DEVICES: Final = "sys/bus/mdev/devices"
PARENTS: Final = "sys/class/mdev_bus"
log = logging.getLogger(__name__)


def make(root: Path, device: HeldDevice) -> None:
    """Blocking. raises HypervisorFailed: its parent has none left, or is not there"""
    assert device.kind == DeviceKind.MDEV
    if (root / DEVICES / device.uuid).exists():
        return
    folder = root / PARENTS / device.parent / "mdev_supported_types" / device.id
    try:
        (folder / "create").write_text(device.uuid)
    except OSError as error:
        raise HypervisorFailed(
            f"{device.parent} gives no slice of type {device.id}: {error.strerror or error}",
            hint="`corral node show` lists what the node has. Somebody else may have taken it on the host itself.",
            parent=device.parent,
            type=device.id,
        ) from error


def wanted(definition: str) -> tuple[HeldDevice, ...]:
    """Those that a domain of Corral's is to have, of the mark in its definition. Empty text: none."""
    if "slice" not in definition:
        return ()
    path = f"metadata/{{{XMLNS}}}vm/{{{XMLNS}}}slice"
    return tuple(
        HeldDevice(
            kind=DeviceKind.MDEV,
            id=mark.get("type", ""),
            parent=mark.get("parent", ""),
            uuid=mark.get("uuid", ""),
        )
        for mark in ET.fromstring(definition).iterfind(path)
    )


def ours(root: Path) -> frozenset[str]:
    """Blocking. UUIDs of those that Corral made."""
    try:
        names = [entry.name for entry in (root / DEVICES).iterdir()]
    except OSError:
        return frozenset()
    return frozenset(name for name in names if name.startswith(SLICES))


def named_in(document: str) -> frozenset[str]:
    """UUIDs of mediated devices that a domain has."""
    path = "devices/hostdev[@type='mdev']/source/address"
    return frozenset(a.get("uuid", "").lower() for a in ET.fromstring(document).iterfind(path))


def sweep(root: Path, used: AbstractSet[str]) -> None:
    """Blocking. Remove Corral's but for those in use."""
    for uuid in sorted(ours(root) - used):
        with suppress(OSError):  # the kernel refuses while somebody has it open: the next sweep tries again
            (root / DEVICES / uuid / "remove").write_text("1")
            log.info("slice %s removed", uuid)
