"""Live change: from how a running domain is to how it is defined, in steps that QEMU can take while it runs.

In this room   pure: two `<domain>` documents in, steps and what has to wait for the next start out
Comes in       live: the domain as it runs; wished: its definition, both as libvirt writes them
Goes out       Difference. After its steps the two are compared again: an unplug, say, takes the guest's consent
Always true    disks are told apart by serial number or source and NICs by MAC address, never by place or name:
               letters and slots move. What is not understood is never touched, only pointed out.
Next door      updates.py carries steps out; reading.py has what is read off an element
Start here     compare()
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Final

from msgspec import Struct

from corral.hypervisor.libvirt import shape
from corral.hypervisor.libvirt.shape import Shape
from corral.model.units import KiB, format_size
from corral.model.vm import Pending

PLUGGED_BUSES: Final = frozenset({"virtio", "scsi", "usb"})  # SATA disks can't be plugged in while it runs


class Attach(Struct, frozen=True, kw_only=True):
    """Plug a device in."""

    what: str  # in words: "disk 01JC…"
    xml: str
    disk: str = ""  # its target name, by which the guest's agent is asked for it
    mac: str = ""
    alias: str = ""  # of what is plugged in before, a controller say: taken out again if this fails


class Detach(Struct, frozen=True, kw_only=True):
    """Ask the guest to let a device go."""

    what: str
    alias: str
    asked: Pending  # what to say while the guest thinks about it


class Change(Struct, frozen=True, kw_only=True):
    """Give a device that stays another medium, network or link."""

    what: str
    xml: str
    drive: str = ""  # alias of the CD drive whose medium changes
    mac: str = ""  # of the NIC


class Tune(Struct, frozen=True, kw_only=True):
    """Set a disk's limits."""

    what: str
    disk: str
    limits: dict[str, int]  # by libvirt's names; 0: none


class SetCpus(Struct, frozen=True, kw_only=True):
    count: int
    before: int


class SetMemory(Struct, frozen=True, kw_only=True):
    """Ask the guest to take or give memory, by virtio-mem."""

    xml: str
    requested_bytes: int
    before_bytes: int  # what it has of it now
    before_xml: str


Step = Attach | Detach | Change | Tune | SetCpus | SetMemory


class Difference(Struct, frozen=True, kw_only=True):
    steps: tuple[Step, ...] = ()
    pending: tuple[Pending, ...] = ()  # what no step can change while it runs, or what the guest is asked for


def compare(live: str, wished: str) -> Difference:
    """What would make the running domain like its definition. Equal documents give no steps."""
    now, then = Shape(ET.fromstring(live)), Shape(ET.fromstring(wished))
    steps: list[Step] = []
    pending: list[Pending] = []
    for part in (_gone, _changed_disks, _changed_nics, _new, _cpus, _memory, _rest):
        for found in part(now, then):
            (pending if isinstance(found, Pending) else steps).append(found)  # type: ignore[arg-type]
    return Difference(steps=tuple(steps), pending=tuple(pending))


def at_next_start(what: str, key: str, text: str) -> Pending:
    return Pending(what=what, key=key, text=text)


def _asked(what: str, key: str, text: str) -> Pending:
    return Pending(what=what, key=key, text=text, guest=True)


# ---- devices that go, and come


