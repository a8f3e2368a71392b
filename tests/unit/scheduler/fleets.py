"""Fleets for the rebalance planner's tests: small ones by hand, and random ones."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from corral.scheduler.rebalance.planned import MovePlan
from corral.scheduler.rebalance.problem import Problem, Rule


def a_fleet(
    capacity: Sequence[tuple[float, float]],
    vms: Sequence[tuple[int, float, float]],  # node, vCPUs, memory
    rules: Sequence[Rule] = (),
    **more: Any,
) -> Problem:
    room = np.array(capacity, dtype=float).reshape(-1, 2)
    nodes, count = len(room), len(vms)
    claims = np.array([vm[1:] for vm in vms], dtype=float).reshape(-1, 2)
    problem = Problem(
        capacity=room,
        base=np.zeros_like(room),
        claims=claims,
        node=np.array([vm[0] for vm in vms], dtype=np.int64),
        amounts=claims,
        scale=1 / np.maximum(room, 1.0),
        offset=np.zeros_like(room),
        weight=np.ones(2),
        takes_vms=np.ones(nodes, dtype=bool),
        counts=np.ones(nodes, dtype=bool),
        leaving=np.zeros(nodes, dtype=bool),
        movable=np.ones(count, dtype=bool),
        kind=np.zeros(count, dtype=np.int64),
        fits=np.ones((1, nodes), dtype=bool),
        group=np.zeros(nodes, dtype=np.int64),
        failure_domain=np.arange(nodes),
        seconds=claims[:, 1].copy(),
        bytes=claims[:, 1].copy(),
        rules=tuple(rules),
    )
    return msgspec.structs.replace(problem, **more)


def wrong_steps(problem: Problem, plan: MovePlan) -> list[str]:
    """What is not as it has to be, at any step; written without any of the planner's code."""
    node, used, wave = problem.node.copy(), problem.base.copy(), -1
    np.add.at(used, node, problem.claims)
    held = np.zeros_like(used)
    wrong: list[str] = []
    broken = broken_rules(problem, node)
    absorbed = not problem.spare or absorbs(problem, node, used)
    for move in plan.moves:
        if move.wave != wave:
            wave, held = move.wave, np.zeros_like(used)
        claim, vm = problem.claims[move.vm], move.vm
        if node[vm] != move.source or move.source == move.target:
            wrong.append(f"{move} starts elsewhere")
        if not problem.movable[vm] or not problem.fits[problem.kind[vm], move.target]:
            wrong.append(f"{move} may not be")
        if not problem.takes_vms[move.target] or problem.leaving[move.target]:
            wrong.append(f"{move} goes to a node that takes none")
        if problem.group[move.source] != problem.group[move.target]:
            wrong.append(f"{move} leaves its group")
        if (used[move.target] + held[move.target] + claim > problem.capacity[move.target] + 1e-6).any():
            wrong.append(f"{move} overfills its target")
        held[move.source] += claim
        used[move.source] -= claim
        used[move.target] += claim
        node[vm] = move.target
        now = broken_rules(problem, node)
        wrong += [
            f"{move} breaks rule {i}" for i, (a, b) in enumerate(zip(broken, now, strict=True)) if b > a
        ]
        broken = now
        if absorbed and problem.spare and not absorbs(problem, node, used):
            wrong.append(f"{move} leaves a loss unabsorbed")
    return wrong


def broken_rules(problem: Problem, node: np.ndarray) -> list[int]:  # type: ignore[type-arg]
    """Violations of each required rule."""
    found = []
    for rule in problem.rules:
        counts = np.unique(rule.domain[node[list(rule.vms)]], return_counts=True)[1]
        over = len(rule.vms) - counts.max() if rule.together else np.maximum(counts - rule.most, 0).sum()
        found.append(int(over) if rule.required else 0)
    return found


def absorbs(problem: Problem, node: np.ndarray, used: np.ndarray) -> bool:  # type: ignore[type-arg]
    """By trying all ways: for tests with few VMs a node."""
    for lost in np.unique(problem.failure_domain):
        gone = problem.failure_domain == lost
        free = np.where((gone | ~problem.takes_vms | problem.leaving)[:, None], -1.0, problem.capacity - used)
        if not _placed(problem, [int(v) for v in np.nonzero(gone[node])[0]], free):
            return False
    return True


def _placed(problem: Problem, vms: list[int], free: np.ndarray) -> bool:  # type: ignore[type-arg]
    if not vms:
        return True
    vm, *rest = vms
    for target in np.nonzero((free >= problem.claims[vm] - 1e-9).all(axis=1))[0]:
        if problem.fits[problem.kind[vm], target]:
            left = free.copy()
            left[target] -= problem.claims[vm]
            if _placed(problem, rest, left):
                return True
    return False
