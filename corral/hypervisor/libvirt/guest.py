"""Guest: what the agent inside a guest says, asked with little patience.

Always true    nothing here waits longer than ANSWER_S for a guest; a guest without an agent is simply not "up"
Start here     ask_guest()
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import libvirt

from corral.model.vm import Guest

ANSWER_S: Final = 1
Interfaces = Mapping[
    str, Mapping[str, Sequence[Mapping[str, str | int]] | None]
]  # as interfaceAddresses() has them


def ask_guest(connection: libvirt.virConnect, uuid: str) -> Guest:
    """Blocking, for about a second at most. libvirt's own calls, as raw agent commands taint the domain."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        domain.agentSetResponseTimeout(ANSWER_S)
        hostname: str = domain.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT)
    except libvirt.libvirtError:
        return Guest()
    found: Interfaces = {}
    with suppress(libvirt.libvirtError):
        found = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    return Guest(up=True, hostname=hostname, addresses=useful_addresses(found))


def useful_addresses(interfaces: Interfaces) -> tuple[str, ...]:
    """IPv4 first, in the guest's order; without loopback and link-local ones."""
    texts = [str(a["addr"]) for entry in interfaces.values() for a in entry.get("addrs") or ()]
    addresses = [a for a in map(ip_address, texts) if not a.is_loopback and not a.is_link_local]
    return tuple(str(a) for a in sorted(addresses, key=lambda a: a.version))
