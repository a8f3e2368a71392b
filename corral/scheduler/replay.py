"""Replay: a trace of VMs that come and go, through the scheduler's own decisions, on a fleet of equal nodes.

In this room   Trace; POLICIES by name, peers among them; replay(), which plays a trace
Comes in       a Trace, a Shape of nodes, how many of them, a policy, a clock
Goes out       Replayed: the figures, and what a picture is drawn from
Always true    nothing is known before it happens: of VMs that arrive at the same instant, that they do. No node is
               ever overfilled, whatever the policy. Equal arguments give equal figures, times aside.
Next door      flavours.py and kernels.py decide; packing.py and consolidation.py are what is measured;
               cli/parts/traces.py reads files
Start here     replay()
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from corral.model.ids import NodeId, VmId
from corral.model.policy import BUILT_IN, SchedulingPolicySpec, Weights
from corral.scheduler.columns import OPEN
from corral.scheduler.consolidation import Budget, empty_nodes
from corral.scheduler.dimensions import CPU, GPU, IO, MEMORY, MILLI, NETWORK, POWER, Floats
from corral.scheduler.flavours import Flavour, warm
from corral.scheduler.fleet import Fleet
from corral.scheduler.packing import EMPTY, SETTLED_S, Indices, bonus, order
from corral.scheduler.placement import Ask
from corral.scheduler.wishes import Reasons, wish_of

ROUND_S: Final = 300.0  # ages are looked at, and moves planned, at most so often
WARM_UP: Final = 0.25  # of the time, before which nothing is averaged: the fleet starts empty

NOTHING: Final = Weights(cpu=0, memory=0, gpu=0, io=0, power=0, stranding=0, bonus=0)
PEERS: Final = {
    "first-fit": SchedulingPolicySpec(summary="the first node with room", weights=NOTHING),
    "best-fit": SchedulingPolicySpec(
        summary="least left of CPU and memory",
        weights=Weights(cpu=1, memory=1, gpu=1, io=1, power=0, stranding=0, bonus=0),
    ),
}
POLICIES: Final = {**BUILT_IN, **PEERS}
BATCHED: Final = frozenset(BUILT_IN)  # peers take VMs one by one


class Trace(NamedTuple):
    """VMs in the order of their arrival. (vms,) each."""

    name: str
    arrive_s: Floats  # from any start
    end_s: Floats  # inf: it does not end
    cpus: Floats
    memory_gib: Floats
    gpu_milli: Floats
    batch: Indices  # equal for VMs of one request


class Shape(NamedTuple):
    """Of every node."""

    cpus: float
    memory_gib: float
    gpus: int = 0


class Figures(Struct, frozen=True):
    """What a replay comes to."""

    policy: str
    nodes: int
    placed: int
    refused: int
    density: float  # see Used
    peak_utilisation: float  # of the binding dimension over all nodes, at its highest
    migrations: int
    decisions_per_s: int
    p99_us: float


class Moment(NamedTuple):
    """The fleet at an instant."""

    at_s: float
    used: float  # share of the binding dimension over nodes in use
    nodes: int  # in use
    running: int
    refused: int  # so far


class Replayed(NamedTuple):
    figures: Figures
    moments: list[Moment]
    shares: Floats  # (nodes, 2) of CPU and memory claimed at the fullest moment
    moved_gib: float


class Used:
    """Sums over time. Density: used of the dimension with the larger average, over the capacity of nodes in use."""

    def __init__(self, shape: Shape, begin_s: float) -> None:
        self.shape, self.begin_s, self.last_s = shape, begin_s, begin_s
        self.cpu_s = self.memory_s = self.gpu_s = self.nodes_s = 0.0

    def until(self, now_s: float, run: "_Run") -> None:
        span_s = now_s - self.last_s
        if span_s > 0:
            self.cpu_s += span_s * run.cpus
            self.memory_s += span_s * run.memory
            self.gpu_s += span_s * run.gpu_milli
            self.nodes_s += span_s * run.in_use
            self.last_s = now_s

    @property
    def density(self) -> float:
        if not self.nodes_s:
            return 0.0
        shares = [self.cpu_s / self.shape.cpus, self.memory_s / self.shape.memory_gib]
        if self.shape.gpus:
            shares.append(self.gpu_s / (MILLI * self.shape.gpus))
        return float(max(shares) / self.nodes_s)


class _Run:
    """One replay as it goes on."""

    def __init__(self, trace: Trace, shape: Shape, nodes: int | None, policy: SchedulingPolicySpec) -> None:
        self.trace, self.shape, self.policy = trace, shape, policy
        self.limit = nodes if nodes is not None else len(trace.cpus)
        self.fleet, self.flavours = Fleet(), dict[tuple[float, float, float], Flavour]()
        self.kernels = warm()
        self.where = np.full(len(trace.cpus), -1, dtype=np.int64)
        self.settled = np.zeros(len(trace.cpus), dtype=bool)
        self.oldest = 0  # VMs before this one have been looked at for being settled
        self.cpus = self.memory = self.gpu_milli = 0.0  # of all VMs that run
        self.in_use = self.running = 0
        self.now_s = float(trace.arrive_s[0])
        for _ in range(nodes or 0):
            self.add_node()

    def add_node(self) -> int:
        fleet = self.fleet
        row = fleet.columns.add_row()
        id = NodeId(f"n{row}")
        fleet.ids.append(id)
        fleet.row[id] = row
        capacity = fleet.columns.capacity[row]
        capacity[CPU], capacity[MEMORY] = self.shape.cpus, self.shape.memory_gib
        capacity[GPU] = MILLI * self.shape.gpus
        capacity[[IO, NETWORK, POWER]] = np.inf  # no trace tells of them
        fleet.columns.bonus[row] = EMPTY
        fleet.columns.state[row] = OPEN
        return row

    def decide(self, vm: int) -> int:
        """The node's row; -1: refused."""
        trace = self.trace
        key = (float(trace.cpus[vm]), float(trace.memory_gib[vm]), float(trace.gpu_milli[vm]))
        flavour = self.flavours.get(key)
        if flavour is None:
            flavour = self.flavours[key] = self._flavour(key)
        row, _ = flavour.best(self.fleet, self.kernels) if self.fleet.size else (-1, 0.0)
        if row < 0 and self.fleet.size < self.limit and self._fits_empty(key):
            row = self.add_node()
        return row

    def _flavour(self, key: tuple[float, float, float]) -> Flavour:
        reasons = Reasons()
        wish = wish_of(self.fleet, Ask(vm=VmId(""), cpus=1, memory_bytes=1, policy=self.policy), reasons)
        wish.need[CPU], wish.need[MEMORY], wish.need[GPU] = key  # traces have fractions of CPUs and of GiB
        return Flavour(wish, reasons)

    def _fits_empty(self, key: tuple[float, float, float]) -> bool:
        shape = self.shape
        return key[0] <= shape.cpus and key[1] <= shape.memory_gib and key[2] <= MILLI * shape.gpus

    def put(self, vm: int, row: int) -> None:
        columns = self.fleet.columns
        if columns.vms[row] == 0:
            columns.since_s[row], columns.settled[row] = self.now_s, 0.0
            self.in_use += 1
        self._add(vm, row, 1)
        if self.settled[vm]:
            columns.settled[row] += self.trace.cpus[vm]
        if columns.bonus[row] == EMPTY:
            columns.bonus[row] = bonus(
                columns.since_s[row : row + 1],
                columns.settled[row : row + 1],
                np.zeros(1, dtype=bool),
                self.now_s,
            )[0]
        self.where[vm] = row

    def take(self, vm: int) -> None:
        row = int(self.where[vm])
        columns = self.fleet.columns
        self._add(vm, row, -1)
        if self.settled[vm]:
            columns.settled[row] -= self.trace.cpus[vm]
        if columns.vms[row] == 0:
            columns.claimed[row, [CPU, MEMORY, GPU]] = 0.0  # sums of fractions leave crumbs
            columns.bonus[row] = EMPTY
            self.in_use -= 1
        self.where[vm] = -1

    def _add(self, vm: int, row: int, sign: int) -> None:
        columns, trace = self.fleet.columns, self.trace
        claimed = columns.claimed[row]
        claimed[CPU] += sign * trace.cpus[vm]
        claimed[MEMORY] += sign * trace.memory_gib[vm]
        claimed[GPU] += sign * trace.gpu_milli[vm]
        columns.vms[row] += sign
        columns.touch(row)
        self.cpus += sign * trace.cpus[vm]
        self.memory += sign * trace.memory_gib[vm]
        self.gpu_milli += sign * trace.gpu_milli[vm]
        self.running += sign

    def look_at_ages(self) -> None:
        trace, columns = self.trace, self.fleet.columns
        while self.oldest < len(trace.cpus) and trace.arrive_s[self.oldest] <= self.now_s - SETTLED_S:
            vm = self.oldest
            self.settled[vm] = True
            if self.where[vm] >= 0:
                columns.settled[self.where[vm]] += trace.cpus[vm]
            self.oldest += 1
        size = columns.size
        empty = columns.vms[:size] == 0
        columns.set_bonus(bonus(columns.since_s[:size], columns.settled[:size], empty, self.now_s))

    def consolidate(self, budget: Budget) -> tuple[int, float]:
        """How many VMs moved, and their memory in GiB."""
        size, columns = self.fleet.size, self.fleet.columns
        here = np.flatnonzero(self.where >= 0)
        capacity = columns.capacity[:size][:, [CPU, MEMORY]]
        free = capacity - columns.claimed[:size][:, [CPU, MEMORY]]
        need = np.stack([self.trace.cpus[here], self.trace.memory_gib[here]], axis=1)
        moves = empty_nodes(capacity, free, columns.bonus[:size], self.where[here], need, budget)
        moved_gib = 0.0
        for number, target in zip(moves.vms.tolist(), moves.targets.tolist(), strict=True):
            vm = int(here[number])
            self.take(vm)
            self.put(vm, target)
            moved_gib += float(self.trace.memory_gib[vm])
        budget.moves -= len(moves.vms)
        return len(moves.vms), moved_gib


