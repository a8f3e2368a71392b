"""Cells: which NUMA cells of a node a VM should get, so that what is left can still be used.

In this room   Demand, the kinds of VMs seen so far; unusable(), what they could not use of a node; choose(), for a VM;
               Costs, which remembers the choice for each kind until a node changes
Comes in       free CPUs and memory of each cell of each node, what a VM needs, over how many cells
Goes out       for each node the cost and the cells; the cost becomes a bonus for the search of the node
Always true    only VMs that were seen count: nothing is known of those to come. Ties go to the lowest cells.
Next door      cellparts.py gives CPUs of the cells; judging.py says which nodes have room at all
Start here     Costs.of()

A cell with CPUs and no memory, or a pair of cells of which one is full, is lost for most VMs while the node as a whole
still looks free. So a placement costs the CPUs that it makes unusable: for each kind of VM, how many CPUs would stay if
the node were filled with that kind alone, weighted by how often the kind comes.
"""

from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.dimensions import Floats

CPU: Final = 0  # of a cell's two amounts
MEMORY: Final = 1
KINDS_MAX: Final = 64  # the most frequent ones count
GROWTH: Final = 1.25


class Kind(NamedTuple):
    """What a VM needs in all, and over how many cells it is split evenly."""

    cpus: float
    memory: float
    cells: int

    @property
    def part(self) -> Floats:
        return np.array([self.cpus, self.memory]) / self.cells


class Demand:
    """How often each kind came. Shares are taken anew when a quarter more VMs were seen, so that costs can be kept."""

    def __init__(self) -> None:
        self.seen: dict[Kind, int] = {}
        self.count = 0
        self.generation = 0  # of the shares
        self._shares: list[tuple[Kind, float]] = []
        self._next = 1.0

    def see(self, kind: Kind) -> None:
        self.seen[kind] = self.seen.get(kind, 0) + 1
        self.count += 1
        if self.count >= self._next:
            self._shares, self.generation = self._shares_now(), self.generation + 1
            self._next = GROWTH * self.count

    def shares(self) -> list[tuple[Kind, float]]:
        """By CPUs asked for, most first; the shares add up to 1."""
        return self._shares

    def _shares_now(self) -> list[tuple[Kind, float]]:
        weights = {kind: count * kind.cpus for kind, count in self.seen.items()}
        most = sorted(weights, key=lambda kind: (-weights[kind], kind))[:KINDS_MAX]
        total = sum(weights[kind] for kind in most)
        return [(kind, weights[kind] / total) for kind in most]


class Choice(NamedTuple):
    """Of each node."""

    cost: Floats  # (nodes,) CPUs that it makes unusable, expected; inf: it does not fit
    cells: NDArray[np.int64]  # (nodes, cells asked for)


def unusable(free: Floats, demand: Demand) -> Floats:
    """Expected CPUs that VMs like those seen can't use of each node. (nodes,)

    free   (nodes, cells, 2) CPUs and memory, 0 or more
    costs  nodes x cells x kinds
    """
    total = free[:, :, CPU].sum(axis=1)
    lost = np.zeros(len(free))
    for kind, share in demand.shares():
        lost += share * (total - kind.cpus * slots(free, kind))
    return lost


def _sets(parts: Floats, size: int) -> Floats:
    """How many VMs with a part in each of `size` cells the cells can take. (nodes,)"""
    if size > parts.shape[1]:
        return np.zeros(len(parts))
    if size == parts.shape[1]:
        least: Floats = parts.min(axis=1)
        return least
    # at most v VMs use a cell v times: the largest v with sum(min(parts, v)) >= size x v
    best = np.floor(parts.sum(axis=1) / size)
    for _ in range(parts.shape[1]):
        best = np.floor(np.minimum(parts, best[:, None]).sum(axis=1) / size)
    sets: Floats = best
    return sets


def choose(free: Floats, kind: Kind, demand: Demand) -> Choice:
    """The cells of each node that make least unusable.

    free   (nodes, cells, 2)
    costs  combinations of cells x nodes x cells x kinds
    """
    nodes, count, _ = free.shape
    cost = np.full(nodes, np.inf)
    cells = np.zeros((nodes, kind.cells), dtype=np.int64)
    before = unusable(free, demand)
    for some in combinations(range(count), kind.cells):
        after = free.copy()
        after[:, some] -= kind.part
        fits = (after[:, some] >= 0).all(axis=(1, 2))
        if not fits.any():
            continue
        found = np.full(nodes, np.inf)
        found[fits] = unusable(after[fits], demand) - before[fits]
        better = found < cost
        cost[better], cells[better] = found[better], some
    return Choice(cost, cells)


class Costs:
    """Choices for each kind, for nodes that change one by one."""

    def __init__(self, free: Floats, demand: Demand) -> None:
        """free: (nodes, cells, 2), which the caller changes in place and tells with touch()"""
        self.free, self.demand = free, demand
        self.generation = -1
        self.known: dict[Kind, Choice] = {}
        self.stale: dict[Kind, set[int]] = {}

    def touch(self, node: int) -> None:
        for rows in self.stale.values():
            rows.add(node)

    def of(self, kind: Kind) -> Choice:
        """As choose(); costs as much as nodes have changed since the kind was asked for last."""
        if self.generation != self.demand.generation:
            self.generation = self.demand.generation
            self.known.clear()
            self.stale.clear()
        if kind not in self.known:
            self.known[kind] = choose(self.free, kind, self.demand)
        elif rows := sorted(self.stale[kind]):
            cost, cells = self.known[kind]
            cost[rows], cells[rows] = choose(self.free[rows], kind, self.demand)
        self.stale[kind] = set()
        return self.known[kind]


def slots(free: Floats, kind: Kind) -> Floats:
    """How many VMs of the kind each node could take. (nodes,)"""
    parts = np.floor((free / np.maximum(kind.part, 1e-9)).min(axis=2) + 1e-9)
    if kind.cells == 1:
        total: Floats = parts.sum(axis=1)
        return total
    return _sets(parts, kind.cells)
