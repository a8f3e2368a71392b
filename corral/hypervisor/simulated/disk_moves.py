"""Disk moves of the simulated hypervisor: copies that take a while, and end with the domain's QEMU."""

from dataclasses import dataclass

from msgspec.structs import replace

from corral.hypervisor.interface import DiskPlace, DomainWish, HypervisorFailed
from corral.hypervisor.simulated.world import Held, SimulatedHost
from corral.model.ids import VmId

COPY_S = 2.0


@dataclass
class DiskCopy:
    """A disk that is being copied, by one QEMU process."""

    to_path: str
    began_s: float
    run: object  # whose end ends it


def place(host: SimulatedHost, vm: VmId, paths: tuple[str, ...], now_s: float) -> DiskPlace:
    held = host.domains.get(vm)
    if held is None:
        return DiskPlace()
    running = held.running is not None
    path = next((disk.path for disk in held.wish.disks if disk.path in paths), "")
    copy = running_copy(host, held, vm, path)
    share = min(1.0, (now_s - copy.began_s) / COPY_S) if copy else 0.0
    return DiskPlace(
        running=running,
        path=path,
        copy_path=copy.to_path if copy else "",
        copied=share >= 1.0,
        progress=share,
    )


def running_copy(host: SimulatedHost, held: Held, vm: VmId, path: str) -> DiskCopy | None:
    copy = host.copies.get((vm, path))
    return copy if isinstance(copy, DiskCopy) and copy.run is held.running and held.running else None


def begin(host: SimulatedHost, held: Held, path: str, to_path: str, now_s: float) -> None:
    _open(held, path)
    if running_copy(host, held, held.wish.vm, path) is None:
        host.copies[held.wish.vm, path] = DiskCopy(to_path, now_s, held.running)


def pivot(host: SimulatedHost, held: Held, path: str, now_s: float) -> None:
    _open(held, path)
    copy = running_copy(host, held, held.wish.vm, path)
    if copy is None or now_s - copy.began_s < COPY_S:
        raise HypervisorFailed(f"the copy of {path} is not complete", path=path)
    del host.copies[held.wish.vm, path]
    contents = host.world.contents
    contents.at(copy.to_path).now = contents.at(path).now
    if host.disks is not None:
        host.disks.write(copy.to_path, host.disks.stamp(path))
    held.wish = _moved(held.wish, path, copy.to_path)
    if held.running and held.running.wish:
        held.running.wish = _moved(held.running.wish, path, copy.to_path)


def kept(wish: DomainWish, held: Held) -> DomainWish:
    """The wish, with each disk on the file that the running domain has open."""
    now = held.running.wish if held.running and held.running.wish else held.wish
    open_ = {disk.volume: disk.path for disk in now.disks}
    disks = tuple(replace(d, path=open_.get(d.volume, d.path)) for d in wish.disks)
    return replace(wish, disks=disks)


def _moved(wish: DomainWish, path: str, to_path: str) -> DomainWish:
    disks = tuple(replace(d, path=to_path) if d.path == path else d for d in wish.disks)
    return replace(wish, disks=disks)


def end(host: SimulatedHost, held: Held, path: str) -> None:
    _open(held, path)
    host.copies.pop((held.wish.vm, path), None)


def _open(held: Held, path: str) -> None:
    if held.running is None or all(disk.path != path for disk in held.wish.disks):
        raise HypervisorFailed(f"no running domain has {path} open", path=path)
