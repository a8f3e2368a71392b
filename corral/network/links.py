"""Links: what this host (or the network namespace that the agent is in) has of a network, by netlink.

In this room   look(): all links at once; change(): the steps that segments.py plans
Comes in       Steps
Goes out       Links; NetworkFailed where the kernel refuses
Always true    only what a step names is touched
Next door      segments.py decides
Start here     look()
"""

import errno
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from corral.network.interface import NetworkFailed, VlanTaken

IPV4: Final = 2  # AF_INET
UP: Final = 1  # IFF_UP
SYSCTL: Final = Path("/proc/sys/net")


class Link(Struct, frozen=True, kw_only=True):
    """A link as it is."""

    index: int  # the kernel's number of it: a link that was made anew has another
    name: str = ""
    kind: str  # "bridge", "vlan", "tun", "" for a physical NIC, …
    up: bool
    mtu: int
    mac: str = ""
    alias: str = ""  # what `ip link` shows; Corral marks its own with it
    master: int = 0  # index of the bridge that it is a port of; 0: none
    parent: int = 0  # VLAN: index of the link that carries it
    vlan: int = 0
    addresses: tuple[str, ...] = ()  # IPv4, as 10.78.0.1/24


class AddBridge(Struct, frozen=True):
    name: str
    mac: str
    mtu: int


class AddVlan(Struct, frozen=True):
    name: str
    parent: int
    vlan: int
    mtu: int


class SetLink(Struct, frozen=True, kw_only=True):
    """Change what is given of a link."""

    name: str
    up: bool | None = None
    mtu: int | None = None
    mac: str | None = None
    alias: str | None = None
    master: str | None = None


class AddAddress(Struct, frozen=True):
    name: str
    address: str


class RemoveAddress(Struct, frozen=True):
    name: str
    address: str


class RemoveLink(Struct, frozen=True):
    name: str


Step = AddBridge | AddVlan | SetLink | AddAddress | RemoveAddress | RemoveLink


def look() -> dict[str, Link]:
    """All links by name. Blocks for some milliseconds."""
    with _netlink() as netlink:
        addresses: dict[int, list[str]] = {}
        for address in netlink.get_addr(family=IPV4):
            text = (
                f"{address.get_attr('IFA_LOCAL') or address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}"
            )
            addresses.setdefault(address["index"], []).append(text)
        links = (_link(message, addresses) for message in netlink.get_links())
        return {link.name: link for link in links}


def change(steps: Sequence[Step]) -> None:
    """Do the steps in turn; one whose effect is there already is no error. Blocks. raises NetworkFailed"""
    from pyroute2.netlink.exceptions import NetlinkError

    with _netlink() as netlink:
        for step in steps:
            try:
                _do(netlink, step)
            except NetlinkError as error:
                _explain(step, error)


def _netlink() -> Any:
    from pyroute2 import (
        IPRoute,  # here: its import takes longer than all else that an agent does at its start
    )

    return IPRoute()


def _link(message: Any, addresses: dict[int, list[str]]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else "") or ""
    data = info.get_attr("IFLA_INFO_DATA") if info and kind == "vlan" else None
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        up=bool(message["flags"] & UP),
        mtu=message.get_attr("IFLA_MTU"),
        mac=message.get_attr("IFLA_ADDRESS") or "",
        alias=message.get_attr("IFLA_IFALIAS") or "",
        master=message.get_attr("IFLA_MASTER") or 0,
        parent=(message.get_attr("IFLA_LINK") or 0) if kind == "vlan" else 0,
        vlan=(data.get_attr("IFLA_VLAN_ID") or 0) if data else 0,
        addresses=tuple(addresses.get(message["index"], ())),
    )


def _do(netlink: Any, step: Step) -> None:
    match step:
        case AddBridge(name, mac, mtu):
            netlink.link(
                "add", ifname=name, kind="bridge", address=mac, mtu=mtu, br_forward_delay=0, br_stp_state=0
            )
            _without_ipv6(name)
        case AddVlan(name, parent, vlan, mtu):
            netlink.link("add", ifname=name, kind="vlan", link=parent, vlan_id=vlan, mtu=mtu)
            _without_ipv6(name)
        case SetLink(name=name):
            netlink.link("set", index=_index(netlink, name), **_settings(netlink, step))
        case AddAddress(name, address):
            ip, _, bits = address.partition("/")
            netlink.addr("add", index=_index(netlink, name), address=ip, prefixlen=int(bits))
        case RemoveAddress(name, address):
            ip, _, bits = address.partition("/")
            netlink.addr("del", index=_index(netlink, name), address=ip, prefixlen=int(bits))
        case RemoveLink(name):
            netlink.link("del", index=_index(netlink, name))


def _settings(netlink: Any, step: SetLink) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if step.up is not None:
        settings["state"] = "up" if step.up else "down"
    for field, word in (("mtu", "mtu"), ("mac", "address"), ("alias", "ifalias")):
        if (value := getattr(step, field)) is not None:
            settings[word] = value
    if step.master is not None:
        settings["master"] = _index(netlink, step.master)
    return settings


def _index(netlink: Any, name: str) -> int:
    found: int | None = next(iter(netlink.link_lookup(ifname=name)), None)
    if found is None:
        raise NetworkFailed(f"{name} is gone from the host meanwhile", link=name)
    return found


def _without_ipv6(name: str) -> None:
    """Guests on the segment are not to reach the host by an address that nobody gave it."""
    with suppress(OSError):  # a host without IPv6 has no such file
        (SYSCTL / "ipv6/conf" / name / "disable_ipv6").write_text("1")


def _explain(step: Step, error: Exception) -> None:
    """Raises NetworkFailed, VlanTaken, unless the step's effect is there already."""
    code = getattr(error, "code", 0)
    match step, code:
        case (AddAddress(), errno.EEXIST) | (RemoveAddress(), errno.EADDRNOTAVAIL):
            return
        case (AddVlan(vlan=vlan), errno.EEXIST):
            raise VlanTaken(
                f"VLAN {vlan} of the uplink is in use by another link of the host",
                hint="Put a bridge of the host on that link, and make a network on it with --bridge.",
                vlan=vlan,
            ) from error
        case (AddVlan(), errno.EOPNOTSUPP):
            message, hint = "this host's kernel has no VLANs", "modprobe 8021q"
        case _:
            message, hint = f"the kernel refused {type(step).__name__} {step.name}: {error}", ""
    raise NetworkFailed(message, hint=hint, errno=code) from error