def _gone(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    for what, here, there in (("disk", now.disks, then.disks), ("nic", now.nics, then.nics)):
        for key in sorted(here.keys() - there.keys()):
            device = here[key]
            name = f"{shape.WORDS[what]} {key}"
            if what == "disk" and shape.bus(device) not in PLUGGED_BUSES:
                yield at_next_start(what, key, f"{name} is on a bus from which nothing can be unplugged")
            else:
                asked = _asked(what, key, f"the guest has not let go of {name} yet")
                yield Detach(what=name, alias=shape.alias(device), asked=asked)


def _new(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    """The slots are counted down, so that what has no room waits and is not refused."""
    free = now.free_slots()
    letters = set(now.targets())
    scsi = set(now.controllers("scsi"))
    for key, device in then.disks.items():
        if key in now.disks:
            continue
        if why := _not_pluggable(device):
            yield at_next_start("disk", key, f"disk {key} {why}")
            continue
        number = shape.controller_of(device)
        if shape.bus(device) == "scsi" and number not in scsi:
            if not free:
                yield _no_slot("disk", key)
                continue
            scsi.add(number)
            yield Attach(
                what=f"SCSI controller {number}", xml=_placed(then.controllers("scsi")[number], free)
            )
        if shape.bus(device) == "virtio" and not free:
            yield _no_slot("disk", key)
            continue
        target = shape.free_target(device, letters)
        letters.add(target)
        yield Attach(what=f"disk {key}", xml=_plugged_disk(device, target, free), disk=target)
    for key, device in then.nics.items():
        if key in now.nics:
            continue
        if not free:
            yield _no_slot("nic", key)
            continue
        yield Attach(what=f"NIC {key}", xml=_placed(device, free), mac=key)


def _not_pluggable(device: ET.Element) -> str:
    if shape.bus(device) not in PLUGGED_BUSES:
        return f"is on {shape.bus(device)}, into which nothing can be plugged"
    if device.get("device") == "cdrom" and device.find("source") is None:
        return "is an empty CD drive, which comes with its next disc too"
    return ""


def _no_slot(what: str, key: str) -> Pending:
    return at_next_start(
        what, key, f"{shape.WORDS[what]} {key}: no free PCI slot is left in the running machine"
    )


def _plugged_disk(device: ET.Element, target: str, free: set[int]) -> str:
    copy = deepcopy(device)
    found = copy.find("target")
    assert found is not None
    found.set("dev", target)
    for boot in copy.findall("boot"):  # the order is looked at when the machine starts
        copy.remove(boot)
    if shape.bus(copy) == "virtio":
        return _placed(copy, free)
    if shape.bus(copy) == "usb" or shape.controller_of(copy) == 0:
        _drop_address(copy)
    return ET.tostring(copy, encoding="unicode")


def _placed(device: ET.Element, free: set[int]) -> str:
    """On the slot that its definition names if that is free, else wherever there is room."""
    copy = deepcopy(device)
    wanted = shape.slot(copy)
    if wanted in free:
        free.discard(wanted)
    else:
        free.discard(max(free))
        _drop_address(copy)
    for boot in copy.findall("boot"):
        copy.remove(boot)
    return ET.tostring(copy, encoding="unicode")


def _drop_address(device: ET.Element) -> None:
    for address in device.findall("address"):
        device.remove(address)


# ---- devices that stay


def _changed_disks(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    for key in sorted(now.disks.keys() & then.disks.keys()):
        here, there = now.disks[key], then.disks[key]
        name = f"{shape.WORDS['disk']} {key}"
        if shape.removable(here) and shape.source(here) != shape.source(there):
            yield Change(what=f"medium of {key}", xml=_with_medium(here, there), drive=shape.alias(here))
        if shape.limits(here) != shape.limits(there):
            limits = {f: shape.limits(there).get(f, 0) for f in shape.LIMITS}
            yield Tune(what=f"limits of {name}", disk=shape.target(here), limits=limits)
        if not shape.removable(here) and shape.how(here) != shape.how(there):
            yield at_next_start("disk", key, f"{name}: bus, cache or the like")


def _with_medium(here: ET.Element, there: ET.Element) -> str:
    """The drive as it runs, with the medium of its definition."""
    copy = deepcopy(here)
    for tag in ("source", "backingStore"):
        for old in copy.findall(tag):
            copy.remove(old)
    source, driver = there.find("source"), there.find("driver")
    if source is not None:
        copy.insert(0, deepcopy(source))
    old_driver = copy.find("driver")
    if driver is not None and old_driver is not None:
        old_driver.set("type", driver.get("type", "raw"))
    return ET.tostring(copy, encoding="unicode")


def _changed_nics(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    for key in sorted(now.nics.keys() & then.nics.keys()):
        here, there = now.nics[key], then.nics[key]
        other = shape.connected(here) != shape.connected(there)
        if other or shape.rates(here) != shape.rates(there):
            xml = _with_parts(here, there, ("source", "link", "bandwidth"))
            yield Change(what=f"{'network' if other else 'limits'} of NIC {key}", xml=xml, mac=key)
        if shape.nic_how(here) != shape.nic_how(there):
            yield at_next_start("nic", key, f"NIC {key}: model, queues or the like")


def _with_parts(here: ET.Element, there: ET.Element, tags: tuple[str, ...]) -> str:
    copy = deepcopy(here)
    for tag in tags:
        for old in copy.findall(tag):
            copy.remove(old)
        copy.extend(deepcopy(new) for new in there.findall(tag))
    return ET.tostring(copy, encoding="unicode")


# ---- CPUs, memory, the rest


def _cpus(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    if then.cpus > now.cpus:
        if then.cpus <= now.cpus_max:
            yield SetCpus(count=then.cpus, before=now.cpus)
        else:
            yield at_next_start(
                "cpus", "", f"{then.cpus} vCPUs: the running machine takes {now.cpus_max} at most"
            )
    elif (
        then.cpus < now.cpus and now.emulated
    ):  # QEMU 7.2 loses track of them, and the next plug ends the guest
        yield at_next_start(
            "cpus", "", f"{then.cpus} vCPUs: an emulated machine gives none back while it runs"
        )
    elif then.cpus < now.cpus:
        yield SetCpus(count=then.cpus, before=now.cpus)
        yield _asked("cpus", "", f"the guest still uses {now.cpus} vCPUs of which it shall keep {then.cpus}")
    if (
        then.cpus_max != now.cpus_max
        and then.cpus <= now.cpus_max
        and not (then.cpus < now.cpus and now.emulated)
    ):
        yield at_next_start("cpus", "", f"room for {then.cpus_max} vCPUs")


def _memory(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    wanted = then.memory_bytes
    size = format_size(wanted)
    device = now.virtio_mem
    if device is None:
        if wanted != now.memory_bytes:
            yield at_next_start("memory", "", f"{size} of memory: the running machine can't be given any")
        return
    requested = wanted - now.base_bytes
    if not 0 <= requested <= shape.mem_size(device) or requested % shape.mem_block(device):
        most = format_size(now.base_bytes + shape.mem_size(device))
        why = f"it takes {format_size(now.base_bytes)} to {most} while it runs"
        yield at_next_start("memory", "", f"{size} of memory: {why}")
        return
    if requested != shape.mem_requested(device):
        yield SetMemory(
            xml=_requesting(device, requested),
            requested_bytes=requested,
            before_bytes=shape.mem_current(device),
            before_xml=_requesting(device, shape.mem_requested(device)),
        )
    if requested != shape.mem_current(device):
        has = format_size(now.base_bytes + shape.mem_current(device))
        yield _asked("memory", "", f"the guest has {has} of the {size} that it shall have")


def _requesting(device: ET.Element, requested: int) -> str:
    copy = deepcopy(device)
    found = copy.find("target/requested")
    assert found is not None
    found.text, found.attrib = str(requested // KiB), {"unit": "KiB"}
    return ET.tostring(copy, encoding="unicode")


def _rest(now: Shape, then: Shape) -> Iterator[Step | Pending]:
    if now.name != then.name:
        yield at_next_start("name", "", f"its domain is called {now.name} until it has stopped once")
    if now.fixed and then.fixed and now.fixed != then.fixed:
        yield at_next_start("hardware", "", "other hardware")


Part = Callable[[Shape, Shape], Iterator[Step | Pending]]
