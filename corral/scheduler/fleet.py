"""Fleet: the nodes as columns, updated in place from changes.

In this room   one row a node; what it has and can, what is claimed, which pools and networks it has ready
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

from corral.model.hardware import GuestCpu
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node
from corral.model.vm import VM
from corral.scheduler.devices import key
from corral.scheduler.traits import cpu_name, traits_of

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
    hugepage_bytes: int = 0  # size of the pages that its memory consists of; 0: ordinary ones
    devices: tuple[str, ...] = ()  # of the node, as devices.key() writes them


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
        self.inventories: dict[NodeId, Inventory] = {}
        self.kinds: list[frozenset[str]] = []  # sets of traits; most nodes are alike
        self.kind: NDArray[np.intp] = np.zeros(8, dtype=np.intp)  # place in kinds
        self.pages_total: dict[int, Floats] = {}  # bytes in hugepages, by size of a page
        self.pages_claimed: dict[int, Floats] = {}
        self.devices_held: dict[NodeId, dict[str, int]] = {}  # VMs by device
        self.cpus: dict[str, GuestCpu] = {}  # that nodes have, or had, by name

    @property
    def size(self) -> int:
        return len(self.ids)

    def see_node(self, node: Node) -> None:
        """Take in a node that is new or has changed."""
        row = self._row(NodeId(node.id))
        spec, inventory = node.spec, node.status.inventory
        self.capacity[row, CPU] = inventory.cpus * spec.cpu_overcommit
        self._see_hardware(row, NodeId(node.id), inventory)
        in_pages = sum(column[row] for column in self.pages_total.values())
        usable = max(0, inventory.memory_bytes - spec.reserve_memory_bytes - in_pages)
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

    def _see_hardware(self, row: int, node: NodeId, inventory: Inventory) -> None:
        if self.inventories.get(node) == inventory:
            return  # most changes of a node are about its pools
        self.inventories[node] = inventory
        traits = traits_of(inventory)
        if traits not in self.kinds:
            self.kinds.append(traits)
        self.kind[row] = self.kinds.index(traits)
        if cpu := inventory.offers.cpu:
            self.cpus[cpu_name(cpu)] = cpu
        for column in self.pages_total.values():
            column[row] = 0
        for cell in inventory.cells:
            for size, count in cell.hugepages.items():
                self._pages(self.pages_total, int(size))[row] += int(size) * count

    def having(self, traits: frozenset[str]) -> Bools:
        """Whether each node has any of these. (nodes,)"""
        kinds = np.array([bool(kind & traits) for kind in self.kinds], dtype=bool)
        return kinds[self.kind[: self.size]] if self.kinds else np.zeros(self.size, dtype=bool)

    def held(self, node: NodeId) -> frozenset[str]:
        """Devices of the node that VMs have."""
        return frozenset(device for device, vms in self.devices_held.get(node, {}).items() if vms > 0)

    def pages_free(self, page_bytes: int) -> Floats:
        """Bytes in free hugepages of this size. (nodes,)"""
        free = self._pages(self.pages_total, page_bytes) - self._pages(self.pages_claimed, page_bytes)
        return free[: self.size]

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
        ordinary = 0 if claim.hugepage_bytes else claim.memory_bytes
        self.claimed[row] += (sign * claim.cpus, sign * ordinary)
        if claim.hugepage_bytes:
            self._pages(self.pages_claimed, claim.hugepage_bytes)[row] += sign * claim.memory_bytes
        held = self.devices_held.setdefault(claim.node, {}) if claim.devices else {}
        for device in claim.devices:
            held[device] = held.get(device, 0) + sign

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
        self.kind = np.concatenate([self.kind, np.zeros(more, dtype=np.intp)])
        for pages in (self.pages_total, self.pages_claimed):
            for size, column in pages.items():
                pages[size] = np.concatenate([column, np.zeros(more)])
        self.pool_free = {p: np.concatenate([c, np.full(more, -1.0)]) for p, c in self.pool_free.items()}
        self.networks = {n: np.concatenate([f, np.zeros(more, dtype=bool)]) for n, f in self.networks.items()}

    def _pool(self, pool: str) -> Floats:
        return self.pool_free.setdefault(pool, np.full(len(self.capacity), -1.0))

    def _pages(self, columns: dict[int, Floats], page_bytes: int) -> Floats:
        return columns.setdefault(page_bytes, np.zeros(len(self.capacity)))

    def _network(self, network: str) -> Bools:
        return self.networks.setdefault(network, np.zeros(len(self.capacity), dtype=bool))


def claims_of(vm: VM) -> tuple[Claim, ...]:
    """What a VM holds: on its node, and during a migration on the target too. Stopped VMs keep their claim."""
    spec, devices = vm.spec, tuple(map(key, vm.status.platform.devices))
    return tuple(
        Claim(node, spec.cpus, spec.memory_bytes, spec.hardware.hugepage_bytes, devices)
        for node in vm.claimed_on
    )
