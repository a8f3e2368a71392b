"""Found domains: what ran on a host before Corral came, or was defined there behind its back.

In this room   FoundDomain; DomainModel: what Corral models of a domain's XML, and a name for all that it only keeps
Comes in       -
Goes out       types for agents (report them), services (adopt them), people
Always true    a found domain is never touched. Its XML carries no secrets: libvirt leaves passwords out of it.
Next door      hypervisor/libvirt/reading.py reads XML; server/services/adopting.py takes domains over
Start here     FoundDomain
"""

from typing import ClassVar

from msgspec import Struct

from corral.model.ids import NodeId
from corral.model.resource import Resource
from corral.model.vm import DomainState


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


class FoundReport(Struct, frozen=True, kw_only=True):
    """A domain that is not Corral's, as its node sees it."""

    name: str
    state: DomainState
    persistent: bool = True
    autostart: bool = False  # libvirtd starts it with the host
    model: DomainModel | None = None  # None: it can't be read; refusal says why
    refusal: Refusal | None = None
    xml: str = ""  # its definition


class FoundSpec(Struct, frozen=True, kw_only=True):
    node: NodeId
    uuid: str


class FoundDomain(Resource, frozen=True, kw_only=True, tag="FoundDomain"):
    """A domain on a node that Corral does not manage. Named NODE.UUID; there for as long as the domain is."""

    PREFIX: ClassVar = "found"
    PLURAL: ClassVar = "found-domains"
    SUMMARY: ClassVar = "a domain on a node that Corral does not manage"

    spec: FoundSpec
    status: FoundReport
