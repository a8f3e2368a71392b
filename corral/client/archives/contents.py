"""Contents: what an archive says about a VM, in words that do not depend on where it came from.

In this room   ArchivedVM and its parts; the native manifest
Always true    nothing in it names an id, a node, a pool or a MAC: whoever imports it is somebody else
Next door      ovf.py says the same in OVF
Start here     ArchivedVM
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from corral.errors import CorralError
from corral.model.hardware import Hardware
from corral.model.vm import VM, CloudInit, RestartPolicy

MANIFEST: Final = "corral-vm.json"
FORMAT: Final = "corral-vm/1"
KEPT: Final = ("guest", "firmware", "tpm", "machine", "cpu_model", "nested", "graphics", "video", "watchdog")


class BadArchive(CorralError):
    """The file is no archive of a VM, or is not what it says."""

    code = "archive.bad"
    status = 422


class ArchivedDisk(Struct, frozen=True, kw_only=True):
    file: str  # its name in the archive
    size_bytes: int  # as the guest sees it
    bus: str = ""  # empty: as new VMs have it


class ArchivedNic(Struct, frozen=True, kw_only=True):
    network: str  # name, where it came from
    model: str = ""


class ArchivedFile(Struct, frozen=True, kw_only=True):
    """A file of the archive, as it was when it was written."""

    name: str
    size_bytes: int
    sha256: str


class ArchivedVM(Struct, frozen=True, kw_only=True):
    name: str
    cpus: int
    memory_bytes: int
    disks: tuple[ArchivedDisk, ...] = ()
    nics: tuple[ArchivedNic, ...] = ()
    hardware: dict[str, Any] = {}  # as HardwareChoice has it
    cloud_init: CloudInit = CloudInit()
    labels: dict[str, str] = {}
    restart: RestartPolicy = RestartPolicy.ON_FAILURE
    stop_timeout_s: float = 90.0


class Manifest(Struct, frozen=True, kw_only=True):
    """The native archive's description."""

    vm: ArchivedVM
    files: tuple[ArchivedFile, ...]
    format: str = FORMAT
    corral: str = ""  # version that wrote it


def archived(vm: VM, disks: tuple[ArchivedDisk, ...], networks: dict[str, str]) -> ArchivedVM:
    """A VM in these words; `networks` are names by id."""
    spec = vm.spec
    return ArchivedVM(
        name=vm.name,
        cpus=spec.cpus,
        memory_bytes=spec.memory_bytes,
        disks=disks,
        nics=tuple(
            ArchivedNic(network=networks.get(nic.network, nic.network), model=nic.model) for nic in spec.nics
        ),
        hardware=hardware_of(spec.hardware),
        cloud_init=msgspec.structs.replace(spec.cloud_init, meta_data=""),
        labels=vm.labels,
        restart=spec.restart,
        stop_timeout_s=spec.stop_timeout_s,
    )


def hardware_of(hardware: Hardware) -> dict[str, Any]:
    """What means the same on other hosts: pinning, hugepages and devices of a node do not."""
    plain: dict[str, Any] = msgspec.to_builtins(hardware)
    return {key: value for key, value in plain.items() if key in KEPT and value not in ("", False, "auto")}


def decode_manifest(document: bytes) -> Manifest:
    """Raises BadArchive"""
    try:
        manifest = msgspec.json.decode(document, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadArchive(f"{MANIFEST} can't be read: {error}") from None
    if manifest.format != FORMAT:
        raise BadArchive(
            f"the archive has format {manifest.format}; this version reads {FORMAT}",
            hint="It was written by a newer Corral: update this one.",
        )
    return manifest
