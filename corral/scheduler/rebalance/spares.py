"""Spares: whether the loss of any one failure domain can be absorbed by the others.

In this room   unabsorbed(), how many VMs would find no room; compiled
Comes in       an arena as it stands
Always true    what is counted as absorbed has a node each: the VMs were placed, the largest first, where most is free.
               0 is therefore a proof; another figure says what this way of placing could not do.
Next door      search.py and settle.py ask before each move. Rules of placement groups are not looked at here: after
               a loss, running somewhere comes first.
Start here     unabsorbed()
"""

import numpy as np

from corral.scheduler.rebalance.arena import Arena
from corral.scheduler.rebalance.compiled import compiled, ranked, written_out
from corral.scheduler.rebalance.problem import Floats, Ints


@compiled
def unabsorbed(arena: Arena, at_most: int) -> int:
    """VMs that find no room after the loss of their failure domain, over all domains; stops above `at_most`.

    costs    vms x nodes tried for each (a few, where there is room), in time
    """
    nodes, dims = arena.used.shape
    free = arena.capacity - arena.used
    order = ranked(-_roomy(arena, free))
    touched = np.empty(2 * nodes, dtype=np.int64)
    by_domain = arena.by_failure
    lost, i = 0, 0
    while i < nodes:
        end = i
        while end < nodes and arena.failure[by_domain[end]] == arena.failure[by_domain[i]]:
            end += 1
        count = 0
        for j in range(i, end):
            vm = arena.first[by_domain[j]]
            while vm >= 0:
                node = _room_for(arena, vm, free, order, arena.failure[by_domain[i]])
                if node < 0:
                    lost += 1
                    if lost > at_most:
                        return lost
                else:
                    for d in range(dims):
                        free[node, d] -= arena.claims[vm, d]
                    touched[count] = node
                    count += 1
                    if count == len(touched):
                        count = _forget_doubles(touched)
                vm = arena.after[vm]
        for k in range(count):
            node = touched[k]
            for d in range(dims):
                free[node, d] = arena.capacity[node, d] - arena.used[node, d]
        i = end
    return lost


@written_out
def _roomy(arena: Arena, free: Floats) -> Floats:
    """The smallest free share of each node. (nodes,)"""
    out = np.empty(len(free))
    for node in range(len(free)):
        least = np.inf
        for d in range(free.shape[1]):
            if arena.capacity[node, d] > 0:
                least = min(least, free[node, d] / arena.capacity[node, d])
        out[node] = least
    return out


@written_out
def _room_for(arena: Arena, vm: int, free: Floats, order: Ints, lost: int) -> int:
    for k in range(len(order)):
        node = order[k]
        if arena.failure[node] == lost or not arena.open[node] or not arena.fits[arena.kind[vm], node]:
            continue
        fits = True
        for d in range(free.shape[1]):
            if free[node, d] < arena.claims[vm, d]:
                fits = False
                break
        if fits:
            return int(node)
    return -1


@written_out
def _forget_doubles(touched: Ints) -> int:
    """Each node once, at the front; how many that are."""
    touched.sort()
    count = 1
    for k in range(1, len(touched)):
        if touched[k] != touched[count - 1]:
            touched[count] = touched[k]
            count += 1
    return count
