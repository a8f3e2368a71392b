"""Simulated networking: every bridge is there, and DHCP answers whom it is told to."""

from corral.clock import Clock
from corral.faults import Faults, NoFaults
from corral.model.link import NetworkAssignment
from corral.model.node import NetworkOnNode
from corral.model.resource import Trouble
from corral.network.interface import Known, NetworkFailed


class SimulatedNetworking:
    """Networks of one host. `missing_bridges` are those that it does not have."""

    def __init__(
        self, clock: Clock, *, faults: Faults | None = None, missing_bridges: tuple[str, ...] = ()
    ) -> None:
        self._clock = clock
        self._faults: Faults = faults or NoFaults()
        self.missing_bridges = missing_bridges
        self.served: dict[str, NetworkAssignment] = {}

    async def serve(self, network: NetworkAssignment) -> NetworkOnNode:
        await self._call("serve")
        if network.bridge in self.missing_bridges:
            error = NetworkFailed(f"there is no bridge {network.bridge}", bridge=network.bridge)
            return NetworkOnNode(trouble=Trouble.of(error))
        self.served[network.network] = network
        await self._faults.strike("network.serve.end")
        return NetworkOnNode(ready=True, generation=network.generation)

    async def drop(self, network: str) -> None:
        await self._call("drop")
        self.served.pop(network, None)
        await self._faults.strike("network.drop.end")

    async def sweep(self, known: Known) -> None:
        await self._call("sweep")
        keep = {network.network for network in known() if network.wanted}
        self.served = {key: network for key, network in self.served.items() if key in keep}
        await self._faults.strike("network.sweep.end")

    async def close(self) -> None:
        return

    async def _call(self, what: str) -> None:
        await self._faults.strike(f"network.{what}")
        await self._clock.sleep(0.001 + 0.002 * self._clock.chance.random())
