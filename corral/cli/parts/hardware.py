"""Hardware: the options of `corral vm create` and `corral profile create` that say what the machine is.

In this room   the options; hardware_body(), disk_body(), nic_body(): their texts as the API's bodies have them
Always true    what is not given is left out: the server's profile and preset fill it
Start here     hardware_body()
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from corral.errors import Invalid

GuestOption = Annotated[
    str, typer.Option("--guest", help="Defaults for linux (that is the default) or windows.")
]
FirmwareOption = Annotated[
    str, typer.Option("--firmware", help="bios, uefi, or uefi-secure (with Secure Boot).")
]
SecureBootOption = Annotated[bool, typer.Option("--secure-boot", help="The same as --firmware uefi-secure.")]
TpmOption = Annotated[bool | None, typer.Option("--tpm/--no-tpm", help="A TPM 2.0, emulated.")]
MachineOption = Annotated[
    str,
    typer.Option(
        "--machine", metavar="MACHINE", help="Like pc-q35-7.2. Default: the newest that all nodes have."
    ),
]
CpuModelOption = Annotated[
    str,
    typer.Option(
        "--cpu-model",
        metavar="MODEL",
        help="auto: the best that all nodes have; host: the node's own, which ties it to nodes with the same; or a name.",
    ),
]
NestedOption = Annotated[
    bool | None, typer.Option("--nested/--no-nested", help="The guest may run VMs itself.")
]
TopologyOption = Annotated[
    str, typer.Option("--topology", metavar="TOPOLOGY", help="Like sockets=1,cores=4,threads=2.")
]
CpusMaxOption = Annotated[
    int | None,
    typer.Option("--cpus-max", help="vCPUs that it can be given while it runs. Default: four times --cpus."),
]
MemoryMaxOption = Annotated[
    str,
    typer.Option(
        "--memory-max",
        metavar="SIZE",
        help="Memory that it can be given while it runs. Default: four times --memory.",
    ),
]
PinOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="CPUS",
        help="CPUs of the node for vCPU 0, 1, …: 2 or 4-7. The last one holds for the rest. Repeatable.",
    ),
]
PinEmulatorOption = Annotated[
    str, typer.Option("--pin-emulator", metavar="CPUS", help="CPUs for QEMU's own threads.")
]
NumaCellsOption = Annotated[
    str, typer.Option("--numa-cells", metavar="CELLS", help="NUMA cells that its memory comes from, like 0.")
]
DedicatedOption = Annotated[
    bool | None,
    typer.Option(
        "--dedicated/--no-dedicated",
        help="Each vCPU has a CPU for itself, in as few NUMA cells as can be (nodes say which: --dedicated-cpus).",
    ),
]
HugepagesOption = Annotated[
    str,
    typer.Option(
        "--hugepages", metavar="SIZE", help="Memory in pages of 2MiB or 1GiB that the node has set aside."
    ),
]
GraphicsOption = Annotated[str, typer.Option("--graphics", help="vnc (that is the default), spice or none.")]
VideoOption = Annotated[str, typer.Option("--video", help="auto, virtio, vga or qxl.")]
WatchdogOption = Annotated[
    str,
    typer.Option(
        "--watchdog", help="What happens to a guest that hangs: none, reset, poweroff, pause, inject-nmi."
    ),
]
DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Hand it devices of its node, by class: gpu:1, gpu:H100:2, vf:NETWORK, nvme, mdev:TYPE; "
        "or pci=0000:3b:00.0, pci=VENDOR:DEVICE, usb=VENDOR:PRODUCT. Repeatable.",
    ),
]

DISK_TUNING: Final = ("bus", "cache", "io", "iothread", "discard")
DISK_LIMITS: Final = {  # as they are written: field of the API
    "iops": "iops",
    "read-iops": "read_iops",
    "write-iops": "write_iops",
    "bytes": "bytes_s",
    "read-bytes": "read_bytes_s",
    "write-bytes": "write_bytes_s",
}
NIC_LIMITS: Final = ("mbit", "in-mbit", "out-mbit")
NIC_TUNING: Final = ("model", "queues", *NIC_LIMITS)
TOPOLOGY: Final = ("sockets", "dies", "cores", "threads")
YES_NO: Final = {"yes": True, "on": True, "no": False, "off": False}


def hardware_body(
    *,
    guest: GuestOption = "",
    firmware: FirmwareOption = "",
    secure_boot: SecureBootOption = False,
    tpm: TpmOption = None,
    machine: MachineOption = "",
    cpu_model: CpuModelOption = "",
    nested: NestedOption = None,
    topology: TopologyOption = "",
    cpus_max: CpusMaxOption = None,
    memory_max: MemoryMaxOption = "",
    pin: PinOption = None,
    pin_emulator: PinEmulatorOption = "",
    numa_cells: NumaCellsOption = "",
    dedicated: DedicatedOption = None,
    hugepages: HugepagesOption = "",
    graphics: GraphicsOption = "",
    video: VideoOption = "",
    watchdog: WatchdogOption = "",
    device: DeviceOption = None,
) -> dict[str, object]:
    """As the API has it, with what was given only. raises Invalid"""
    if secure_boot and firmware not in ("", "uefi-secure"):
        raise Invalid("--firmware", firmware, "possible with --secure-boot")
    pinning = {"vcpus": list(pin or ()), "emulator": pin_emulator, "cells": numa_cells}
    body = {
        "guest": guest,
        "firmware": "uefi-secure" if secure_boot else firmware,
        "tpm": tpm,
        "machine": machine,
        "cpu_model": cpu_model,
        "nested": nested,
        "topology": _topology(topology) if topology else None,
        "cpus_max": cpus_max,
        "memory_max": memory_max,
        "pinning": {name: value for name, value in pinning.items() if value},
        "dedicated": dedicated,
        "hugepages": hugepages,
        "graphics": graphics,
        "video": video,
        "watchdog": watchdog,
        "devices": [_device(text) for text in device or ()],
    }
    return {name: value for name, value in body.items() if value not in ("", None, {}, [])}


def disk_body(fields: Mapping[str, str]) -> dict[str, Any]:
    """A disk's texts as the API has them. raises Invalid"""
    body: dict[str, Any] = {
        name: _yes(name, text) if name in ("iothread", "discard") else text
        for name, text in fields.items()
        if name not in DISK_LIMITS
    }
    limits = {DISK_LIMITS[name]: _amount(name, text) for name, text in fields.items() if name in DISK_LIMITS}
    return {**body, "limits": limits} if limits else body


