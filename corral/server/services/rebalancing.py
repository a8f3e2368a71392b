"""Rebalancing: a plan to look at, and a plan carried out.

In this room   RebalanceService, the requests; PlanAnswer, a plan in names
Comes in       requests.py's bodies
Goes out       PlanAnswer at once; or a Rebalance resource, which its controller plans and carries out
Always true    one rebalance runs at a time: two would count on the same room. To look at a plan changes nothing.
Next door      controllers/fleet_problem.py asks the planner, controllers/rebalance.py carries out
Start here     RebalanceService
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from corral.clock import new_id
from corral.controllers.fleet_problem import moves_of, question_of
from corral.controllers.placement import keeper_of
from corral.controllers.preflight import obstacles_of
from corral.controllers.rebalance import Think, foresee_from, think_here
from corral.errors import CorralError, Invalid
from corral.model.ids import NodeId
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.rebalance import Goal, Rebalance, RebalanceSpec
from corral.model.resource import Ref
from corral.model.units import parse_size
from corral.model.vm import VM
from corral.server.cpus import best_cpus
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.server.services.requests import AskRebalance
from corral.store.interface import Put, Write

MOVES_MAX = 10_000
PARALLEL_MAX = 64
DEADLINE_S = 86_400.0


class Rebalancing(CorralError):
    """A rebalance runs already."""

    code = "rebalance.running"
    status = 409
    retryable = True

    def __init__(self, running: Rebalance) -> None:
        super().__init__(
            f"{running.name} runs already, for {running.spec.goal}",
            hint="Wait for it, or cancel its operation: `corral operation list --target "
            + running.name
            + "`.",
            rebalance=running.id,
        )


class PlannedMigration(Struct, frozen=True, kw_only=True):
    vm: Ref
    source: Ref
    target: Ref
    wave: int
    stepping_stone: bool
    forecast_s: float
    forecast_downtime_ms: float
    forecast_bytes: int
    score: float  # of the fleet, after this move


class PlanAnswer(Struct, frozen=True, kw_only=True):
    """What would be done, were it begun now."""

    goal: Goal
    score_before: float
    score_after: float
    moves: tuple[PlannedMigration, ...] = ()
    emptied: tuple[Ref, ...] = ()  # nodes that have no VM any more then
    behind: tuple[Ref, ...] = ()  # VMs on nodes to be emptied for which no way was found
    why: Mapping[str, str] = {}  # by name of those that could go nowhere at all: what ties them to their node
    forecast_s: float = 0.0
    forecast_bytes: int = 0


class RebalanceService:
    """Requests about rebalancing."""

    def __init__(self, desk: Desk, think: Think = think_here) -> None:
        self.desk, self.mirror, self.clock, self.think = desk, desk.mirror, desk.clock, think

    async def plan(self, ask: AskRebalance) -> PlanAnswer:
        """What would be done. raises Invalid, NotFound"""
        mirror, spec = self.mirror, self._spec(ask)
        question = question_of(keeper_of(mirror, best_cpus()), spec, foresee_from(mirror))
        plan = await self.think(question)
        refs = {r.id: r.ref for r in (mirror.get(id) for id in (*question.nodes, *question.vms)) if r}
        moves = [
            PlannedMigration(
                vm=refs[move.vm],
                source=refs[move.source],
                target=refs[move.target],
                wave=move.wave + 1,
                stepping_stone=move.stepping_stone,
                forecast_s=move.forecast_s,
                forecast_downtime_ms=move.forecast_downtime_ms,
                forecast_bytes=move.forecast_bytes,
                score=round(planned.score, 4),
            )
            for move, planned in zip(moves_of(question, plan), plan.moves, strict=True)
            if {move.vm, move.source, move.target} <= refs.keys()  # removed while we thought
        ]
        behind = [vm for vm in (mirror.get(question.vms[row]) for row in plan.behind) if isinstance(vm, VM)]
        ties = {vm.name: [o.message for o in obstacles_of(mirror, vm)] for vm in behind}
        return PlanAnswer(
            goal=spec.goal,
            score_before=round(plan.before, 4),
            score_after=round(plan.after, 4),
            moves=tuple(moves),
            emptied=tuple(refs[n] for n in (question.nodes[row] for row in plan.emptied) if n in refs),
            behind=tuple(vm.ref for vm in behind),
            why={name: "; ".join(messages) for name, messages in ties.items() if messages},
            forecast_s=round(plan.seconds, 1),
            forecast_bytes=int(plan.bytes),
        )

    async def apply(self, ask: AskRebalance, asking: Asking) -> Operation:
        """Plan it and carry it out. raises Invalid, NotFound, Rebalancing"""
        return await self.desk.submit(asking, lambda: self._apply(ask))

    def _apply(self, ask: AskRebalance) -> Change:
        spec = self._spec(ask)
        if running := next((r for r in self.mirror.list(Rebalance) if not r.ended), None):
            raise Rebalancing(running)
        id = new_id("rebalance", self.clock)
        rebalance = Rebalance(id=id, name=id.lower(), created_at=self.clock.now_s(), spec=spec)
        cordoned = [
            node.having(
                spec=msgspec.structs.replace(node.spec, cordoned=True), generation=node.generation + 1
            )
            for id in spec.nodes
            if isinstance(node := self.mirror.get(id), Node) and not node.spec.cordoned
        ]
        writes: list[Write] = [Put(rebalance), *map(Put, cordoned)]
        return Change(
            target=rebalance,
            writes=tuple(writes),
            expect={rebalance.id: 0, **{node.id: node.revision for node in cordoned}},
            verb=Verb.DRAIN if spec.goal is Goal.DRAIN else Verb.REBALANCE,
            deadline_s=DEADLINE_S,
        )

    def _spec(self, ask: AskRebalance) -> RebalanceSpec:
        if (ask.goal is Goal.DRAIN) != bool(ask.nodes):
            raise Invalid("nodes", ", ".join(ask.nodes), "nodes to empty, with goal drain only")
        for field, value, most in (
            ("moves_max", ask.moves_max, MOVES_MAX),
            ("parallel", ask.parallel, PARALLEL_MAX),
        ):
            if not 1 <= value <= most:
                raise Invalid(field, value, f"1 to {most}")
        return RebalanceSpec(
            goal=ask.goal,
            nodes=tuple(NodeId(self.mirror.find(Node, name).id) for name in ask.nodes),
            moves_max=ask.moves_max,
            bytes_max=parse_size(ask.bytes_max, "bytes_max") if ask.bytes_max else 0,
            parallel=ask.parallel,
        )
