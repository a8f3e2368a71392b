"""Traits: what a node has that not every node has, as words; what a VM needs, as words and the reason why not.

In this room   traits_of() a node, needs_of() a VM
Comes in       Inventory; Hardware, NICs, Platform
Goes out       sets of words, which fleet.py keeps once for all equal nodes; Need
Always true    hardware that every QEMU has needs nothing, so nodes that tell little still take ordinary VMs
Next door      placement.py filters by needs; devices.py looks for devices, which are counted one by one
Start here     needs_of()
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from corral.model.hardware import Firmware, Graphics, GuestCpu, Hardware, NicLimits, Platform
from corral.model.node import AcceleratorKind, Inventory
from corral.model.vm import Nic
from corral.scheduler.cpus import Cpus


class Need(Struct, frozen=True):
    """A node passes if it has any of the traits."""

    reason: str  # that it is out for, if it has none
    any_of: frozenset[str]


Traits = frozenset[str]


def cpu_name(cpu: GuestCpu | None) -> str:
    """Equal for equal CPUs only."""
    if cpu is None:
        return "emulated"
    return f"{cpu.model}-{blake2b(msgspec.json.encode(cpu), digest_size=6).hexdigest()}"


def traits_of(inventory: Inventory) -> Traits:
    offers = inventory.offers
    words = {f"accelerator:{inventory.accelerator.kind}", f"cpu:{cpu_name(offers.cpu)}"}
    words |= {f"machine:{machine}" for machine in offers.machines}
    words |= {f"cpu-model:{model}" for model in offers.cpu_models}
    words |= {f"firmware:{firmware}" for firmware in offers.firmware}
    words |= {f"graphics:{graphics}" for graphics in offers.graphics}
    words |= {word for word in ("tpm", "nested", "nic_limits") if getattr(offers, word)}
    return frozenset(words)


def accelerator_in(traits: Traits) -> str:
    return next((word for word in traits if word.startswith("accelerator:")), "")


def machines_in(traits: Traits) -> frozenset[str]:
    return frozenset(word.removeprefix("machine:") for word in traits if word.startswith("machine:"))


def newest(machines: frozenset[str]) -> str:
    """The one with the highest version: pc-q35-10.0 is newer than pc-q35-9.2. Empty: there is none."""
    return max(machines, key=_version, default="")


def _version(machine: str) -> tuple[tuple[int, ...], str]:
    numbers = machine.rpartition("-")[2].split(".")
    return tuple(int(n) for n in numbers if n.isdecimal()), machine


def needs_of(
    hardware: Hardware,
    nics: Sequence[Nic],
    platform: Platform,
    *,
    known_cpus: Mapping[str, GuestCpu],
    cpus: Cpus,
    accelerator: AcceleratorKind | None = None,
) -> Iterator[Need]:
    """In the order in which people would look for the reason.

    known_cpus   of all nodes, by name
    accelerator  that it runs with now, if it is to move while it runs
    """
    if accelerator:
        word = {AcceleratorKind.KVM: "KVM", AcceleratorKind.TCG: "software emulation"}[accelerator]
        yield _need(f"it runs with {word}, which is not used there", f"accelerator:{accelerator}")
    if hardware.firmware != Firmware.BIOS:
        title = {"uefi": "UEFI firmware", "uefi-secure": "UEFI firmware with Secure Boot"}[hardware.firmware]
        yield _need(f"no {title} (OVMF) there", f"firmware:{hardware.firmware}")
    if hardware.tpm:
        yield _need("no TPM emulator (swtpm) there", "tpm")
    if machine := hardware.machine or platform.machine:
        yield _need(f"its QEMU has no machine {machine}", f"machine:{machine}")
    yield from _cpu_needs(hardware, platform, known_cpus, cpus)
    if hardware.nested:
        yield _need("no nested virtualisation there", "nested")
    if hardware.graphics == Graphics.SPICE:
        yield _need("its QEMU has no SPICE", "graphics:spice")
    if any(nic.limits != NicLimits() for nic in nics):
        yield _need("its kernel can't limit a NIC (it lacks htb, sfq or police)", "nic_limits")


def _cpu_needs(
    hardware: Hardware, platform: Platform, known_cpus: Mapping[str, GuestCpu], cpus: Cpus
) -> Iterator[Need]:
    model = hardware.cpu_model
    if model == "host" and platform.host_cpu:
        yield _need("its CPU is another than the one that the guest sees", f"cpu:{platform.host_cpu}")
    elif model == "auto" and platform.cpu:
        fitting = frozenset(
            f"cpu:{name}" for name, host in known_cpus.items() if cpus.fits(host, platform.cpu)
        )
        yield Need("its CPU lacks features that the guest sees", fitting)
    elif model not in ("host", "auto"):
        yield _need(f"its CPU or QEMU has no model {model}", f"cpu-model:{model}")


def _need(reason: str, *any_of: str) -> Need:
    return Need(reason, frozenset(any_of))
