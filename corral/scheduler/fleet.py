"""Fleet: the nodes as columns, updated in place from changes.

In this room   one row a node; what it has, what is claimed, which pools and networks it has ready
Comes in       nodes and VMs as they change, in any order
Goes out       NumPy columns for placement.py
Always true    claimed is the sum of the claims of the VMs last seen (tests compare it with a rebuild)
Next door      placement.py decides on these columns
Start here     Fleet.see_node(), Fleet.see_vm()
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.model.ids import NodeId, VmId
from corral.model.node import Node
from corral.model.vm import VM

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CPU: Final = 0
MEMORY: Final = 1
DIMENSIONS: Final = 2  # columns of capacity and claimed: vCPUs, memory in bytes


class Claim(Struct, frozen=True):
    """Capacity that a VM holds on a node."""

    node: NodeId
    cpus: int
    memory_bytes: int


class Fleet:
    """All nodes, one row each. Rows grow by doubling and are never moved."""

    def __init__(self) -> None:
        self.ids: list[NodeId] = []
        self.row: dict[NodeId, int] = {}
        self.capacity: Floats = np.zeros((8, DIMENSIONS))  # after reserve, with overcommit
        self.claimed: Floats = np.zeros((8, DIMENSIONS))
        self.takes_vms: Bools = np.zeros(8, dtype=bool)
        self.present: Bools = np.zeros(8, dtype=bool)
        self.pool_free: dict[str, Floats] = {}  # bytes; -1: not there, or not ready
        self.networks: dict[str, Bools] = {}
        self.claims: dict[VmId, tuple[Claim, ...]] = {}

    @property
    def size(self) -> int:
        return len(self.ids)

    def see_node(self, node: Node) -> None:
        """Take in a node that is new or has changed."""
        row = self._row(NodeId(node.id))
        spec, inventory = node.spec, node.status.inventory
        self.capacity[row, CPU] = inventory.cpus * spec.cpu_overcommit
        usable = max(0, inventory.memory_bytes - spec.reserve_memory_bytes)
        self.capacity[row, MEMORY] = usable * spec.memory_overcommit
        self.takes_vms[row], self.present[row] = node.takes_vms, True
        for column in self.pool_free.values():
            column[row] = -1
        for pool, seen in node.status.pools.items():
            self._pool(pool)[row] = seen.free_bytes if seen.ready else -1
        for flags in self.networks.values():
            flags[row] = False
        for network, on in node.status.networks.items():
            self._network(network)[row] = on.ready

    def forget_node(self, node: NodeId) -> None:
        """The node was removed; claims on it are kept in case it comes back under this id."""
        if node in self.row:
            self.takes_vms[self.row[node]] = self.present[self.row[node]] = False

    def see_vm(self, vm: VM) -> None:
        """Take in a VM that is new or has changed."""
        self.claim(VmId(vm.id), claims_of(vm))

    def forget_vm(self, vm: VmId) -> None:
        self.claim(vm, ())

    def claim(self, vm: VmId, claims: tuple[Claim, ...]) -> None:
        """Replace what the VM holds."""
        for old in self.claims.pop(vm, ()):
            self._add(old, -1)
        for new in claims:
            self._add(new, 1)
        if claims:
            self.claims[vm] = claims

    def _add(self, claim: Claim, sign: int) -> None:
        row = self._row(claim.node)  # first: it may replace the columns
        self.claimed[row] += (sign * claim.cpus, sign * claim.memory_bytes)

    def _row(self, node: NodeId) -> int:
        row = self.row.get(node)
        if row is None:
            row = self.row[node] = len(self.ids)
            self.ids.append(node)
            if row >= len(self.capacity):
                self._grow()
        return row

    def _grow(self) -> None:
        more = len(self.capacity)
        self.capacity = np.vstack([self.capacity, np.zeros((more, DIMENSIONS))])
        self.claimed = np.vstack([self.claimed, np.zeros((more, DIMENSIONS))])
        self.takes_vms = np.concatenate([self.takes_vms, np.zeros(more, dtype=bool)])
        self.present = np.concatenate([self.present, np.zeros(more, dtype=bool)])
        self.pool_free = {p: np.concatenate([c, np.full(more, -1.0)]) for p, c in self.pool_free.items()}
        self.networks = {n: np.concatenate([f, np.zeros(more, dtype=bool)]) for n, f in self.networks.items()}

    def _pool(self, pool: str) -> Floats:
        return self.pool_free.setdefault(pool, np.full(len(self.capacity), -1.0))

    def _network(self, network: str) -> Bools:
        return self.networks.setdefault(network, np.zeros(len(self.capacity), dtype=bool))


def claims_of(vm: VM) -> tuple[Claim, ...]:
    """What a VM holds: on its node, and during a migration on the target too. Stopped VMs keep their claim."""
    return tuple(Claim(node, vm.spec.cpus, vm.spec.memory_bytes) for node in vm.claimed_on)
