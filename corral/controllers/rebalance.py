"""Rebalance controller: makes the plan, and carries it out by migrating VMs.

In this room   one key a rebalance; one more, a look at whether the fleet needs one by itself
Comes in       Rebalance resources, VMs that migrate, the default policy
Goes out       wishes of VMs to migrate, written down together with the move that they are
Always true    a wish and its note are one commit, so a new leader begins no migration twice; plans are made in `think`,
               off the event loop, and committed only if nobody has changed the rebalance meanwhile
Next door      rebalance_plan.py decides the next step, fleet_problem.py asks the planner, vm.py migrates
Start here     RebalanceController.reconcile()
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import msgspec

from corral.clock import new_id
from corral.controllers.desk import LeaderDesk, Seat
from corral.controllers.fleet_problem import Foresee, Question, default_policy, moves_of, question_of
from corral.controllers.forecast import Outlook, choose, link_to
from corral.controllers.placement import FleetKeeper, keeper_of, local_volumes
from corral.controllers.preflight import Obstacle, obstacles_at, obstacles_of
from corral.controllers.rebalance_plan import Go, Plan, next_step
from corral.controllers.vm_plan import disk_bytes
from corral.model.ids import VmId
from corral.model.migration import Forecast
from corral.model.node import Node
from corral.model.policy import Rebalancing
from corral.model.rebalance import Goal, Move, MoveState, Rebalance, RebalancePhase, RebalanceSpec
from corral.model.vm import VM, VMPhase
from corral.scheduler.consolidation import SAVED_HOURS
from corral.scheduler.cpus import Cpus
from corral.scheduler.rebalance.planned import MovePlan
from corral.store.interface import Change, ChangeVerb, Put, Remove, Write
from corral.store.mirror import Mirror

AUTO: Final = "automatic"  # key of the look at whether the fleet needs one
KEEP_S: Final = 7 * 86_400.0  # that one which has ended is kept
Think = Callable[[Question], Awaitable[MovePlan]]


async def think_here(question: Question) -> MovePlan:
    """At once: in simulation, where no thread may decide what comes first."""
    return planned(question)


async def think_aside(question: Question) -> MovePlan:
    """In a thread: a large fleet takes a second, and compiled loops the first time half a minute.

    Of its own, and not asyncio's: a server that is asked to end would wait for those.
    """
    loop = asyncio.get_running_loop()
    plan: asyncio.Future[MovePlan] = loop.create_future()

    def settle(found: MovePlan | None, error: Exception | None) -> None:
        if plan.done():  # cancelled
            return
        if error:
            plan.set_exception(error)
        elif found:
            plan.set_result(found)

    def work() -> None:
        found, failure = None, None
        try:
            found = planned(question)
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=work, name="corral-plan", daemon=True).start()
    return await plan


def planned(question: Question) -> MovePlan:
    from corral.scheduler.rebalance.plan import (
        plan_moves,  # here: half a second that no server has to wait for
    )

    return plan_moves(question.problem, question.goal, question.limits)


def foresee_from(mirror: Mirror) -> Foresee:
    """What a VM's migration would take over a link that is like the ones that its node has used."""

    def foresee(vm: VM) -> Forecast | None:
        source = mirror.get(vm.status.node or "")
        links = source.status.links if isinstance(source, Node) else {}
        last = vm.status.last_migration
        figures = last.figures if last else None
        return choose(
            Outlook(
                memory_bytes=vm.spec.memory_bytes,
                last=last,
                dirty_bytes_s=figures.dirty_bytes_s if figures and figures.dirty_bytes_s else None,
                disk_bytes=sum(disk_bytes(v) for v in local_volumes(mirror, vm)),
                link=link_to(links, ""),
                policy=vm.spec.migration_policy,
            )
        )[1]

    return foresee


