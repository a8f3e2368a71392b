"""Emptying: the loop of consolidation.py, compiled by Numba.

In this room   empty(): one node after the other, the cheapest first
Comes in       arrays, see consolidation.empty_nodes()
Goes out       moves, (moves, 3): VM, source, target
Always true    a node that was emptied, or that VMs have moved to, is not emptied (again) in the same call
Next door      consolidation.py has the weights and their meaning
Start here     empty()
"""

import numpy as np
from numba import njit


@njit(cache=True)
def empty(capacity, free, bonus, first, by_node, need, moves_max, price, fit, stranding):
    count = first[1:] - first[:-1]
    closed = count == 0  # not to be emptied (again)
    gone = count == 0  # not to be moved to
    moves = np.empty((moves_max, 3), dtype=np.int64)
    made = 0
    while True:
        node = _cheapest(
            capacity, free, count, closed, moves_max - made, price * _slack(capacity, free, gone)
        )
        if node < 0:
            return moves[:made]
        closed[node] = True
        vms = by_node[first[node] : first[node + 1]]
        largest = vms[np.argsort(-(need[vms, 0] / capacity[node, 0] + need[vms, 1] / capacity[node, 1]))]
        targets = np.empty(len(vms), dtype=np.int64)
        placed = 0
        for vm in largest:
            target = _target(capacity, free, bonus, gone, node, need[vm], fit, stranding)
            if target < 0:
                break
            free[target] -= need[vm]
            targets[placed] = target
            placed += 1
        if placed < len(vms):  # not all fit: take it back
            for at in range(placed):
                free[targets[at]] += need[largest[at]]
            continue
        for at in range(placed):
            moves[made, 0], moves[made, 1], moves[made, 2] = largest[at], node, targets[at]
            made += 1
            closed[targets[at]] = True
        free[node] = capacity[node]
        gone[node] = True


@njit(cache=True)
def _slack(capacity, free, gone):
    """Share of the capacity in use that is free in both dimensions."""
    slack, used = 0.0, 0
    for node in range(len(capacity)):
        if not gone[node]:
            slack += min(free[node, 0] / capacity[node, 0], free[node, 1] / capacity[node, 1])
            used += 1
    return slack / max(used, 1)


@njit(cache=True)
def _cheapest(capacity, free, count, closed, moves_max, price):
    """The node with the fewest moves for what it leaves unused; -1: none is worth the price."""
    best, least = -1, price
    for node in range(len(capacity)):
        if closed[node] or count[node] > moves_max:
            continue
        cost = count[node] / (1.0 + free[node, 0] / capacity[node, 0])
        if cost < least:
            best, least = node, cost
    return best


@njit(cache=True)
def _target(capacity, free, bonus, gone, source, need, fit, stranding):
    best, most = -1, -np.inf
    for node in range(len(capacity)):
        if gone[node] or node == source or free[node, 0] < need[0] or free[node, 1] < need[1]:
            continue
        cpu, memory = free[node, 0] / capacity[node, 0], free[node, 1] / capacity[node, 1]
        cpu_after = (free[node, 0] - need[0]) / capacity[node, 0]
        memory_after = (free[node, 1] - need[1]) / capacity[node, 1]
        nearer = abs(cpu - memory) - abs(cpu_after - memory_after)
        score = bonus[node] + stranding * nearer - fit * (cpu_after + memory_after)
        if score > most:
            best, most = node, score
    return best
