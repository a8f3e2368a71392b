"""Anneal: the best moves for a given number of them, found by many small changes, some of them for the worse.

In this room   anneal(), compiled
Comes in       an arena in which VMs are not at home, a number of trials, a seed
Goes out       the arena with at most as many VMs away from home and, if that was found, a lower score; the best state
               that was seen is the one that is left
Always true    equal arenas and seeds end equal: chance comes from the seed, by a generator of its own
Source         Kirkpatrick, Gelatt and Vecchi, "Optimization by Simulated Annealing", Science 220, 1983;
               the generator is Marsaglia's xorshift64, Journal of Statistical Software 8(14), 2003
Next door      polish.py takes only steps that help; settle.py finds an order
Start here     anneal()
"""

import math

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.rebalance.arena import Arena, put
from corral.scheduler.rebalance.compiled import NO_ROW, compiled, compiled_inside, written_out
from corral.scheduler.rebalance.scores import allowed, change_of, full, rules_allow, spread, total, without
from corral.scheduler.rebalance.spares import unabsorbed

Dice = NDArray[np.uint64]
HOT, COLD = 0.05, 0.00002  # temperatures at begin and end, as shares of the score
RETARGET, NEAR = (
    0.4,
    0.7,
)  # below: another target for a moved VM; below: another VM of the same node; else any


@compiled
def anneal(arena: Arena, moves_max: int, trials: int, goal: float, spare: int, seed: int) -> float:
    """Change moves at random, less and less boldly; returns the score it ends with."""
    vms, nodes = len(arena.node), len(arena.first)
    dice = np.array([seed * 2 + 1, 0], dtype=np.uint64)
    away = np.nonzero(arena.node != arena.home)[0]
    moved, count = np.empty(vms, dtype=np.int64), len(away)
    moved[:count] = away
    score = total(arena)
    best, kept = score, arena.node.copy()
    left = np.empty((2, len(arena.weight)))
    hot, cold = HOT * score, COLD * score
    for trial in range(trials):
        if best <= goal or not vms or not moves_max:
            break
        warmth = hot * (cold / hot) ** (trial / trials)
        kind, place = _chance(dice), -1
        back, was = NO_ROW, NO_ROW
        change = 0.0
        if kind < RETARGET and count:
            place = int(_chance(dice) * count)
            vm = moved[place]
            node = int(_chance(dice) * nodes)
        else:
            if count >= moves_max:  # another goes home for it
                place = int(_chance(dice) * count)
                back = moved[place]
                was = arena.node[back]
                if not rules_allow(arena, back, arena.home[back]):
                    continue
                before = spread(arena)
                put(arena, back, arena.home[back])
                change = spread(arena) - before + arena.leaving[arena.home[back]] - arena.leaving[was]
            vm = _near(arena, back, dice) if kind < NEAR and back >= 0 else int(_chance(dice) * vms)
            node = int(_chance(dice) * nodes)
            if vm == back or arena.node[vm] != arena.home[vm] or not arena.movable[vm]:
                if back >= 0:
                    put(arena, back, was)
                continue
        old = arena.node[vm]
        without(arena, vm, left)
        change += change_of(arena, vm, node, spread(arena), left)
        if allowed(arena, vm, node) and (change <= 0 or _chance(dice) < math.exp(-change / warmth)):
            put(arena, vm, node)
            if (back < 0 or not full(arena, arena.node[back])) and (
                spare < 0 or unabsorbed(arena, spare) <= spare
            ):
                score += change
                if place < 0:
                    moved[count] = vm
                    count += 1
                else:
                    moved[place] = vm
                if arena.node[vm] == arena.home[vm]:
                    count -= 1
                    moved[place] = moved[count]
                if score < best - 1e-12:
                    best = score
                    kept[:] = arena.node
                continue
            put(arena, vm, old)
        if back >= 0:
            put(arena, back, was)
    for vm in range(vms):
        if arena.node[vm] != kept[vm]:
            put(arena, vm, kept[vm])
    return total(arena)


@compiled_inside
def _chance(dice: Dice) -> float:
    """0 to 1, less than 1; the next of the generator."""
    x = dice[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    dice[0] = x
    return float(x >> np.uint64(11)) / 9007199254740992.0


@written_out
def _near(arena: Arena, vm: int, dice: Dice) -> int:
    """Some VM on the same node."""
    node = arena.node[vm]
    steps = int(_chance(dice) * 32)
    at = arena.first[node]
    for _ in range(steps):
        at = arena.after[at]
        if at < 0:
            at = arena.first[node]
    return int(at)
