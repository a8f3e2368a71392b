"""Subnets: what was left out of one filled in, and what can't be refused.

In this room   pure functions
Comes in       a Subnet as a user gave it, the segment of its network
Goes out       a Subnet that is whole; Invalid, with the field
Start here     completed()
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from msgspec.structs import replace

from corral.errors import Invalid
from corral.model.network import Segment, Subnet

HOSTS_MIN = 2  # below that there is nothing to give out beside the node's own address


def completed(subnet: Subnet, segment: Segment) -> Subnet:
    """The subnet with range, gateway and the nodes' own address. raises Invalid"""
    network = _network(subnet.cidr)
    full = replace(
        subnet,
        first=subnet.first or str(network[1] if network.num_addresses > HOSTS_MIN else network[0]),
        last=subnet.last or str(network[-2] if network.num_addresses > HOSTS_MIN else network[-1]),
    )
    full = _with_server(full, network, segment)
    check_servers(full.dns, "subnet.dns")
    for field in ("first", "last", "gateway", "server"):
        _check_inside(full, field, network)
    if IPv4Address(full.first) > IPv4Address(full.last):
        raise Invalid("subnet.last", full.last, f"at or after {full.first}")
    return full


def check_servers(addresses: Iterable[str], field: str) -> None:
    """Raises Invalid: not all are IPv4 addresses"""
    for address in addresses:
        try:
            IPv4Address(address)
        except ValueError:
            raise Invalid(field, address, "an IPv4 address") from None


def _with_server(subnet: Subnet, network: IPv4Network, segment: Segment) -> Subnet:
    """Where a bridge is Corral's own, nodes need an address on it to answer DHCP and DNS."""
    if segment is Segment.BRIDGE:
        if subnet.server:
            raise Invalid(
                "subnet.server",
                subnet.server,
                "empty on a bridge of the host",
                hint="The bridge's own is used.",
            )
        return subnet
    if network.num_addresses <= HOSTS_MIN:
        raise Invalid(
            "subnet.cidr", subnet.cidr, "large enough for a node and a VM", hint="Like 10.80.0.0/24."
        )
    if segment is Segment.NAT:
        gateway = subnet.gateway or subnet.server or str(network[1])
        if subnet.server not in ("", gateway):
            raise Invalid("subnet.server", subnet.server, "the gateway: on NAT networks the node is both")
        return replace(subnet, gateway=gateway, server=gateway)
    if not subnet.dhcp:
        return replace(subnet, server="")
    free = (str(network[n]) for n in ((-2, -3) if segment is Segment.VLAN else (1, 2)))
    return replace(subnet, server=subnet.server or next(a for a in free if a != subnet.gateway))


def _network(cidr: str) -> IPv4Network:
    try:
        return IPv4Network(cidr, strict=False)
    except ValueError as error:
        raise Invalid("subnet.cidr", cidr, "an IPv4 network like 10.78.0.0/24", hint=str(error)) from None


def _check_inside(subnet: Subnet, field: str, network: IPv4Network) -> None:
    value = getattr(subnet, field)
    if field in ("gateway", "server") and not value:
        return
    try:
        inside = IPv4Address(value) in network
    except ValueError:
        inside = False
    if not inside:
        raise Invalid(f"subnet.{field}", value, f"an address in {subnet.cidr}")
