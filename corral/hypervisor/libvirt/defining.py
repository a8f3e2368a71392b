"""Defining: put a VM's definition in place, unless somebody else has changed the one that is there.

In this room   blocking calls for the VM's lane
Comes in       a connection, DomainWish, records of definitions
Goes out       a definition, and its record; drifts of all VMs
Always true    a drift is overwritten only by a wish that names it (DomainWish.settles). Else Corral's mark moves on to
               the new generation, so that the VM starts with what is there, and the drift is told.
Next door      definitions.py keeps the records, definition.py writes the document
Start here     define()
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import libvirt
import msgspec

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt import domains
from corral.hypervisor.libvirt.adoption import write_mark
from corral.hypervisor.libvirt.definition import definition_of, domain_name
from corral.hypervisor.libvirt.definitions import Definitions, Seen
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.hypervisor.libvirt.identity import Identity, domain_uuid
from corral.hypervisor.libvirt.places import keep_places, keep_sources
from corral.model.domain import Drift
from corral.model.ids import VmId


def define(
    connection: libvirt.virConnect,
    wish: DomainWish,
    host: HostProfile,
    definitions: Definitions,
    *,
    buffered: frozenset[str],
    flags: int,
) -> bool:
    """Whether the domain is new. raises HardwareLacking, NotEditable"""
    uuid = domain_uuid(wish.vm)
    called = msgspec.structs.replace(wish, name=domain_name(wish))
    name = domains.rename(connection, called, uuid)
    present = domains.definition_in_place(connection, uuid) if name else ""
    if present and is_in_the_way(connection, wish, present, definitions):
        write_mark(connection.lookupByUUIDString(uuid), wish)
        definitions.move_on(wish.vm, wish.generation)
        return False
    free = name or domains.free_name(connection, called, uuid)
    document = definition_of(wish, host, name=free, buffered=buffered, present=present)
    if not wish.base_xml:  # one that was found says itself where everything is
        document = keep_places(document, present)
        if running := domains.running_document(connection, uuid):
            document = keep_sources(document, running)
    domain = connection.defineXMLFlags(document, flags)
    definitions.record(wish.vm, _seen(connection, domain, wish.generation))
    return name is None


def is_in_the_way(
    connection: libvirt.virConnect, wish: DomainWish, present: str, definitions: Definitions
) -> bool:
    """Whether the definition was changed, and the wish does not know that."""
    owner = domains.identity_of(connection.lookupByUUIDString(domain_uuid(wish.vm)))
    if owner is None:
        return False
    seen = Seen(version=connection.getLibVersion(), generation=owner.generation, xml=present)
    drift = definitions.drift(wish.vm, seen)
    return drift is not None and drift.digest != wish.settles


def adopted(connection: libvirt.virConnect, wish: DomainWish, definitions: Definitions) -> None:
    """As it was found is how it is to be: what was changed between that and now is a drift."""
    version = connection.getLibVersion()
    definitions.record(wish.vm, Seen(version=version, generation=wish.generation, xml=wish.base_xml))


def drifts(
    connection: libvirt.virConnect, ours: Iterable[tuple[str, Identity]], definitions: Definitions
) -> Mapping[VmId, Drift]:
    """Of these domains, by UUID and identity; one that went meanwhile is left out."""
    found: dict[VmId, Drift] = {}
    for uuid, identity in ours:
        with suppress(libvirt.libvirtError):
            domain = connection.lookupByUUIDString(uuid)
            drift = definitions.drift(identity.vm, _seen(connection, domain, identity.generation))
            if drift:
                found[identity.vm] = drift
    return found


def is_drifted(connection: libvirt.virConnect, vm: VmId, definitions: Definitions) -> bool:
    """Whether somebody else has changed this one's definition."""
    with suppress(libvirt.libvirtError):
        domain = connection.lookupByUUIDString(domain_uuid(vm))
        owner = domains.identity_of(domain)
        if owner and domain.isPersistent():
            return definitions.drift(vm, _seen(connection, domain, owner.generation)) is not None
    return False


def _seen(connection: libvirt.virConnect, domain: libvirt.virDomain, generation: int) -> Seen:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return Seen(version=connection.getLibVersion(), generation=generation, xml=xml)
