"""Found: domains of a host that are not Corral's, as they are told to the server.

In this room   blocking calls that only read: XML, state, sizes of disks
Comes in       rows of domains.list_domains() whose metadata do not name a VM
Goes out       FoundReport by UUID
Always true    equal domains give equal reports: they are sent when they change. Passwords stay with libvirt.
Next door      reading.py reads the XML
Start here     FoundReader
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import libvirt
from msgspec.structs import replace

from corral.hypervisor.libvirt.domains import Row
from corral.hypervisor.libvirt.reading import Refused, read_domain
from corral.hypervisor.libvirt.states import domain_state
from corral.hypervisor.libvirt.xmltree import NotXML, parse
from corral.model.domain import DomainModel, FoundDisk, Refusal
from corral.model.found import FoundReport

XML_BYTES_MAX: Final = 512 * 1024  # a domain with hundreds of devices has 100 KiB
SHARED_TYPES: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "ceph",
        "fuse.ceph",
        "fuse.glusterfs",
        "gfs2",
        "ocfs2",
        "lustre",
        "beegfs",
    }
)  # file systems that several hosts see


class FoundReader:
    """Reads domains, and what has been read of them only when their XML is another."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[str, DomainModel | Refusal]] = {}  # by UUID: XML, and what it says

    def read(
        self, connection: libvirt.virConnect, rows: Sequence[Row], shared: Sequence[str]
    ) -> dict[str, FoundReport]:
        """Blocking. Reports by UUID; a domain that went meanwhile is left out."""
        self._read = {uuid: said for uuid, said in self._read.items() if uuid in {row.uuid for row in rows}}
        found: dict[str, FoundReport] = {}
        for row in rows:
            with suppress(libvirt.libvirtError):
                found[row.uuid] = self._report(connection.lookupByUUIDString(row.uuid), row, shared)
        return found

    def _report(self, domain: libvirt.virDomain, row: Row, shared: Sequence[str]) -> FoundReport:
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if row.persistent else 0)
        said = self._says(row.uuid, xml)
        plain = FoundReport(
            name=row.name,
            state=domain_state(row.state),
            persistent=row.persistent,
            autostart=bool(row.persistent and domain.autostart()),
            xml=xml if len(xml.encode()) <= XML_BYTES_MAX else "",
        )
        if isinstance(said, Refusal):
            return replace(plain, refusal=said)
        refusal = None if row.persistent else TRANSIENT
        return replace(plain, model=_with_facts(domain, said, shared), refusal=refusal)

    def _says(self, uuid: str, xml: str) -> DomainModel | Refusal:
        before = self._read.get(uuid)
        if before is None or before[0] != xml:
            before = self._read[uuid] = (xml, _model_of(xml))
        return before[1]


def _model_of(xml: str) -> DomainModel | Refusal:
    if len(xml.encode()) > XML_BYTES_MAX:
        return Refusal(element="domain", reason=f"its XML is longer than {XML_BYTES_MAX // 1024} KiB")
    try:
        return read_domain(parse(xml))
    except Refused as refused:
        return refused.refusal
    except NotXML as error:
        return Refusal(element="domain", reason=f"not well-formed XML ({error})")


TRANSIENT: Final = Refusal(
    element="domain", reason="it is transient: libvirt keeps no definition of it. `virsh define` makes one"
)


def _with_facts(domain: libvirt.virDomain, model: DomainModel, shared: Sequence[str]) -> DomainModel:
    """With what the XML does not say of its files."""
    disks = tuple(disk if disk.kept else _with_size(domain, disk, shared) for disk in model.disks)
    return replace(model, disks=disks)


def _with_size(domain: libvirt.virDomain, disk: FoundDisk, shared: Sequence[str]) -> FoundDisk:
    size_bytes = 0
    with suppress(libvirt.libvirtError):  # the file is not there
        size_bytes = int(domain.blockInfo(disk.target)[0])
    return replace(disk, size_bytes=size_bytes, shared=is_under(disk.path, shared))


def is_under(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def shared_mounts(mounts: Path) -> tuple[str, ...]:
    """Blocking. Where file systems are mounted that other hosts see too, from /proc/mounts."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    rows = (line.split() for line in lines)
    return tuple(
        sorted(row[1].replace("\\040", " ") for row in rows if len(row) > 2 and row[2] in SHARED_TYPES)
    )
