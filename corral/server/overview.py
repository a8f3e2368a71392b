"""Overview: the whole installation on one page of figures.

In this room   Overview, and Whole, what it shows
Comes in       the mirror and its changes; the hub's figures; the scheduler's columns
Goes out       Whole: counts, capacity and use, balance over time, what needs attention
Always true    nothing here walks over all VMs when somebody asks: counts are those of indexes, claims those of the
               scheduler's columns, sums those of totals.py. What was worked out is shown to all who ask within RENEW_S.
Next door      services/diagnosing.py finds what needs attention; scheduler/wellness.py has R; http/routes/overview.py
Start here     Overview.look()
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from corral import __version__
from corral.clock import Clock
from corral.controllers.fleet_problem import default_policy
from corral.controllers.placement import FleetKeeper, keeper_of
from corral.model.node import Node
from corral.model.operation import Operation, OperationState
from corral.model.vm import VM
from corral.scheduler.dimensions import CPU, GPU, IO, MEMORY, MILLI, NETWORK, PAGES, POWER
from corral.scheduler.wellness import balance_of
from corral.server.cpus import best_cpus
from corral.server.ports import FigureSource
from corral.server.services.diagnosing import Finding, Level, attention, failed_lately
from corral.server.totals import Totals
from corral.store.mirror import Mirror

SAMPLE_S: Final = 10.0  # between two samples of the balance
SAMPLES: Final = 8640  # a day
POINTS_MAX: Final = 300  # shown of them
RENEW_S: Final = 1.0
ATTENTION_MAX: Final = 100
FAILED_MAX: Final = 1000  # counted
SEVERITY: Final = {Level.ERROR: "critical", Level.WARNING: "warning", Level.INFO: "info"}
_COMMAND: Final = re.compile(r"`(corral [^`]+)`")


class Counts(Struct, frozen=True, kw_only=True):
    total: int
    phases: dict[str, int]


class NodeCounts(Counts, frozen=True, kw_only=True):
    cordoned: int


class OperationCounts(Struct, frozen=True, kw_only=True):
    running: int
    failed_lately: int  # within the last hour; at most 1,000 are counted


class Dimension(Struct, frozen=True, kw_only=True):
    """What there is of something. Null: not known."""

    name: str  # cpu, memory, storage, gpu, iops, network, power
    unit: str
    capacity: float | None  # to be claimed, in `unit`: after reserve, with overcommit
    claimed: float | None
    installed: float | None  # what is there: CPUs instead of vCPUs, else in `unit`
    used: float | None  # of `installed`


class Balance(Struct, frozen=True, kw_only=True):
    """R of the balance equation, the mean over all nodes; see docs/guide/placement.md."""

    now: float | None
    history: list[tuple[float, float]]  # Unix time in seconds, R; of a day at most, the oldest first


class Attention(Struct, frozen=True, kw_only=True):
    """Something to look at, and what to do next."""

    severity: str  # critical, warning, info
    kind: str  # of what it is about; empty: of the whole
    id: str
    name: str
    code: str
    message: str
    next_step: str
    command: str  # of the command line, where there is one


class Whole(Struct, frozen=True, kw_only=True):
    """The installation at a glance."""

    revision: int
    at: float  # Unix time, seconds
    nodes: NodeCounts
    vms: Counts
    operations: OperationCounts
    dimensions: list[Dimension]
    balance: Balance
    attention: list[Attention]
    attention_total: int  # all that there is, not only what is listed


class Overview:
    """What an overview shows, kept up to date."""

    def __init__(self, mirror: Mirror, hub: FigureSource, clock: Clock) -> None:
        self.mirror, self.hub, self.clock = mirror, hub, clock
        self._history: list[tuple[float, float]] = []  # the oldest first
        self.totals = Totals(mirror, hub)
        self._whole: Whole | None = None
        self._made_s = -RENEW_S

    @property
    def keeper(self) -> FleetKeeper:
        return keeper_of(self.mirror, best_cpus())

    def sample(self) -> None:
        """Note the balance as it is now; to be called every SAMPLE_S."""
        now = self._balance()
        if now is not None:
            self._history.append((round(self.clock.now_s(), 1), now))
            del self._history[:-SAMPLES]

    def look(self) -> Whole:
        """The installation at a glance, at most RENEW_S old."""
        now_s = self.clock.monotonic_s()
        if self._whole is None or now_s >= self._made_s + RENEW_S:
            self._whole, self._made_s = self._make(), now_s
        return self._whole

    def _make(self) -> Whole:
        mirror, now_s = self.mirror, self.clock.now_s()
        found, total = attention(mirror, now_s, __version__, ATTENTION_MAX)
        failed = sum(1 for _, _ in zip(range(FAILED_MAX), failed_lately(mirror, now_s), strict=False))
        return Whole(
            revision=mirror.revision,
            at=round(now_s, 3),
            nodes=NodeCounts(
                total=mirror.count(Node),
                phases=mirror.counts(Node, "phase"),
                cordoned=self.totals.cordoned,
            ),
            vms=Counts(total=mirror.count(VM), phases=mirror.counts(VM, "phase")),
            operations=OperationCounts(
                running=mirror.count(Operation, "phase", OperationState.RUNNING), failed_lately=failed
            ),
            dimensions=list(self._dimensions()),
            balance=Balance(now=self._balance(), history=thinned(self._history)),
            attention=[_shown(finding) for finding in found],
            attention_total=total,
        )

    def _balance(self) -> float | None:
        now = balance_of(self.keeper.fleet, default_policy(self.mirror).weights)
        return None if now is None else round(now, 4)

    def _dimensions(self) -> Iterator[Dimension]:
        fleet, totals = self.keeper.fleet, self.totals
        there = fleet.present[: fleet.size]
        capacity, claimed = fleet.capacity[: fleet.size][there], fleet.claimed[: fleet.size][there]
        pages = [MEMORY, *PAGES.values()]
        yield Dimension(
            name="cpu",
            unit="vCPUs",
            capacity=float(capacity[:, CPU].sum()),
            claimed=float(claimed[:, CPU].sum()),
            installed=totals.cpus,
            used=round(totals.used_cpus, 2) if totals.told_of_use else None,
        )
        yield Dimension(
            name="memory",
            unit="bytes",
            capacity=float(capacity[:, pages].sum()),
            claimed=float(claimed[:, pages].sum()),
            installed=totals.memory_bytes,
            used=totals.used_memory_bytes if totals.told_of_use else None,
        )
        yield self._storage()
        for name, unit, column, parts in (
            ("gpu", "GPUs", GPU, MILLI),
            ("iops", "1/s", IO, 1),
            ("network", "Mbit/s", NETWORK, 1),
            ("power", "W", POWER, 1),
        ):
            known = np.isfinite(capacity[:, column])
            whole = float(capacity[known, column].sum()) / parts if known.any() else None
            taken = float(claimed[known, column].sum()) / parts if known.any() else None
            yield Dimension(name=name, unit=unit, capacity=whole, claimed=taken, installed=whole, used=None)

    def _storage(self) -> Dimension:
        """Bytes of all pools as the nodes see them; a shared pool once."""
        totals = self.totals
        there = totals.pool_bytes if totals.pools_seen else None
        return Dimension(
            name="storage",
            unit="bytes",
            capacity=there,
            claimed=totals.volume_bytes,
            installed=there,
            used=totals.pool_bytes - totals.pool_free_bytes if totals.pools_seen else None,
        )


def thinned(samples: Sequence[tuple[float, float]], most: int = POINTS_MAX) -> list[tuple[float, float]]:
    """At most `most` of them, evenly, the newest among them."""
    step = -(-len(samples) // most) or 1
    return list(samples[::-1][::step][::-1])


def _shown(finding: Finding) -> Attention:
    about = finding.about
    command = _COMMAND.search(finding.hint)
    return Attention(
        severity=SEVERITY[finding.level],
        kind=about.kind if about else "",
        id=about.id if about else "",
        name=about.name if about else "",
        code=finding.code,
        message=finding.message,
        next_step=finding.hint,
        command=command[1] if command else "",
    )
