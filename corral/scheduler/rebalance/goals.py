"""Goals: where VMs are to be, for each goal; the order in which they get there is another matter.

In this room   search(), a group at a time; balance over several groups, with one budget for all
Comes in       parts of a problem, a goal, limits
Goes out       Target: the node of each VM, and the order in which moves are preferred
Always true    no more VMs move, and no more bytes, than the limits allow
Next door      search.py, polish.py, anneal.py, evacuate.py, exact.py do the work; plan.py puts it in order
Start here     targets_of()
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from corral.scheduler.rebalance.anneal import anneal
from corral.scheduler.rebalance.arena import Arena, arena_of, put
from corral.scheduler.rebalance.evacuate import consolidate, leave
from corral.scheduler.rebalance.exact import fewest_moves, is_small
from corral.scheduler.rebalance.groups import Part
from corral.scheduler.rebalance.polish import polish
from corral.scheduler.rebalance.problem import Bools, Floats, Ints, Problem
from corral.scheduler.rebalance.scores import total, violations
from corral.scheduler.rebalance.search import descend
from corral.scheduler.rebalance.spares import unabsorbed
from corral.scheduler.rebalance.wanted import Goal, Limits

T = TypeVar("T")
R = TypeVar("R")
FEW_NODES: Final = 32  # up to which moves are annealed
TRIALS: Final = 400_000  # of annealing
TRIALS_MORE: Final = 1_000_000  # where a score is to be reached with few moves
MANY_VMS: Final = 5_000  # above which moves are not polished
CAREFUL: Final = (
    10_000_000  # VMs x nodes x moves, of all groups, up to which all VMs are looked at before each move
)
LEAST: Final = 1e-6  # gain of a move that is worth making where a score is to be reached
SEEDS: Final = (
    1,
    2,
)  # of chance, so that equal problems give equal plans; the second where the first misses a score
TIE_BREAK: Final = 1e-3  # weight of the balance where rules are what counts


class Target(Struct, frozen=True, kw_only=True):
    """Of one part."""

    node: Ints  # (vms,) where each VM is to be
    order: Ints  # rows of VMs that move, those first that bring most


class Found(Struct, frozen=True, kw_only=True):
    """Single moves, each the best at its time."""

    vms: Ints
    to: Ints
    gains: Floats

    def first(self, count: int) -> "Found":
        return Found(vms=self.vms[:count], to=self.to[:count], gains=self.gains[:count])


def targets_of(parts: Sequence[Part], goal: Goal, limits: Limits) -> list[Target]:
    if goal is Goal.BALANCE:
        return _balance(parts, limits)
    targets, moves, sent = [], limits.moves_max, limits.bytes_max
    for part in parts:
        left = msgspec.structs.replace(limits, moves_max=moves, bytes_max=sent)
        target = _SEARCHES[goal](part.problem, left)
        targets.append(target)
        moves -= len(target.order)
        sent -= float(part.problem.bytes[target.order].sum())
    return targets


def spare_of(problem: Problem, arena: Arena) -> int:
    """VMs that may be unabsorbed: as many as today; -1: nobody asks."""
    return int(unabsorbed(arena, problem.vms)) if problem.spare else -1


def _balance(parts: Sequence[Part], limits: Limits) -> list[Target]:
    """The moves with the largest gains over all groups, then better ones for as many in each group."""
    if limits.score > -np.inf:
        limits = msgspec.structs.replace(limits, least_gain=min(limits.least_gain, LEAST))
    found = _side_by_side(lambda part: _descended(part.problem, limits, len(parts)), parts)
    if limits.score > -np.inf:
        return [_fewest(part.problem, f, limits) for part, f in zip(parts, found, strict=True)]
    sizes = [part.problem.bytes[f.vms] for part, f in zip(parts, found, strict=True)]
    counts = _shares([f.gains for f in found], sizes, limits)
    chosen = [(part, f.first(count)) for part, f, count in zip(parts, found, counts, strict=True)]
    return _side_by_side(lambda pair: _improved(pair[0].problem, pair[1], limits), chosen)


def _side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Each by itself, on all CPUs: compiled loops leave the interpreter to others."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor() as threads:
        return list(threads.map(work, items))


def _descended(problem: Problem, limits: Limits, groups: int = 1) -> Found:
    arena = arena_of(problem)
    moves = min(limits.moves_max, 4 * problem.vms)
    careful = problem.vms * problem.nodes * min(moves, problem.vms) * groups <= CAREFUL
    least = limits.least_gain * total(arena) / max(int(arena.counts.sum()), 1)
    vms, to, gains = descend(
        arena, moves, least, limits.score, careful, spare_of(problem, arena), price_of(problem)
    )
    return Found(vms=vms, to=to, gains=gains)


def price_of(problem: Problem) -> Floats:
    """What a move costs, relative to others: dear ones have to bring more. (vms,), 1 where all are alike"""
    seconds = np.maximum(problem.seconds, 1e-3)
    price: Floats = (seconds / np.median(seconds)) ** problem.thrift if problem.vms else seconds
    return price


def _shares(gains: Sequence[Floats], sizes: Sequence[Floats], limits: Limits) -> list[int]:
    """How many of each group's moves are made, so that all together gain most within the limits."""
    counts, moves, sent = [0] * len(gains), 0, 0.0
    queue = sorted((-g, group, i) for group, of in enumerate(gains) for i, g in enumerate(_falling(of)))
    for _, group, i in queue:
        size = float(sizes[group][i])
        if i == counts[group] and moves < limits.moves_max and sent + size <= limits.bytes_max:
            counts[group], moves, sent = i + 1, moves + 1, sent + size
    return counts


