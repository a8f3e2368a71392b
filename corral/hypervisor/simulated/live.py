"""Simulated live change: a running guest's machine beside its definition.

In this room   pure: a wish that runs and one that is defined, in; steps and what is pending, out
Always true    the same rules as hypervisor/libvirt/live.py, for what the simulation knows of a VM
Next door      driver.py takes the steps; Pace says how often QEMU or a guest is in the way
Start here     steps(), pending()
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.units import format_size
from corral.model.vm import Pending, device_key

SLOTS: Final = 12  # devices that a simulated machine has room for


class Step(Struct, frozen=True):
    """What becomes of the running machine. `unplug`: the guest has to let go first."""

    what: str
    key: str
    text: str
    result: Callable[[DomainWish], DomainWish]
    unplug: bool = False


def steps(live: DomainWish, wished: DomainWish) -> Iterator[Step]:
    """What can be changed while it runs."""
    yield from _unplugs(live, wished)
    room = SLOTS - len(live.disks) - len(live.nics)
    for disk in wished.disks:
        if disk.volume not in {d.volume for d in live.disks} and room > 0:
            room -= 1
            yield Step(
                "disk", device_key(disk.volume), f"disk {disk.volume}", _with_disk(disk.volume, wished)
            )
    for nic in wished.nics:
        if nic.mac not in {n.mac for n in live.nics} and room > 0:
            room -= 1
            yield Step("nic", nic.mac, f"NIC {nic.mac}", _with_nic(nic.mac, wished))
    yield from _limits(live, wished)
    if live.cpus < wished.cpus <= max(live.cpus, live.hardware.cpus_max):
        yield Step("cpus", "", f"{wished.cpus} vCPUs", lambda w: replace(w, cpus=wished.cpus))
    if live.memory_bytes != wished.memory_bytes and _memory_fits(live, wished):
        text = f"{format_size(wished.memory_bytes)} of memory"
        yield Step("memory", "", text, lambda w: replace(w, memory_bytes=wished.memory_bytes))
    if live.cd != wished.cd:
        yield Step("disk", "cd", "the medium of its CD drive", lambda w: replace(w, cd=wished.cd))


def _unplugs(live: DomainWish, wished: DomainWish) -> Iterator[Step]:
    wanted = {device_key(d.volume) for d in wished.disks} | {n.mac for n in wished.nics}
    for disk in live.disks:
        if (key := device_key(disk.volume)) not in wanted:
            yield Step("disk", key, f"disk {disk.volume}", _without(key), unplug=True)
    for nic in live.nics:
        if nic.mac not in wanted:
            yield Step("nic", nic.mac, f"NIC {nic.mac}", _without(nic.mac), unplug=True)


def _limits(live: DomainWish, wished: DomainWish) -> Iterator[Step]:
    limits = {d.volume: d.tuning.limits for d in live.disks}
    for disk in wished.disks:
        if limits.get(disk.volume, disk.tuning.limits) != disk.tuning.limits:
            text = f"limits of disk {disk.volume}"
            yield Step("disk", device_key(disk.volume), text, _with_disk_limits(disk))
    rates = {n.mac: n.limits for n in live.nics}
    for nic in wished.nics:
        if rates.get(nic.mac, nic.limits) != nic.limits:
            yield Step("nic", nic.mac, f"limits of NIC {nic.mac}", _with_nic_limits(nic))


def _with_disk_limits(like: DiskAssignment) -> Callable[[DomainWish], DomainWish]:
    def limited(disk: DiskAssignment) -> DiskAssignment:
        same = disk.volume == like.volume
        return replace(disk, tuning=replace(disk.tuning, limits=like.tuning.limits)) if same else disk

    return lambda w: replace(w, disks=tuple(map(limited, w.disks)))


def _with_nic_limits(like: NicAssignment) -> Callable[[DomainWish], DomainWish]:
    return lambda w: replace(
        w, nics=tuple(replace(n, limits=like.limits) if n.mac == like.mac else n for n in w.nics)
    )


def _without(key: str) -> Callable[[DomainWish], DomainWish]:
    def result(wish: DomainWish) -> DomainWish:
        disks = tuple(d for d in wish.disks if device_key(d.volume) != key)
        return replace(wish, disks=disks, nics=tuple(n for n in wish.nics if n.mac != key))

    return result


def pending(live: DomainWish, wished: DomainWish) -> tuple[Pending, ...]:
    """What the running machine does not have yet."""
    found: list[Pending] = []
    for step in steps(live, wished):
        text = f"the guest has not let go of {step.text} yet" if step.unplug else step.text
        found.append(Pending(what=step.what, key=step.key, text=text, guest=step.unplug))
    told = {(p.what, p.key) for p in found}
    for disk in wished.disks:
        if (
            disk.volume not in {d.volume for d in live.disks}
            and ("disk", device_key(disk.volume)) not in told
        ):
            found.append(
                Pending(what="disk", key=device_key(disk.volume), text=f"disk {disk.volume}: no slot is free")
            )
    for nic in wished.nics:
        if nic.mac not in {n.mac for n in live.nics} and ("nic", nic.mac) not in told:
            found.append(Pending(what="nic", key=nic.mac, text=f"NIC {nic.mac}: no slot is free"))
    if live.cpus != wished.cpus and ("cpus", "") not in told:
        found.append(Pending(what="cpus", text=f"{wished.cpus} vCPUs"))
    if live.memory_bytes != wished.memory_bytes and ("memory", "") not in told:
        found.append(Pending(what="memory", text=f"{format_size(wished.memory_bytes)} of memory"))
    return tuple(found)


def _memory_fits(live: DomainWish, wished: DomainWish) -> bool:
    return wished.memory_bytes <= max(live.memory_bytes, live.hardware.memory_max_bytes)


def _with_disk(volume: str, wished: DomainWish) -> Callable[[DomainWish], DomainWish]:
    disk = next(d for d in wished.disks if d.volume == volume)
    return lambda w: replace(w, disks=(*w.disks, disk))


def _with_nic(mac: str, wished: DomainWish) -> Callable[[DomainWish], DomainWish]:
    nic = next(n for n in wished.nics if n.mac == mac)
    return lambda w: replace(w, nics=(*w.nics, nic))
