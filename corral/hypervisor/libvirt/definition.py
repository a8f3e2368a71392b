"""Definition: the document by which libvirt shall know a VM, whoever wrote its first version.

In this room   definition_of(): built by Corral, or a domain's own XML edited where the wish differs
Comes in       DomainWish, HostProfile; the definition that is in place now
Goes out       text for virDomainDefineXML
Always true    passwords that only libvirt knows (of VNC, say) stay in the definition
Next door      domain_xml.py builds, editing.py edits
Start here     definition_of()
"""

from typing import Final

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.domain_xml import build_domain_xml
from corral.hypervisor.libvirt.editing import edited, marked
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.libvirt.xmltree import Element, parse, text_of

SECRET: Final = ("passwd", "passwdValidTo", "connected")


def definition_of(
    wish: DomainWish,
    host: HostProfile,
    *,
    name: str,
    buffered: frozenset[str] = frozenset(),
    present: str = "",
) -> str:
    """The `<domain>` document.

    name      of the domain, where it can't be the VM's own
    present   the definition in place, passwords included; empty: there is none
    raises    HardwareLacking, NotEditable
    """
    if not wish.base_xml:
        return build_domain_xml(wish, host, name=name, buffered=buffered)
    domain = marked(edited(parse(wish.base_xml), wish), wish)
    for tag, text in (("name", name), ("uuid", domain_uuid(wish.vm))):
        for element in domain.all(tag):
            element.set_text(text)
    if present:
        _keep_secrets(domain, parse(present))
    return text_of(domain)


def domain_name(wish: DomainWish) -> str:
    """What the domain is called: an adopted one keeps its name, whatever the VM is called."""
    return parse(wish.base_xml).text("name", default=wish.name) if wish.base_xml else wish.name


def kept_paths(wish: DomainWish) -> list[str]:
    """Files and devices of the host that its own XML names and that become no volume."""
    if not wish.base_xml:
        return []
    modelled = {disk.path for disk in wish.disks}
    sources = parse(wish.base_xml).all("devices", "disk", "source")
    paths = [s.attributes.get("file") or s.attributes.get("dev") or "" for s in sources]
    return [path for path in paths if path.startswith("/") and path not in modelled]


def _keep_secrets(domain: Element, present: Element) -> None:
    """Each screen keeps its password: the base was read without."""
    old = present.all("devices", "graphics")
    for screen in domain.all("devices", "graphics"):
        kind = screen.attributes.get("type")
        before = next((s for s in old if s.attributes.get("type") == kind), None)
        if before is not None:
            old.remove(before)
            for name in SECRET:
                if name in before.attributes and name not in screen.attributes:
                    screen.attributes[name] = before.attributes[name]
