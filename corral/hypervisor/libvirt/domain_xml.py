"""Domain XML: a VM as libvirt is told of it.

In this room   plain values in, text out: no libvirt, no file is looked at
Comes in       DomainWish, and HostProfile: what this host's QEMU is and can
Goes out       build_domain_xml(): a `<domain>` document
Always true    equal input gives equal text. What a guest can see (machine version, CPU model, devices and
               their order) is written out, never left to a default that a host's upgrade would change.
Next door      cpu_xml.py, disk_xml.py and device_xml.py have the parts; tests/unit/hypervisor/golden has the
               documents; the lab test holds them to libvirt's schema
Start here     build_domain_xml()
"""

import xml.etree.ElementTree as ET
from typing import Final

from corral.hypervisor.interface import DomainWish, HardwareLacking
from corral.hypervisor.libvirt.cpu_xml import add_cpu, add_memory, add_vcpus, growing_memory, growth_bytes
from corral.hypervisor.libvirt.device_xml import (
    graphics_elements,
    helper_elements,
    host_device_element,
    nic_element,
    serial_elements,
    usb_elements,
)
from corral.hypervisor.libvirt.disk_xml import (
    DiskPlan,
    cd_element,
    cd_target,
    disk_element,
    plan_disks,
    scsi_controllers,
    seed_element,
    seed_target,
)
from corral.hypervisor.libvirt.host_profile import FirmwareFiles, HostProfile, nvram_path
from corral.hypervisor.libvirt.identity import PREFIX, XMLNS, domain_uuid
from corral.hypervisor.libvirt.xml import leaf
from corral.model.hardware import Bus, DeviceKind, Firmware, GuestKind
from corral.model.ids import VmId

SPARE_PORTS: Final = 6  # for what is plugged in later; a root port can't be added to a running q35 guest
TB_CACHE_GROWING_MIB: Final = 128  # more, as a vCPU that is plugged in needs room in it: emulation.py
TB_CACHE_MIB: Final = (
    32  # translated code; QEMU's own default of 1/4 of the host's memory costs 40-60 MB a VM
)
FIXED_PORTS: Final = (
    6  # seed, serial bus, balloon, random numbers, USB, bridge to the watchdog's old kind of bus
)
HYPERV: Final = (
    "relaxed",
    "vapic",
    "vpindex",
    "runtime",
    "synic",
    "reset",
    "frequencies",
    "tlbflush",
    "ipi",
)  # what Windows uses to run well as a guest; see libvirt's formatdomain.html
HYPERV_SPINS: Final = 8191  # tries for a lock before the hypervisor is told


def build_domain_xml(
    wish: DomainWish, host: HostProfile, *, name: str = "", buffered: frozenset[str] = frozenset()
) -> str:
    """The `<domain>` document.

    name      of the domain, where it can't be the VM's own
    buffered  paths of disks whose file system refuses O_DIRECT
    raises    HardwareLacking: the host has no such firmware
    """
    plans = plan_disks(wish.disks)
    domain = ET.Element("domain", type="kvm" if host.kvm else "qemu")
    leaf(domain, "name", name or wish.name)
    leaf(domain, "uuid", domain_uuid(wish.vm))
    _metadata(domain, wish)
    add_memory(domain, wish)
    add_vcpus(domain, wish, max((plan.iothread for plan in plans), default=0), kvm=host.kvm)
    _os(domain, wish, host)
    _features(domain, wish, host)
    add_cpu(domain, wish, host)
    _clock(domain, wish, host)
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        leaf(domain, event, action)
    sleep = leaf(domain, "pm")  # a guest that puts itself to sleep would look like one that hangs
    leaf(sleep, "suspend-to-mem", enabled="no")
    leaf(sleep, "suspend-to-disk", enabled="no")
    _devices(domain, wish, host, plans, buffered)
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode") + "\n"


def serial_log(vm: VmId, directory: str) -> str:
    """Named by the VM's id: names are reused."""
    return f"{directory}/{vm}-serial.log"


def _metadata(domain: ET.Element, wish: DomainWish) -> None:
    """ElementTree would name the prefix ns0, and people read this with `virsh dumpxml`."""
    attributes = {f"xmlns:{PREFIX}": XMLNS, "id": wish.vm, "generation": str(wish.generation)}
    mark = ET.SubElement(leaf(domain, "metadata"), f"{PREFIX}:vm", attributes)
    for device in wish.platform.devices:
        if device.kind == DeviceKind.MDEV:  # what the domain itself does not say, and each start needs
            parts = {"uuid": device.uuid, "parent": device.parent, "type": device.id}
            ET.SubElement(mark, f"{PREFIX}:slice", parts)


