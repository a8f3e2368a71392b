"""Definitions: each VM's as Corral left it, and what somebody else has made of it since.

In this room   Definitions: records on disk, one a VM; drift_of(), pure
Comes in       definitions as libvirt writes them, right after they were put in place, and later
Goes out       Drift: the differences, and the digest that names them
Always true    what differs from the record is told, and never taken for the record by itself. Names, Corral's mark
               and passwords do not count. A newer libvirt that only says more than the older one is no drift.
Next door      canonical.py compares; driver.py asks before it defines anew
Start here     Definitions.drift()
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.hypervisor.libvirt.canonical import differences, digest_of
from corral.hypervisor.libvirt.editing import unmarked
from corral.hypervisor.libvirt.reading import Refused, read_domain
from corral.hypervisor.libvirt.xmltree import Element, parse, text_of
from corral.model.domain import Drift
from corral.model.ids import VmId

LINES_MAX: Final = 100  # of a drift; more says nothing more
ADDS: Final = "+ "


class Record(Struct, frozen=True, kw_only=True):
    """A definition as it is to be."""

    version: int  # of the libvirt that wrote it
    generation: int  # in Corral's mark: another one was defined by another node
    xml: str


class Seen(Struct, frozen=True, kw_only=True):
    """A definition as it is now."""

    version: int
    generation: int
    xml: str


class Definitions:
    """Records by VM, kept in a folder so that they outlive the agent; None: in memory only."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[VmId, Record] = {}
        self._told: dict[
            VmId, tuple[str, Record, Drift | None]
        ] = {}  # the last answer, and what it was about

    def record(self, vm: VmId, seen: Seen) -> None:
        """Blocking. This is how Corral wants it."""
        xml = text_of(plain(parse(seen.xml)))
        self._keep(vm, Record(version=seen.version, generation=seen.generation, xml=xml))
        self._told[vm] = (seen.xml, self._known[vm], None)  # what was just recorded needs no comparing

    def move_on(self, vm: VmId, generation: int) -> None:
        """Blocking. The record stays, for a drift is in the way of this generation."""
        if record := self._read(vm):
            self._keep(vm, msgspec.structs.replace(record, generation=generation))

    def _keep(self, vm: VmId, record: Record) -> None:
        if self._read(vm) == record:
            return
        self._known[vm] = record
        if self._folder:  # not synced: what a power cut takes is made anew, as on another node
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._folder / f".{vm}"
            draft.write_bytes(msgspec.json.encode(record))
            draft.replace(self._path(vm))

    def forget(self, vm: VmId) -> None:
        """Blocking. The VM is gone, or is another host's."""
        self._known.pop(vm, None)
        self._told.pop(vm, None)
        if self._folder:
            self._path(vm).unlink(missing_ok=True)

    def drift(self, vm: VmId, seen: Seen) -> Drift | None:
        """Blocking. What was changed since the record was made. Without a record: this is it from now on."""
        record = self._read(vm)
        if record is None or record.generation != seen.generation:
            self.record(vm, seen)
            return None
        told = self._told.get(vm)
        if told and told[0] == seen.xml and told[1] is record:
            return told[2]
        drift = drift_of(parse(record.xml), parse(seen.xml))
        if drift and seen.version != record.version and all(line.startswith(ADDS) for line in drift.lines):
            self.record(vm, seen)
            return None
        self._told[vm] = (seen.xml, record, drift)
        return drift

    def _read(self, vm: VmId) -> Record | None:
        if vm not in self._known and self._folder:
            try:
                self._known[vm] = msgspec.json.decode(self._path(vm).read_bytes(), type=Record)
            except (OSError, msgspec.MsgspecError):
                return None
        return self._known.get(vm)

    def _path(self, vm: VmId) -> Path:
        assert self._folder
        return self._folder / f"{vm}.json"


def drift_of(record: Element, now: Element) -> Drift | None:
    """What differs, in words, with all that is needed to accept it. None: nothing"""
    current = plain(now)
    lines = differences(record, current)
    if not lines:
        return None
    drift = Drift(digest=digest_of(current), lines=lines[:LINES_MAX], xml=text_of(unmarked(now)))
    try:
        return msgspec.structs.replace(drift, model=read_domain(unmarked(now)))
    except Refused as refused:
        return msgspec.structs.replace(drift, refusal=refused.refusal)


def plain(domain: Element) -> Element:
    """Without what does not count: Corral's mark, the name, passwords."""
    new = unmarked(domain)
    for name in new.all("name"):
        new.remove(name)
    for screen in new.all("devices", "graphics"):
        for secret in ("passwd", "passwdValidTo", "connected"):
            screen.attributes.pop(secret, None)
    return new
