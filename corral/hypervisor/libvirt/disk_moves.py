"""Disk moves: a running domain's disk copied to another file, and the guest carried over to it.

In this room   blocking functions that take a libvirt connection, for use in a thread; each may be repeated
Comes in       a domain's UUID, paths of files; the file to copy into is there already, and large enough
Goes out       DiskPlace: which file the disk has open, and how far a copy is
Always true    the live XML says where a disk is after a pivot, and libvirt has written the same into the definition by
               then. The copy is QEMU's job: it goes on when libvirtd or the agent die, and ends with QEMU
Next door      agent/move_plan.py decides; driver.py calls
Start here     place()
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import libvirt

from corral.hypervisor.interface import DiskPlace, HypervisorFailed

COPY: Final = (
    libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW  # what lies below is in the other pool too
    | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
    | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
)
PIVOT: Final = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT


def place(connection: libvirt.virConnect, uuid: str, paths: Sequence[str]) -> DiskPlace:
    """Of the disk that has one of these files open, or is copied into one, or would open one."""
    try:
        domain = connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return DiskPlace()
        raise
    running = bool(domain.isActive())
    disk = _disk(domain.XMLDesc(0 if running else libvirt.VIR_DOMAIN_XML_INACTIVE), paths)
    if disk is None:
        return DiskPlace(running=running)
    mirror = disk.find("mirror")
    return DiskPlace(
        running=running,
        path=_source(disk),
        copy_path=_source(mirror) if mirror is not None else "",
        copied=mirror is not None and mirror.get("ready") == "yes",
        progress=_progress(domain, disk) if mirror is not None else 0.0,
    )


def user(connection: libvirt.virConnect, paths: Sequence[str]) -> str:
    """The UUID of the running domain that has one of these files open; "": none."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with suppress(libvirt.libvirtError):  # it has ended meanwhile
            if _disk(domain.XMLDesc(0), paths) is not None:
                return str(domain.UUIDString())
    return ""


def copy(connection: libvirt.virConnect, uuid: str, path: str, to_path: str, format: str) -> None:
    """Begin. No error when it has begun already."""
    domain, disk = _running(connection, uuid, path)
    if disk.find("mirror") is not None:
        return
    root = ET.Element("disk", type="file", device="disk")
    ET.SubElement(root, "source", file=to_path)
    ET.SubElement(root, "driver", name="qemu", type=format)
    domain.blockCopy(_device(disk), ET.tostring(root, encoding="unicode"), {}, COPY)


def pivot(connection: libvirt.virConnect, uuid: str, path: str) -> None:
    domain, disk = _running(connection, uuid, path)
    domain.blockJobAbort(_device(disk), PIVOT)


def end(connection: libvirt.virConnect, uuid: str, path: str) -> None:
    domain, disk = _running(connection, uuid, path)
    if disk.find("mirror") is not None:
        domain.blockJobAbort(_device(disk), 0)


def _running(connection: libvirt.virConnect, uuid: str, path: str) -> tuple[libvirt.virDomain, ET.Element]:
    domain = connection.lookupByUUIDString(uuid)
    disk = _disk(domain.XMLDesc(0), [path]) if domain.isActive() else None
    if disk is None:
        raise HypervisorFailed(f"no running domain has {path} open", path=path)
    return domain, disk


def _disk(xml: str, paths: Sequence[str]) -> ET.Element | None:
    disks = ET.fromstring(xml).findall("devices/disk")
    return next((disk for disk in disks if _source(disk) in paths), None)


def _source(element: ET.Element) -> str:
    source = element.find("source")
    return source.get("file", "") if source is not None else ""


def _device(disk: ET.Element) -> str:
    target = disk.find("target")
    assert target is not None
    return target.get("dev", "")


def _progress(domain: libvirt.virDomain, disk: ET.Element) -> float:
    with suppress(libvirt.libvirtError):
        job = domain.blockJobInfo(_device(disk), 0)
        if job and job.get("end"):
            return float(min(1.0, job["cur"] / job["end"]))
    return 0.0
