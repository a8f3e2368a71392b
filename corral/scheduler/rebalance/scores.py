"""Scores: how good an arena is, how much better after a move, and whether the move is allowed.

In this room   total(), best_target(), allowed(); compiled
Always true    best_target() names only moves that are allowed, and its gain is exact
Source         Ganeti's hbal (`man hbal`, "Cluster scoring"): weighted standard deviations of the nodes' shares
Next door      search.py takes the best of these
Start here     best_target()
"""

import math

import numpy as np

from corral.scheduler.rebalance.arena import Arena
from corral.scheduler.rebalance.compiled import NO_ROW, compiled, compiled_inside, written_out
from corral.scheduler.rebalance.problem import Floats, Ints

SLACK = 1e-9  # of a capacity: rounding errors are no lack of room
SAME = 1e-12  # of a score
EXACT = 3  # nodes of which the score is computed exactly


@compiled
def spread(arena: Arena) -> float:
    """The score without rules and nodes to be emptied: the sum over terms of weight x standard deviation."""
    count, score = arena.counted, 0.0
    for t in range(len(arena.weight)):
        mean = arena.sums[0, t] / count
        score += arena.weight[t] * math.sqrt(max(arena.sums[1, t] / count - mean * mean, 0.0))
    return score


@compiled
def total(arena: Arena) -> float:
    """The score that is to fall: spread, violations of rules, VMs on nodes to be emptied."""
    score = spread(arena)
    for vm in range(len(arena.node)):
        score += arena.leaving[arena.node[vm]]
    for rule in range(len(arena.most)):
        score += arena.worth[rule] * violations(arena, rule)
    return score


@compiled
def violations(arena: Arena, rule: int) -> int:
    """VMs too many in a domain; for those that belong together: VMs outside the fullest one."""
    over, all_, fullest = 0, 0, 0
    for domain in range(arena.tally.shape[1]):
        here = arena.tally[rule, domain]
        all_ += here
        fullest = max(fullest, here)
        over += max(0, here - arena.most[rule])
    return all_ - fullest if arena.together[rule] else over


@compiled_inside
def rules_allow(arena: Arena, vm: int, node: int) -> bool:
    """Whether no required rule is worse off when the VM moves there."""
    for i in range(arena.rules_from[vm], arena.rules_from[vm + 1]):
        rule = arena.rules_of[i]
        here, there = arena.domain[rule, arena.node[vm]], arena.domain[rule, node]
        if here == there or not arena.required[rule]:
            continue
        if arena.together[rule]:
            if arena.tally[rule, there] < arena.tally[rule, here]:
                return False
        elif arena.tally[rule, there] >= arena.most[rule]:
            return False
    return True


@compiled_inside
def rules_gain(arena: Arena, vm: int, node: int) -> float:
    """What violations cost more (above 0) or less after the move."""
    change = 0.0
    for i in range(arena.rules_from[vm], arena.rules_from[vm + 1]):
        rule = arena.rules_of[i]
        here, there = arena.domain[rule, arena.node[vm]], arena.domain[rule, node]
        if here == there:
            continue
        if arena.together[rule]:
            old = violations(arena, rule)
            arena.tally[rule, here] -= 1
            arena.tally[rule, there] += 1
            change += arena.worth[rule] * (violations(arena, rule) - old)
            arena.tally[rule, here] += 1
            arena.tally[rule, there] -= 1
        else:
            change -= arena.worth[rule] * (arena.tally[rule, here] > arena.most[rule])
            change += arena.worth[rule] * (arena.tally[rule, there] >= arena.most[rule])
    return change


@compiled_inside
def has_room(arena: Arena, vm: int, node: int) -> bool:
    for d in range(arena.used.shape[1]):
        if arena.used[node, d] + arena.claims[vm, d] > arena.capacity[node, d] * (1 + SLACK):
            return False
    return True


@compiled_inside
def full(arena: Arena, node: int) -> bool:
    """Whether more is claimed than there is."""
    for d in range(arena.used.shape[1]):
        if arena.used[node, d] > arena.capacity[node, d] * (1 + SLACK):
            return True
    return False


@compiled_inside
def allowed(arena: Arena, vm: int, node: int) -> bool:
    """Whether the VM may move there now, from where it is."""
    return bool(
        arena.open[node]
        and arena.fits[arena.kind[vm], node]
        and node != arena.node[vm]
        and has_room(arena, vm, node)
        and rules_allow(arena, vm, node)
    )


