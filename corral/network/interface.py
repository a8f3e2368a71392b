"""Networking: bridges and DHCP on one host.

In this room   the driver interface and its errors
Comes in       NetworkAssignment (model/link.py)
Goes out       NetworkOnNode
Always true    no packet of a network that Corral was not given is touched; DHCP answers the node's own VMs only
Next door      bridge.py (real: pyroute2, dnsmasq), simulated.py
Start here     Networking
"""

from typing import Protocol

from corral.errors import CorralError
from corral.model.link import NetworkAssignment
from corral.model.node import NetworkOnNode


class NetworkFailed(CorralError):
    """The host's network is not as it needs to be; trying again may help."""

    code = "network.failed"
    status = 502
    retryable = True


class Networking(Protocol):
    """Networks on one host."""

    async def serve(self, network: NetworkAssignment) -> NetworkOnNode:
        """See that the bridge is there and DHCP answers its ports. Troubles are in the answer, not raised."""

    async def drop(self, network: str) -> None:
        """Stop serving it (its DHCP). The bridge stays. No error when it was not served."""

    async def close(self) -> None:
        """The agent ends: DHCP goes on running, for the guests that renew."""
