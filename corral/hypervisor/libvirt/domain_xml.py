"""Domain XML: a VM as libvirt is told of it.

In this room   plain values in, text out: no libvirt, no file is looked at
Comes in       DomainWish, and HostProfile: what this host's QEMU is and can
Goes out       build_domain_xml(): a `<domain>` document
Always true    equal input gives equal text. What a guest can see (machine version, CPU model, devices and
               their order) is written out, never left to a default that a host's upgrade would change.
Next door      tests/unit/hypervisor/golden has the documents; the lab test holds them to libvirt's schema
Start here     build_domain_xml()
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.identity import PREFIX, XMLNS, domain_uuid
from corral.model.ids import VmId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.node import AcceleratorKind
from corral.model.units import KiB

SPARE_PORTS: Final = 4  # for what is plugged in later; a root port can't be added to a running q35 guest
TB_CACHE_MIB: Final = (
    32  # translated code; QEMU's own default of 1/4 of the host's memory costs 40-60 MB a VM
)
STATS_PERIOD_S: Final = 10  # between the guest's figures about its memory
SERIAL_LENGTH_MAX: Final = (
    20  # of a virtio disk's serial number: the end of the volume's id, which is the random part
)
TARGETS: Final = {"virtio": "vd", "sata": "sd", "scsi": "sd", "usb": "sd"}


class HostProfile(Struct, frozen=True, kw_only=True):
    """What a definition has to know of the host."""

    accelerator: AcceleratorKind = AcceleratorKind.TCG
    emulator: str = "/usr/bin/qemu-system-x86_64"
    machine: str = "pc-q35-7.2"  # with its version, or the guest would see new hardware after an upgrade
    architecture: str = "x86_64"
    serial_log_dir: str = ""  # where virtlogd keeps what consoles print; empty: nowhere


def build_domain_xml(
    wish: DomainWish, host: HostProfile, *, name: str = "", buffered: frozenset[str] = frozenset()
) -> str:
    """The `<domain>` document.

    name      of the domain, where it can't be the VM's own
    buffered  paths of disks whose file system refuses O_DIRECT
    """
    kvm = host.accelerator is AcceleratorKind.KVM
    domain = ET.Element("domain", type="kvm" if kvm else "qemu")
    _leaf(domain, "name", name or wish.name)
    _leaf(domain, "uuid", domain_uuid(wish.vm))
    _metadata(domain, wish)
    _leaf(domain, "memory", str(wish.memory_bytes // KiB), unit="KiB")
    _leaf(domain, "currentMemory", str(wish.memory_bytes // KiB), unit="KiB")
    _leaf(domain, "vcpu", str(wish.cpus), placement="static")
    _leaf(_leaf(domain, "os"), "type", "hvm", arch=host.architecture, machine=host.machine)
    _features(domain, kvm)
    _cpu(domain, wish.cpus, kvm)
    _clock(domain)
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _leaf(domain, event, action)
    _devices(domain, wish, host, buffered)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def _leaf(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _metadata(domain: ET.Element, wish: DomainWish) -> None:
    """ElementTree would name the prefix ns0, and people read this with `virsh dumpxml`."""
    attributes = {f"xmlns:{PREFIX}": XMLNS, "id": wish.vm, "generation": str(wish.generation)}
    ET.SubElement(_leaf(domain, "metadata"), f"{PREFIX}:vm", attributes)


def _features(domain: ET.Element, kvm: bool) -> None:
    features = _leaf(domain, "features")
    _leaf(features, "acpi")
    _leaf(features, "apic")
    if not kvm:
        _leaf(_leaf(features, "tcg"), "tb-cache", str(TB_CACHE_MIB), unit="MiB")


def _cpu(domain: ET.Element, cpus: int, kvm: bool) -> None:
    """KVM: all that the host's model names and can migrate. Software: the model that is emulated fastest."""
    if kvm:
        cpu = _leaf(domain, "cpu", mode="host-model", check="partial")
    else:
        cpu = _leaf(domain, "cpu", mode="custom", match="exact", check="none")
        _leaf(cpu, "model", "qemu64", fallback="forbid")
    _leaf(cpu, "topology", sockets="1", dies="1", cores=str(cpus), threads="1")


