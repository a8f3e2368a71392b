"""Heatmap: all nodes at once, a few figures each.

In this room   Heatmap, the columns of all nodes; Cells, what has changed since it was looked at last
Comes in       the mirror, the scheduler's columns, the hub's latest figures
Goes out       Columns, a list a figure; rows of the nodes that look different now
Always true    shares are rounded to a hundredth, so that noise is no change; a node's place in all columns is the same
Next door      http/routes/overview.py; scheduler/columns.py logs whose claims have changed
Start here     Heatmap.columns()
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from corral.controllers.placement import FleetKeeper, keeper_of
from corral.model.ids import NodeId, VmId
from corral.model.node import Node
from corral.scheduler.columns import LOG, VMS
from corral.scheduler.dimensions import CPU, MEMORY, PAGES, Floats
from corral.scheduler.fleet import Fleet
from corral.server.cpus import best_cpus
from corral.server.ports import FigureSource
from corral.store.interface import Change
from corral.store.mirror import Mirror

_MEMORY: Final = [MEMORY, *PAGES.values()]


class Columns(Struct, frozen=True, kw_only=True):
    """All nodes, in order of joining. Shares are 0 to 1 (and above, where less is there than was claimed)."""

    revision: int
    ids: list[str]
    names: list[str]
    phases: list[str]
    racks: list[str]
    cpu_claimed: list[float]  # share of the vCPUs that it has to give
    memory_claimed: list[float]
    cpu_used: list[float | None]  # share of its CPUs, by its last word; null: it has not said anything yet
    memory_used: list[float | None]
    vms: list[int]  # that claim something there


class Cell(Struct, frozen=True, kw_only=True):
    """One node."""

    id: str
    name: str
    phase: str
    rack: str
    cpu_claimed: float
    memory_claimed: float
    cpu_used: float | None
    memory_used: float | None
    vms: int


class CellNews(Struct, frozen=True, kw_only=True):
    """What has changed of a heatmap."""

    revision: int
    rows: list[Cell]
    removed: list[str] = []  # ids


class Heatmap:
    """The columns of all nodes."""

    def __init__(self, mirror: Mirror, hub: FigureSource) -> None:
        self.mirror, self.hub = mirror, hub

    @property
    def keeper(self) -> FleetKeeper:
        return keeper_of(self.mirror, best_cpus())

    def columns(self) -> Columns:
        """All nodes as they are now. Costs 2 us a node."""
        cells = self.cells(self.mirror.list(Node))
        fields = [f for f in Cell.__struct_fields__ if f not in ("id", "name", "phase", "rack")]
        return Columns(
            revision=self.mirror.revision,
            ids=[cell.id for cell in cells],
            names=[cell.name for cell in cells],
            phases=[cell.phase for cell in cells],
            racks=[cell.rack for cell in cells],
            **{field: [getattr(cell, field) for cell in cells] for field in fields},
        )

    def cells(self, nodes: Sequence[Node]) -> list[Cell]:
        """These nodes."""
        fleet = self.keeper.fleet
        rows = np.array([fleet.row[NodeId(node.id)] for node in nodes], dtype=np.int64)
        cpu, memory, vms = _claimed(fleet, rows)
        return [self._cell(node, c, m, n) for node, c, m, n in zip(nodes, cpu, memory, vms, strict=True)]

    def _cell(self, node: Node, cpu: float, memory: float, vms: int) -> Cell:
        latest = self.hub.facts_of(NodeId(node.id)) if node.reachable else None
        whole = node.status.inventory.memory_bytes
        return Cell(
            id=node.id,
            name=node.name,
            phase=node.status.phase,
            rack=node.spec.rack or node.labels.get("rack", ""),
            cpu_claimed=cpu,
            memory_claimed=memory,
            cpu_used=_share(latest, "cpu_share", 1),
            memory_used=_share(latest, "memory_used_bytes", whole),
            vms=vms,
        )


def _claimed(
    fleet: Fleet, rows: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"
) -> tuple[list[float], list[float], list[int]]:
    """Shares of CPU and of memory that are claimed, and VMs, of these rows."""
    capacity, claimed = fleet.capacity[rows], fleet.claimed[rows]
    cpu = _shares(claimed[:, CPU], capacity[:, CPU])
    memory = _shares(claimed[:, _MEMORY].sum(axis=1), capacity[:, _MEMORY].sum(axis=1))
    return cpu, memory, fleet.columns.marks[rows, VMS].tolist()


def _shares(part: Floats, whole: Floats) -> list[float]:
    """0 where there is nothing to claim."""
    shares: list[float] = np.round(np.where(whole > 0, part / np.maximum(whole, 1e-9), 0.0), 2).tolist()
    return shares


def _share(latest: dict[str, float] | None, name: str, whole: float) -> float | None:
    value = latest.get(name) if latest else None
    return None if value is None or whole <= 0 or value != value else round(value / whole, 2)


class Cells:
    """What has changed since the last look: a Picture for one stream."""

    pause_s = 0.1

    def __init__(self, heatmap: Heatmap) -> None:
        """Looks tell what is new since listen()."""
        self.heatmap, self.mirror = heatmap, heatmap.mirror
        self._told: dict[str, Cell] = {}
        self._dirty: set[str] = set()
        self._seen = 0

    def listen(self, ring: Callable[[], None]) -> Callable[[], None]:
        def changed(changes: Sequence[Change]) -> None:
            nodes = [change.resource.id for change in changes if isinstance(change.resource, Node)]
            self._dirty.update(nodes)
            if nodes or self.heatmap.keeper.fleet.columns.changes != self._seen:
                ring()

        def told(node: NodeId, _: Sequence[VmId]) -> None:
            self._dirty.add(node)
            ring()

        key = object()
        fleet = self.heatmap.keeper.fleet  # made before we listen: what it hears, we hear after it
        self._seen = fleet.columns.changes
        self._told = {cell.id: cell for cell in self.heatmap.cells(self.mirror.list(Node))}
        self.heatmap.hub.on_facts[key] = told
        stop = self.mirror.on_change(changed)

        def hang_up() -> None:
            stop()
            del self.heatmap.hub.on_facts[key]

        return hang_up

    def news(self) -> CellNews | None:
        """What looks different now; None: nothing."""
        ids = self._dirty | self._claims_changed()
        self._dirty = set()
        nodes = [node for id in ids if isinstance(node := self.mirror.get(id), Node)]
        rows = [cell for cell in self.heatmap.cells(nodes) if self._told.get(cell.id) != cell]
        removed = [id for id in ids if id in self._told and self.mirror.get(id) is None]
        self._told.update((cell.id, cell) for cell in rows)
        for id in removed:
            del self._told[id]
        if not rows and not removed:
            return None
        return CellNews(revision=self.mirror.revision, rows=rows, removed=removed)

    def _claims_changed(self) -> set[str]:
        """Nodes whose rows of the scheduler's columns were touched since the last look."""
        fleet = self.heatmap.keeper.fleet
        columns, since = fleet.columns, self._seen
        self._seen = columns.changes
        if columns.changes - since > LOG:
            return set(fleet.ids)
        touched: Iterable[int] = np.unique(columns.log[np.arange(since, columns.changes) % LOG]).tolist()
        return {fleet.ids[row] for row in touched}
