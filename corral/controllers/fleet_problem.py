"""Fleet problem: the fleet as the rebalance planner takes it, and a plan in the words of the model.

In this room   Question, a problem with the ids of its rows; question_of(); moves_of(), a plan as Moves
Comes in       the mirror and the fleet's columns; what is asked for; what a migration would take
Goes out       plain arrays, so that the plan can be made in a thread while the world goes on
Always true    a VM that preflight.py would not let go is not movable; a node that it would not let it to is no target
Next door      scheduler/rebalance/ plans; rebalance.py carries out; preflight.py knows the obstacles
Start here     question_of()
"""

from collections.abc import Callable, Hashable, Set
from typing import Final

import numpy as np
from msgspec import Struct

from corral.controllers.placement import FleetKeeper, ask_of, local_volumes
from corral.controllers.preflight import obstacles_at, obstacles_of
from corral.controllers.rules import rules_of
from corral.model.group import PlacementGroup, RuleKind
from corral.model.ids import GroupId, NodeId, VmId
from corral.model.migration import Forecast
from corral.model.node import Node
from corral.model.policy import BUILT_IN, DEFAULT, SchedulingPolicy, SchedulingPolicySpec, Spare
from corral.model.rebalance import Goal, Move, RebalanceSpec
from corral.model.vm import VM
from corral.scheduler.dimensions import CPU, MEMORY, Bools
from corral.scheduler.fleet import Fleet
from corral.scheduler.rebalance.planned import MovePlan
from corral.scheduler.rebalance.problem import REPAIR, Ints, Problem, Rule
from corral.scheduler.rebalance.wanted import Limits
from corral.scheduler.rules import NODE, RACK, allowed, domains
from corral.store.mirror import Mirror

UNLIMITED: Final = 1e18  # instead of inf
ROOM: Final = frozenset({"migration.no_cpus", "migration.no_memory", "node.not_ready", "migration.here"})
THRIFT: Final = 0.5  # a migration that takes four times as long has to bring twice as much
TERMS: Final = (CPU, MEMORY)  # whose shares are to be close to each other
Foresee = Callable[[VM], Forecast | None]  # what its migration would take


class Question(Struct, frozen=True, kw_only=True):
    """What the planner is asked, and whose rows those are."""

    problem: Problem
    limits: Limits
    goal: Goal
    nodes: tuple[NodeId, ...]
    vms: tuple[VmId, ...]
    forecasts: dict[VmId, Forecast]


def question_of(
    keeper: FleetKeeper, asked: RebalanceSpec, foresee: Foresee, without: Set[VmId] = frozenset()
) -> Question:
    """The fleet as it is now.

    without    VMs that are left where they are, such as those whose migration has failed
    """
    mirror, fleet = keeper.mirror, keeper.fleet
    vms = [vm for vm in mirror.list(VM) if vm.status.node in fleet.row and len(vm.claimed_on) == 1]
    free_to_go = [vm.id not in without and not obstacles_of(mirror, vm) and not vm.spec.node for vm in vms]
    forecasts = {
        VmId(vm.id): f for vm, may in zip(vms, free_to_go, strict=True) if may and (f := foresee(vm))
    }
    policy, size = default_policy(mirror), fleet.size
    capacity = np.minimum(fleet.capacity[:size], UNLIMITED)
    claims = np.array([fleet.amounts(fleet.claims[VmId(vm.id)][0]) for vm in vms]).reshape(
        len(vms), capacity.shape[1]
    )
    node = np.array([fleet.row[vm.status.node] for vm in vms if vm.status.node], dtype=np.int64)
    base = fleet.claimed[:size].copy()
    np.subtract.at(base, node, claims)
    kind, fits = _kinds(keeper, vms, free_to_go)
    counts = fleet.present[:size] & (capacity[:, CPU] > 0) & (capacity[:, MEMORY] > 0)
    leaving = np.isin(np.arange(size), [fleet.row[n] for n in asked.nodes if n in fleet.row])
    terms = list(TERMS)
    problem = Problem(
        capacity=capacity,
        base=np.maximum(base, 0.0),
        claims=claims,
        node=node,
        amounts=claims[:, terms],
        scale=1 / np.maximum(capacity[:, terms], 1.0),
        offset=np.maximum(base[:, terms], 0.0),
        weight=np.ones(len(terms)),
        takes_vms=_takes_vms(mirror, fleet),
        counts=counts & ~leaving,
        leaving=leaving,
        movable=np.array(free_to_go, dtype=np.bool_),
        kind=kind,
        fits=fits,
        group=np.zeros(size, dtype=np.int64),
        failure_domain=domains(fleet, RACK if policy.spare is Spare.RACK else NODE),
        spare=policy.spare is not Spare.NONE,
        seconds=np.array([_of(forecasts, vm, "total_s") for vm in vms]),
        bytes=np.array([_of(forecasts, vm, "memory_bytes") + _of(forecasts, vm, "disk_bytes") for vm in vms]),
        thrift=THRIFT,
        rules=_rules(mirror, fleet, vms),
    )
    limits = Limits(
        moves_max=asked.moves_max,
        bytes_max=asked.bytes_max or float("inf"),
        parallel=asked.parallel,
        per_node=min(2, asked.parallel),
    )
    return Question(
        problem=problem,
        limits=limits,
        goal=asked.goal,
        nodes=tuple(fleet.ids),
        vms=tuple(VmId(vm.id) for vm in vms),
        forecasts=forecasts,
    )


