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

from corral.scheduler.addresses import INSIDE, OUTSIDE, nodes_at, tree_at, wish_at
from corral.scheduler.addresses import addresses_of as addresses_of
from corral.scheduler.columns import ABSENT as NO_NODE
from corral.scheduler.columns import (
    BONUS,
    IDLE_WATTS,
    KIND,
    LOG,
    OPEN,
    PLACE,
    SITE,
    STATE,
    VMS,
    WATTS_PER_CPU,
)
from corral.scheduler.dimensions import (
    CELL_CPU,
    CELL_DIMENSIONS,
    CPU,
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
    CPUS,
    FITS,
    FULL_POOL,
    LACKS,
    NO_CELLS,
    NO_POOL,
    NOT_READY,
    PACK,
    SPREAD,
    TOTAL,
    WEIGHTS,
)


@njit(cache=True, inline="always")
def _share(after, capacity):
    return after / capacity if capacity > 0 else 1.0


@njit(**INSIDE)
def _judge(nodes, wish, log, since, until, codes, points):
    """Codes and scores of rows `since` to `until`; with a log, of the rows at those places in it.

    One body, its arrays in variables: a call for each row, or a look into a tuple, would cost more than the judgement.
    """
    marks, extras = nodes.marks, nodes.extras
    capacity, claimed, pools = nodes.capacity, nodes.claimed, nodes.pools
    cells_capacity, cells_claimed = nodes.cells_capacity, nodes.cells_claimed
    need, cell_total = wish.numbers[:TOTAL], wish.numbers[TOTAL:WEIGHTS]
    weights, cpus = wish.numbers[WEIGHTS:CPUS], wish.numbers[CPUS]
    kind_code, place_code, site_code = wish.kind_code, wish.place_code, wish.site_code
    special, bonus, wanted_pools, pool_need = wish.special, wish.bonus, wish.pools, wish.pool_need
    cells_there = cells_capacity.shape[1]
    cells_most = min(wish.cells_most, cells_there)
    asked = np.flatnonzero(need > 0)
    cells_asked = np.flatnonzero(cell_total > 0)
    parts = np.empty((cells_most + 1, CELL_DIMENSIONS))  # of one cell, by how many share it
    for count in range(1, cells_most + 1):
        parts[count] = np.ceil(cell_total / count)
    logged = len(log) > 0
    for at in range(since, until):
        row = log[at % LOG] if logged else at
        points[at - since] = -np.inf
        code = FITS
        if marks[row, STATE] == NO_NODE:
            code = ABSENT
        elif marks[row, STATE] != OPEN:
            code = NOT_READY
        elif len(special) and special[row] != FITS:
            code = special[row]
        elif len(kind_code) and kind_code[marks[row, KIND]] != FITS:
            code = kind_code[marks[row, KIND]]
        elif len(place_code) and place_code[marks[row, PLACE]] != FITS:
            code = place_code[marks[row, PLACE]]
        elif len(site_code) and site_code[marks[row, SITE]] != FITS:
            code = site_code[marks[row, SITE]]
        else:
            for number in range(len(wanted_pools)):
                pool = wanted_pools[number]
                free = pools[pool, row] if pool >= 0 else -1.0
                if free < 0:
                    code = NO_POOL + 2 * number
                    break
                if free < pool_need[number]:
                    code = FULL_POOL + 2 * number
                    break
            if code == FITS:
                for dimension in asked:
                    if not capacity[row, dimension] - claimed[row, dimension] >= need[dimension]:
                        code = LACKS + dimension
                        break
        cells = 0
        if code == FITS and wish.cells_least:
            for count in range(wish.cells_least, cells_most + 1):
                fitting = 0
                for cell in range(cells_there):
                    fits = True
                    for dimension in cells_asked:
                        free = cells_capacity[row, cell, dimension] - cells_claimed[row, cell, dimension]
                        fits = fits and free >= parts[count, dimension]
                    fitting += fits
                if fitting >= count:
                    cells = count
                    break
            if cells == 0:
                code = NO_CELLS
        codes[at - since] = code
        if code != FITS:
            continue

        # the terms, as in judging.terms()
        if wish.cells_least:
            given, there = 0.0, 0.0
            for cell in range(cells_there):
                given += cells_claimed[row, cell, CELL_CPU]
                there += cells_capacity[row, cell, CELL_CPU]
            cpu = _share(given + cell_total[CELL_CPU], there)
        else:
            cpu = _share(claimed[row, CPU] + need[CPU], capacity[row, CPU])
        memory = _share(
            (claimed[row, MEMORY] + need[MEMORY])
            + (claimed[row, PAGES_2M] + need[PAGES_2M])
            + (claimed[row, PAGES_1G] + need[PAGES_1G]),
            capacity[row, MEMORY] + capacity[row, PAGES_2M] + capacity[row, PAGES_1G],
        )
        gpu = _share(claimed[row, GPU] + need[GPU], capacity[row, GPU])
        io = max(
            _share(claimed[row, IO] + need[IO], capacity[row, IO]),
            _share(claimed[row, NETWORK] + need[NETWORK], capacity[row, NETWORK]),
        )
        if wish.score == BALANCE:
            power = _share(claimed[row, POWER] + need[POWER], capacity[row, POWER])
            gain = weights[0] * cpu + weights[1] * memory + weights[2] * gpu
            cost = weights[3] * (1.0 + io) + weights[4] * (1.0 + power)
            score = gain / (cost if cost > 0 else 1.0)
        else:
            largest = max(max(cpu, memory), io)
            if capacity[row, GPU] > 0:
                largest = max(largest, gpu)
            if wish.score == PACK:
                score = largest + SUM_WEIGHT * (cpu + memory)
            elif wish.score == SPREAD:
                score = (1.0 - largest) - SUM_WEIGHT * (cpu + memory)
            else:
                idle = extras[row, IDLE_WATTS] if marks[row, VMS] == 0 else 0.0
                score = SUM_WEIGHT * largest - (idle + cpus * extras[row, WATTS_PER_CPU]) / 1000.0
        if wish.score == BALANCE or wish.score == PACK:
            before = _share(claimed[row, CPU], capacity[row, CPU]) - _share(
                claimed[row, MEMORY], capacity[row, MEMORY]
            )
            after = _share(claimed[row, CPU] + need[CPU], capacity[row, CPU]) - _share(
                claimed[row, MEMORY] + need[MEMORY], capacity[row, MEMORY]
            )
            score = score + weights[5] * (abs(before) - abs(after)) + weights[6] * extras[row, BONUS]
        score = score - SPLIT_COST * max(cells - 1.0, 0.0)
        points[at - since] = score + bonus[row] if len(bonus) else score