def nic_body(fields: Mapping[str, str]) -> dict[str, Any]:
    """A NIC's texts as the API has them; mbit is for both ways. raises Invalid"""
    body: dict[str, Any] = {
        name: text for name, text in fields.items() if not name.endswith(("mbit", "queues"))
    }
    if "queues" in fields:
        body["queues"] = _number("queues", fields["queues"])
    limits = {f"{way}_mbit": fields.get(f"{way}-mbit", fields.get("mbit", "")) for way in ("in", "out")}
    given = {name: _number(name, text) for name, text in limits.items() if text}
    return {**body, "limits": given} if given else body


def _topology(text: str) -> dict[str, int]:
    parts = [part.partition("=")[::2] for part in text.split(",")]
    if any(name not in TOPOLOGY for name, _ in parts):
        raise Invalid("--topology", text, "a topology", hint="Write it like sockets=1,cores=4,threads=2.")
    return {name: _number("topology", count) for name, count in parts}


WHAT: Final = {
    "gpu": "model",
    "nvme": "model",
    "vf": "network",
    "mdev": "id",
}  # by class: what its second word says


def _device(text: str) -> dict[str, str | int]:
    kind, equals, id = text.partition("=")
    if equals and kind in ("pci", "usb") and id:
        return {"kind": kind, "id": id}
    kind, *words = text.split(":")
    count = words.pop() if words and words[-1].isdecimal() else ""
    what = ":".join(words)
    if equals or kind not in WHAT or (words and not what):
        hint = "Write it like gpu:1, gpu:H100:2, vf:lan, mdev:nvidia-63, pci=0000:3b:00.0 or usb=046d:c52b."
        raise Invalid("--device", text, "a device", hint=hint)
    return {"kind": kind, **({WHAT[kind]: what} if what else {}), **({"count": int(count)} if count else {})}


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise Invalid(name, text, "a whole number")
    return int(text)


def _amount(name: str, text: str) -> int:
    """Operations as a number, bytes also like 50MB."""
    from corral.model.units import parse_size

    return parse_size(text, name) if name.endswith("bytes") else _number(name, text)


def _yes(name: str, text: str) -> bool:
    if text not in YES_NO:
        raise Invalid(name, text, "yes or no")
    return YES_NO[text]
