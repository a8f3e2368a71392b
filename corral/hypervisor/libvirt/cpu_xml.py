"""CPU XML: vCPUs, memory, and where on the host they are.

In this room   add_memory(), add_vcpus(), add_cpu(): elements of a `<domain>`
Comes in       DomainWish, HostProfile
Always true    with room to grow there is one NUMA cell, which libvirt needs to plug memory in later
Next door      domain_xml.py puts the parts together
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Final

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.hypervisor.libvirt.xml import leaf
from corral.model.hardware import GuestCpu, GuestKind, Topology
from corral.model.units import KiB, MiB

MEMORY_SLOTS: Final = 16  # pieces of memory that can be plugged in
FASTEST_EMULATED: Final = "qemu64"


def add_memory(domain: ET.Element, wish: DomainWish) -> None:
    hardware = wish.hardware
    if _memory_grows(wish):
        leaf(
            domain,
            "maxMemory",
            str(hardware.memory_max_bytes // KiB),
            slots=str(MEMORY_SLOTS),
            unit="KiB",
        )
    leaf(domain, "memory", str((wish.memory_bytes + growth_bytes(wish)) // KiB), unit="KiB")
    leaf(domain, "currentMemory", str(wish.memory_bytes // KiB), unit="KiB")
    if hardware.hugepage_bytes:
        pages = leaf(leaf(domain, "memoryBacking"), "hugepages")
        leaf(pages, "page", size=str(hardware.hugepage_bytes // KiB), unit="KiB")


def add_vcpus(domain: ET.Element, wish: DomainWish, iothreads: int, *, kvm: bool) -> None:
    """How many, and which CPUs and cells of the host they are tied to."""
    most = vcpus_max(wish)
    now = {"current": str(wish.cpus)} if most > wish.cpus else {}
    leaf(domain, "vcpu", str(most), placement="static", **now)
    if most > 1 and wish.hardware.cpus_max and kvm:
        _pluggable(leaf(domain, "vcpus"), wish.cpus, most)
    if iothreads:
        leaf(domain, "iothreads", str(iothreads))
    pinning = wish.hardware.pinning
    if pinning and (pinning.vcpus or pinning.emulator):
        tune = leaf(domain, "cputune")
        for vcpu, cpus in enumerate(_pins(pinning.vcpus, most)):
            leaf(tune, "vcpupin", vcpu=str(vcpu), cpuset=cpus)
        if pinning.emulator:
            leaf(tune, "emulatorpin", cpuset=pinning.emulator)
            for thread in range(1, iothreads + 1):
                leaf(tune, "iothreadpin", iothread=str(thread), cpuset=pinning.emulator)
    if pinning and pinning.cells:
        leaf(leaf(domain, "numatune"), "memory", mode="strict", nodeset=pinning.cells)
    elif (near := wish.platform.near_cell) is not None:
        leaf(leaf(domain, "numatune"), "memory", mode="preferred", nodeset=str(near))


def _pluggable(vcpus: ET.Element, count: int, most: int) -> None:
    """Those that it starts with can be taken away too, but the first. QEMU's software emulation can't do that."""
    for number in range(most):
        leaf(
            vcpus,
            "vcpu",
            id=str(number),
            enabled="yes" if number < count else "no",
            hotpluggable="yes" if number else "no",
        )


def growing_memory(wish: DomainWish) -> Iterator[ET.Element]:
    """Empty at the start; the guest is asked to take more of it, or to give some back, while it runs."""
    if not growth_bytes(wish):
        return
    element = ET.Element("memory", model="virtio-mem")
    target = leaf(element, "target")
    leaf(target, "size", str(growth_bytes(wish) // KiB), unit="KiB")
    leaf(target, "node", "0")
    leaf(target, "block", str(_block_bytes(wish) // KiB), unit="KiB")
    leaf(target, "requested", "0", unit="KiB")
    yield element


def growth_bytes(wish: DomainWish) -> int:
    """Of memory that can be added to a Linux guest in small steps; others have no driver for virtio-mem."""
    if wish.hardware.guest != GuestKind.LINUX or not _memory_grows(wish):
        return 0
    room = wish.hardware.memory_max_bytes - wish.memory_bytes
    return room - room % _block_bytes(wish)


def _block_bytes(wish: DomainWish) -> int:
    """In which memory comes and goes: a page of its kind at least."""
    return max(2 * MiB, wish.hardware.hugepage_bytes)


def add_cpu(domain: ET.Element, wish: DomainWish, host: HostProfile) -> None:
    """What the guest's CPU is, how its vCPUs are grouped, and its one NUMA cell."""
    cpu = _model(domain, wish, host)
    top = wish.hardware.topology or Topology(cores=vcpus_max(wish))
    counts = (("sockets", top.sockets), ("dies", top.dies), ("cores", top.cores), ("threads", top.threads))
    leaf(cpu, "topology", **{name: str(count) for name, count in counts})
    for name, policy in _features(wish, host):
        leaf(cpu, "feature", policy=policy, name=name)
    if _memory_grows(wish):
        last, memory = vcpus_max(wish) - 1, str(wish.memory_bytes // KiB)
        leaf(leaf(cpu, "numa"), "cell", id="0", cpus=f"0-{last}" if last else "0", memory=memory, unit="KiB")


def vcpus_max(wish: DomainWish) -> int:
    return max(wish.cpus, wish.hardware.cpus_max)


def _memory_grows(wish: DomainWish) -> bool:
    return wish.hardware.memory_max_bytes > wish.memory_bytes


def _pins(sets: tuple[str, ...], count: int) -> Iterator[str]:
    """One set a vCPU; the last one holds for the rest."""
    if sets:
        yield from sets[:count]
        yield from [sets[-1]] * (count - len(sets))


def _model(domain: ET.Element, wish: DomainWish, host: HostProfile) -> ET.Element:
    asked, pinned = wish.hardware.cpu_model, wish.platform.cpu
    if asked == "host":
        if host.kvm:
            return leaf(domain, "cpu", mode="host-passthrough", check="none", migratable="on")
        return leaf(domain, "cpu", mode="maximum", check="none", migratable="on")
    if asked == "auto" and pinned is None and host.kvm:
        return leaf(domain, "cpu", mode="host-model", check="partial")
    cpu = leaf(domain, "cpu", mode="custom", match="exact", check="partial" if host.kvm else "none")
    name = asked if asked != "auto" else pinned.model if pinned else FASTEST_EMULATED
    leaf(cpu, "model", name, fallback="forbid")
    if asked == "auto" and pinned and pinned.vendor:
        leaf(cpu, "vendor", pinned.vendor)
    return cpu


def _features(wish: DomainWish, host: HostProfile) -> Iterator[tuple[str, str]]:
    """Name and policy: those of the pinned CPU, and the switch for nested virtualisation."""
    pinned = wish.platform.cpu if wish.hardware.cpu_model == "auto" else None
    for name in pinned.require if pinned else ():
        if not is_virtualisation(name):
            yield name, "require"
    for name in pinned.disable if pinned else ():
        if not is_virtualisation(name):
            yield name, "disable"
    policy = "require" if wish.hardware.nested else "disable"
    yield virtualisation_of(pinned, host), policy
    if wish.hardware.nested and not host.kvm:
        yield "npt", policy


def virtualisation_of(cpu: GuestCpu | None, host: HostProfile) -> str:
    """The feature with which a guest runs VMs. Software emulation knows AMD's only."""
    vendor = (cpu.vendor if cpu else "") or host.cpu_vendor
    return "vmx" if host.kvm and vendor == "Intel" else "svm"


def is_virtualisation(feature: str) -> bool:
    return feature in ("vmx", "svm", "npt", "nrip-save") or feature.startswith(("vmx-", "svm-"))
