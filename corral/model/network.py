"""Network: a layer-2 segment on an existing bridge, with addresses handed out by DHCP."""

from typing import ClassVar

from msgspec import Struct

from corral.model.ids import NodeId
from corral.model.resource import Resource


class Subnet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses that Corral gives to ports; one is reserved for each NIC when its VM is created."""

    cidr: str  # 10.78.0.0/24
    first: str  # first and last address of the range to give out
    last: str
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool = True  # each node answers DHCP for its own VMs


class NetworkSpec(Struct, frozen=True, kw_only=True):
    bridge: str  # exists on each node
    subnet: Subnet | None = None  # None: someone else hands out addresses
    mtu: int = 1500
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
