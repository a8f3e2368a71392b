"""Hardware of a new VM: choices put together, and what can't be is refused.

In this room   layers of choices (request, profile, preset) into Hardware, Disk tuning and Nic; check_hardware()
Comes in       choices, each open or made
Goes out       concrete values for VMSpec; Invalid with field, value and what would be right
Always true    nothing here looks at nodes: whether one has it is the scheduler's question (scheduler/traits.py, units.py)
Next door      profiles.py has the presets; vms.py calls this
Start here     hardware_of()
"""

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from corral.errors import Invalid
from corral.model.hardware import (
    BY_CLASS,
    Bus,
    DeviceKind,
    DiskCache,
    DiskIo,
    DiskLimits,
    DiskTuning,
    Firmware,
    Graphics,
    Hardware,
    HostDevice,
    NicLimits,
    NicModel,
    Pinning,
    Topology,
    Video,
)
from corral.model.network import Network
from corral.model.profile import DiskChoice, HardwareChoice, NicChoice, VMProfileSpec
from corral.model.units import GiB, MiB, format_size, members, parse_size
from corral.model.vm import Disk, Nic
from corral.store.mirror import Mirror

S = TypeVar("S", bound=Struct)

CPUS_MAX: Final = 255  # of a q35 machine without an interrupt-remapping IOMMU
MEMORY_BYTES_MIN: Final = 16 * MiB
MEMORY_BYTES_MAX: Final = 12 * 1024 * GiB
GROWTH: Final = 4  # room to grow, where nothing is said: times what it begins with
GROWN_CPUS_MAX: Final = 64  # beyond this, room to grow has to be asked for
GROWN_BYTES_MAX: Final = 512 * GiB  # addresses that every CPU of the last years has
PAGE_SIZES: Final = (2 * MiB, GiB)
QUEUES_MAX: Final = 64
MACHINE: Final = re.compile(r"pc-q35-\d+(\.\d+)+")
CPU_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CPU_SET: Final = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*")
PCI_ADDRESS: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
DEVICE_ID: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
SLICE_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .:_/()\[\]-]{0,63}")
DEVICES_MAX: Final = 32  # of a VM
TOLD_BY: Final = {  # fields that say which, by kind
    DeviceKind.PCI: ("id",),
    DeviceKind.USB: ("id",),
    DeviceKind.GPU: ("model",),
    DeviceKind.VF: ("model", "network"),
    DeviceKind.NVME: ("model",),
    DeviceKind.MDEV: ("id",),
}


def layered(base: S, *over: Struct) -> S:
    """Field by field: the first of `over` that has chosen, else the base."""
    layers = (*over, base)
    chosen = {
        field: next((v for layer in layers if (v := getattr(layer, field, None)) is not None), None)
        for field in base.__struct_fields__
    }
    return type(base)(**chosen)


def check_size(chosen: VMProfileSpec) -> tuple[int, int]:
    """VCPUs and bytes of memory, nothing being open any more. raises Invalid"""
    assert chosen.cpus is not None and chosen.memory is not None and chosen.stop_timeout_s is not None
    memory_bytes = parse_size(chosen.memory, "memory")
    if not 1 <= chosen.cpus <= CPUS_MAX:
        raise Invalid("cpus", chosen.cpus, f"a number of vCPUs from 1 to {CPUS_MAX}")
    if not MEMORY_BYTES_MIN <= memory_bytes <= MEMORY_BYTES_MAX or memory_bytes % MiB:
        raise Invalid("memory", chosen.memory, "16MiB to 12TiB in whole MiB")
    if not 0 <= chosen.stop_timeout_s <= 3600:
        raise Invalid("stop_timeout_s", chosen.stop_timeout_s, "0 to 3600 seconds")
    return chosen.cpus, memory_bytes


