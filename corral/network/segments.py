"""Segments: the bridges that Corral makes on a host, and what has to be true of those that it does not make.

In this room   pure functions: links as they are in, steps out; or the trouble, in words
Comes in       NetworkAssignment; Links by name
Goes out       Steps for links.change()
Always true    a link that does not bear Corral's mark is never changed or removed, whatever it is called; a bridge with a
               guest on it is never removed
Next door      links.py looks and does; bridge.py puts it together
Start here     plan()
"""

from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2s
from ipaddress import IPv4Interface
from typing import Final

from corral.model.link import NetworkAssignment
from corral.model.network import OWN_BRIDGE, OWN_VLAN, Segment, own_vlan
from corral.network.interface import BridgeTaken, NetworkFailed, SubnetTaken, VlanTaken
from corral.network.links import (
    AddAddress,
    AddBridge,
    AddVlan,
    Link,
    RemoveAddress,
    RemoveLink,
    SetLink,
    Step,
)

TAP_OCTET: Final = "fe"  # the first of a tap's MAC address, whatever that of its guest
MARK: Final = "corral "  # the alias of a link of Corral's begins so


def bridge_mac(network: str) -> str:
    """The same on each node: guests that move go on with the gateway's address as they have it."""
    return ":".join(["0a", *(f"{octet:02x}" for octet in blake2s(network.encode(), digest_size=5).digest())])


def plan(network: NetworkAssignment, links: Mapping[str, Link]) -> list[Step]:
    """What is missing of the network's bridge. None of it if the bridge is the host's.

    raises  NetworkFailed, BridgeTaken, SubnetTaken, VlanTaken: it can't be, or the host's own bridge is not as it has to be
    """
    if not network.own:
        check(network, links.get(network.bridge))
        return []
    mark = f"{MARK}{network.network} {network.name}".strip()
    uplink = _uplink(network, links) if network.segment is Segment.VLAN else None
    _check_subnet(network, links)
    return [*_bridge(network, links, mark), *(_vlan(network, links, uplink, mark) if uplink else ())]


def leftovers(known: Collection[NetworkAssignment], links: Mapping[str, Link]) -> list[Step]:
    """Links of Corral's that no network needs any more. Bridges with guests stay: somebody is mistaken, not the guest."""
    needed = {network.bridge for network in known} | {own_vlan(n.network) for n in known if n.vlan}
    ours = [
        link
        for link in links.values()
        if link.name.startswith((OWN_BRIDGE, OWN_VLAN))
        and link.alias.startswith(MARK)
        and link.name not in needed
    ]
    vlans = [link for link in ours if link.kind == "vlan"]
    gone = {link.index for link in vlans}
    bridges = [
        link
        for link in ours
        if link.kind == "bridge"
        and not any(port.master == link.index and port.index not in gone for port in links.values())
    ]
    kept = {link.index for link in ours if link.kind == "bridge"} - {link.index for link in bridges}
    return [
        RemoveLink(link.name) for link in (*vlans, *bridges) if link.master not in kept or not link.master
    ]


def taps(network: NetworkAssignment, links: Mapping[str, Link]) -> dict[str, tuple[str, ...]]:
    """Other names, by MAC address, under which guests are plugged into the bridge.

    VMs that were there before Corral, or that run since an older version, have taps that libvirt named. It gives a tap the
    MAC address of its guest, but for the first octet.
    """
    bridge, found = links.get(network.bridge), {}
    for port in network.ports:
        mac = port.mac.lower()
        names = tuple(
            sorted(
                link.name
                for link in links.values()
                if bridge and link.master == bridge.index and link.name != port.tap
                and link.mac == TAP_OCTET + mac[2:]
            )
        )  # fmt: skip
        if names:
            found[mac] = names
    return found


def check(network: NetworkAssignment, bridge: Link | None) -> Link:
    """The host's bridge, if it is as the network needs it. raises NetworkFailed"""
    name = network.bridge
    if bridge is None:
        raise NetworkFailed(
            f"there is no bridge {name}",
            hint=f"ip link add {name} type bridge; ip link set {name} up",
            bridge=name,
        )
    if bridge.kind != "bridge":
        raise NetworkFailed(
            f"{name} is no bridge",
            hint="Name a bridge of the host, not a NIC.",
            bridge=name,
            kind=bridge.kind,
        )
    if not bridge.up:
        raise NetworkFailed(f"bridge {name} is down", hint=f"ip link set {name} up", bridge=name)
    if bridge.mtu < network.mtu:
        raise NetworkFailed(
            f"bridge {name} has an MTU of {bridge.mtu}, and the network asks for {network.mtu}",
            hint=f"ip link set {name} mtu {network.mtu} (its ports first), or give the network a smaller MTU",
            bridge=name, mtu=bridge.mtu, asked=network.mtu,
        )  # fmt: skip
    if network.subnet and network.subnet.dhcp:
        _check_address(network, bridge)
    return bridge


