"""Arena: a problem while moves are tried on it; all arrays, so that compiled loops can work on it.

In this room   Arena, the arrays; arena_of(), which makes them of a problem; put(), the one way in which they change
Always true    used, share, sums, tally and the lists of VMs by node are what node says (tests compare with a rebuild)
Next door      scores.py judges a move, search.py makes them
Start here     arena_of(), put()
"""

from typing import NamedTuple

import numpy as np

from corral.scheduler.rebalance.compiled import compiled, compiled_inside
from corral.scheduler.rebalance.problem import LEAVE, Bools, Floats, Ints, Problem

NONE = -1


class Arena(NamedTuple):
    """What is given never changes; what follows `node` does, by put() only."""

    capacity: Floats  # (nodes, dimensions)
    claims: Floats  # (vms, dimensions)
    amounts: Floats  # (vms, terms)
    scale: Floats  # (nodes, terms)
    weight: Floats  # (terms,)
    counts: Bools  # (nodes,)
    counted: float  # nodes that count; 1 at least
    open: Bools  # (nodes,)
    leaving: Floats  # (nodes,) worth of each VM that leaves it
    movable: Bools  # (vms,)
    kind: Ints  # (vms,)
    fits: Bools  # (kinds, nodes)
    home: Ints  # (vms,) where it was in the beginning
    rank: Ints  # (vms,) place by size, the largest first
    by_size: Ints  # (vms,) the largest first
    failure: Ints  # (nodes,) failure domains, numbered from 0
    by_failure: Ints  # (nodes,) rows, those of one domain together
    rules_from: Ints  # (vms + 1,) where its rules begin in rules_of
    rules_of: Ints
    together: Bools  # (rules,)
    most: Ints  # (rules,)
    required: Bools  # (rules,)
    worth: Floats  # (rules,)
    domain: Ints  # (rules, nodes) domains, numbered from 0

    node: Ints  # (vms,)
    used: Floats  # (nodes, dimensions)
    share: Floats  # (nodes, terms)
    sums: Floats  # (2, terms) of shares and of their squares, over the nodes that count
    tally: Ints  # (rules, domains) members there
    first: Ints  # (nodes,) its VMs as a list, the largest first
    after: Ints  # (vms,) the next in the list
    before: Ints  # (vms,)


def arena_of(problem: Problem) -> Arena:
    """The arena with every VM at home."""
    nodes, vms = problem.nodes, problem.vms
    rules = list(problem.rules)
    domains = np.array([np.unique(r.domain, return_inverse=True)[1] for r in rules], dtype=np.int64)
    members = sorted((vm, number) for number, rule in enumerate(rules) for vm in rule.vms)
    owners = np.array([vm for vm, _ in members], dtype=np.int64)
    usual = problem.capacity.sum(axis=0) / max(nodes, 1)
    size = (problem.claims / np.maximum(usual, 1e-9)).max(axis=1, initial=0.0)
    rank = np.empty(vms, dtype=np.int64)
    by_size = np.lexsort((np.arange(vms), -size))
    rank[by_size] = np.arange(vms)
    failure = np.unique(problem.failure_domain, return_inverse=True)[1].astype(np.int64)
    arena = Arena(
        capacity=np.ascontiguousarray(problem.capacity, dtype=np.float64),
        claims=np.ascontiguousarray(problem.claims, dtype=np.float64),
        amounts=np.ascontiguousarray(problem.amounts, dtype=np.float64),
        scale=np.ascontiguousarray(problem.scale, dtype=np.float64),
        weight=np.ascontiguousarray(problem.weight, dtype=np.float64),
        counts=problem.counts.copy(),
        counted=float(max(problem.counts.sum(), 1)),
        open=problem.takes_vms & ~problem.leaving,
        leaving=np.where(problem.leaving, LEAVE, 0.0),
        movable=problem.movable.copy(),
        kind=problem.kind.astype(np.int64),
        fits=np.ascontiguousarray(problem.fits),
        home=problem.node.astype(np.int64),
        rank=rank,
        by_size=by_size,
        failure=failure,
        by_failure=np.argsort(failure, kind="stable"),
        rules_from=np.searchsorted(owners, np.arange(vms + 1)).astype(np.int64),
        rules_of=np.array([number for _, number in members], dtype=np.int64),
        together=np.array([r.together for r in rules], dtype=np.bool_),
        most=np.array([r.most for r in rules], dtype=np.int64),
        required=np.array([r.required for r in rules], dtype=np.bool_),
        worth=np.array([r.worth for r in rules], dtype=np.float64),
        domain=domains.reshape(len(rules), nodes),
        node=np.full(vms, NONE, dtype=np.int64),
        used=problem.base.astype(np.float64),
        share=np.ascontiguousarray(problem.offset * problem.scale),
        sums=np.zeros((2, len(problem.weight))),
        tally=np.zeros((len(rules), nodes), dtype=np.int64),
        first=np.full(nodes, NONE, dtype=np.int64),
        after=np.full(vms, NONE, dtype=np.int64),
        before=np.full(vms, NONE, dtype=np.int64),
    )
    arena.sums[0] = arena.share[arena.counts].sum(axis=0)
    arena.sums[1] = (arena.share[arena.counts] ** 2).sum(axis=0)
    _move_in(arena, by_size[::-1].copy())
    return arena


@compiled
def _move_in(arena: Arena, vms: Ints) -> None:
    """Everybody home; the smallest first, so that each goes to the head of its list."""
    for i in range(len(vms)):
        _add(arena, vms[i], arena.home[vms[i]])


@compiled
def put(arena: Arena, vm: int, node: int) -> None:
    """Move the VM to the node, whether that is allowed or not."""
    _take(arena, vm)
    _add(arena, vm, node)


@compiled_inside
def _add(arena: Arena, vm: int, node: int) -> None:
    arena.node[vm] = node
    for d in range(arena.used.shape[1]):
        arena.used[node, d] += arena.claims[vm, d]
    _weigh(arena, vm, node, 1.0)
    for i in range(arena.rules_from[vm], arena.rules_from[vm + 1]):
        rule = arena.rules_of[i]
        arena.tally[rule, arena.domain[rule, node]] += 1
    last, at = -1, arena.first[node]
    while at >= 0 and arena.rank[at] < arena.rank[vm]:
        last, at = at, arena.after[at]
    arena.before[vm], arena.after[vm] = last, at
    if at >= 0:
        arena.before[at] = vm
    if last >= 0:
        arena.after[last] = vm
    else:
        arena.first[node] = vm


@compiled_inside
def _take(arena: Arena, vm: int) -> None:
    node = arena.node[vm]
    for d in range(arena.used.shape[1]):
        arena.used[node, d] -= arena.claims[vm, d]
    _weigh(arena, vm, node, -1.0)
    for i in range(arena.rules_from[vm], arena.rules_from[vm + 1]):
        rule = arena.rules_of[i]
        arena.tally[rule, arena.domain[rule, node]] -= 1
    last, at = arena.before[vm], arena.after[vm]
    if at >= 0:
        arena.before[at] = last
    if last >= 0:
        arena.after[last] = at
    else:
        arena.first[node] = at


@compiled_inside
def _weigh(arena: Arena, vm: int, node: int, sign: float) -> None:
    """What the VM brings to the node's shares, and to the sums over all."""
    for t in range(arena.share.shape[1]):
        old = arena.share[node, t]
        new = old + sign * arena.amounts[vm, t] * arena.scale[node, t]
        arena.share[node, t] = new
        if arena.counts[node]:
            arena.sums[0, t] += new - old
            arena.sums[1, t] += new * new - old * old
