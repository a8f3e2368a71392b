"""DHCP and DNS: what one network's dnsmasq is told.

In this room   pure functions: configuration, hosts, names and leases as texts
Comes in       NetworkAssignment, with the ports of the node's own VMs
Goes out       the texts of dnsmasq's files
Always true    only MAC addresses of ports are answered: every node has a dnsmasq on the same segment, and
               strangers there have a DHCP server of their own, or none. Names come from Corral only: a guest that
               calls itself something else is not believed
Next door      dnsmasq.py runs it; bridge.py puts both together
Start here     configuration()
source         dnsmasq(8)
"""

import re
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from corral.model.link import HostName, NetworkAssignment, Port
from corral.model.network import Segment

LEASE_S: Final = 24 * 3600
LEASES_MAX: Final = 65536
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYWORD: Final = re.compile(
    r"\d+[smhdw]?|infinite|ignore"
)  # dnsmasq would take these for something else than a name


class Step(StrEnum):
    """What has to be done about a dnsmasq."""

    REST = "rest"
    RELOAD = "reload"  # it reads the hosts file again
    RESTART = "restart"


def plan(*, running: bool, configured: bool, hosts_known: bool) -> Step:
    """The one step that brings a dnsmasq to what is wanted.

    configured   configuration and leases are as they have to be, and it has read them
    hosts_known  it surely knows the hosts as they are wanted
    """
    if not (running and configured):
        return Step.RESTART
    return Step.REST if hosts_known else Step.RELOAD


def configuration(
    network: NetworkAssignment, directory: Path, bridge_index: int, *, hosts_inside: bool = False
) -> str:
    """dnsmasq.conf for this network; its files are in `directory`. The network has a subnet.

    hosts_inside  dnsmasq, which runs as nobody, can't enter the directory: it gets its hosts with what it
                  reads as root, and is restarted for each change
    """
    assert network.subnet
    subnet = IPv4Network(network.subnet.cidr, strict=False)
    lines = [
        f"# bridge number {bridge_index}",  # one that was made anew needs a new socket: the text differs then
        *_dns(network, directory, inside=hosts_inside),
        f"interface={network.bridge}",
        "except-interface=lo",
        "bind-interfaces",  # other DHCP servers of the host keep their own interfaces
        "no-hosts",
        "no-ping",  # an address is ours to give: asking around first would cost each guest 3 s
        "quiet-dhcp",
        f"log-facility={directory / 'log'}",
        f"pid-file={directory / 'pid'}",
        f"dhcp-leasefile={directory / 'leases'}",
        f"dhcp-lease-max={LEASES_MAX}",
        f"dhcp-range={subnet.network_address},static,{subnet.netmask},{LEASE_S}",
        "dhcp-ignore=tag:!known",
        "dhcp-authoritative",  # a VM that moved here goes on with the address that it has
        ",".join(
            ["dhcp-option=option:router", *([network.subnet.gateway] if network.subnet.gateway else [])]
        ),
        *_dns_servers(network),
        f"dhcp-option=option:mtu,{network.mtu}",
    ]
    if hosts_inside:
        lines += [f"dhcp-host={line}" for line in hosts(network.ports).splitlines()]
    else:
        lines.append(f"dhcp-hostsfile={directory / 'hosts'}")
    return "".join(f"{line}\n" for line in lines)


def _dns(network: NetworkAssignment, directory: Path, *, inside: bool) -> list[str]:
    if not network.domain:
        return ["port=0", "no-resolv"]
    asked = [f"server={address}" for address in network.forwarders]
    alone = bool(asked) or network.segment is Segment.ISOLATED  # else: who the host itself asks
    known = (
        [f"host-record={n.name}.{network.domain},{n.address}" for n in _named(network.names)]
        if inside
        else [f"addn-hosts={directory / 'names'}"]
    )
    return [
        f"domain={network.domain}",
        f"local=/{network.domain}/",  # a name that is not known there is not asked for elsewhere
        "domain-needed",
        "dhcp-ignore-names",  # that guests give themselves
        *(["no-resolv"] if alone else []),
        *asked,
        *known,
    ]


def _dns_servers(network: NetworkAssignment) -> list[str]:
    """Whom guests are told to ask; an empty option: told not to send any; none: dnsmasq's own address is sent."""
    assert network.subnet
    if network.domain and not network.subnet.dns:
        return []
    return [",".join(["dhcp-option=option:dns-server", *network.subnet.dns])]


def names(network: NetworkAssignment) -> str:
    """The file of names, as /etc/hosts has them."""
    if not network.domain:
        return ""
    return "".join(f"{n.address} {n.name}.{network.domain}\n" for n in _named(network.names))


def _named(known: tuple[HostName, ...]) -> list[HostName]:
    """Those whose name can stand in DNS, always in the same order."""
    fit = (n for n in known if all(NAME.fullmatch(label) for label in n.name.split(".")))
    return sorted(fit, key=lambda n: (n.name, n.address))


def hosts(ports: tuple[Port, ...]) -> str:
    """The hosts file: who gets which address. Client ids are ignored: boot loader and system have different ones."""
    lines = []
    for port in sorted(ports, key=lambda port: port.mac):
        name = port.name.split(".")[0]
        named = [name] if NAME.fullmatch(name) and not KEYWORD.fullmatch(name) else []
        if port.address:
            lines.append(",".join([port.mac.lower(), "id:*", port.address, *named]) + "\n")
    return "".join(lines)


def leases_kept(leases: str, ports: tuple[Port, ...], *, ours_only: bool = False) -> str:
    """The lease file without leases of addresses that now belong to another port.

    dnsmasq would refuse to give such an address to its new owner until the old lease ends: a VM that is
    deleted does not give its lease back.

    ours_only   without those of VMs that are not here any more, too: their names would still be answered
    """
    owners = {port.address: port.mac.lower() for port in ports if port.address}
    kept = []
    for line in leases.splitlines(keepends=True):
        words = line.split()
        if len(words) < 3 or owners.get(words[2], "" if ours_only else words[1].lower()) == words[1].lower():
            kept.append(line)
    return "".join(kept)


def leased(leases: str, ports: tuple[Port, ...], now_s: float) -> tuple[str, ...]:
    """Addresses that the guests of these ports have taken."""
    owners = {port.address: port.mac.lower() for port in ports if port.address}
    lines = (words for line in leases.splitlines() if len(words := line.split()) >= 3)
    return tuple(
        sorted(
            address
            for until, mac, address, *_ in lines
            if owners.get(address) == mac.lower() and until.isdigit() and (until == "0" or int(until) > now_s)
        )
    )