def _falling(gains: Floats) -> Floats:
    """Each gain, or a larger one that it makes possible later, averaged: a series that never rises."""
    return np.minimum.accumulate(gains) if len(gains) else gains


def _improved(problem: Problem, found: Found, limits: Limits) -> Target:
    """Better moves than these, no more of them, within the same bytes."""
    plain = _arena_after(problem, found)
    if not len(found.vms) or problem.vms > MANY_VMS:
        return _target(problem, plain, found)
    arena = _better(problem, found, limits.score)
    over = problem.bytes[arena.node != arena.home].sum() > limits.bytes_max
    return _target(problem, plain if over else arena, found)


def _better(problem: Problem, found: Found, score: float, seed: int = SEEDS[0]) -> Arena:
    arena = _arena_after(problem, found)
    spare, few = spare_of(problem, arena_of(problem)), problem.nodes <= FEW_NODES
    if few:
        anneal(arena, len(found.vms), TRIALS if score == -np.inf else TRIALS_MORE, score, spare, seed)
    polish(arena, 8, score, few, spare)
    return arena


def _arena_after(problem: Problem, found: Found) -> Arena:
    arena = arena_of(problem)
    for vm, node in zip(found.vms, found.to, strict=True):
        put(arena, int(vm), int(node))
    return arena


def _fewest(problem: Problem, found: Found, limits: Limits) -> Target:
    """The fewest moves that were found to reach the score: half as many, then half of what is left, and so on."""
    best = _better(problem, found, limits.score)
    most = int((best.node != best.home).sum())
    low, high = 0, most if total(best) <= limits.score else 0
    while low < high:
        count = (low + high) // 2
        arena = _reached(problem, found.first(count), limits.score)
        if arena is not None:
            best, high = arena, count
        else:
            low = count + 1
    return _target(problem, best, found)


def _reached(problem: Problem, found: Found, score: float) -> Arena | None:
    """An arena with that score after as many moves; None: none was found. Chance gets a second try where it is asked."""
    for seed in SEEDS if problem.nodes <= FEW_NODES else SEEDS[:1]:
        arena = _better(problem, found, score, seed)
        if total(arena) <= score:
            return arena
    return None