def hardware_of(choice: HardwareChoice, cpus: int, memory_bytes: int) -> Hardware:
    """The choices as hardware, checked. raises Invalid"""
    hugepages = parse_size(choice.hugepages, "hardware.hugepages") if choice.hugepages else 0
    hardware = Hardware(
        **_chosen(choice, without=("cpus_max", "memory_max", "hugepages")),
        cpus_max=_cpus_max(choice, cpus),
        memory_max_bytes=_memory_max(choice, memory_bytes),
        hugepage_bytes=hugepages,
    )
    hardware = msgspec.structs.replace(hardware, devices=tuple(map(_lower, hardware.devices)))
    check_hardware(hardware, cpus, memory_bytes)
    return hardware


def tuned_disk(disk: Disk, choice: DiskChoice, field: str) -> Disk:
    """The disk, attached as chosen. raises Invalid"""
    tuning = DiskTuning(**_chosen(choice, without=("bus",)))
    tuned = msgspec.structs.replace(disk, bus=choice.bus or Bus.VIRTIO, tuning=tuning)
    check_disk(tuned, field)
    return tuned


def tuned_nic(nic: Nic, choice: NicChoice, field: str) -> Nic:
    """The NIC as chosen. raises Invalid"""
    tuned = msgspec.structs.replace(nic, **_chosen(choice))
    check_nic(tuned, field)
    return tuned


def _chosen(choice: Struct, without: Sequence[str] = ()) -> dict[str, Any]:
    fields = ((f, getattr(choice, f)) for f in choice.__struct_fields__ if f not in without)
    return {f: value for f, value in fields if value is not None}


def _cpus_max(choice: HardwareChoice, cpus: int) -> int:
    if choice.cpus_max is not None:
        return max(choice.cpus_max, 0) or cpus
    if choice.dedicated:
        return cpus  # each has its CPU, chosen when it gets its node
    if choice.topology:
        return product(choice.topology)
    return max(cpus, min(cpus * GROWTH, GROWN_CPUS_MAX))


def _memory_max(choice: HardwareChoice, memory_bytes: int) -> int:
    if choice.dedicated and choice.memory_max is None:
        return memory_bytes
    if choice.memory_max is not None:
        return parse_size(choice.memory_max, "hardware.memory_max") if choice.memory_max else memory_bytes
    return max(memory_bytes, min(memory_bytes * GROWTH, GROWN_BYTES_MAX))


def _lower(device: HostDevice) -> HostDevice:
    """Addresses and ids as sysfs writes them."""
    if device.kind in BY_CLASS:
        return device
    return msgspec.structs.replace(device, id=device.id.lower())


def on_networks(hardware: Hardware, mirror: Mirror) -> Hardware:
    """With the ids of networks that its devices are asked on by name. raises NotFound, Invalid"""
    devices = tuple(_on_network(n, device, mirror) for n, device in enumerate(hardware.devices))
    return msgspec.structs.replace(hardware, devices=devices)


def _on_network(number: int, device: HostDevice, mirror: Mirror) -> HostDevice:
    if not device.network:
        return device
    network = mirror.find(Network, device.network)
    if not network.spans_nodes:
        raise Invalid(
            f"hardware.devices[{number}].network",
            network.name,
            "a network of kind bridge or vlan",
            hint="A virtual function is a part of a NIC: it reaches what the NIC is plugged into.",
        )
    return msgspec.structs.replace(device, network=network.id)


def product(topology: Topology) -> int:
    return topology.sockets * topology.dies * topology.cores * topology.threads


# ---- what can't be


def check_hardware(hardware: Hardware, cpus: int, memory_bytes: int) -> None:
    """Raises  Invalid: contradictory, or nothing that any node could have"""
    if hardware.machine and not MACHINE.fullmatch(hardware.machine):
        raise Invalid(
            "hardware.machine",
            hardware.machine,
            "a q35 machine with its version",
            hint="Write it like pc-q35-7.2, or leave it out.",
        )
    if not CPU_NAME.fullmatch(hardware.cpu_model):
        raise Invalid(
            "hardware.cpu_model",
            hardware.cpu_model,
            "a CPU model",
            hint="auto, host, or a name like Skylake-Server.",
        )
    _check_cpus(hardware, cpus)
    _check_memory(hardware, memory_bytes)
    if hardware.pinning:
        _check_pinning(hardware.pinning, hardware.cpus_max)
    if hardware.dedicated and hardware.pinning:
        raise Invalid(
            "hardware.dedicated",
            True,
            "possible with pinning",
            hint="Leave one out: dedicated lets Corral choose the CPUs, pinning names them.",
        )
    if hardware.dedicated and hardware.cpus_max > cpus:
        raise Invalid("hardware.cpus_max", hardware.cpus_max, f"{cpus}, as its CPUs are dedicated")
    if hardware.graphics == Graphics.NONE and hardware.video != Video.AUTO:
        raise Invalid("hardware.video", hardware.video, "possible without graphics", hint="Leave it out.")
    _check_devices(hardware.devices)


