"""Kernels: judging.py row by row, compiled by Numba; and the tournament tree that remembers the outcome.

In this room   scan() looks at all rows once; build() does so for a tree; renew() looks at changed rows only
Comes in       Nodes, a Wish, the arrays of a tree
Goes out       the best row; counts by code
Always true    codes and scores are those of judging.judge(), to the last bit: the same operations in the same order,
               no fast-math. Ties go to the lowest row.
Next door      flavours.py owns the trees and imports this when a fleet is large enough to need it
Start here     scan()

A tree is an array of winners: tree[1] is the best row of all, tree[n] the better of tree[2n] and tree[2n + 1], and the
leaves are the rows. So a changed row costs one judgement and log2(rows) comparisons.
"""

import numpy as np
from numba import njit

from corral.scheduler.columns import ABSENT as NO_NODE
from corral.scheduler.columns import LOG, OPEN
from corral.scheduler.dimensions import (
    CELL_CPU,
    CELL_DIMENSIONS,
    CPU,
    DIMENSIONS,
    GPU,
    IO,
    MEMORY,
    NETWORK,
    PAGES_1G,
    PAGES_2M,
    POWER,
)
from corral.scheduler.judging import SPLIT_COST, SUM_WEIGHT
from corral.scheduler.wishes import (
    ABSENT,
    BALANCE,
    FITS,
    FULL_POOL,
    LACKS,
    NO_CELLS,
    NO_POOL,
    NOT_READY,
    PACK,
    SPREAD,
)


@njit(cache=True, inline="always")
def _share(after, capacity):
    return after / capacity if capacity > 0 else 1.0


@njit(cache=True)
def _out(nodes, wish, row):
    """Why the row is out, cells aside."""
    if nodes.state[row] == NO_NODE:
        return ABSENT
    if nodes.state[row] != OPEN:
        return NOT_READY
    if len(wish.special) and wish.special[row] != FITS:
        return wish.special[row]
    if len(wish.kind_code) and wish.kind_code[nodes.kind[row]] != FITS:
        return wish.kind_code[nodes.kind[row]]
    if len(wish.place_code) and wish.place_code[nodes.place[row]] != FITS:
        return wish.place_code[nodes.place[row]]
    if len(wish.site_code) and wish.site_code[nodes.site[row]] != FITS:
        return wish.site_code[nodes.site[row]]
    for place in range(len(wish.pools)):
        pool = wish.pools[place]
        free = nodes.pools[pool, row] if pool >= 0 else -1.0
        if free < 0:
            return NO_POOL + 2 * place
        if free < wish.pool_need[place]:
            return FULL_POOL + 2 * place
    for dimension in range(DIMENSIONS):
        need = wish.need[dimension]
        if need > 0 and not nodes.capacity[row, dimension] - nodes.claimed[row, dimension] >= need:
            return LACKS + dimension
    return FITS


@njit(cache=True)
def _cells(nodes, wish, row):
    """The fewest cells over which the node can split it evenly; 0: it can't."""
    there = nodes.cells_capacity.shape[1]
    for count in range(wish.cells_least, min(wish.cells_most, there) + 1):
        fitting = 0
        for cell in range(there):
            fits = True
            for dimension in range(CELL_DIMENSIONS):
                part = np.ceil(wish.cell_total[dimension] / count)
                free = nodes.cells_capacity[row, cell, dimension] - nodes.cells_claimed[row, cell, dimension]
                fits = fits and (part == 0 or free >= part)
            fitting += fits
        if fitting >= count:
            return count
    return 0


@njit(cache=True)
def _cpu(nodes, wish, row):
    if wish.cells_least == 0:
        return _share(nodes.claimed[row, CPU] + wish.need[CPU], nodes.capacity[row, CPU])
    given, there = 0.0, 0.0
    for cell in range(nodes.cells_capacity.shape[1]):
        given += nodes.cells_claimed[row, cell, CELL_CPU]
        there += nodes.cells_capacity[row, cell, CELL_CPU]
    return _share(given + wish.cell_total[CELL_CPU], there)