class RebalanceController(Seat):
    """One key a rebalance that has not ended, and AUTO."""

    name = "rebalance"
    workers = 1  # two plans at once would count on the same room

    def __init__(self, desk: LeaderDesk, cpus: Cpus, think: Think = think_here) -> None:
        super().__init__(desk)
        self.cpus, self.think = cpus, think

    @property
    def keeper(self) -> FleetKeeper:
        return keeper_of(self.mirror, self.cpus)

    def all_keys(self) -> Iterable[str]:
        return [AUTO, *(r.id for r in self.mirror.list(Rebalance))]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case Rebalance() as rebalance if change.verb is not ChangeVerb.REMOVE:
                yield rebalance.id
            case VM() as vm:
                for rebalance in self.mirror.select(Rebalance, "moving", vm.id):
                    yield rebalance.id

    async def reconcile(self, key: str) -> float | None:
        if key == AUTO:
            return await self._automatic()
        rebalance = self.mirror.get(key)
        if not isinstance(rebalance, Rebalance):
            return None
        if rebalance.ended:
            return await self._forget(rebalance)
        step = next_step(rebalance, self._look, self._obstacles, self.clock.now_s())
        match step:
            case Plan():
                await self._plan(rebalance)
            case Go(status=status, wishes=wishes):
                vms = [
                    vm.having(
                        generation=vm.generation + 1, spec=msgspec.structs.replace(vm.spec, migration=wish)
                    )
                    for vm, wish in wishes
                ]
                await self.desk.replace(rebalance.having(status=status), *vms)
        return None

    def _look(self, vm: str) -> VM | None:
        found = self.mirror.get(vm)
        return found if isinstance(found, VM) else None

    def _obstacles(self, vm: VM, move: Move) -> tuple[Obstacle, ...]:
        node = self.mirror.get(move.target)
        if not isinstance(node, Node):
            return (Obstacle(code="node.lost", message="its target was removed"),)
        return (*obstacles_of(self.mirror, vm), *obstacles_at(self.keeper, vm, node))

    async def _plan(self, rebalance: Rebalance) -> None:
        """Find the moves; those that were made stay written down."""
        old = rebalance.status
        failed = frozenset(VmId(m.vm) for m in old.moves if m.state is MoveState.FAILED)
        question = question_of(self.keeper, rebalance.spec, foresee_from(self.mirror), failed)
        plan = await self.think(question)
        kept = tuple(m for m in old.moves if m.state is not MoveState.DROPPED)
        new = tuple(
            msgspec.structs.replace(move, plan=old.plans + 1)
            for move in moves_of(question, plan, max((m.wave for m in kept), default=-1) + 1)
        )
        status = msgspec.structs.replace(
            old,
            phase=RebalancePhase.MOVING,
            since=self.clock.now_s(),
            before=old.before or plan.before,
            after=plan.after,
            moves=(*kept, *new),
            plans=old.plans + 1,
            behind=tuple(question.vms[row] for row in plan.behind),
        )
        word = f"{len(new)} moves, score {plan.before:.3f} to {plan.after:.3f}"
        event = self.desk.event(rebalance, "planned", f"{rebalance.name}: {word}")
        await self.desk.replace(rebalance.having(status=status), events=[event])

    async def _forget(self, rebalance: Rebalance) -> float | None:
        left_s = rebalance.status.since + KEEP_S - self.clock.now_s()
        if left_s > 0:
            return left_s
        await self.desk.commit([Remove(rebalance.id)], {rebalance.id: rebalance.revision})
        return None

    async def _automatic(self) -> float:
        """Begin one, where the default policy wants that and it is worth the while."""
        wanted = default_policy(self.mirror).rebalance
        if not wanted.automatic:
            return 30.0
        all_ = self.mirror.list(Rebalance)
        lately_s = max((r.status.since for r in all_ if r.ended), default=0.0)
        if any(not r.ended for r in all_) or self.clock.now_s() - lately_s < wanted.pause_s:
            return 30.0
        spec = RebalanceSpec(
            goal=wanted.goal, moves_max=self._moves(wanted, all_), parallel=wanted.parallel, automatic=True
        )
        if spec.moves_max < 1:
            return 60.0
        question = question_of(self.keeper, spec, foresee_from(self.mirror))
        plan = await self.think(question)
        if _is_worth_it(wanted, plan):
            id = new_id("rebalance", self.clock)
            new = Rebalance(id=id, name=id.lower(), created_at=self.clock.now_s(), spec=spec)
            event = self.desk.event(
                new, "automatic", f"{_reason(wanted.goal, plan)}: {len(plan.moves)} moves begin"
            )
            writes: list[Write] = [Put(new), Put(event)]
            await self.desk.commit(writes, {new.id: 0, event.id: 0})
        return max(30.0, wanted.pause_s / 4)

    def _moves(self, wanted: Rebalancing, all_: Iterable[Rebalance]) -> int:
        """That one may make now; for consolidation: earned by VMs that run, and not spent in the last hours."""
        if wanted.goal is not Goal.CONSOLIDATE:
            return wanted.moves_max
        running = self.mirror.count(VM, "phase", VMPhase.RUNNING)
        since_s = self.clock.now_s() - SAVED_HOURS * 3600
        spent = sum(
            move.state is not MoveState.DROPPED
            for rebalance in all_
            if rebalance.status.since > since_s
            for move in rebalance.status.moves
        )
        earned = wanted.moves_per_100_vm_hours * running / 100 * SAVED_HOURS
        return min(wanted.moves_max, int(earned - spent))


def _is_worth_it(wanted: Rebalancing, plan: MovePlan) -> bool:
    if wanted.goal is Goal.CONSOLIDATE:
        return bool(plan.emptied)
    promised = plan.before - plan.after
    return bool(plan.moves) and plan.before > wanted.start_above and promised >= wanted.gain * plan.before


def _reason(goal: Goal, plan: MovePlan) -> str:
    if goal is Goal.CONSOLIDATE:
        return f"{len(plan.emptied)} nodes can be emptied"
    return f"the fleet's score is {plan.before:.3f}"
