"""Disk snapshots: those inside a qcow2 file, with qemu-img, and a look at what lies below the file.

In this room   DiskInfo, what `qemu-img info` says of a disk and its chain; taking, dropping, reverting at rest
Comes in       paths of the host's; no libvirt
Goes out       DiskInfo; SnapshotFailed
Always true    a disk that some QEMU has open is only looked at: qemu-img's own lock refuses the rest. A chain is refused
               when a layer is missing or marked corrupt, or when it is deeper than CHAIN_MAX.
Next door      snapshots.py says which way is taken
Start here     look()
"""

import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral import command
from corral.hypervisor.interface import SnapshotFailed

log = logging.getLogger(__name__)
CHAIN_MAX: Final = 8  # layers, the disk itself included: each one costs a look at every read
QEMU_IMG_S: Final = 300.0  # dropping a snapshot of a large disk counts all of its clusters
CHECK_S: Final = 60.0
LEAKS: Final = 3  # exit code of `qemu-img check`: room is wasted, nothing is wrong


class Inner(Struct, frozen=True, rename="kebab"):
    """A snapshot in a disk."""

    name: str
    vm_state_size: int = 0
    date_sec: int = 0


class _Specific(Struct, frozen=True):
    data: object = None


class _Layer(Struct, frozen=True, rename="kebab"):
    filename: str
    format: str
    snapshots: tuple[Inner, ...] = ()
    format_specific: _Specific | None = None
    virtual_size: int = 0


class DiskInfo(Struct, frozen=True):
    snapshots: dict[str, Inner]  # by name
    layers: int
    size_bytes: int  # as the guest sees it


async def look(path: Path) -> DiskInfo:
    """What is in it, its chain being sound. raises SnapshotFailed"""
    words = ("qemu-img", "info", "--force-share", "--backing-chain", "--output=json", str(path))
    ran = await command.run(*words, deadline_s=CHECK_S, failed=SnapshotFailed, package="qemu-utils")
    if ran.code:
        raise SnapshotFailed(f"{path} or a layer below it can't be opened: {ran.last_words}", path=str(path))
    layers = msgspec.json.decode(ran.output, type=list[_Layer])
    for layer in layers:
        if _corrupt(layer):
            raise SnapshotFailed(
                f"{layer.filename} is marked corrupt by QEMU",
                hint="Stop the VM and look at it with `qemu-img check`, before anything else is done to it.",
                path=layer.filename,
            )
    if len(layers) > CHAIN_MAX:
        raise SnapshotFailed(
            f"{path} has {len(layers)} layers, {CHAIN_MAX} at most are sensible",
            hint="Clone the VM in full: `corral vm clone --full` makes one layer of them.",
            path=str(path), layers=len(layers),
        )  # fmt: skip
    return DiskInfo({inner.name: inner for inner in layers[0].snapshots}, len(layers), layers[0].virtual_size)


def _corrupt(layer: _Layer) -> bool:
    data = layer.format_specific.data if layer.format_specific else None
    return isinstance(data, dict) and data.get("corrupt") is True


async def verify(path: Path) -> None:
    """Follow the tables of a disk at rest; clusters that an interrupted snapshot left unused are freed.

    raises  SnapshotFailed: it is damaged. A disk so large that this takes too long counts as sound.
    """
    check = ("qemu-img", "check", "-q", "-f", "qcow2", str(path))
    try:
        ran = await command.run(*check, deadline_s=CHECK_S, failed=TooLong, package="qemu-utils")
        if ran.code == LEAKS:
            mend = (*check[:3], "-r", "leaks", *check[3:])
            ran = await command.run(*mend, deadline_s=CHECK_S, failed=TooLong, package="qemu-utils")
    except TooLong as error:
        log.warning("%s was not verified: %s", path, error.message)
        return
    if ran.code not in (0, LEAKS):
        raise SnapshotFailed(
            f"{path} is damaged: {ran.last_words}",
            hint="`qemu-img check` on its node says more; restore it from a backup.",
            path=str(path),
        )


class TooLong(SnapshotFailed):
    """Not within its time."""


async def take(path: Path, name: str) -> None:
    await _snapshot("-c", name, path)


async def drop(path: Path, name: str) -> None:
    await _snapshot("-d", name, path)


async def revert(path: Path, name: str) -> None:
    """A disk that has grown since stays as large as it is."""
    before = await look(path)
    await _snapshot("-a", name, path)
    if (await look(path)).size_bytes < before.size_bytes:
        words = ("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(before.size_bytes))
        ran = await command.run(*words, deadline_s=QEMU_IMG_S, failed=SnapshotFailed, package="qemu-utils")
        if ran.code:
            raise SnapshotFailed(f"{path} did not keep its size: {ran.last_words}", path=str(path))


async def _snapshot(what: str, name: str, path: Path) -> None:
    words = ("qemu-img", "snapshot", "-q", what, name, str(path))
    ran = await command.run(*words, deadline_s=QEMU_IMG_S, failed=SnapshotFailed, package="qemu-utils")
    if ran.code:
        raise SnapshotFailed(f"qemu-img snapshot {what} {name}: {ran.last_words}", path=str(path))