def replay(
    trace: Trace,
    shape: Shape,
    policy: str | SchedulingPolicySpec,
    clock_ns: Callable[[], int],
    *,
    nodes: int | None = None,
    moves_per_100_vm_hours: float = 0.0,
    batched: bool | None = None,
) -> Replayed:
    """Play the trace.

    nodes    None: as many as it takes, a new one only when a VM fits nowhere else
    batched  VMs of one instant are placed in packing.order(); None: unless the policy is a peer
    costs    VMs x (10 us + log2(nodes)), and per round nodes x flavours
    """
    spec = POLICIES[policy] if isinstance(policy, str) else policy
    name = policy if isinstance(policy, str) else "tuned"
    batched = name not in PEERS if batched is None else batched
    run = _Run(trace, shape, nodes, spec)
    ends = np.argsort(trace.end_s, kind="stable")
    begin_s, last_s = float(trace.arrive_s[0]), float(trace.arrive_s[-1]) + ROUND_S
    used = Used(shape, begin_s + WARM_UP * (last_s - begin_s))
    budget, round_s = Budget(moves_per_100_vm_hours), -np.inf
    moments: list[Moment] = []
    took_ns = np.zeros(len(trace.cpus), dtype=np.int64)
    ended = placed = refused = moved = 0
    moved_gib, peak, shares = 0.0, 0.0, np.zeros((0, 2))

    def end_until(now_s: float) -> None:
        nonlocal ended
        while ended < len(ends) and trace.end_s[ends[ended]] <= now_s:
            vm = int(ends[ended])
            if run.where[vm] >= 0:
                used.until(float(trace.end_s[vm]), run)
                run.take(vm)
            ended += 1
        used.until(now_s, run)

    for first, beyond in _instants(trace.arrive_s):
        now_s = run.now_s = float(trace.arrive_s[first])
        end_until(now_s)
        due = now_s >= round_s + ROUND_S
        if due:
            run.look_at_ages()
        sequence = range(first, beyond)
        if batched and beyond - first > 1:
            part = slice(first, beyond)
            sequence = (
                first
                + order(
                    trace.cpus[part], trace.memory_gib[part], trace.batch[part], shape.cpus, shape.memory_gib
                )
            ).tolist()
        for vm in sequence:
            began_ns = clock_ns()
            row = run.decide(vm)
            took_ns[vm] = clock_ns() - began_ns
            if row < 0:
                refused += 1
            else:
                run.put(vm, row)
                placed += 1
        if due:
            budget.fill(run.running, (now_s - round_s) / 3600 if np.isfinite(round_s) else ROUND_S / 3600)
            if budget.moves >= 1:
                count, gib = run.consolidate(budget)
                moved, moved_gib = moved + count, moved_gib + gib
            round_s = now_s
        share = max(run.cpus / shape.cpus, run.memory / shape.memory_gib)
        moments.append(Moment(now_s, share / max(run.in_use, 1), run.in_use, run.running, refused))
        if share > peak:
            peak = share
            shares = run.fleet.columns.claimed[: run.fleet.size][:, [CPU, MEMORY]] / np.array(shape[:2])
    end_until(last_s)
    size = max(run.fleet.size, 1)
    figures = Figures(
        policy=name,
        nodes=nodes if nodes is not None else run.fleet.size,
        placed=placed,
        refused=refused,
        density=round(used.density, 4),
        peak_utilisation=round(float(peak / size), 4),
        migrations=moved,
        decisions_per_s=round(1e9 * len(took_ns) / max(int(took_ns.sum()), 1)),
        p99_us=round(float(np.quantile(took_ns, 0.99)) / 1000, 1),
    )
    return Replayed(figures, moments, shares, moved_gib)


def _instants(arrive_s: Floats) -> list[tuple[int, int]]:
    """Index of the first VM of each instant, and of the first after it."""
    firsts = np.flatnonzero(np.diff(arrive_s, prepend=-np.inf) > 0).tolist()
    return list(zip(firsts, [*firsts[1:], len(arrive_s)], strict=True))
