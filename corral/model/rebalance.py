"""Rebalance: VMs moved so that the fleet as a whole is better off; planned, carried out, and written down.

In this room   Goal, what for; the limits it keeps; Move, a live migration of it, planned or made; the resource
Comes in       -
Goes out       parts of the bodies of POST /rebalance; Rebalance
Always true    a move names where it starts, so one whose VM is elsewhere by now is never made: it is planned anew
Next door      scheduler/rebalance/ plans, controllers/rebalance.py carries out
Start here     Rebalance
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.ids import NodeId, VmId
from corral.model.resource import Resource, Trouble


class Goal(StrEnum):
    BALANCE = "balance"  # a lower score: nodes' shares of CPU and memory closer to each other
    CONSOLIDATE = "consolidate"  # as many nodes as possible without VMs, to be powered off
    REPAIR = "repair"  # rules that are broken, nothing else
    DRAIN = "drain"  # every VM off the nodes that are named


class RebalanceSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    goal: Goal = Goal.BALANCE
    nodes: tuple[NodeId, ...] = ()  # drain: to be emptied
    moves_max: int = 100
    bytes_max: int = 0  # that all migrations send; 0: no limit
    parallel: int = 2  # migrations at a time
    automatic: bool = False  # nobody asked: the default policy says so
    cancel: bool = False


class MoveState(StrEnum):
    WAITING = "waiting"
    MOVING = "moving"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"  # planned anew, or cancelled, before it began


class Move(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A live migration that is part of it."""

    vm: VmId
    source: NodeId
    target: NodeId
    plan: int = 1  # RebalanceStatus.plans when it was planned
    wave: int = 0  # moves of one wave run side by side; the next begins when they are done
    stepping_stone: bool = False  # the VM moves on later: this only makes room for another one
    forecast_s: float = 0.0
    forecast_downtime_ms: float = 0.0
    forecast_bytes: int = 0
    state: MoveState = MoveState.WAITING
    wish: str = ""  # MigrationWish.id, once it has begun
    trouble: Trouble | None = None


class RebalancePhase(StrEnum):
    PLANNING = "planning"
    MOVING = "moving"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


REBALANCE_PHASE_NEXT: Final[Mapping[RebalancePhase, frozenset[RebalancePhase]]] = {
    RebalancePhase.PLANNING: frozenset(
        {RebalancePhase.MOVING, RebalancePhase.DONE, RebalancePhase.FAILED, RebalancePhase.CANCELLED}
    ),
    RebalancePhase.MOVING: frozenset(
        {RebalancePhase.PLANNING, RebalancePhase.DONE, RebalancePhase.FAILED, RebalancePhase.CANCELLED}
    ),
    RebalancePhase.DONE: frozenset(),
    RebalancePhase.FAILED: frozenset(),
    RebalancePhase.CANCELLED: frozenset(),
}


class RebalanceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    phase: RebalancePhase = RebalancePhase.PLANNING
    since: float = 0.0  # of the phase; Unix time, seconds
    before: float = 0.0  # score, when it was planned first
    after: float = 0.0  # score, when all planned moves are made
    moves: tuple[Move, ...] = ()  # made, then those to come
    plans: int = 0  # how often it was planned
    behind: tuple[VmId, ...] = ()  # VMs on nodes to be emptied for which no way was found
    trouble: Trouble | None = None


class Rebalance(Resource, frozen=True, kw_only=True, tag="Rebalance"):
    """A set of moves that belong together."""

    PREFIX: ClassVar = "rebalance"
    PLURAL: ClassVar = "rebalances"
    SUMMARY: ClassVar = "VMs moved so that the fleet is better off"

    spec: RebalanceSpec = RebalanceSpec()
    status: RebalanceStatus = RebalanceStatus()

    @property
    def ended(self) -> bool:
        return not REBALANCE_PHASE_NEXT[self.status.phase]
