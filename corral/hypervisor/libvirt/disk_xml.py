"""Disk XML: disks, the seed, and the controllers they hang on.

In this room   DiskPlan: which name, I/O thread and controller each disk gets; one element a disk
Comes in       DiskAssignment
Goes out       elements of `<devices>`; also for a disk that is plugged in later
Always true    the n-th disk has the n-th letter; each disk with an I/O thread has one of its own. virtio-scsi
               runs a whole controller in a thread, so such a disk has a controller of its own too.
Start here     plan_disks()
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from corral.hypervisor.libvirt.xml import leaf
from corral.model.hardware import Bus, DiskCache, DiskIo, DiskLimits, GuestKind
from corral.model.ids import VolumeId
from corral.model.link import CdAssignment, DiskAssignment

PREFIXES: Final = {Bus.VIRTIO: "vd", Bus.SATA: "sd", Bus.SCSI: "sd", Bus.USB: "sd"}
SERIAL_LENGTH_MAX: Final = 20  # of a virtio disk's
UNCACHED: Final = (DiskCache.NONE, DiskCache.DIRECTSYNC)  # what Linux AIO needs
LIMITS: Final = {  # libvirt's names
    "iops": "total_iops_sec",
    "read_iops": "read_iops_sec",
    "write_iops": "write_iops_sec",
    "bytes_s": "total_bytes_sec",
    "read_bytes_s": "read_bytes_sec",
    "write_bytes_s": "write_bytes_sec",
}


class DiskPlan(Struct, frozen=True, kw_only=True):
    """Where a disk goes."""

    target: str  # vda: libvirt's name for it, and mostly Linux's
    order: int  # in which it is tried at boot
    iothread: int = 0  # 0: none
    controller: int = 0  # of virtio-scsi


def plan_disks(disks: Sequence[DiskAssignment]) -> tuple[DiskPlan, ...]:
    plans: list[DiskPlan] = []
    threads = controllers = 0
    for order, (disk, letters) in enumerate(zip(disks, _letters(), strict=False), start=1):
        threads += disk.tuning.iothread
        own = disk.tuning.iothread and disk.bus == Bus.SCSI
        controllers += own
        plans.append(
            DiskPlan(
                target=PREFIXES[disk.bus] + letters,
                order=order,
                iothread=threads if disk.tuning.iothread else 0,
                controller=controllers if own else 0,
            )
        )
    return tuple(plans)


def seed_target(disks: Sequence[DiskAssignment], guest: GuestKind) -> str:
    """The letter behind the disks'."""
    letters = list(zip(_letters(), range(len(disks) + 1), strict=False))[-1][0]
    return ("sd" if guest == GuestKind.WINDOWS else "vd") + letters


def disk_element(disk: DiskAssignment, plan: DiskPlan, *, direct: bool = True) -> ET.Element:
    """`<disk>`. direct: its file system can leave out the page cache, which live migration relies on."""
    element = ET.Element("disk", type="file", device="disk")
    cache, io = how(disk, direct=direct)
    driver = leaf(
        element,
        "driver",
        name="qemu",
        type=disk.format,
        discard="unmap" if disk.tuning.discard else "ignore",
        cache=cache,
        io=io,
    )
    if plan.iothread and disk.bus == Bus.VIRTIO:
        driver.set("iothread", str(plan.iothread))
    leaf(element, "source", file=disk.path)
    leaf(element, "target", dev=plan.target, bus=disk.bus)
    _limits(element, disk.tuning.limits)
    leaf(element, "serial", serial_of(disk.volume))
    leaf(element, "boot", order=str(plan.order))
    if disk.bus == Bus.SCSI and plan.controller:
        leaf(element, "address", type="drive", controller=str(plan.controller), bus="0", target="0", unit="0")
    return element


def how(disk: DiskAssignment, *, direct: bool) -> tuple[str, str]:
    """Cache and I/O mode, with `auto` decided."""
    cache, io = disk.tuning.cache, disk.tuning.io
    if cache == DiskCache.AUTO:
        cache = DiskCache.NONE if direct else DiskCache.WRITEBACK
    if io == DiskIo.AUTO:
        io = DiskIo.NATIVE if cache in UNCACHED else DiskIo.THREADS
    return cache.value, io.value


def serial_of(volume: VolumeId) -> str:
    """By which a guest tells its disks apart: the end of the volume's id, which is the random part."""
    return volume[-SERIAL_LENGTH_MAX:]


def _limits(element: ET.Element, limits: DiskLimits) -> None:
    given = {name: value for field, name in LIMITS.items() if (value := getattr(limits, field))}
    if given:
        tune = leaf(element, "iotune")
        for name, value in given.items():
            leaf(tune, name, str(value))


def seed_element(path: str, target: str, guest: GuestKind) -> ET.Element:
    """A virtio disk where small guests have no driver for CD-ROMs; for Windows, which has none for virtio, a CD."""
    windows = guest == GuestKind.WINDOWS
    element = ET.Element("disk", type="file", device="cdrom" if windows else "disk")
    leaf(element, "driver", name="qemu", type="raw")
    leaf(element, "source", file=path)
    leaf(element, "target", dev=target, bus="sata" if windows else "virtio")
    leaf(element, "readonly")
    return element


def cd_target(disks: Sequence[DiskAssignment], cd: CdAssignment) -> str:
    """The letter behind the disks' and the seed's."""
    return PREFIXES[Bus(cd.bus)] + list(zip(_letters(), range(len(disks) + 2), strict=False))[-1][0]


def cd_element(cd: CdAssignment, target: str, *, order: int) -> ET.Element:
    """A CD drive, with or without a medium. Its name stays, wherever it is plugged in."""
    element = ET.Element("disk", type="file", device="cdrom")
    leaf(element, "driver", name="qemu", type=cd.disk.format if cd.disk else "raw")
    if cd.disk:
        leaf(element, "source", file=cd.disk.path)
    leaf(element, "target", dev=target, bus=cd.bus)
    leaf(element, "readonly")
    leaf(element, "boot", order=str(order))
    leaf(element, "alias", name="ua-cd")
    return element


def scsi_controllers(
    disks: Sequence[DiskAssignment], plans: Sequence[DiskPlan], *, cd: CdAssignment | None = None
) -> Iterator[ET.Element]:
    """Number 0 for all disks without a thread of their own (also those plugged in later), then one a disk with one."""
    pairs = [(disk, plan) for disk, plan in zip(disks, plans, strict=True) if disk.bus == Bus.SCSI]
    if pairs or (cd and cd.bus == Bus.SCSI):
        yield ET.Element("controller", type="scsi", index="0", model="virtio-scsi")
    for _, plan in pairs:
        if plan.controller:
            element = ET.Element("controller", type="scsi", index=str(plan.controller), model="virtio-scsi")
            leaf(element, "driver", iothread=str(plan.iothread))
            yield element


def _letters() -> Iterator[str]:
    """As Linux names its disks: a … z, aa … zz."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    yield from (first + second for first in alphabet for second in alphabet)
