"""Network: a layer-2 segment, with addresses, names and a way out as its segment has them.

In this room   Network; Subnet, its addresses; PortForward, a way in
Always true    a bridge that the host had before is never changed: segments other than BRIDGE get one of Corral's own,
               whose name follows from the network's id
Next door      link.py says what a node is told of it; corral/network serves it there
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.ids import NodeId, VmId
from corral.model.resource import Resource

OWN_BRIDGE: Final = (
    "cn-"  # how the bridges that Corral makes begin; nothing else on a host is taken for Corral's
)
OWN_VLAN: Final = "cv-"  # and the VLAN links below them


class Segment(StrEnum):
    BRIDGE = "bridge"  # a bridge that the nodes have, left as it is
    VLAN = "vlan"  # one VLAN of a NIC, bond or bridge of the nodes
    ISOLATED = "isolated"  # a bridge on each node, with no way out
    NAT = "nat"  # a bridge on each node, and out under the node's own address


class Subnet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses that Corral gives to ports; one is reserved for each NIC when its VM is created."""

    cidr: str  # 10.78.0.0/24
    first: str = ""  # first and last address of the range to give out; empty: all of the subnet
    last: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool = True  # each node answers DHCP for its own VMs
    server: str = (
        ""  # on bridges of Corral's own: where each node answers DHCP and DNS; the same on every node
    )

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(self.cidr, strict=False)

    def reserves(self, address: str) -> bool:
        """Whether the address is not for VMs."""
        ends = (self.network.network_address, self.network.broadcast_address)
        return address in (self.gateway, self.server) or (
            self.network.prefixlen < 31 and IPv4Address(address) in ends
        )


class PortForward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes to a port of the node that runs the VM goes on to the VM. NAT networks have these."""

    port: int
    vm: VmId
    to_port: int
    protocol: str = "tcp"  # or udp

    @property
    def key(self) -> str:
        """What it takes on a node; no two can have the same: tcp-8080"""
        return f"{self.protocol}-{self.port}"


class NetworkSpec(Struct, frozen=True, kw_only=True):
    bridge: str  # what guests are plugged into, on each node
    segment: Segment = Segment.BRIDGE
    uplink: str = ""  # VLAN: the link of the nodes that carries it
    vlan: int = 0  # VLAN: its number, 1 to 4094
    subnet: Subnet | None = None  # None: someone else hands out addresses
    domain: str = ""  # VMs are found as NAME.DOMAIN; empty: no DNS of Corral's
    forwarders: tuple[str, ...] = ()  # who is asked other names; none: as the node does it
    mtu: int = 1500
    anti_spoofing: bool = True  # guests can't pretend to be somebody else
    forwards: tuple[PortForward, ...] = ()
    nodes: tuple[NodeId, ...] = ()  # where it is; empty: on every node


class Network(Resource, frozen=True, kw_only=True, tag="Network"):
    """A layer-2 segment. What each node sees of it stands in NodeStatus.networks."""

    PREFIX: ClassVar = "net"
    PLURAL: ClassVar = "networks"
    SUMMARY: ClassVar = "a layer-2 segment that VMs have ports on"

    spec: NetworkSpec

    def on(self, node: NodeId) -> bool:
        """Whether the network is meant to be on this node."""
        return not self.spec.nodes or node in self.spec.nodes

    @property
    def spans_nodes(self) -> bool:
        """Whether VMs on several nodes reach each other on it."""
        return self.spec.segment in (Segment.BRIDGE, Segment.VLAN)


def own_bridge(network: str) -> str:
    """Name of the bridge that Corral makes for the network with this id: 15 characters at most."""
    return OWN_BRIDGE + network[-10:].lower()


def own_vlan(network: str) -> str:
    """Name of the VLAN link below that bridge."""
    return OWN_VLAN + network[-10:].lower()


def tap_name(mac: str) -> str:
    """Name, on the node, of the link that a guest's NIC is plugged in with: rules can be there before the guest is."""
    return "c" + mac.replace(":", "").lower()