def _clock(domain: ET.Element) -> None:
    clock = _leaf(domain, "clock", offset="utc")
    _leaf(clock, "timer", name="rtc", tickpolicy="catchup")
    _leaf(clock, "timer", name="pit", tickpolicy="delay")
    _leaf(clock, "timer", name="hpet", present="no")


def _devices(domain: ET.Element, wish: DomainWish, host: HostProfile, buffered: frozenset[str]) -> None:
    devices = _leaf(domain, "devices")
    _leaf(devices, "emulator", host.emulator)
    letters = _letters()
    for order, disk in enumerate(wish.disks, start=1):
        _disk(devices, disk, next(letters), order=order, direct=disk.path not in buffered)
    if wish.seed_path:
        _seed(devices, wish.seed_path, next(letters))
    _controllers(devices, wish)
    for nic in wish.nics:
        _nic(devices, nic)
    _serial(devices, wish, host)
    _leaf(_leaf(devices, "channel", type="unix"), "target", type="virtio", name="org.qemu.guest_agent.0")
    _leaf(_leaf(devices, "memballoon", model="virtio"), "stats", period=str(STATS_PERIOD_S))
    _leaf(_leaf(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    _leaf(devices, "panic", model="isa")  # so that a kernel that died is seen as a crash


def _letters() -> Iterator[str]:
    """As Linux names its disks: a … z, aa … zz."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    yield from (first + second for first in alphabet for second in alphabet)


def _disk(devices: ET.Element, disk: DiskAssignment, letters: str, *, order: int, direct: bool) -> None:
    """Without the host's page cache where the file system allows: a live migration relies on it."""
    element = _leaf(devices, "disk", type="file", device="disk")
    how = {"cache": "none", "io": "native"} if direct else {"cache": "writeback", "io": "threads"}
    _leaf(element, "driver", name="qemu", type=disk.format, discard="unmap", **how)
    _leaf(element, "source", file=disk.path)
    _leaf(element, "target", dev=TARGETS[disk.bus] + letters, bus=disk.bus)
    _leaf(element, "serial", disk.volume[-SERIAL_LENGTH_MAX:])
    _leaf(element, "boot", order=str(order))


def _seed(devices: ET.Element, path: str, letters: str) -> None:
    """A virtio disk, not a CD-ROM: small guests have no driver for those."""
    element = _leaf(devices, "disk", type="file", device="disk")
    _leaf(element, "driver", name="qemu", type="raw")
    _leaf(element, "source", file=path)
    _leaf(element, "target", dev=TARGETS["virtio"] + letters, bus="virtio")
    _leaf(element, "readonly")


def _controllers(devices: ET.Element, wish: DomainWish) -> None:
    used = len(wish.disks) + len(wish.nics) + 4  # seed, serial bus, balloon, random numbers
    _leaf(devices, "controller", type="pci", index="0", model="pcie-root")
    for index in range(1, used + SPARE_PORTS + 1):
        _leaf(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
    if any(disk.bus == "scsi" for disk in wish.disks):
        _leaf(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    _leaf(devices, "controller", type="virtio-serial", index="0")
    if not any(disk.bus == "usb" for disk in wish.disks):
        _leaf(devices, "controller", type="usb", index="0", model="none")


def _nic(devices: ET.Element, nic: NicAssignment) -> None:
    element = _leaf(devices, "interface", type="bridge")
    _leaf(element, "mac", address=nic.mac)
    _leaf(element, "source", bridge=nic.bridge)
    _leaf(element, "model", type="virtio")
    _leaf(element, "mtu", size=str(nic.mtu))
    _leaf(element, "rom", enabled="no")  # else each start waits for iPXE


def _serial(devices: ET.Element, wish: DomainWish, host: HostProfile) -> None:
    for tag in ("serial", "console"):
        element = _leaf(devices, tag, type="pty")
        if host.serial_log_dir and tag == "serial":
            _leaf(
                element, "log", file=serial_log(wish.vm, host.serial_log_dir), append="on"
            )  # off: a restart would empty it
        _leaf(
            element,
            "target",
            port="0",
            **({"type": "serial"} if tag == "console" else {"type": "isa-serial"}),
        )


def serial_log(vm: VmId, directory: str) -> str:
    """Named by the VM's id: names are reused."""
    return f"{directory}/{vm}-serial.log"
