"""Confirm: whether a guest has noticed what was plugged in, as far as its agent tells.

In this room   one blocking question a function, for a thread
Goes out       True or False; None: the guest has no agent that could tell
Always true    False is said only by a guest that answers, and whose answers are known to cover such devices:
               an attachment is taken back on it
Next door      updates.py asks until it is True, for a while
"""

import xml.etree.ElementTree as ET
from contextlib import suppress
from typing import Final

import libvirt

from corral.hypervisor.libvirt.shape import Shape

AGENT: Final = "org.qemu.guest_agent.0"
ANSWER_S: Final = 1
Answer = dict[str, str | int]


def sees_nic(domain: libvirt.virDomain, mac: str) -> bool | None:
    if not _has_agent(domain):
        return None
    try:
        found = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    except libvirt.libvirtError:
        return None
    return mac in {str(entry.get("hwaddr") or "").lower() for entry in found.values()}


def sees_disk(domain: libvirt.virDomain, target: str) -> bool | None:
    """By libvirt's name for it, which it finds by the PCI address that the guest tells."""
    if not _has_agent(domain):
        return None
    try:
        info: Answer = domain.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_DISKS)
    except libvirt.libvirtError:
        return None
    seen = {
        str(value) for name, value in info.items() if name.startswith("disk.") and name.endswith(".alias")
    }
    if target in seen:
        return True
    return False if seen else None  # it knows none of its disks by address: it would not know this one either


def sees_cpus(domain: libvirt.virDomain, count: int) -> bool | None:
    """Also asks the guest to use those that it has noticed, as not every system does that by itself."""
    if not _has_agent(domain):
        return None
    try:
        told = domain.guestVcpus()
    except libvirt.libvirtError:
        return None
    if not told:  # the binding gives None when the agent was interrupted
        return None
    online = cpus_of(str(told.get("online", "")))
    idle = cpus_of(str(told.get("vcpus", ""))) - online
    if len(online) < count and idle:
        with suppress(libvirt.libvirtError):
            domain.setGuestVcpus(",".join(map(str, sorted(idle)[: count - len(online)])), 1)
    return len(online) >= count


def cpus_of(text: str) -> set[int]:
    """As libvirt writes sets: 0-3,5."""
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus


def _has_agent(domain: libvirt.virDomain) -> bool:
    """Known without asking it, which would cost its patience."""
    try:
        shape = Shape(ET.fromstring(domain.XMLDesc(0)))
        domain.agentSetResponseTimeout(ANSWER_S)
    except libvirt.libvirtError:
        return False
    ends = (t for t in shape.devices.findall("channel/target") if t.get("name") == AGENT)
    return any(end.get("state") == "connected" for end in ends)