@njit(cache=True)
def _points(nodes, wish, row, cells):
    claimed, capacity, need, weights = nodes.claimed[row], nodes.capacity[row], wish.need, wish.weights
    cpu = _cpu(nodes, wish, row)
    memory = _share(
        (claimed[MEMORY] + need[MEMORY])
        + (claimed[PAGES_2M] + need[PAGES_2M])
        + (claimed[PAGES_1G] + need[PAGES_1G]),
        capacity[MEMORY] + capacity[PAGES_2M] + capacity[PAGES_1G],
    )
    gpu = _share(claimed[GPU] + need[GPU], capacity[GPU])
    io = max(
        _share(claimed[IO] + need[IO], capacity[IO]),
        _share(claimed[NETWORK] + need[NETWORK], capacity[NETWORK]),
    )
    if wish.score == BALANCE:
        power = _share(claimed[POWER] + need[POWER], capacity[POWER])
        gain = weights[0] * cpu + weights[1] * memory + weights[2] * gpu
        cost = weights[3] * (1.0 + io) + weights[4] * (1.0 + power)
        points = gain / (cost if cost > 0 else 1.0)
    else:
        largest = max(max(cpu, memory), io)
        if capacity[GPU] > 0:
            largest = max(largest, gpu)
        if wish.score == PACK:
            points = largest + SUM_WEIGHT * (cpu + memory)
        elif wish.score == SPREAD:
            points = (1.0 - largest) - SUM_WEIGHT * (cpu + memory)
        else:
            idle = nodes.idle_watts[row] if nodes.vms[row] == 0 else 0.0
            points = SUM_WEIGHT * largest - (idle + wish.cpus * nodes.watts_per_cpu[row]) / 1000.0
    points = points - SPLIT_COST * max(cells - 1.0, 0.0)
    return points + wish.bonus[row] if len(wish.bonus) else points


@njit(cache=True)
def look(nodes, wish, row):
    """Code and score of one row."""
    code = _out(nodes, wish, row)
    if code != FITS:
        return code, -np.inf
    cells = 0
    if wish.cells_least:
        cells = _cells(nodes, wish, row)
        if cells == 0:
            return NO_CELLS, -np.inf
    return FITS, _points(nodes, wish, row, cells)


@njit(cache=True, nogil=True)
def scan(nodes, wish, size, counts):
    """The best row (-1: none) and its score; `counts` gets the rows by code."""
    counts[:] = 0
    best, most = -1, -np.inf
    for row in range(size):
        code, points = look(nodes, wish, row)
        counts[code] += 1
        if points > most:
            best, most = row, points
    return best, most


@njit(cache=True, inline="always")
def _play(tree, points, leaves, node):
    """The better one of two rows; the lower one where they are equal."""
    left, right = 2 * node, 2 * node + 1
    a = tree[left] if left < leaves else left - leaves
    b = tree[right] if right < leaves else right - leaves
    tree[node] = b if points[b] > points[a] else a


@njit(cache=True, nogil=True)
def build(nodes, wish, size, tree, points, codes, counts):
    """Judge all rows and let all play. points, codes: (leaves,), a power of two above 1; tree: (leaves,)."""
    counts[:] = 0
    leaves = len(points)
    points[size:] = -np.inf
    codes[size:] = ABSENT
    for row in range(size):
        codes[row], points[row] = look(nodes, wish, row)
        counts[codes[row]] += 1
    for node in range(leaves - 1, 0, -1):
        _play(tree, points, leaves, node)
    return tree[1], points[tree[1]]


@njit(cache=True, nogil=True)
def renew(nodes, wish, log, since, until, tree, points, codes, counts):
    """Judge the rows anew that changed between two places in the log, and let those play. The best row, and its score."""
    leaves = len(points)
    for change in range(since, until):
        row = log[change % LOG]
        code, new = look(nodes, wish, row)
        counts[codes[row]] -= 1
        counts[code] += 1
        codes[row] = code
        if new == points[row]:
            continue
        points[row] = new
        node = (row + leaves) >> 1
        while node:
            before = tree[node]
            _play(tree, points, leaves, node)
            if tree[node] == before and before != row:
                break  # above here nothing has changed
            node >>= 1
    return tree[1], points[tree[1]]