def _check_cpus(hardware: Hardware, cpus: int) -> None:
    most = hardware.cpus_max
    if not cpus <= most <= CPUS_MAX:
        raise Invalid("hardware.cpus_max", most, f"{cpus} (its vCPUs) to {CPUS_MAX}")
    top = hardware.topology
    if top is None:
        return
    for part in top.__struct_fields__:
        if not 1 <= getattr(top, part) <= CPUS_MAX:
            raise Invalid(f"hardware.topology.{part}", getattr(top, part), f"1 to {CPUS_MAX}")
    if product(top) != most:
        text = f"{top.sockets} x {top.dies} x {top.cores} x {top.threads}"
        raise Invalid(
            "hardware.topology",
            text,
            f"a topology of {most} vCPUs",
            hint=f"It makes {product(top)}; the product is the maximum number of vCPUs (cpus_max).",
        )


def _check_memory(hardware: Hardware, memory_bytes: int) -> None:
    most, page = hardware.memory_max_bytes, hardware.hugepage_bytes
    if not memory_bytes <= most <= MEMORY_BYTES_MAX or most % MiB:
        low = format_size(memory_bytes)
        raise Invalid("hardware.memory_max", format_size(most), f"{low} (its memory) to 12 TiB in whole MiB")
    if page and page not in PAGE_SIZES:
        raise Invalid("hardware.hugepages", format_size(page), "2MiB or 1GiB")
    if page and memory_bytes % page:
        raise Invalid("memory", format_size(memory_bytes), f"whole pages of {format_size(page)}")


def _check_pinning(pinning: Pinning, cpus_max: int) -> None:
    if len(pinning.vcpus) > cpus_max:
        raise Invalid("hardware.pinning.vcpus", len(pinning.vcpus), f"at most {cpus_max} sets, one a vCPU")
    sets = [(f"vcpus[{n}]", cpus) for n, cpus in enumerate(pinning.vcpus)]
    sets += [(name, text) for name in ("emulator", "cells") if (text := getattr(pinning, name))]
    for name, text in sets:
        if not CPU_SET.fullmatch(text) or not members(text):
            raise Invalid(f"hardware.pinning.{name}", text, "a set of numbers like 0-3,8")


def _check_devices(devices: Sequence[HostDevice]) -> None:
    for number, device in enumerate(devices):
        field = f"hardware.devices[{number}]"
        _check_device(device, field)
        if not 1 <= device.count <= DEVICES_MAX:
            raise Invalid(f"{field}.count", device.count, f"1 to {DEVICES_MAX}")
        one = device.kind == DeviceKind.USB or bool(PCI_ADDRESS.fullmatch(device.id))
        if one and (device.count > 1 or device in devices[:number]):
            raise Invalid(f"{field}.id", device.id, "named once")
    if (all_ := sum(device.count for device in devices)) > DEVICES_MAX:
        raise Invalid("hardware.devices", all_, f"at most {DEVICES_MAX} devices")


