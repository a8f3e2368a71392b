"""Evacuate: empty nodes, because somebody wants them or because they can be powered off; compiled.

In this room   leave(), every VM off the nodes that are to be emptied; consolidate(), as many nodes emptied as possible
Comes in       an arena
Goes out       the arena with VMs elsewhere
Always true    the largest VM is placed first; where one finds no room, one other VM makes way for it if that helps
Next door      exact.py does it where these leave a VM behind and the fleet is small
Start here     leave()
"""

import numpy as np

from corral.scheduler.rebalance.arena import Arena, put
from corral.scheduler.rebalance.compiled import compiled, compiled_inside, ranked, written_out
from corral.scheduler.rebalance.problem import Floats, Ints
from corral.scheduler.rebalance.scores import allowed, best_target, slopes, spread
from corral.scheduler.rebalance.spares import unabsorbed


@compiled
def leave(arena: Arena, moves_max: int, spare: int) -> int:
    """Find another node for each VM on a node that is to be emptied; returns how many were left behind."""
    everywhere, left = np.arange(len(arena.first)), np.empty((2, len(arena.weight)))
    line = np.empty(len(arena.first))
    behind, done = 0, 0
    for vm in arena.by_size:
        here = arena.node[vm]
        if arena.leaving[here] <= 0:
            continue
        _, node = best_target(arena, vm, spread(arena), everywhere, slopes(arena), left, line)
        if not arena.movable[vm] or done >= moves_max:
            behind += 1
        elif node >= 0 and _absorbs(arena, vm, node, spare):
            done += 1
        elif done + 1 < moves_max and _make_way(arena, vm, spare):
            done += 2
        else:
            behind += 1
    return behind


@compiled_inside
def _absorbs(arena: Arena, vm: int, node: int, spare: int) -> bool:
    """Move the VM there; back again if spares would be lacking."""
    here = arena.node[vm]
    put(arena, vm, node)
    if spare < 0 or unabsorbed(arena, spare) <= spare:
        return True
    put(arena, vm, here)
    return False


@written_out
def _make_way(arena: Arena, vm: int, spare: int) -> bool:
    """Move one VM, the smallest that will do, from where this one could be to a third node."""
    here = arena.node[vm]
    for node in range(len(arena.first)):
        if not arena.open[node] or not arena.fits[arena.kind[vm], node] or node == here:
            continue
        other, last = arena.first[node], -1
        while other >= 0:
            last, other = other, arena.after[other]
        while last >= 0:  # the smallest first
            before = arena.before[last]
            if arena.movable[last] and arena.node[last] == arena.home[last]:
                for third in range(len(arena.first)):
                    if third == here or not allowed(arena, last, third):
                        continue
                    put(arena, last, third)
                    if allowed(arena, vm, node) and _absorbs(arena, vm, node, spare):
                        return True
                    put(arena, last, node)
                    break
            last = before
    return False


@compiled
def consolidate(arena: Arena, moves_max: int, bytes_max: float, sizes: Floats, spare: int) -> Ints:
    """Empty nodes one by one, those that cost least first, into the others; returns the nodes.

    sizes    (vms,) bytes that each migration sends
    """
    nodes = len(arena.first)
    cost, emptied = np.zeros(nodes), np.empty(nodes, dtype=np.int64)
    for vm in range(len(arena.node)):
        cost[arena.node[vm]] += sizes[vm] if arena.movable[vm] else np.inf
    count, moves, sent = 0, 0, 0.0
    for node in ranked(cost):
        if not np.isfinite(cost[node]) or arena.first[node] < 0 or not arena.open[node]:
            continue
        taken, size = np.empty(len(arena.node), dtype=np.int64), 0
        arena.open[node] = False
        at, stays = arena.first[node], False
        while at >= 0:
            following = arena.after[at]
            away = arena.node[at] != arena.home[at]  # it came here from a node that was emptied before
            to = _fullest(arena, at)
            if to < 0 or away:
                stays = True
                break
            put(arena, at, to)
            taken[size] = at
            size += 1
            sent += sizes[at]
            at = following
        if (
            stays
            or moves + size > moves_max
            or sent > bytes_max
            or (spare >= 0 and unabsorbed(arena, spare) > spare)
        ):
            for k in range(size - 1, -1, -1):
                put(arena, taken[k], node)
                sent -= sizes[taken[k]]
            arena.open[node] = True
            continue
        moves += size
        emptied[count] = node
        count += 1
    return emptied[:count]


@written_out
def _fullest(arena: Arena, vm: int) -> int:
    """The node that has VMs, takes this one, and has least left then; -1: there is none."""
    best, least = -1, np.inf
    for node in range(len(arena.first)):
        if arena.first[node] < 0 or not allowed(arena, vm, node):
            continue
        rest = 0.0
        for d in range(arena.used.shape[1]):
            if arena.capacity[node, d] > 0:
                rest += 1 - (arena.used[node, d] + arena.claims[vm, d]) / arena.capacity[node, d]
        if rest < least:
            best, least = node, rest
    return best
