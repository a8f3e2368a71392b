"""Fleet: nodes and VMs as the scheduler sees them, updated in place from changes.

In this room   one row a node: what it has and can, what is claimed, which pools and networks it has ready
Comes in       nodes and VMs as they change, in any order
Goes out       Columns for the decision; claims, inventories and labels for what is looked at one node at a time
Always true    claimed is the sum of the claims of the VMs last seen (tests compare it with a rebuild)
Next door      columns.py has the arrays; placement.py decides on them
Start here     Fleet.see_node(), Fleet.see_vm()
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from corral.model.hardware import DeviceKind, GuestCpu
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node
from corral.model.units import members
from corral.model.vm import VM
from corral.scheduler.claims import Claim as Claim
from corral.scheduler.claims import claims_of
from corral.scheduler.columns import (
    ABSENT,
    CLOSED,
    IDLE_WATTS,
    KIND,
    MARKS,
    OPEN,
    PLACE,
    SITE,
    STATE,
    VMS,
    WATTS_PER_CPU,
    Columns,
)
from corral.scheduler.devices import gpus_of
from corral.scheduler.dimensions import CELL_CPU as CELL_CPU
from corral.scheduler.dimensions import (
    CELL_DIMENSIONS,
    CELL_GPU,
    CELL_MEMORY,
    CELL_PAGES,
    DIMENSIONS,
    GPU,
    IO,
    MILLI,
    NETWORK,
    PAGES,
    POWER,
    Bools,
    Floats,
)
from corral.scheduler.dimensions import CPU as CPU
from corral.scheduler.dimensions import MEMORY as MEMORY
from corral.scheduler.stock import Stock
from corral.scheduler.traits import Traits, cpu_name, traits_of
from corral.scheduler.units import Unit, units_of

if TYPE_CHECKING:
    from corral.scheduler.flavours import Flavours


def is_whole(device: str) -> bool:
    """Whether a GPU by this key (see devices.gpus_of()) is one, and no slice."""
    return device.startswith(f"{DeviceKind.PCI}:")


class Kinds:
    """Sets of words, each kept once: most nodes are alike."""

    def __init__(self) -> None:
        self.sets: list[Traits] = []
        self._number: dict[Traits, int] = {}

    def number(self, words: Iterable[str]) -> int:
        traits = frozenset(words)
        if traits not in self._number:
            self._number[traits] = len(self.sets)
            self.sets.append(traits)
        return self._number[traits]


class Fleet:
    """All nodes, one row each."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.ids: list[NodeId] = []
        self.row: dict[NodeId, int] = {}
        self.kinds_seen = 0  # grows when there may be a new kind of node, or a pool
        self.room = 0  # grows with what may make room for somebody who was refused
        self.claims: dict[VmId, tuple[Claim, ...]] = {}
        self.vms: dict[NodeId, dict[VmId, Claim]] = {}  # the same by node
        self.inventories: dict[NodeId, Inventory] = {}
        self.hardware, self.networks, self.sites = Kinds(), Kinds(), Kinds()
        self.pools: dict[str, int] = {}  # row of columns.pools by id
        self.site_domains: dict[str, NDArray[np.int64]] = {}  # see rules.domains()
        self.racks: dict[NodeId, str] = {}
        self.devices_held: dict[NodeId, dict[str, int]] = {}  # VMs by device
        self.cpus_held: dict[NodeId, dict[int, int]] = {}  # VMs by CPU that is dedicated to one
        self.dedicated: dict[NodeId, frozenset[int]] = {}  # CPUs of the node that are given to one vCPU alone
        self.units: dict[NodeId, tuple[Unit, ...]] = {}  # of its devices
        self.stock = Stock()  # the same as columns
        self.gpu_kinds: Counter[tuple[float, float, int]] = Counter()  # VMs by vCPUs, bytes and whole GPUs
        self.gpus: dict[NodeId, dict[str, tuple[int | None, int]]] = {}  # see devices.gpus_of()
        self.gpu_ids: set[str] = set()  # addresses and vendor:device ids that are, or were, a GPU's somewhere
        self.cpus: dict[str, GuestCpu] = {}  # that nodes have, or had, by name
        self.flavours: Flavours | None = None  # what is remembered of decisions, see flavours.py

    @property
    def size(self) -> int:
        return len(self.ids)

    @property
    def capacity(self) -> Floats:
        """After reserve, with overcommit. (rows, DIMENSIONS), rows at least size"""
        return self.columns.capacity

    @property
    def claimed(self) -> Floats:
        return self.columns.claimed

    @property
    def present(self) -> Bools:
        return self.columns.present

    def see_node(self, node: Node) -> None:
        """Take in a node that is new or has changed."""
        id = NodeId(node.id)
        row, columns = self._row(id), self.columns
        before = self._state(row)
        self._see_hardware(row, node)
        self._see_capacity(row, node)
        words = (f"{key}={value}" for key, value in node.labels.items())
        self.racks[id] = node.spec.rack
        columns.marks[row, SITE] = self.sites.number((*words, f"rack:{node.spec.rack}"))
        columns.marks[row, PLACE] = self.networks.number(
            n for n, on in node.status.networks.items() if on.ready
        )
        for pool in node.status.pools:
            self._pool(pool)
        for pool, at in self.pools.items():
            seen = node.status.pools.get(pool)
            columns.pools[at, row] = seen.free_bytes if seen and seen.ready else -1
        columns.marks[row, STATE] = OPEN if node.takes_vms else CLOSED
        self.kinds_seen += 1
        if self._state(row) == before:
            return  # most changes of a node are about nothing that counts here
        self.room += 1
        columns.touch(row)

    def _state(self, row: int) -> tuple[bytes, ...]:
        """All of a row that is the node's own."""
        nodes = self.columns.nodes
        own = (nodes.marks[row], nodes.extras[row], nodes.capacity[row], nodes.cells_capacity[row])
        return (*(column.tobytes() for column in own), nodes.pools[:, row].tobytes())

    def _see_capacity(self, row: int, node: Node) -> None:
        spec, inventory = node.spec, node.status.inventory
        in_pages = dict.fromkeys(PAGES, 0)
        other = 0
        for cell in inventory.cells:
            for page, count in cell.hugepages.items():
                if int(page) in in_pages:
                    in_pages[int(page)] += int(page) * count
                else:
                    other += int(page) * count
        usable = inventory.memory_bytes - spec.reserve_memory_bytes - sum(in_pages.values()) - other
        shared = inventory.cpus - len(self.dedicated.get(NodeId(node.id), ())) - spec.reserve_cpus
        capacity = self.columns.capacity[row]
        capacity[CPU] = max(0, shared) * spec.cpu_overcommit
        capacity[MEMORY] = max(0, usable) * spec.memory_overcommit
        for size, dimension in PAGES.items():
            capacity[dimension] = in_pages[size]
        capacity[GPU] = MILLI * sum(map(is_whole, self.gpus.get(NodeId(node.id), {})))
        for dimension, limit, ratio in (
            (IO, spec.iops, spec.io_overcommit),
            (NETWORK, spec.network_mbit, spec.network_overcommit),
            (POWER, max(0, spec.power_watts - spec.idle_watts), 1.0),
        ):
            capacity[dimension] = limit * ratio if limit else np.inf
        self.columns.extras[row, IDLE_WATTS] = spec.idle_watts
        known = spec.power_watts and inventory.cpus
        self.columns.extras[row, WATTS_PER_CPU] = capacity[POWER] / inventory.cpus if known else 0.0

    def _see_hardware(self, row: int, node: Node) -> None:
        id, inventory = NodeId(node.id), node.status.inventory
        dedicated = members(node.spec.dedicated_cpus)
        if self.inventories.get(id) == inventory and self.dedicated.get(id) == dedicated:
            return  # most changes of a node are about its pools
        self._count_gpus(row, id, -1)
        self.inventories[id], self.units[id] = inventory, units_of(inventory)
        self.gpus[id] = gpus_of(inventory, self.units[id])
        self._count_gpus(row, id, 1)
        self._count_units(row, id)
        self.gpu_ids |= {name for gpu in inventory.gpus for name in (gpu.address, gpu.id)}
        self.columns.marks[row, KIND] = self.hardware.number(traits_of(inventory))
        if cpu := inventory.offers.cpu:
            self.cpus[cpu_name(cpu)] = cpu
        self.columns.have_cells(max((cell.id + 1 for cell in inventory.cells), default=0))
        there = frozenset(cpu for cell in inventory.cells for cpu in cell.cpus)
        self.dedicated[id] = dedicated & there
        cells = self.columns.cells_capacity[row]
        cells[:] = 0
        for cell in inventory.cells:
            in_pages = sum(int(page) * count for page, count in cell.hugepages.items())
            cells[cell.id, CELL_CPU] = len(dedicated & frozenset(cell.cpus))
            cells[cell.id, CELL_MEMORY] = max(0, cell.memory_bytes - in_pages)
            for size, dimension in CELL_PAGES.items():
                cells[cell.id, dimension] = size * cell.hugepages.get(str(size), 0)
        for device, (at, _) in self.gpus[id].items():
            if at is not None and is_whole(device):
                self.columns.have_cells(at + 1)
                self.columns.cells_capacity[row, at, CELL_GPU] += MILLI

    def _count_units(self, row: int, node: NodeId) -> None:
        self.stock.set_row(row, self.units.get(node, ()), self.devices_held.get(node, {}))

    def _count_gpus(self, row: int, node: NodeId, sign: int) -> None:
        """Which devices are GPUs is a matter of the inventory, which changes while VMs hold them."""
        for device, vms in self.devices_held.get(node, {}).items():
            self._hold_gpu(row, node, device, sign * vms)
        for claim in self.vms.get(node, {}).values():
            self._count_kind(claim, sign)

    def _count_kind(self, claim: Claim, sign: int) -> None:
        gpus = self.gpus.get(claim.node, {})
        whole = sum(device in gpus and is_whole(device) for device in claim.devices)
        if whole:
            cpus = claim.cpus + sum(len(share.cpus) for share in claim.cells)
            kind = float(cpus), float(claim.memory_bytes), whole
            self.gpu_kinds[kind] += sign
            if not self.gpu_kinds[kind]:
                del self.gpu_kinds[kind]

    def _hold_gpu(self, row: int, node: NodeId, device: str, vms: int) -> None:
        gpus = self.gpus.get(node, {})
        if device in gpus:
            cell, milli = gpus[device]
            self.columns.claimed[row, GPU] += milli * vms
            if cell is not None:
                self.columns.have_cells(cell + 1)
                self.columns.cells_claimed[row, cell, CELL_GPU] += milli * vms

    def having(self, traits: frozenset[str]) -> Bools:
        """Whether each node has any of these. (nodes,)"""
        kinds = np.array([bool(kind & traits) for kind in self.hardware.sets], dtype=bool)
        return kinds[self.columns.marks[: self.size, KIND]] if len(kinds) else np.zeros(self.size, dtype=bool)

    def traits(self, node: NodeId) -> Traits:
        return self.hardware.sets[int(self.columns.marks[self.row[node], KIND])]

    def all_traits(self) -> list[Traits]:
        """Of the nodes that are there, each set once."""
        kinds = np.bincount(self.columns.marks[: self.size, KIND][self.present])
        return [self.hardware.sets[kind] for kind in np.flatnonzero(kinds).tolist()]

    def held(self, node: NodeId) -> dict[str, int]:
        """Devices of the node that VMs have, and how many have each."""
        return {device: vms for device, vms in self.devices_held.get(node, {}).items() if vms > 0}

    def dedicated_free(self, node: NodeId) -> frozenset[int]:
        """CPUs that can be given to one vCPU alone, and are not yet."""
        return self.dedicated.get(node, frozenset()) - self.cpus_held.get(node, {}).keys()

    def forget_node(self, node: NodeId) -> None:
        """The node was removed; claims on it are kept in case it comes back under this id."""
        if node in self.row:
            self.columns.marks[self.row[node], STATE] = ABSENT
            self.columns.touch(self.row[node])

    def see_vm(self, vm: VM) -> None:
        """Take in a VM that is new or has changed."""
        self.claim(VmId(vm.id), claims_of(vm))

    def forget_vm(self, vm: VmId) -> None:
        self.claim(vm, ())

    def claim(self, vm: VmId, claims: tuple[Claim, ...]) -> None:
        """Replace what the VM holds."""
        before = self.claims.get(vm, ())
        if before == claims:
            return  # most changes of a VM are about its guest
        self.room += bool(before)
        for old in before:
            self._add(old, -1)
            self.vms[old.node].pop(vm, None)
        for new in claims:
            self._add(new, 1)
            self.vms.setdefault(new.node, {})[vm] = new
        if claims:
            self.claims[vm] = claims
        else:
            self.claims.pop(vm, None)

    def _add(self, claim: Claim, sign: int) -> None:
        row = self._row(claim.node)  # first: it may replace the columns
        columns, page = self.columns, claim.hugepage_bytes
        claimed, here = columns.claimed_flat, row * DIMENSIONS
        claimed[here + CPU] += sign * claim.cpus
        claimed[here + (PAGES.get(page, MEMORY) if page else MEMORY)] += sign * claim.memory_bytes
        if claim.gpu_milli:
            claimed[here + GPU] += sign * claim.gpu_milli
        if claim.iops:
            claimed[here + IO] += sign * claim.iops
        if claim.mbit:
            claimed[here + NETWORK] += sign * claim.mbit
        if claim.watts:
            claimed[here + POWER] += sign * claim.watts
        marks, vms = columns.marks_flat, row * MARKS + VMS
        marks[vms] += sign
        if claim.ends_s and sign > 0:
            columns.ends_s[row] = max(columns.ends_s[row], claim.ends_s)
        if marks[vms] == 0:
            columns.ends_s[row] = columns.since_s[row] = columns.settled[row] = 0.0
        for device in claim.devices:
            held = self.devices_held.setdefault(claim.node, {})
            held[device] = held.get(device, 0) + sign
            self._hold_gpu(row, claim.node, device, sign)
        if claim.devices:
            self._count_units(row, claim.node)
            self._count_kind(claim, sign)
        if claim.cells:
            self._add_cells(row, claim, sign)
        columns.touch(row)

    def amounts(self, claim: Claim) -> Floats:
        """What it takes of its node. (DIMENSIONS,)"""
        taken = np.zeros(DIMENSIONS)
        taken[CPU], taken[PAGES.get(claim.hugepage_bytes, MEMORY)] = claim.cpus, claim.memory_bytes
        gpus = self.gpus.get(claim.node, {})
        taken[GPU] = claim.gpu_milli + sum(gpus[device][1] for device in claim.devices if device in gpus)
        taken[IO], taken[NETWORK], taken[POWER] = claim.iops, claim.mbit, claim.watts
        return taken

    def _add_cells(self, row: int, claim: Claim, sign: int) -> None:
        self.columns.have_cells(max(share.cell for share in claim.cells) + 1)
        held = self.cpus_held.setdefault(claim.node, {})
        cells, claimed = self.columns.cells_claimed.shape[1], self.columns.cells_claimed_flat
        for share in claim.cells:
            here = (row * cells + share.cell) * CELL_DIMENSIONS
            claimed[here + CELL_CPU] += sign * len(share.cpus)
            memory = CELL_PAGES.get(claim.hugepage_bytes, CELL_MEMORY)
            claimed[here + memory] += sign * share.memory_bytes
            for cpu in share.cpus:
                held[cpu] = held.get(cpu, 0) + sign
                if not held[cpu]:
                    del held[cpu]

    def _row(self, node: NodeId) -> int:
        row = self.row.get(node)
        if row is None:
            row = self.row[node] = self.columns.add_row()
            self.ids.append(node)
        return row

    def _pool(self, pool: str) -> int:
        if pool not in self.pools:
            self.pools[pool] = self.columns.add_pool()
        return self.pools[pool]