@njit(**OUTSIDE)
def scan(nodes, wish, size, no_log, counts):
    """The best row (-1: none) and its score; `counts` gets the rows by code."""
    counts[:] = 0
    codes, points = np.empty(size, dtype=np.uint8), np.empty(size)
    _judge(nodes, wish, no_log, 0, size, codes, points)
    best, most = -1, -np.inf
    for row in range(size):
        counts[codes[row]] += 1
        if points[row] > most:
            best, most = row, points[row]
    return best, most


@njit(cache=True, inline="always")
def _play(tree, points, leaves, node):
    """The better one of two rows; the lower one where they are equal."""
    left, right = 2 * node, 2 * node + 1
    a = tree[left] if left < leaves else left - leaves
    b = tree[right] if right < leaves else right - leaves
    tree[node] = b if points[b] > points[a] else a


@njit(**OUTSIDE)
def build(nodes, wish, size, no_log, tree, points, codes, counts):
    """Judge all rows and let all play. points, codes: (leaves,), a power of two above 1; tree: (leaves,)."""
    counts[:] = 0
    leaves = len(points)
    points[size:] = -np.inf
    codes[size:] = ABSENT
    _judge(nodes, wish, no_log, 0, size, codes, points)
    for row in range(size):
        counts[codes[row]] += 1
    for node in range(leaves - 1, 0, -1):
        _play(tree, points, leaves, node)
    return tree[1], points[tree[1]]


@njit(**OUTSIDE)
def renew(numbers, since, until):
    """Judge the rows anew that changed between two places in the log, and let those play. The best row, and its score.

    numbers   all arrays, see addresses.py
    """
    nodes, wish = nodes_at(numbers), wish_at(numbers)
    log, tree, points, codes, counts = tree_at(numbers)
    leaves, changed = len(points), until - since
    new_codes, new_points = np.empty(changed, dtype=np.uint8), np.empty(changed)
    _judge(nodes, wish, log, since, until, new_codes, new_points)
    for change in range(changed):
        row = log[(since + change) % LOG]
        counts[codes[row]] -= 1
        counts[new_codes[change]] += 1
        codes[row] = new_codes[change]
        if new_points[change] == points[row]:
            continue
        points[row] = new_points[change]
        node = (row + leaves) >> 1
        while node:
            before = tree[node]
            _play(tree, points, leaves, node)
            if tree[node] == before and before != row:
                break  # above here nothing has changed
            node >>= 1
    return tree[1], points[tree[1]]
