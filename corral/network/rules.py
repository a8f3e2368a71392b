"""Rules: what nftables is told about one network on one node.

In this room   pure functions: a NetworkAssignment in, texts of tables out
Goes out       a table in the bridge family (who may send what), and one in the ip family (the way out and in)
Always true    a table holds one network and nothing else, so taking it away takes all of it away; other tables are
               never named. Its size grows with the ports, the work for a packet does not.
Next door      nft.py loads them; tests/unit/network/golden has them whole
Start here     tables()
source         nft(8); what a guest may send: as libvirt's nwfilter clean-traffic and OpenStack's port security have it
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from corral.model.link import Forward, NetworkAssignment, Port
from corral.model.network import Segment, own_vlan
from corral.network.segments import bridge_mac

PREFIX: Final = "corral-"  # of the names of Corral's tables
FORWARDING: Final = PREFIX + "forwarding"  # the one that is no network's: forwarding.py
LOOPBACK: Final = "127.0.0.0/8"
LINK_LOCAL_GROUPS: Final = (
    "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"  # spanning tree, LLDP, LACP, …
)


Taps = Mapping[str, tuple[str, ...]]
NO_TAPS: Final[Taps] = {}


def table_name(network: str) -> str:
    return PREFIX + network.lower()


def tables(network: NetworkAssignment, taps: Taps = NO_TAPS) -> dict[str, str]:
    """Text by family of each table that the network needs.

    taps   more names, by MAC address, under which its guests are plugged in
    """
    name = table_name(network.network)
    bodies = {"bridge": list(_bridge(network, taps)), "ip": list(_ip(network))}
    return {family: _block(f"table {family} {name}", lines) for family, lines in bodies.items() if lines}


def _block(head: str, lines: Iterable[str]) -> str:
    return f"{head} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _chain(name: str, hook: str, *rules: str) -> Iterator[str]:
    yield f"chain {name} {{"
    if hook:
        yield f"  type {hook};"
    yield from (f"  {rule}" for rule in rules)
    yield "}"


def _set(name: str, type_: str, elements: Iterable[str]) -> Iterator[str]:
    yield f"set {name} {{"
    yield f"  type {type_}"
    if text := ", ".join(sorted(elements)):
        yield f"  elements = {{ {text} }}"
    yield "}"


# ---- bridge: who may send what


def _bridge(network: NetworkAssignment, taps: Taps) -> Iterator[str]:
    guarded = [port for port in network.ports if port.anti_spoofing]
    if not guarded and network.segment is not Segment.VLAN:
        return
    yield from _guests(guarded, taps)
    first = ["iifname @taps jump guest"] if guarded else []
    if network.segment is Segment.VLAN:
        first = [*_from_uplink(network), *first]
        sent = f"oifname {own_vlan(network.network)} ether saddr {bridge_mac(network.network)} drop"
        yield from _chain("node", "filter hook output priority -250", sent)
    yield from _chain("received", "filter hook prerouting priority -250", *first)


def _guests(ports: list[Port], taps: Taps) -> Iterator[str]:
    """Chains for what comes from guests."""
    if not ports:
        return
    plugged = [(f'"{tap}"', port) for port in ports for tap in (port.tap, *taps.get(port.mac.lower(), ()))]
    managed = [(tap, port) for tap, port in plugged if port.address]
    yield from _set("taps", "ifname", (tap for tap, _ in plugged))
    yield from _set("managed", "ifname", (tap for tap, _ in managed))
    yield from _set("macs", "ifname . ether_addr", (f"{tap} . {port.mac.lower()}" for tap, port in plugged))
    yield from _set("addresses", "ifname . ipv4_addr", (f"{tap} . {port.address}" for tap, port in managed))
    yield from _chain(
        "guest",
        "",
        "iifname . ether saddr != @macs drop",
        f"{LINK_LOCAL_GROUPS} drop",
        "ether type { 8021q, 8021ad } drop",  # what is inside of a tag would not be looked at
        "ether type arp jump guest_arp",
        "ether type ip jump guest_ip",
        "ether type ip6 jump guest_ip6",
    )
    yield from _chain(
        "guest_arp",
        "",
        "iifname . arp saddr ether != @macs drop",
        "iifname @managed arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @addresses drop",
    )
    yield from _chain(
        "guest_ip",
        "",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",  # a guest that asks for its address
        "iifname @managed iifname . ip saddr != @addresses drop",
        "udp sport 67 drop",  # answers of a DHCP server
    )
    yield from _chain(
        "guest_ip6",
        "",
        "icmpv6 type nd-router-advert drop",
        "udp sport 547 drop",  # answers of a DHCPv6 server
    )


def _from_uplink(network: NetworkAssignment) -> Iterator[str]:
    """Each node has the same address there, for its own guests: it is not to be seen beyond the node."""
    uplink = own_vlan(network.network)
    yield f"iifname {uplink} ether daddr {bridge_mac(network.network)} drop"
    if network.subnet and network.subnet.server:
        yield f"iifname {uplink} arp daddr ip {network.subnet.server} drop"
        yield f"iifname {uplink} arp saddr ip {network.subnet.server} drop"


# ---- ip: the way out and in


def _ip(network: NetworkAssignment) -> Iterator[str]:
    if not network.own:
        return
    bridge = network.bridge
    within = f'iifname "{bridge}" oifname "{bridge}" accept'  # bridged: seen here where br_netfilter is on
    if network.segment is not Segment.NAT or network.subnet is None:
        closed = (f'iifname "{bridge}" drop', f'oifname "{bridge}" drop')
        yield from _chain("forward", "filter hook forward priority filter", within, *closed)
        return
    subnet = network.subnet.network
    yield from _chain(
        "forward",
        "filter hook forward priority filter",
        within,
        f'oifname "{bridge}" ct state established,related accept',
        f'oifname "{bridge}" ct status dnat accept',
        f'oifname "{bridge}" drop',
        f'iifname "{bridge}" ip saddr != {subnet} drop',
    )
    yield from _chain(
        "out",
        "nat hook postrouting priority srcnat",
        f'ip saddr {subnet} oifname != "{bridge}" masquerade',
        f'ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade',  # to a neighbour by the node's address
    )
    yield from _forwards(network.forwards)


def _forwards(forwards: tuple[Forward, ...]) -> Iterator[str]:
    rules = []
    for protocol in ("tcp", "udp"):
        ways = sorted((f for f in forwards if f.protocol == protocol), key=lambda f: f.port)
        if ways:
            pairs = ", ".join(f"{f.port} : {f.address} . {f.to_port}" for f in ways)
            yield f"map {protocol}_ways {{"
            yield "  type inet_service : ipv4_addr . inet_service"
            yield f"  elements = {{ {pairs} }}"
            yield "}"
            rules.append(
                f"fib daddr type local ip daddr != {LOOPBACK} dnat ip to {protocol} dport map @{protocol}_ways"
            )
    if rules:
        yield from _chain("in", "nat hook prerouting priority dstnat", *rules)
        yield from _chain("in_from_node", "nat hook output priority -100", *rules)
