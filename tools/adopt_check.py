"""Adopt check: domain XML of any origin, through the same hands as an adopted domain.

In this room   check(): read, model, write back, compare; change it through the model, compare the rest; undo it
Comes in       a folder; its files may hold several documents, and things that are no domains
Goes out       a line for each domain that is refused or not equivalent, and for each file without a domain;
               last line: {"files", "domains", "equivalent", "refused"}
Always true    each domain counts as equivalent, as refused (with element and reason) or, that is a bug, as neither
Next door      corral/hypervisor/libvirt/reading.py, editing.py, canonical.py
Start here     main()
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.canonical import differences, digest_of, equivalent
from corral.hypervisor.libvirt.editing import NotEditable, bus_of, edited, marked, unmarked
from corral.hypervisor.libvirt.reading import Refused, memory_of, read_domain, size_in
from corral.hypervisor.libvirt.xmltree import Element, NotXML, Piece, parse, split, text_of
from corral.model.domain import DomainModel
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.units import MiB

DEFAULT: Final = Path("../shared/data/libvirt-domains")
VM: Final = VmId("vm-01ADOPTCHECK00000000000000")
DOMAIN: Final = re.compile(r"\s*(<\?xml[^>]*\?>\s*|<!--.*?-->\s*)*<domain[\s>]", re.DOTALL)
NO_DOMAINS: Final = {  # what other documents of libvirt's are
    "capabilities": "capabilities of a host",
    "domainCapabilities": "capabilities of a host's QEMU",
    "domainsnapshot": "a snapshot, with its copy of a domain",
    "domaincheckpoint": "a checkpoint",
    "network": "a network",
    "pool": "a storage pool",
    "volume": "a volume",
    "secret": "a secret",
    "device": "a device of a host",
    "interface": "an interface of a host",
    "cpu": "a CPU model",
}


class Found(Struct, frozen=True, kw_only=True):
    """A domain's verdict."""

    where: str
    name: str = ""
    refused: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def equivalent(self) -> bool:
        return not self.refused and not self.wrong


def wish_of(model: DomainModel, **changes: object) -> DomainWish:
    """The VM that an adoption would make of it."""
    disks = tuple(
        DiskAssignment(volume=VolumeId(f"vol-{n:020d}"), path=d.path, format=d.format, bus=bus_of(d.bus))
        for n, d in enumerate(model.disks)
        if not d.kept
    )
    nics = tuple(
        NicAssignment(network=NetworkId("net-1"), bridge=n.source, mac=n.mac)
        for n in model.nics
        if not n.kept
    )
    wish = DomainWish(
        vm=VM, name=model.name, generation=1, cpus=model.cpus, memory_bytes=model.memory_bytes,
        disks=disks, nics=nics,
    )  # fmt: skip
    return replace(wish, **changes)


# ---- one domain


def check(root: Element) -> Iterator[str]:
    """What is wrong with the way the domain goes through Corral's hands. raises Refused"""
    model = read_domain(root)
    wish = wish_of(model)
    written = parse(text_of(edited(root, wish)))
    yield from (f"written back: {line}" for line in differences(root, written))
    if not equivalent(root, written) or digest_of(root) != digest_of(written):
        yield "written back, it is not equivalent"
    if comments(written) != comments(root):
        yield "written back, it lost comments"
    mark = parse(text_of(marked(written, wish)))
    if not equivalent(unmarked(mark), root):
        yield "marked and released, it is not equivalent"
    for what, changed, allowed in changes(model, wish):
        yield from _check_change(root, what, wish, changed, allowed)


