"""Search: moves that lower the score, the best first.

In this room   descend(), one move after the other, as long as one helps; compiled
Comes in       an arena, and how far to go
Goes out       the arena with VMs elsewhere (arena.node, beside arena.home); the moves in the order they were found
Always true    every state on the way is allowed. Ties go to the lower row, so equal arenas end equal.
Next door      scores.py judges; polish.py and anneal.py look for better moves instead
Start here     descend()
"""

import numpy as np

from corral.scheduler.rebalance.arena import Arena, put
from corral.scheduler.rebalance.compiled import compiled, compiled_inside, ranked, written_out
from corral.scheduler.rebalance.problem import Bools, Floats, Ints
from corral.scheduler.rebalance.scores import SLACK, best_target, slopes, spread, total
from corral.scheduler.rebalance.spares import unabsorbed

KEPT = 96  # VMs whose next move is looked at again before all VMs are
TRIED = 64  # moves that are refused for want of spares, in a row, before it ends
WIDE = 192  # nodes: above it only the likeliest sources and targets are looked at
LIKELY = 96


@compiled
def descend(
    arena: Arena, moves_max: int, least: float, goal: float, exact: bool, spare: int, price: Floats
) -> tuple[Ints, Ints, Floats]:
    """Make the move with the largest gain, again and again. Returns VMs, where they went, and the gain of each.

    least   gain that a move has to bring
    goal    score at which it ends
    exact   look at all VMs before each move, not only after a number of them
    spare   VMs that may be unabsorbed, at any time; -1: nobody asks
    price   (vms,) what a move costs, relative to others: gain is weighed against it
    """
    vms = len(arena.node)
    moved, targets = np.empty(moves_max, dtype=np.int64), np.empty(moves_max, dtype=np.int64)
    gained = np.empty(moves_max)
    done, failed, score = 0, 0, total(arena)
    refused, gain, to = np.zeros(vms, dtype=np.bool_), np.zeros(vms), np.empty(vms, dtype=np.int64)
    while done < moves_max and score > goal and failed < TRIED:
        sources, among = _likely(arena)
        everyone = np.nonzero(arena.movable & sources[arena.node] & ~refused)[0]
        _look(arena, everyone, among, least, price, gain, to)
        kept = everyone[ranked(gain[everyone])[:KEPT]]
        others = gain[kept[-1]] if len(kept) == KEPT else 0.0  # what the rest promises at best
        made = 0
        while done < moves_max and score > goal and failed < TRIED and len(kept):
            best = kept[np.argmin(gain[kept])]
            if gain[best] >= 0.0 or (made and gain[best] > others):
                break
            if _put_if_spare(arena, best, to[best], spare):
                moved[done], targets[done] = best, to[best]
                new = total(arena)
                gained[done] = score - new
                done, made, failed, score = done + 1, made + 1, 0, new
                if exact:
                    break
                _look(arena, kept, among, least, price, gain, to)
            else:
                refused[best], gain[best], failed = True, 0.0, failed + 1
        if made:
            refused[:] = False
        elif not failed or (len(kept) and gain[kept].min() >= 0.0 and others >= 0.0):
            break
    return moved[:done], targets[:done], gained[:done]


@compiled_inside
def _look(arena: Arena, vms: Ints, among: Ints, least: float, price: Floats, gain: Floats, to: Ints) -> None:
    """Each VM's best move: its change of the score for its price (0: none that brings enough), and where to."""
    now, slope = spread(arena), slopes(arena)
    left, line = np.empty((2, len(arena.weight))), np.empty(len(arena.first))
    for vm in vms:
        change, to[vm] = best_target(arena, vm, now, among, slope, left, line)
        gain[vm] = change / price[vm] if -change > least else 0.0


@written_out
def _put_if_spare(arena: Arena, vm: int, node: int, spare: int) -> bool:
    """Move the VM, unless more VMs than `spare` would be unabsorbed then; -1: nobody asks."""
    old = arena.node[vm]
    put(arena, vm, node)
    if spare < 0 or unabsorbed(arena, spare) <= spare:
        return True
    put(arena, vm, old)
    return False


@written_out
def _likely(arena: Arena) -> tuple[Bools, Ints]:
    """Whether to look at each node's VMs, and the rows of the nodes to try as targets."""
    nodes, terms = arena.share.shape
    if nodes <= WIDE:
        return np.ones(nodes, dtype=np.bool_), np.arange(nodes)
    press, count = np.zeros(nodes), arena.counted
    for t in range(terms):
        mean = arena.sums[0, t] / count
        deviation = np.sqrt(max(arena.sums[1, t] / count - mean * mean, 0.0))
        if deviation > SLACK:
            press += arena.weight[t] / deviation * (arena.share[:, t] - mean) * arena.amounts[:, t].mean()
    press += np.where(arena.leaving > 0, np.inf, 0.0)
    order = ranked(press)
    sources = np.zeros(nodes, dtype=np.bool_)
    sources[order[-LIKELY:]] = True
    for node in range(nodes):
        sources[node] = sources[node] or arena.leaving[node] > 0
    for vm in range(len(arena.node)):  # rules may ask for moves from anywhere
        if arena.rules_from[vm] < arena.rules_from[vm + 1]:
            sources[arena.node[vm]] = True
    open_ = order[arena.open[order]]
    return sources, open_[:LIKELY]
