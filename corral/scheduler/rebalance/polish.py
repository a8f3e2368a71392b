"""Polish: other moves instead of those that were found, for a lower score with no more of them.

In this room   polish(), which replaces moves by better ones; compiled
Comes in       an arena in which VMs are not at home
Goes out       the arena with as many VMs away from home, or fewer, and a lower score
Always true    the state it ends in is allowed; the way there is found by settle.py
Next door      search.py makes the first set of moves, move by move
Start here     polish()
"""

import numpy as np

from corral.scheduler.rebalance.arena import Arena, put
from corral.scheduler.rebalance.compiled import NO_ROW, compiled, written_out
from corral.scheduler.rebalance.problem import Floats, Ints
from corral.scheduler.rebalance.scores import best_target, full, rules_allow, slopes, spread, total
from corral.scheduler.rebalance.spares import unabsorbed

GAIN = 1e-9  # less is a rounding error


@compiled
def polish(arena: Arena, rounds: int, goal: float, wide: bool, spare: int) -> int:
    """Replace moves by better ones until none is, or the score is at the goal; returns moves replaced.

    wide    look at every VM as the replacement of every move, else at those from the same node
    """
    everywhere, left = np.arange(len(arena.first)), np.empty((2, len(arena.weight)))
    line = np.empty(len(arena.first))
    replaced = 0
    for _ in range(rounds):
        before = replaced
        for vm in range(len(arena.node)):
            if arena.node[vm] == arena.home[vm]:
                continue
            if total(arena) <= goal:
                return replaced
            replaced += _retarget(arena, vm, everywhere, left, line, spare)
            if arena.node[vm] != arena.home[vm]:
                replaced += _send_another(arena, vm, everywhere, left, line, wide, spare)
        if replaced == before:
            break
    return replaced


@written_out
def _retarget(arena: Arena, vm: int, everywhere: Ints, left: Floats, line: Floats, spare: int) -> int:
    """Let the VM go elsewhere, or stay at home, where that is better."""
    old = arena.node[vm]
    change, node = best_target(arena, vm, spread(arena), everywhere, slopes(arena), left, line)
    if change > -GAIN:
        return 0
    put(arena, vm, node)
    if spare >= 0 and unabsorbed(arena, spare) > spare:
        put(arena, vm, old)
        return 0
    return 1


@written_out
def _send_another(
    arena: Arena, vm: int, everywhere: Ints, left: Floats, line: Floats, wide: bool, spare: int
) -> int:
    """Leave the VM at home and move another one, where that is better."""
    old, home = arena.node[vm], arena.home[vm]
    if not rules_allow(arena, vm, home):
        return 0
    was = spread(arena)
    change = arena.leaving[home] - arena.leaving[old]
    put(arena, vm, home)
    now, slope = spread(arena), slopes(arena)
    change += now - was
    crowded = full(arena, home)
    best, other, to = -GAIN, NO_ROW, NO_ROW
    for candidate in range(len(arena.node)):
        here = arena.node[candidate]
        if here != arena.home[candidate] or not arena.movable[candidate] or candidate == vm:
            continue
        if here != home and (crowded or not wide):
            continue
        more, node = best_target(arena, candidate, now, everywhere, slope, left, line)
        if change + more < best:
            best, other, to = change + more, candidate, node
    if other >= 0:
        here = arena.node[other]
        put(arena, other, to)
        if not full(arena, home) and (spare < 0 or unabsorbed(arena, spare) <= spare):
            return 1
        put(arena, other, here)
    put(arena, vm, old)
    return 0