def _target(problem: Problem, arena: Arena, found: Found | None = None) -> Target:
    """In the order in which they were found; others after them, the largest first."""
    place = np.full(problem.vms, problem.vms, dtype=np.int64)
    if found is not None:
        place[found.vms[::-1]] = np.arange(len(found.vms))[::-1]
    moved = np.nonzero(arena.node != arena.home)[0]
    return Target(node=arena.node.copy(), order=moved[np.lexsort((arena.rank[moved], place[moved]))])


def _drain(problem: Problem, limits: Limits) -> Target:
    """Every VM off the nodes that are to be emptied; proven, where the first try leaves some and the fleet is small."""
    arena = arena_of(problem)
    spare = spare_of(problem, arena)
    if leave(arena, limits.moves_max, spare) and is_small(problem):
        arena = _exactly(problem, arena, limits, spare)
    return _within_bytes(problem, _target(problem, arena), limits)


def _consolidate(problem: Problem, limits: Limits) -> Target:
    arena = arena_of(problem)
    spare = spare_of(problem, arena)
    consolidate(arena, limits.moves_max, limits.bytes_max, problem.bytes, spare)
    if is_small(problem):
        arena = _exactly(problem, arena, limits, spare, empty_worth=float(problem.bytes.sum()) + 1.0)
    return _target(problem, arena)


def _exactly(problem: Problem, tried: Arena, limits: Limits, spare: int, empty_worth: float = 0.0) -> Arena:
    """The proven way, where there is one within the limits that is better than what was tried."""
    node = fewest_moves(problem, empty_worth=empty_worth)
    if node is None:
        return tried
    arena = arena_of(problem)
    moved = np.nonzero(node != arena.home)[0]
    for vm in moved:
        put(arena, int(vm), int(node[vm]))
    if empty_worth:  # what is emptied is powered off, and absorbs nothing
        arena.open[np.unique(problem.node[moved])] &= arena.first[np.unique(problem.node[moved])] >= 0
    within = len(moved) <= limits.moves_max and problem.bytes[moved].sum() <= limits.bytes_max
    if not within or (spare >= 0 and unabsorbed(arena, spare) > spare):
        return tried
    return max((tried, arena), key=lambda a: _merit(problem, a))


def _merit(problem: Problem, arena: Arena) -> tuple[float, ...]:
    """What was reached, most important first: VMs that left, nodes that are empty, few bytes."""
    sent = float(problem.bytes[arena.node != arena.home].sum())
    return (-float((arena.leaving[arena.node] > 0).sum()), float((arena.first < 0).sum()), -sent)


def _within_bytes(problem: Problem, target: Target, limits: Limits) -> Target:
    """Moves in their order, for as long as the bytes last."""
    kept = target.order[np.cumsum(problem.bytes[target.order]) <= limits.bytes_max]
    node = problem.node.copy()
    node[kept] = target.node[kept]
    return Target(node=node, order=kept)


def _repair(problem: Problem, limits: Limits) -> Target:
    """Only VMs of broken rules move, and only as far as that mends them."""
    broken = _broken(problem)
    only = msgspec.structs.replace(
        problem, movable=problem.movable & broken, weight=problem.weight * TIE_BREAK
    )
    worth = min((r.worth for r in problem.rules), default=0.0)
    found = _descended(only, msgspec.structs.replace(limits, least_gain=worth / 2))
    return _within_bytes(problem, _target(only, _arena_after(only, found), found), limits)


def _broken(problem: Problem) -> Bools:
    """Whether a VM is of a rule that is broken. (vms,)"""
    arena, broken = arena_of(problem), np.zeros(problem.vms, dtype=np.bool_)
    for number, rule in enumerate(problem.rules):
        if violations(arena, number):
            broken[list(rule.vms)] = True
    return broken


_SEARCHES: Final = {Goal.DRAIN: _drain, Goal.CONSOLIDATE: _consolidate, Goal.REPAIR: _repair}