def _check_device(device: HostDevice, field: str) -> None:
    """What tells it apart."""
    for name, text in (("id", device.id), ("model", device.model), ("network", device.network)):
        if text and name not in TOLD_BY[device.kind]:
            raise Invalid(f"{field}.{name}", text, f"possible with kind {device.kind}", hint="Leave it out.")
    hint = "`corral node show NODE` lists a node's devices."
    match device.kind:
        case DeviceKind.PCI if not (DEVICE_ID.fullmatch(device.id) or PCI_ADDRESS.fullmatch(device.id)):
            raise Invalid(
                f"{field}.id", device.id, "an address like 0000:3b:00.0 or an id like 10de:2204", hint=hint
            )
        case DeviceKind.USB if not DEVICE_ID.fullmatch(device.id):
            raise Invalid(f"{field}.id", device.id, "an id like 046d:c52b", hint=hint)
        case DeviceKind.MDEV if not SLICE_TYPE.fullmatch(device.id):
            raise Invalid(f"{field}.id", device.id, "a type of slices like nvidia-63", hint=hint)
    if device.model and not MODEL.fullmatch(device.model):
        raise Invalid(f"{field}.model", device.model, "words of a model's name, or vendor:device", hint=hint)


def check_disk(disk: Disk, field: str) -> None:
    """Raises  Invalid"""
    tuning = disk.tuning
    if disk.bus == Bus.NVME:
        raise Invalid(
            f"{field}.bus",
            disk.bus,
            "possible yet",
            hint="Libvirt attaches NVMe disks from 11.5 on. Use virtio, or scsi for many disks.",
        )
    if tuning.io == DiskIo.NATIVE and tuning.cache not in (
        DiskCache.AUTO,
        DiskCache.NONE,
        DiskCache.DIRECTSYNC,
    ):
        raise Invalid(
            f"{field}.io",
            tuning.io,
            f"possible with cache {tuning.cache}",
            hint="Linux AIO needs cache none or directsync; use io threads or io_uring.",
        )
    if tuning.iothread and disk.bus not in (Bus.VIRTIO, Bus.SCSI):
        raise Invalid(f"{field}.iothread", True, f"possible on bus {disk.bus}", hint="Use virtio or scsi.")
    _check_limits(tuning.limits, f"{field}.limits")


def _check_limits(limits: DiskLimits, field: str) -> None:
    for name in limits.__struct_fields__:
        if not 0 <= getattr(limits, name) < 1 << 50:
            raise Invalid(f"{field}.{name}", getattr(limits, name), "0 (no limit) or more")
    for total in ("iops", "bytes_s"):
        parts = [name for name in (f"read_{total}", f"write_{total}") if getattr(limits, name)]
        if getattr(limits, total) and parts:
            raise Invalid(
                f"{field}.{total}", getattr(limits, total), f"possible together with {' and '.join(parts)}"
            )


def check_nic(nic: Nic, field: str) -> None:
    """Raises  Invalid"""
    if not 1 <= nic.queues <= QUEUES_MAX:
        raise Invalid(f"{field}.queues", nic.queues, f"1 to {QUEUES_MAX}")
    if nic.queues > 1 and nic.model != NicModel.VIRTIO:
        raise Invalid(f"{field}.queues", nic.queues, f"possible with model {nic.model}", hint="Use virtio.")
    for name in NicLimits.__struct_fields__:
        if not 0 <= getattr(nic.limits, name) <= 1_000_000:
            raise Invalid(
                f"{field}.limits.{name}", getattr(nic.limits, name), "0 (no limit) to 1000000 Mbit/s"
            )


def moves_live(hardware: Hardware) -> str:
    """Why a VM with this hardware can't move while it runs; empty: it can."""
    if hardware.devices:
        return "a device of its node is handed to the guest"
    if hardware.dedicated:
        return "it has CPUs of its node for itself"
    return ""


def warnings(hardware: Hardware, disks: Sequence[Disk]) -> list[str]:
    """What the choices cost, for people."""
    told = []
    if hardware.cpu_model == "host":
        told.append(
            "CPU model host: the guest sees all of its node's CPU, so it moves live only to nodes with the same CPU"
        )
    if hardware.devices:
        told.append("passthrough: a VM with devices of its node can't move live, and its memory is all held")
    if any(disk.tuning.cache == DiskCache.UNSAFE for disk in disks):
        told.append("cache unsafe: what the guest has written is lost when its node crashes")
    if hardware.firmware == Firmware.UEFI_SECURE and not hardware.tpm:
        told.append("Secure Boot without a TPM: Windows 11 does not install like this")
    return told
