"""Simulated disks: which of a volume's files has what the guest wrote last.

In this room   Disks, a host's view of its files; what a start, and a migration, does to them
Always true    a guest that runs on a file without its latest writes is noted in World.stale: it must never happen
Next door      storage/simulated.py has the files
"""

from typing import TYPE_CHECKING, Protocol

from corral.hypervisor.interface import DomainWish, MigrationFailed

if TYPE_CHECKING:
    from corral.hypervisor.simulated.world import SimulatedHost


class Disks(Protocol):
    """Files of one host, each with the number of the last write to it; 0: nobody wrote yet."""

    def exists(self, path: str) -> bool: ...

    def stamp(self, path: str) -> int: ...

    def write(self, path: str, stamp: int) -> None: ...


def begin_writing(host: "SimulatedHost", wish: DomainWish) -> None:
    """A guest starts, and writes."""
    if host.disks is None:
        return
    for disk in wish.disks:
        found = host.disks.stamp(
            disk.path
        )  # a volume on a file that was there before begins with what that has
        if found != host.world.stamps.setdefault(disk.volume, found):
            host.world.stale.append(
                f"{wish.name} started on {host.name} without what it wrote to {disk.volume}"
            )
        _write(host, disk.volume, disk.path)


def ready_for(target: "SimulatedHost", wish: DomainWish) -> None:
    """Raises MigrationFailed: a file that local disks are to be copied into is missing"""
    if target.disks is None:
        return
    for disk in wish.disks:
        if not target.disks.exists(disk.path):
            raise MigrationFailed(f"{target.name} has no {disk.path}", path=disk.path)
        if not disk.shared and target.disks.stamp(disk.path):
            target.world.stale.append(
                f"{wish.name} would be copied onto a used {disk.volume} on {target.name}"
            )


def carry(wish: DomainWish, source: "SimulatedHost", target: "SimulatedHost") -> None:
    """The guest changes hosts: its local disks have been copied, and from now on it writes there."""
    if source.disks is None or target.disks is None:
        return
    for disk in wish.disks:
        if not disk.shared:
            target.disks.write(disk.path, source.disks.stamp(disk.path))
        _write(target, disk.volume, disk.path)


def _write(host: "SimulatedHost", volume: str, path: str) -> None:
    assert host.disks is not None
    stamps = host.world.stamps
    stamps[volume] = stamps.get(volume, 0) + 1
    host.disks.write(path, stamps[volume])
