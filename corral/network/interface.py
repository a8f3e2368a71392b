"""Networking: bridges, rules, DHCP and DNS on one host.

In this room   the driver interface and its errors
Comes in       NetworkAssignment (model/link.py)
Goes out       NetworkOnNode
Always true    no packet of a network that Corral was not given is touched; DHCP answers the node's own VMs only;
               bridges that Corral did not make are left as they are
Next door      bridge.py (real: pyroute2, nftables, dnsmasq), simulated.py
Start here     Networking
"""

from collections.abc import Callable, Collection
from typing import Protocol

from corral.errors import CorralError
from corral.model.link import NetworkAssignment
from corral.model.node import NetworkOnNode


class NetworkFailed(CorralError):
    """The host's network is not as it needs to be; trying again may help."""

    code = "network.failed"
    status = 502
    retryable = True


class BridgeTaken(CorralError):
    """A link of the host has the name that Corral's bridge would get, and is not Corral's."""

    code = "network.bridge_taken"
    status = 409


class SubnetTaken(CorralError):
    """Addresses of the subnet are in use on the node, by another network or by the host: it could not tell them apart."""

    code = "network.subnet_taken"
    status = 409


class VlanTaken(CorralError):
    """The uplink carries this VLAN for somebody else already."""

    code = "network.vlan_taken"
    status = 409


class ForwardTaken(CorralError):
    """The node's port is in use, by another forward or by a program of the host."""

    code = "network.forward_taken"
    status = 409


Known = Callable[[], Collection[NetworkAssignment]]  # asked just before anything is removed


class Networking(Protocol):
    """Networks on one host."""

    async def serve(self, network: NetworkAssignment) -> NetworkOnNode:
        """See that bridge, rules, DHCP and DNS are as assigned. Troubles are in the answer, not raised."""

    async def drop(self, network: str) -> None:
        """Stop serving it (DHCP, DNS, rules). No error when it was not served."""

    async def sweep(self, known: Known) -> None:
        """Remove what is left of networks that are not known any more, bridges of Corral's included.

        raises  NetworkFailed
        """

    async def close(self) -> None:
        """The agent ends: DHCP goes on running, for the guests that renew."""
