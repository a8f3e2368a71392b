"""VMProfile: what new VMs get by default, under a name.

In this room   choices, each left open (None) or made; the profile that holds them; PRESETS, which are built in
Comes in       -
Goes out       parts of the bodies of POST /vms and POST /profiles; VMProfile
Always true    a choice made in a request counts more than its profile's, and that more than the preset of the
               guest's kind. A VM keeps what it was made with: changing a profile changes no VM.
Next door      services/hardware.py puts the choices together
Start here     VMProfile
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.hardware import (
    Bus,
    DiskCache,
    DiskIo,
    DiskLimits,
    Firmware,
    Graphics,
    GuestKind,
    HostDevice,
    NicLimits,
    NicModel,
    Pinning,
    Topology,
    Video,
    Watchdog,
)
from corral.model.resource import Resource
from corral.model.vm import CloudInit, RestartPolicy

Size = int | str  # bytes, or a text that model/units.py understands


class HardwareChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Hardware as far as it has been chosen; model/hardware.py says what each is."""

    guest: GuestKind | None = None
    firmware: Firmware | None = None
    tpm: bool | None = None
    machine: str | None = None
    cpu_model: str | None = None
    nested: bool | None = None
    topology: Topology | None = None
    cpus_max: int | None = None  # open: room to grow to four times as many
    memory_max: Size | None = None  # open: room to grow to four times as much
    pinning: Pinning | None = None
    dedicated: bool | None = None
    hugepages: Size | None = None  # size of a page: 2MiB or 1GiB; 0: ordinary pages
    graphics: Graphics | None = None
    video: Video | None = None
    watchdog: Watchdog | None = None
    devices: tuple[HostDevice, ...] | None = None


class DiskChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a disk is attached, as far as it has been chosen."""

    bus: Bus | None = None
    cache: DiskCache | None = None
    io: DiskIo | None = None
    iothread: bool | None = None
    discard: bool | None = None
    limits: DiskLimits | None = None


class NicChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a NIC is, as far as it has been chosen."""

    model: NicModel | None = None
    queues: int | None = None
    limits: NicLimits | None = None


class VMProfileSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    summary: str = ""  # what it is for, in a line
    cpus: int | None = None
    memory: Size | None = None
    hardware: HardwareChoice = HardwareChoice()
    disk: DiskChoice = DiskChoice()  # for each disk
    nic: NicChoice = NicChoice()  # for each NIC
    cloud_init: CloudInit | None = None
    restart: RestartPolicy | None = None
    stop_timeout_s: float | None = None


class VMProfile(Resource, frozen=True, kw_only=True, tag="VMProfile"):
    """Defaults for new VMs."""

    PREFIX: ClassVar = "profile"
    PLURAL: ClassVar = "profiles"
    SUMMARY: ClassVar = "defaults for new VMs"

    spec: VMProfileSpec = VMProfileSpec()


PRESETS: Final[Mapping[GuestKind, VMProfileSpec]] = {
    GuestKind.LINUX: VMProfileSpec(
        summary="Linux of the last ten years: virtio devices, BIOS",
        cpus=1,
        memory="512MiB",
        hardware=HardwareChoice(guest=GuestKind.LINUX, firmware=Firmware.BIOS, tpm=False),
        disk=DiskChoice(bus=Bus.VIRTIO),
        nic=NicChoice(model=NicModel.VIRTIO),
        cloud_init=CloudInit(),
        restart=RestartPolicy.ON_FAILURE,
        stop_timeout_s=90.0,
    ),
    GuestKind.WINDOWS: VMProfileSpec(
        summary="Windows 11 and Server: Secure Boot, TPM, devices that it has drivers for",
        cpus=2,
        memory="4GiB",
        hardware=HardwareChoice(guest=GuestKind.WINDOWS, firmware=Firmware.UEFI_SECURE, tpm=True),
        disk=DiskChoice(bus=Bus.SATA),
        nic=NicChoice(model=NicModel.E1000E),
        cloud_init=CloudInit(),
        restart=RestartPolicy.ON_FAILURE,
        stop_timeout_s=300.0,  # it may install updates first
    ),
}