def changes(model: DomainModel, wish: DomainWish) -> Iterator[tuple[str, DomainWish, tuple[str, ...]]]:
    """Wishes that differ, and the paths that may differ in the XML then."""
    more = replace(wish, memory_bytes=(model.memory_bytes // MiB + 512) * MiB)
    yield "more memory", more, ("domain/memory", "domain/currentMemory", "domain/cpu/numa/cell")
    cpus = replace(wish, cpus=model.cpus + 2)
    yield "more vCPUs", cpus, ("domain/vcpu", "domain/vcpus", "domain/cpu/topology", "domain/cpu/numa/cell")
    new = DiskAssignment(volume=VolumeId("vol-new"), path="/corral/volumes/vol-new.qcow2")
    yield "a new disk", replace(wish, disks=(*wish.disks, new)), ("domain/devices/disk",)
    nic = NicAssignment(network=NetworkId("net-2"), bridge="br9", mac="0e:00:00:00:00:99")
    yield "a new NIC", replace(wish, nics=(*wish.nics, nic)), ("domain/devices/interface",)
    if wish.disks:
        moved = replace(wish.disks[0], path="/corral/volumes/moved.qcow2", format="qcow2")
        paths = tuple(f"domain/devices/disk[{d.target}]" for d in model.disks if d.path == wish.disks[0].path)
        yield "another file", replace(wish, disks=(moved, *wish.disks[1:])), paths
        yield "one disk less", replace(wish, disks=wish.disks[1:]), ("domain/devices/disk",)
    if wish.nics:
        yield "one NIC less", replace(wish, nics=wish.nics[1:]), ("domain/devices/interface",)


def _check_change(
    root: Element, what: str, wish: DomainWish, changed: DomainWish, allowed: tuple[str, ...]
) -> Iterator[str]:
    """The change is there, nothing else is, and undoing it gives the domain back."""
    try:
        new = parse(text_of(edited(root, changed)))
    except NotEditable:
        return  # it says so to the user, and `virsh edit` with --accept remains
    now, wanted = wish_of(read_domain(new)), replace(changed, disks=(), nics=())
    if replace(now, disks=(), nics=()) != wanted:
        yield f"{what}: not as wished"
    if {d.path for d in now.disks} != {d.path for d in changed.disks}:
        yield f"{what}: other disks than wished"
    if {n.mac for n in now.nics} != {n.mac for n in changed.nics}:
        yield f"{what}: other NICs than wished"
    if equivalent(root, new):
        yield f"{what}: nothing changed"
    for line in differences(root, new):
        if not line[2:].startswith(allowed) and line != "+ domain/devices":
            yield f"{what} changed something else: {line}"
    if what in REVERSIBLE and not is_odd(root) and not equivalent(edited(new, wish), root):
        yield from (f"{what}, undone: {line}" for line in differences(root, edited(new, wish)))


def is_odd(root: Element) -> bool:
    """Whether it gives the guest more memory than it has: libvirt puts that right by itself, and so do we."""
    current = root.find("currentMemory")
    return current is not None and size_in(current, "currentMemory") > memory_of(root)


REVERSIBLE: Final = ("more memory", "a new disk", "a new NIC")  # others drop what they do not need any more


def comments(element: Element) -> list[str]:
    """All comments and processing instructions, in order."""
    found: list[str] = []
    for child in element.children:
        if isinstance(child, Element):
            found += comments(child)
        elif hasattr(child, "markup"):
            found.append(child.markup)
    return found


# ---- files


def domains_in(piece: Piece) -> list[Element]:
    """The domain that the document is, or those that it holds (a dump of a whole host)."""
    root = piece.root
    if root is None or root.tag in NO_DOMAINS:
        return []
    if root.tag == "domain":
        return [root]
    return [e for e in root.elements if e.tag == "domain" and (e.find("name") or e.find("os"))]


def check_file(path: Path, shown: str) -> tuple[list[Found], str]:
    """Verdicts of its domains; without any, what the file is instead."""
    found: list[Found] = []
    what: list[str] = []
    for piece in split(read_text(path)):
        where = f"{shown}:{piece.line}"
        domains = domains_in(piece)
        found += [verdict(domain, where) for domain in domains]
        if not domains and piece.wrong and DOMAIN.match(piece.text) and not is_diff(piece.text):
            found.append(Found(where=where, refused=f"domain: not well-formed XML ({piece.wrong})"))
        elif not domains:
            what.append(description(piece))
    is_one = not found and is_diff(read_text(path))
    return found, "a difference between two documents" if is_one else ", ".join(dict.fromkeys(what))


def verdict(domain: Element, where: str) -> Found:
    name = domain.text("name")
    try:
        return Found(where=where, name=name, wrong=tuple(check(domain)))
    except Refused as refused:
        kept = equivalent(domain, parse(text_of(domain)))
        wrong = () if kept else ("refused, and its XML does not come back the same either",)
        return Found(where=where, name=name, refused=str(refused), wrong=wrong)
    except NotXML as error:  # what we wrote ourselves can't be read
        return Found(where=where, name=name, wrong=(f"written back, it is no XML: {error}",))


def description(piece: Piece) -> str:
    if piece.root is not None:
        tag = piece.root.tag
        return NO_DOMAINS.get(tag, f"<{tag}>, a part of a domain or none")
    return f"a piece of XML ({piece.wrong})" if piece.wrong else "no XML"


def is_diff(text: str) -> bool:
    """Lines that begin with + or -, as `diff -u` writes them."""
    return any(line.startswith(("+", "-")) and line.strip() != "-->" for line in text.splitlines())


def read_text(path: Path) -> str:
    """UTF-8, or what its declaration or the bytes say."""
    document = path.read_bytes()
    if document.startswith((b"\xff\xfe", b"\xfe\xff")):
        return document.decode("utf-16", "replace")
    try:
        return document.decode("utf-8-sig")
    except UnicodeDecodeError:
        return document.decode("latin-1")


def files_in(folder: Path) -> list[Path]:
    """All files that may hold domains: not the folder's own README."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() != ".md")


def main(words: list[str]) -> int:
    folder = Path(words[0]) if words else DEFAULT
    if not folder.exists():
        print(f"there is no {folder}: give another with DATA=folder", file=sys.stderr)
        return 2
    paths = files_in(folder) if folder.is_dir() else [folder]
    counts = {"files": len(paths), "domains": 0, "equivalent": 0, "refused": 0}
    for path in paths:
        found, what = check_file(path, str(path.relative_to(folder) if folder.is_dir() else path.name))
        for domain in found:
            counts["domains"] += 1
            counts["equivalent"] += domain.equivalent
            counts["refused"] += bool(domain.refused and not domain.wrong)
            tell(domain)
        if not found:
            print(f"no domain   {path.name}: {what or 'empty'}")
    print(json.dumps(counts))
    return 0 if counts["domains"] == counts["equivalent"] + counts["refused"] else 1


def tell(domain: Found) -> None:
    label = f"{domain.where} ({domain.name})" if domain.name else domain.where
    if domain.refused:
        print(f"refused     {label}: {domain.refused}")
    for line in domain.wrong:
        print(f"DIFFERENT   {label}: {line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
