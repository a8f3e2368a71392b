"""Adoption: Corral's mark on a domain that was there before, and off again. The guest is not touched.

In this room   blocking calls that change a domain's metadata and its autostart, nothing else
Comes in       a connection; DomainWish of a VM whose domain was found
Goes out       AdoptionFailed: the domain is another's, gone, or not in the state it was found in
Always true    marked twice is marked once. A domain that Corral manages is not started by libvirtd itself: its node
               may have given it away meanwhile.
Next door      identity.py reads the mark; driver.py calls these in the VM's lane
Start here     mark()
"""

from typing import Final
from xml.sax.saxutils import quoteattr

import libvirt

from corral.hypervisor.interface import AdoptionFailed, DomainWish
from corral.hypervisor.libvirt.domains import identity_of
from corral.hypervisor.libvirt.identity import PREFIX, XMLNS, domain_uuid
from corral.model.ids import VmId

ELEMENT: Final = libvirt.VIR_DOMAIN_METADATA_ELEMENT


def mark(connection: libvirt.virConnect, wish: DomainWish, *, running: bool) -> None:
    """Make the domain this VM's. raises AdoptionFailed"""
    domain = _domain(connection, wish)
    owner = identity_of(domain)
    if owner is not None and owner.vm != wish.vm:
        raise AdoptionFailed(
            f"{domain.name()} carries the mark of {owner.vm}",
            hint="Another Corral manages it, or did. `virsh metadata DOMAIN https://corral.dev/xmlns/1 --remove` "
            "takes the mark away, once you are sure.",
            vm=wish.vm,
            owner=owner.vm,
        )
    if owner is None and domain.isActive() and not running:
        raise AdoptionFailed(
            f"{domain.name()} runs by now, and did not when it was found",
            hint="Adopt it as it is now: `corral vm found` shows it in a moment.",
            vm=wish.vm,
        )
    write_mark(domain, wish)
    if domain.autostart():
        domain.setAutostart(0)


def write_mark(domain: libvirt.virDomain, wish: DomainWish) -> None:
    """In the definition, and in the running domain if there is one."""
    element = f"<vm id={quoteattr(wish.vm)} generation={quoteattr(str(wish.generation))}/>"
    domain.setMetadata(ELEMENT, element, PREFIX, XMLNS, _affected(domain))


def unmark(connection: libvirt.virConnect, vm: VmId, *, autostart: bool) -> None:
    """Make it a domain like any other again. No error when it is one, or is not there."""
    try:
        domain = connection.lookupByUUIDString(domain_uuid(vm))
        if not domain.isPersistent():
            return
        if autostart:
            domain.setAutostart(1)
        domain.setMetadata(ELEMENT, None, PREFIX, XMLNS, _affected(domain))
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA):
            raise


def _domain(connection: libvirt.virConnect, wish: DomainWish) -> libvirt.virDomain:
    try:
        return connection.lookupByUUIDString(domain_uuid(wish.vm))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            raise AdoptionFailed(
                f"the domain that {wish.name} was to take over is not there any more",
                hint="`corral vm found` shows what there is.",
                vm=wish.vm,
            ) from None
        raise


def _affected(domain: libvirt.virDomain) -> int:
    live = libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
    return int(libvirt.VIR_DOMAIN_AFFECT_CONFIG | live)
