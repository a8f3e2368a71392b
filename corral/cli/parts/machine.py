"""Machine: a VM's hardware in words for `show`. What is as usual is not mentioned."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corral.model.hardware import (
    DeviceKind,
    DiskCache,
    DiskIo,
    Firmware,
    Graphics,
    GuestKind,
    NicModel,
    Video,
    Watchdog,
)
from corral.model.units import MiB, format_size

if TYPE_CHECKING:
    from corral.model.hardware import Hardware, HeldDevice, HostDevice, NicLimits
    from corral.model.node import Inventory, PciDevice
    from corral.model.vm import VM, Disk, Nic, VMSpec

Pairs = Sequence[tuple[str, str]]
FIRMWARE = {
    Firmware.BIOS: "BIOS",
    Firmware.UEFI: "UEFI",
    Firmware.UEFI_SECURE: "UEFI with Secure Boot",
}


def size_words(spec: "VMSpec") -> Pairs:
    """How much it has, and how much it can be given while it runs."""
    cpus, memory = str(spec.cpus), format_size(spec.memory_bytes)
    hardware = spec.hardware
    more_cpus = f" (up to {hardware.cpus_max})" if hardware.cpus_max > spec.cpus else ""
    most = format_size(hardware.memory_max_bytes)
    more_memory = f" (up to {most})" if hardware.memory_max_bytes > spec.memory_bytes else ""
    return (("CPUs", cpus + more_cpus), ("Memory", memory + more_memory))


def hardware_details(vm: "VM") -> Pairs:
    hardware, platform = vm.spec.hardware, vm.status.platform
    pinning = hardware.pinning
    return (
        ("Guest kind", hardware.guest if hardware.guest != GuestKind.LINUX else ""),
        ("Firmware", ", ".join([FIRMWARE[hardware.firmware], *(["TPM 2.0"] if hardware.tpm else [])])),
        ("Machine", hardware.machine or platform.machine),
        ("CPU model", _cpu(vm)),
        ("Topology", _topology(hardware)),
        ("Pinned to", "; ".join(_pinning(hardware)) if pinning else ""),
        (
            "Dedicated CPUs",
            "; ".join(f"{part.cpus} in cell {part.cell}" for part in platform.cells)
            or ("as soon as it has a node" if hardware.dedicated else ""),
        ),
        ("Hugepages", format_size(hardware.hugepage_bytes) if hardware.hugepage_bytes else ""),
        ("Graphics", _graphics(hardware)),
        ("Watchdog", hardware.watchdog if hardware.watchdog != Watchdog.NONE else ""),
        ("Devices", "\n".join(map(_asked, hardware.devices))),
        ("Devices it has", "\n".join(map(_held, platform.devices))),
    )


def offer_details(inventory: "Inventory") -> Pairs:
    """What a node has for VMs that not every node has."""
    offers = inventory.offers
    pages: dict[int, int] = {}
    for cell in inventory.cells:
        for size, count in cell.hugepages.items():
            pages[int(size)] = pages.get(int(size), 0) + count
    words = (("TPM", offers.tpm), ("nested virtualisation", offers.nested), ("NIC limits", offers.nic_limits))
    return (
        ("Firmware", ", ".join(("bios", *offers.firmware)) if offers.machines else ""),
        ("Offers", ", ".join(word for word, there in words if there)),
        ("Guest CPU", offers.cpu.model if offers.cpu else ""),
        ("Hugepages", ", ".join(f"{count} x {format_size(size)}" for size, count in sorted(pages.items()))),
        ("Devices for VMs", "\n".join(_by_class(inventory))),
        ("PCI devices", "\n".join(_pci(device) for device in inventory.devices)),
        ("USB devices", "\n".join(f"{d.id} {d.name}".rstrip() for d in inventory.usb)),
    )


def _asked(device: "HostDevice") -> str:
    return f"{device.count} x {device.words}" if device.count > 1 else device.words


def _held(device: "HeldDevice") -> str:
    match device.kind:
        case DeviceKind.MDEV:
            return f"slice {device.uuid} of {device.parent} ({device.id})"
        case DeviceKind.VF:
            return f"virtual function {device.id} {device.mac}".rstrip()
    return f"{device.kind.upper()} device {device.id}"


def _by_class(inventory: "Inventory") -> Iterator[str]:
    """What VMs can ask for by class: `2 x gpu GH100 [H100 PCIe] (10de:2331) in cell 0`."""
    from corral.scheduler.units import units_of

    found: dict[str, int] = {}
    for unit in units_of(inventory):
        of = unit.of
        name = f"{of.kind} {of.model} ({of.id})" if of.model else f"{of.kind} {of.id}"
        links = f" on {'+'.join(of.links)}" if of.links else ""
        cell = f" in cell {unit.cell}" if unit.cell is not None else ""
        kept = f", for no VM: {unit.kept}" if unit.kept else ""
        words = name + links + cell + kept
        found[words] = found.get(words, 0) + unit.slices
    return (f"{count} x {words}" for words, count in found.items())


def _pci(device: "PciDevice") -> str:
    name = f" {device.model}" if device.model else ""
    driver = f", driver {device.driver}" if device.driver else ""
    group = "without IOMMU" if device.iommu_group is None else f"in IOMMU group {device.iommu_group}"
    return f"{device.address} {device.id}{name} {group}{driver}"


def _cpu(vm: "VM") -> str:
    hardware, pinned = vm.spec.hardware, vm.status.platform.cpu
    words = {
        "host": "the node's own (moves live only between equal CPUs)",
        "auto": pinned.model if pinned else "",
    }
    model = words.get(hardware.cpu_model, hardware.cpu_model)
    return ", ".join(part for part in (model, "nested virtualisation" if hardware.nested else "") if part)


def _topology(hardware: "Hardware") -> str:
    top = hardware.topology
    if top is None:
        return ""
    parts = ((top.sockets, "sockets"), (top.dies, "dies"), (top.cores, "cores"), (top.threads, "threads"))
    return " x ".join(f"{count} {word}" for count, word in parts if count > 1 or word in ("sockets", "cores"))


def _pinning(hardware: "Hardware") -> Iterator[str]:
    pinning = hardware.pinning
    assert pinning
    for vcpu, cpus in enumerate(pinning.vcpus):
        rest = " and further ones" if vcpu == len(pinning.vcpus) - 1 else ""
        yield f"vCPU {vcpu}{rest} on CPU {cpus}"
    if pinning.emulator:
        yield f"QEMU on CPU {pinning.emulator}"
    if pinning.cells:
        yield f"memory from cell {pinning.cells}"


def _graphics(hardware: "Hardware") -> str:
    if hardware.graphics == Graphics.NONE:
        return "none"
    video = f", {hardware.video}" if hardware.video != Video.AUTO else ""
    return hardware.graphics.upper() + video


def disk_words(disk: "Disk") -> str:
    tuning = disk.tuning
    parts: list[str] = [disk.bus.value]
    parts += [f"cache {tuning.cache}"] if tuning.cache != DiskCache.AUTO else []
    parts += [f"io {tuning.io}"] if tuning.io != DiskIo.AUTO else []
    parts += ["own I/O thread"] if tuning.iothread else []
    parts += ["no discard"] if not tuning.discard else []
    for name in tuning.limits.__struct_fields__:
        if value := getattr(tuning.limits, name):
            way = name.rpartition("bytes_s")[0] if name.endswith("bytes_s") else name.rpartition("iops")[0]
            amount = f"{value} IOPS" if name.endswith("iops") else f"{value / MiB:.4g} MiB/s"
            parts.append(f"{way.replace('_', ' ')}at most {amount}")
    return ", ".join(parts)


def nic_words(nic: "Nic") -> str:
    parts = [nic.mac, nic.address]
    parts += [str(nic.model)] if nic.model != NicModel.VIRTIO else []
    parts += [f"{nic.queues} queues"] if nic.queues > 1 else []
    parts += _limits(nic.limits)
    return " ".join(part for part in parts if part)


def _limits(limits: "NicLimits") -> list[str]:
    if limits.in_mbit == limits.out_mbit:
        return [f"{limits.in_mbit} Mbit/s"] if limits.in_mbit else []
    ways = (("in", limits.in_mbit), ("out", limits.out_mbit))
    return [f"{way} {mbit} Mbit/s" for way, mbit in ways if mbit]


def choices(chosen: Mapping[str, Any]) -> str:
    """`firmware uefi, tpm yes`: what a profile chooses."""
    return ", ".join(f"{name.replace('_', ' ')} {_said(value)}" for name, value in chosen.items())


def _said(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return " ".join(f"{k}={_said(v)}" for k, v in value.items())
        case list():
            return "+".join(map(_said, value))
    return str(value)