def _check_address(network: NetworkAssignment, bridge: Link) -> None:
    assert network.subnet
    subnet, name = network.subnet.network, network.bridge
    if any(IPv4Interface(address).ip in subnet for address in bridge.addresses):
        return
    raise NetworkFailed(
        f"bridge {name} has no address in {subnet}, and DHCP can't answer without one",
        hint=f"ip addr add ADDRESS/{subnet.prefixlen} dev {name}, with one outside the range that VMs get",
        bridge=name, addresses=" ".join(bridge.addresses), subnet=str(subnet),
    )  # fmt: skip


def _bridge(network: NetworkAssignment, links: Mapping[str, Link], mark: str) -> Iterator[Step]:
    name, mac, there = network.bridge, bridge_mac(network.network), links.get(network.bridge)
    if there is None:
        yield AddBridge(name, mac, network.mtu)
        yield SetLink(name=name, alias=mark)
    else:
        _check_ours(there, links)
        if (there.mac, there.mtu, there.alias) != (mac, network.mtu, mark):
            yield SetLink(name=name, mac=mac, mtu=network.mtu, alias=mark)
    if there is None or not there.up:
        yield SetLink(name=name, up=True)
    yield from _addresses(network, there)


def _addresses(network: NetworkAssignment, bridge: Link | None) -> Iterator[Step]:
    subnet = network.subnet
    wanted = {f"{subnet.server}/{subnet.network.prefixlen}"} if subnet and subnet.server else set()
    there = set(bridge.addresses) if bridge else set()
    yield from (RemoveAddress(network.bridge, address) for address in sorted(there - wanted))
    yield from (AddAddress(network.bridge, address) for address in sorted(wanted - there))


def _vlan(network: NetworkAssignment, links: Mapping[str, Link], uplink: Link, mark: str) -> Iterator[Step]:
    name, there = own_vlan(network.network), links.get(own_vlan(network.network))
    bridge = links.get(network.bridge)
    if there is not None:
        _check_ours(there, links)
        if (there.parent, there.vlan) != (uplink.index, network.vlan):
            yield RemoveLink(name)
            there = None
    if there is None:
        yield AddVlan(name, uplink.index, network.vlan, network.mtu)
        yield SetLink(name=name, alias=mark)
    elif (there.mtu, there.alias) != (network.mtu, mark):
        yield SetLink(name=name, mtu=network.mtu, alias=mark)
    if there is None or bridge is None or there.master != bridge.index:
        yield SetLink(name=name, master=network.bridge)
    if there is None or not there.up:
        yield SetLink(name=name, up=True)


def _uplink(network: NetworkAssignment, links: Mapping[str, Link]) -> Link:
    """Raises NetworkFailed: there is none, or it can't carry the VLAN"""
    uplink = links.get(network.uplink)
    if uplink is None:
        raise NetworkFailed(
            f"there is no link {network.uplink} on this host",
            hint="`ip link` shows what there is; --node says which nodes have the network.",
            uplink=network.uplink,
        )
    if uplink.mtu < network.mtu:
        raise NetworkFailed(
            f"{uplink.name} has an MTU of {uplink.mtu}, and the network asks for {network.mtu}",
            hint=f"ip link set {uplink.name} mtu {network.mtu}, or give the network a smaller MTU",
            uplink=uplink.name, mtu=uplink.mtu, asked=network.mtu,
        )  # fmt: skip
    rival = next(
        (
            link.name
            for link in links.values()
            if link.kind == "vlan" and link.parent == uplink.index and link.vlan == network.vlan
            and link.name != own_vlan(network.network)
        ),
        "",
    )  # fmt: skip
    if rival:
        raise VlanTaken(
            f"VLAN {network.vlan} of {uplink.name} is in use by the host's link {rival}",
            hint=f"Put a bridge of the host on {rival}, and make a network on it with --bridge.",
            uplink=uplink.name, vlan=network.vlan, link=rival,
        )  # fmt: skip
    return uplink


def _check_ours(link: Link, links: Mapping[str, Link]) -> None:
    """A link without a mark is Corral's if nothing is on it: an agent may have died before it marked it."""
    untouched = not link.alias and not link.addresses and not link.up
    if link.alias.startswith(MARK) or (untouched and not any(p.master == link.index for p in links.values())):
        return
    raise BridgeTaken(
        f"{link.name} exists on the host and is not Corral's",
        hint=f"Rename or remove it there (`ip link set {link.name} name …`); Corral does not touch it.",
        link=link.name,
    )


def _check_subnet(network: NetworkAssignment, links: Mapping[str, Link]) -> None:
    if not (network.subnet and network.subnet.server):
        return
    subnet = network.subnet.network
    for link in links.values():
        for address in link.addresses:
            if link.name != network.bridge and IPv4Interface(address).network.overlaps(subnet):
                raise SubnetTaken(
                    f"{link.name} of the host has the address {address}, which overlaps with {subnet}",
                    hint="Give the network another subnet, or leave the node out with --node.",
                    link=link.name, address=address, subnet=str(subnet),
                )  # fmt: skip