def _os(domain: ET.Element, wish: DomainWish, host: HostProfile) -> None:
    machine = wish.hardware.machine or wish.platform.machine or host.machine
    os = leaf(domain, "os")
    leaf(os, "type", "hvm", arch=host.architecture, machine=machine)
    firmware = wish.hardware.firmware
    if firmware == Firmware.BIOS:
        return
    secure = firmware == Firmware.UEFI_SECURE
    files = _firmware(wish, host)
    leaf(os, "loader", files.code, readonly="yes", secure="yes" if secure else "no", type="pflash")
    leaf(os, "nvram", nvram_path(wish.vm), template=files.variables)


def _firmware(wish: DomainWish, host: HostProfile) -> FirmwareFiles:
    firmware = wish.hardware.firmware
    files = host.uefi_secure if firmware == Firmware.UEFI_SECURE else host.uefi
    if files is None:
        raise HardwareLacking(
            f"{wish.name} asks for firmware {firmware}, which this node does not have",
            hint="Install OVMF there (package ovmf or edk2-ovmf), with its descriptors in /usr/share/qemu/firmware.",
            vm=wish.vm,
            firmware=firmware.value,
        )
    return files


def _features(domain: ET.Element, wish: DomainWish, host: HostProfile) -> None:
    features = leaf(domain, "features")
    leaf(features, "acpi")
    leaf(features, "apic")
    leaf(features, "vmport", state="off")  # VMware's mouse, which takes the tablet's place
    if wish.hardware.firmware == Firmware.UEFI_SECURE:
        leaf(features, "smm", state="on")  # only the firmware may write its variables
    if wish.hardware.guest == GuestKind.WINDOWS and host.kvm:
        hyperv = leaf(features, "hyperv", mode="custom")
        for name in HYPERV:
            leaf(hyperv, name, state="on")
        leaf(hyperv, "spinlocks", state="on", retries=str(HYPERV_SPINS))
        leaf(leaf(hyperv, "stimer", state="on"), "direct", state="on")
    if not host.kvm:
        size = TB_CACHE_MIB if wish.hardware.cpus_max <= wish.cpus else TB_CACHE_GROWING_MIB
        leaf(leaf(features, "tcg"), "tb-cache", str(size), unit="MiB")


def _clock(domain: ET.Element, wish: DomainWish, host: HostProfile) -> None:
    windows = wish.hardware.guest == GuestKind.WINDOWS
    clock = leaf(domain, "clock", offset="localtime" if windows else "utc")
    leaf(clock, "timer", name="rtc", tickpolicy="catchup")
    leaf(clock, "timer", name="pit", tickpolicy="delay")
    leaf(clock, "timer", name="hpet", present="no")
    if windows and host.kvm:
        leaf(clock, "timer", name="hypervclock", present="yes")


def _devices(
    domain: ET.Element,
    wish: DomainWish,
    host: HostProfile,
    plans: tuple[DiskPlan, ...],
    buffered: frozenset[str],
) -> None:
    hardware = wish.hardware
    devices = leaf(domain, "devices")
    leaf(devices, "emulator", host.emulator)
    for disk, plan in zip(wish.disks, plans, strict=True):
        devices.append(disk_element(disk, plan, direct=disk.path not in buffered))
    if wish.seed_path:
        devices.append(seed_element(wish.seed_path, seed_target(wish.disks, hardware.guest), hardware.guest))
    if wish.cd:
        devices.append(cd_element(wish.cd, cd_target(wish.disks, wish.cd), order=len(wish.disks) + 1))
    scsi = tuple(scsi_controllers(wish.disks, plans, cd=wish.cd))
    _ports(devices, wish, len(scsi))
    devices.extend(scsi)
    leaf(devices, "controller", type="virtio-serial", index="0")
    devices.extend(usb_elements(hardware, usb_disks=any(disk.bus == Bus.USB for disk in wish.disks)))
    devices.extend(map(nic_element, wish.nics))
    devices.extend(serial_elements(serial_log(wish.vm, host.serial_log_dir) if host.serial_log_dir else ""))
    devices.extend(graphics_elements(hardware))
    devices.extend(helper_elements(hardware))
    devices.extend(growing_memory(wish))
    devices.extend(map(host_device_element, wish.platform.devices))


def _ports(devices: ET.Element, wish: DomainWish, scsi: int) -> None:
    """One root port a PCI device, and some to spare."""
    disks = sum(disk.bus == Bus.VIRTIO for disk in wish.disks)
    passed = sum(device.kind != DeviceKind.USB for device in wish.platform.devices)
    leaf(devices, "controller", type="pci", index="0", model="pcie-root")
    used = FIXED_PORTS + disks + len(wish.nics) + scsi + passed + (growth_bytes(wish) > 0)
    for index in range(1, used + SPARE_PORTS + 1):
        leaf(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
