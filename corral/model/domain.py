"""Domain model: what Corral models of a domain's XML, and a name for all that it only keeps.

In this room   DomainModel with its disks and NICs; Refusal; Drift, a difference between a VM and its definition
Comes in       -
Goes out       types for agents (report them), services (adopt, accept), people
Next door      hypervisor/libvirt/reading.py reads XML; found.py and vm.py carry these
Start here     DomainModel
"""

from msgspec import Struct


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a domain can't be managed."""

    element: str  # of its XML: domain/@type
    reason: str


class FoundDisk(Struct, frozen=True, kw_only=True):
    target: str  # vda
    bus: str = ""
    device: str = "disk"  # disk, cdrom, floppy, lun
    source: str = ""  # file, block, network, …
    path: str = ""  # of a file or device; of other sources what names them
    format: str = "raw"
    kept: str = ""  # why it becomes no volume, in words; empty: it becomes one
    size_bytes: int = 0  # as the guest sees it; 0: not known
    shared: bool = False  # its file system is one that other hosts see too


class FoundNic(Struct, frozen=True, kw_only=True):
    mac: str
    kind: str  # bridge, network, direct, hostdev, …
    source: str = ""  # bridge, network or device
    model: str = ""
    kept: str = ""  # why it becomes no port, in words; empty: it becomes one


class DomainModel(Struct, frozen=True, kw_only=True):
    """A domain as far as Corral models it."""

    uuid: str
    name: str
    type: str = "kvm"
    title: str = ""
    description: str = ""
    cpus: int = 1  # that the guest starts with
    cpus_max: int = 1
    memory_bytes: int = 0
    architecture: str = ""
    machine: str = ""
    firmware: str = "bios"  # bios, uefi, uefi with Secure Boot
    disks: tuple[FoundDisk, ...] = ()
    nics: tuple[FoundNic, ...] = ()
    kept: tuple[str, ...] = ()  # elements that Corral does not model: given back on each define


class Drift(Struct, frozen=True, kw_only=True):
    """What was changed in a VM's definition behind Corral's back. It stays until someone settles it."""

    digest: str  # of the definition as it is now: tells one drift from the next
    lines: tuple[str, ...]  # for people: "~ path: was -> is", "- what is gone", "+ what came"
    xml: str = ""  # the definition as it is now, without Corral's mark
    model: DomainModel | None = None  # of that XML; None: it can't be managed any more, `refusal` says why
    refusal: Refusal | None = None