@compiled_inside
def change_of(arena: Arena, vm: int, there: int, score: float, left: Floats) -> float:
    """Change of the score (below 0: better) when the VM moves there, whether that is allowed or not.

    score   of the arena: spread()
    left    (2, terms) the sums without the VM: without()
    """
    here, count = arena.node[vm], arena.counted
    change = arena.leaving[there] - arena.leaving[here] - score
    seen = 1.0 if arena.counts[there] else 0.0
    for t in range(len(arena.weight)):
        old = arena.share[there, t]
        new = old + arena.amounts[vm, t] * arena.scale[there, t]
        mean = (left[0, t] + seen * (new - old)) / count
        square = (left[1, t] + seen * (new * new - old * old)) / count
        change += arena.weight[t] * math.sqrt(max(square - mean * mean, 0.0))
    if arena.rules_from[vm] < arena.rules_from[vm + 1]:
        change += rules_gain(arena, vm, there)
    return float(change)


@compiled_inside
def without(arena: Arena, vm: int, left: Floats) -> None:
    """The sums as they were without the VM. (2, terms)"""
    here = arena.node[vm]
    for t in range(len(arena.weight)):
        old = arena.share[here, t]
        new = old - arena.amounts[vm, t] * arena.scale[here, t]
        left[0, t] = arena.sums[0, t] + (new - old if arena.counts[here] else 0.0)
        left[1, t] = arena.sums[1, t] + (new * new - old * old if arena.counts[here] else 0.0)


@compiled_inside
def slopes(arena: Arena) -> Floats:
    """How the score changes with what a VM brings to each node, in first order. (2, terms, nodes): linear, square"""
    nodes, terms = arena.share.shape
    count, out = arena.counted, np.zeros((2, terms, nodes))
    for t in range(terms):
        mean = arena.sums[0, t] / count
        deviation = math.sqrt(max(arena.sums[1, t] / count - mean * mean, 0.0))
        slope = arena.weight[t] / (2 * count * deviation) if deviation > SAME else 0.0
        for node in range(nodes):
            if arena.counts[node]:
                scale = arena.scale[node, t]
                out[0, t, node] = slope * scale * 2 * (arena.share[node, t] - mean)
                out[1, t, node] = slope * scale * scale
    return out


@compiled_inside
def best_target(
    arena: Arena, vm: int, score: float, among: Ints, slope: Floats, left: Floats, line: Floats
) -> tuple[float, int]:
    """Change of the score and node of the VM's best move; (inf, -1): it has none.

    All nodes are compared in first order, the best few exactly: the score is a sum of square roots, and a straight line
    finds the same best nodes at a tenth of the cost.

    score   of the arena: spread()
    among   rows of the nodes to try
    slope   slopes()
    left, line    (2, terms), (nodes,) scratch
    """
    without(arena, vm, left)
    best, node = np.inf, -1
    if len(among) <= EXACT or arena.rules_from[vm] < arena.rules_from[vm + 1]:
        for there in among:
            if arena.open[there] and there != arena.node[vm]:
                change = change_of(arena, vm, there, score, left)
                if change < best - SAME and allowed(arena, vm, there):
                    best, node = change, there
        return best, node
    _compare(arena, vm, among, slope, line)
    for _ in range(EXACT):
        at, least = NO_ROW, np.inf
        for there in among:
            if line[there] < least:
                at, least = there, line[there]
        if at < 0:
            break
        line[at] = np.inf
        change = change_of(arena, vm, at, score, left)
        if change < best - SAME:
            best, node = change, at
    return best, node


@written_out
def _compare(arena: Arena, vm: int, among: Ints, slope: Floats, line: Floats) -> None:
    """The first-order change on each node, inf where the VM may not go; for VMs without rules. (nodes,)"""
    line[:] = 0.0
    for t in range(len(arena.weight)):
        amount = arena.amounts[vm, t]
        square = amount * amount
        for there in range(len(line)):
            line[there] += amount * slope[0, t, there] + square * slope[1, t, there]
    for d in range(arena.used.shape[1]):
        claim = arena.claims[vm, d]
        for there in range(len(line)):
            if arena.used[there, d] + claim > arena.capacity[there, d] * (1 + SLACK):
                line[there] = np.inf
    for there in among:
        if not arena.open[there] or not arena.fits[arena.kind[vm], there]:
            line[there] = np.inf
    line[arena.node[vm]] = np.inf
