"""DHCP: what one network's dnsmasq is told.

In this room   pure functions: configuration, hosts and leases as texts
Comes in       NetworkAssignment, with the ports of the node's own VMs
Goes out       the texts of dnsmasq's files
Always true    only MAC addresses of ports are answered: every node has a dnsmasq on the same segment, and
               strangers there have a DHCP server of their own, or none
Next door      dnsmasq.py runs it; bridge.py puts both together
Start here     configuration()
source         dnsmasq(8)
"""

import re
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from corral.model.link import NetworkAssignment, Port

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
        "port=0",  # no DNS
        f"interface={network.bridge}",
        "except-interface=lo",
        "bind-interfaces",  # other DHCP servers of the host keep their own interfaces
        "no-hosts",
        "no-resolv",
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
        ",".join(["dhcp-option=option:dns-server", *network.subnet.dns]),  # empty: told not to send any
        f"dhcp-option=option:mtu,{network.mtu}",
    ]
    if hosts_inside:
        lines += [f"dhcp-host={line}" for line in hosts(network.ports).splitlines()]
    else:
        lines.append(f"dhcp-hostsfile={directory / 'hosts'}")
    return "".join(f"{line}\n" for line in lines)


def hosts(ports: tuple[Port, ...]) -> str:
    """The hosts file: who gets which address. Client ids are ignored: boot loader and system have different ones."""
    lines = []
    for port in sorted(ports, key=lambda port: port.mac):
        name = port.name.split(".")[0]
        named = [name] if NAME.fullmatch(name) and not KEYWORD.fullmatch(name) else []
        if port.address:
            lines.append(",".join([port.mac.lower(), "id:*", port.address, *named]) + "\n")
    return "".join(lines)


def leases_kept(leases: str, ports: tuple[Port, ...]) -> str:
    """The lease file without leases of addresses that now belong to another port.

    dnsmasq would refuse to give such an address to its new owner until the old lease ends: a VM that is
    deleted does not give its lease back.
    """
    owners = {port.address: port.mac.lower() for port in ports if port.address}
    kept = []
    for line in leases.splitlines(keepends=True):
        words = line.split()
        taken = len(words) >= 3 and owners.get(words[2], words[1].lower()) != words[1].lower()
        if not taken:
            kept.append(line)
    return "".join(kept)