def default_policy(mirror: Mirror) -> SchedulingPolicySpec:
    """What counts for the fleet as a whole."""
    found = next((p for p in mirror.list(SchedulingPolicy) if p.name == DEFAULT), None)
    return found.spec if found else BUILT_IN["balance"]


def moves_of(question: Question, plan: MovePlan, first_wave: int = 0) -> tuple[Move, ...]:
    """The plan with ids instead of rows."""
    moves = []
    for planned in plan.moves:
        vm = question.vms[planned.vm]
        forecast = question.forecasts.get(vm)
        moves.append(
            Move(
                vm=vm,
                source=question.nodes[planned.source],
                target=question.nodes[planned.target],
                wave=first_wave + planned.wave,
                stepping_stone=planned.stepping_stone,
                forecast_s=forecast.total_s if forecast else 0.0,
                forecast_downtime_ms=forecast.downtime_ms if forecast else 0.0,
                forecast_bytes=forecast.memory_bytes + forecast.disk_bytes if forecast else 0,
            )
        )
    return tuple(moves)


def _of(forecasts: dict[VmId, Forecast], vm: VM, field: str) -> float:
    forecast = forecasts.get(VmId(vm.id))
    return float(getattr(forecast, field)) if forecast else 0.0


def _takes_vms(mirror: Mirror, fleet: Fleet) -> Bools:
    nodes = (mirror.get(id) for id in fleet.ids)
    return np.array([isinstance(node, Node) and node.takes_vms for node in nodes], dtype=np.bool_)


def _kinds(keeper: FleetKeeper, vms: list[VM], free_to_go: list[bool]) -> tuple[Ints, Bools]:
    """The kind of each VM, and on which nodes each kind could be, room aside. (vms,), (kinds, nodes)"""
    numbers: dict[Hashable, int] = {}
    masks = [np.zeros(keeper.fleet.size, dtype=np.bool_)]  # of those that stay
    kind = np.zeros(len(vms), dtype=np.int64)
    for row, vm in enumerate(vms):
        if free_to_go[row]:
            key = _key(keeper, vm)
            if key not in numbers:
                numbers[key] = len(masks)
                masks.append(_mask(keeper, vm))
            kind[row] = numbers[key]
    return kind, np.array(masks)


def _key(keeper: FleetKeeper, vm: VM) -> Hashable:
    """Equal for VMs that have the same obstacles everywhere, room aside."""
    if local_volumes(keeper.mirror, vm):
        return vm.id  # a question of its volumes, one by one
    ask, source = ask_of(keeper, vm, moving=True), vm.status.node
    sites = tuple(rule for rule in ask.rules if rule.sites and rule.required)
    host = keeper.fleet.inventories[source] if source else None
    seen = (host.hypervisor, host.architecture, host.accelerator.kind, host.cpu) if host else None
    needs = (tuple(ask.pools), ask.networks, ask.near, ask.needs, ask.hugepage_bytes, ask.pinning)
    platform = (vm.status.platform.machine, vm.status.platform.cpu, vm.spec.hardware.machine)
    return (*needs, sites, seen, platform, vm.spec.migration_policy.tls)


def _mask(keeper: FleetKeeper, vm: VM) -> Bools:
    fleet, mirror = keeper.fleet, keeper.mirror
    mask = np.zeros(fleet.size, dtype=np.bool_)
    for row, id in enumerate(fleet.ids):
        node = mirror.get(id)
        mask[row] = isinstance(node, Node) and (
            id == vm.status.node or {o.code for o in obstacles_at(keeper, vm, node)} <= ROOM
        )
    for rule in rules_of(mirror, vm):
        if rule.sites and rule.required:
            mask &= allowed(fleet, rule)
    return mask


def _rules(mirror: Mirror, fleet: Fleet, vms: list[VM]) -> tuple[Rule, ...]:
    """Rules of placement groups about VMs."""
    rows: dict[GroupId, list[int]] = {}
    for row, vm in enumerate(vms):
        for id in vm.spec.groups:
            rows.setdefault(id, []).append(row)
    found = []
    for id, members in sorted(rows.items()):
        group = mirror.get(id)
        if not isinstance(group, PlacementGroup) or len(members) < 2:
            continue
        for rule in group.spec.rules:
            if not rule.nodes:
                found.append(
                    Rule(
                        vms=tuple(members),
                        domain=domains(fleet, rule.domain),
                        together=rule.kind is RuleKind.AFFINITY,
                        required=rule.required,
                        worth=REPAIR if rule.required else rule.weight,
                    )
                )
    return tuple(found)
