"""Simulated snapshots: what is on disks, and what it was.

In this room   Contents: each disk's content as a word, and the snapshots in it; how long taking them takes
Comes in       a host, a VM, the disks that a snapshot is of
Goes out       SnapshotReport, or SnapshotFailed
Always true    those of a VM that runs are taken of all disks at one moment; of one that does not, disk after disk, so
               that somebody can be interrupted in between
Next door      driver.py calls this; libvirt/snapshots.py is the real one
Start here     Contents
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from corral.hypervisor.interface import SnapshotFailed
from corral.model.link import DiskAssignment, SnapshotAssignment
from corral.model.snapshot import SnapshotReport, SnapshotState

Strike = Callable[[str], Awaitable[None]]


@dataclass
class Content:
    """What is on one disk."""

    now: str = "new"
    snapshots: dict[str, tuple[str, bool]] = field(default_factory=dict)  # by name: what it was; with memory


class Contents:
    """Of all disks, by path."""

    def __init__(self) -> None:
        self.disks: dict[str, Content] = {}
        self._writes = 0
        self.on_revert: Callable[[str, str], None] = lambda vm, snapshot: None  # for who watches

    def at(self, path: str) -> Content:
        return self.disks.setdefault(path, Content())

    def write(self, path: str) -> None:
        """A guest that starts writes something new."""
        self._writes += 1
        self.at(path).now = f"written {self._writes}"

    def see(self, wish: SnapshotAssignment) -> SnapshotReport:
        there = [path for path in paths(wish) if wish.snapshot in self.at(path).snapshots]
        memory = bool(there) and self.at(there[0]).snapshots[wish.snapshot][1]
        if len(there) == len(wish.disks) and (memory or not wish.memory):
            return SnapshotReport(state=SnapshotState.READY, memory_bytes=1 if memory else 0)
        return SnapshotReport(state=SnapshotState.PARTIAL if there else SnapshotState.ABSENT)

    def take(self, wish: SnapshotAssignment, path: str) -> None:
        disk = self.at(path)
        if wish.snapshot in disk.snapshots:
            raise SnapshotFailed(f"{path} has a snapshot {wish.snapshot} already", path=path)
        disk.snapshots[wish.snapshot] = (disk.now, wish.memory)

    def drop(self, wish: SnapshotAssignment, path: str) -> None:
        self.at(path).snapshots.pop(wish.snapshot, None)

    def revert(self, wish: SnapshotAssignment, path: str) -> None:
        disk = self.at(path)
        if wish.snapshot not in disk.snapshots:
            raise SnapshotFailed(f"{path} has no snapshot {wish.snapshot}", path=path)
        disk.now = disk.snapshots[wish.snapshot][0]


async def each(
    act: Callable[[SnapshotAssignment, str], None], wish: SnapshotAssignment, strike: Strike
) -> None:
    """Disk after disk: whoever does it may be struck in between."""
    for path in paths(wish):
        act(wish, path)
        await strike("hypervisor.snapshot.disk")


def paths(wish: SnapshotAssignment) -> list[str]:
    return [disk.path for disk in wish.disks]


def refuse_raw(disks: tuple[DiskAssignment, ...]) -> None:
    """Raises SnapshotFailed"""
    for disk in disks:
        if disk.format != "qcow2":
            raise SnapshotFailed(
                f"{disk.path} is {disk.format}: only qcow2 can hold snapshots", path=disk.path
            )
