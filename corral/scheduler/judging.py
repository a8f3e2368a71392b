"""Judging: each node held against a wish, in plain NumPy.

In this room   judge(): for every row why it is out, or its score; terms(), the score taken apart
Comes in       Nodes, a Wish
Goes out       codes and scores; Terms for explanations
Always true    kernels.py does the same, row by row and compiled: tests hold both to equal codes and equal bits
Next door      wishes.py has the codes
Start here     judge()

The balance equation, evaluated on the state after the placement:

    R = (α·cpu + β·memory + γ·gpu) / (η·(1 + io) + ζ·(1 + power))

    cpu     claimed share of the vCPUs that a node has to give (after reserve and overcommit), 0 to 1; for a VM whose
            CPUs are dedicated, the claimed share of the CPUs that are there for that
    memory  claimed share of memory, hugepages included, 0 to 1
    gpu     claimed share of the GPUs, 0 to 1; 1 where the node has none, since nothing there is left unused: VMs
            without a GPU keep off nodes that have some
    io      the larger of the claimed shares of disk operations and of network bandwidth, 0 to 1; 0: no limit known
    power   claimed share of the watts between idle and the most it may draw, 0 to 1; 0: no limit known
    α β γ   weights, 0 or more (0.42, 0.35, 0.23)
    η ζ     weights, 0 or more (0.28, 0.11); if both are 0 the divisor is 1
    R       no unit, from 0 to (α + β + γ) / (η + ζ): 2.56 with these weights. Higher is better: a node that is well
            used, on which disks, network and power are not. Shares are 1 where a node has nothing of a dimension.

Beside it stand, for balance and pack, stranding: how much nearer the placement brings the free shares of vCPUs and of
memory to each other, -1 to 1, so that neither is left over without the other; and the node's bonus.
"""

from typing import Final, NamedTuple

import numpy as np

from corral.scheduler.columns import ABSENT as NO_NODE
from corral.scheduler.columns import (
    BONUS,
    IDLE_WATTS,
    KIND,
    OPEN,
    PLACE,
    SITE,
    STATE,
    VMS,
    WATTS_PER_CPU,
    Nodes,
)
from corral.scheduler.dimensions import (
    CELL_CPU,
    CPU,
    DIMENSIONS,
    GPU,
    IO,
    MEMORY,
    NETWORK,
    PAGES_1G,
    PAGES_2M,
    POWER,
    Bools,
    Floats,
)
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
    Codes,
    Wish,
)

SUM_WEIGHT: Final = 1e-3  # of the sum of shares, which breaks ties between equal largest shares
SPLIT_COST: Final = 10.0  # a VM in one NUMA cell anywhere is better than one in two


class Terms(NamedTuple):
    """Of each row, after the placement. (rows,) each; 0 to 1 where it fits, but for the last two."""

    cpu: Floats
    memory: Floats
    gpu: Floats
    io: Floats
    power: Floats
    stranding: Floats  # -1 to 1: what is left over of CPU or memory alone, before less after
    watts: Floats  # that the node draws more
    cells: Floats  # NUMA cells that it is split over; 0: tied to none


def judge(nodes: Nodes, wish: Wish, size: int) -> tuple[Codes, Floats]:
    """Code and score of the first `size` rows; -inf where it does not fit.

    costs  rows x (DIMENSIONS + pools + cells), in time and in memory
    """
    codes = np.full(size, FITS, dtype=np.uint8)

    def out(where: Bools, code: int | Codes) -> None:
        still = (codes == FITS) & where
        codes[still] = code if isinstance(code, int) else code[still]

    out(nodes.marks[:size, STATE] == NO_NODE, ABSENT)
    out(nodes.marks[:size, STATE] != OPEN, NOT_READY)
    if len(wish.special):
        out(wish.special[:size] != FITS, wish.special[:size])
    for mark, table in (
        (KIND, wish.kind_code),
        (PLACE, wish.place_code),
        (SITE, wish.site_code),
    ):
        by_row = table[nodes.marks[:size, mark]] if len(table) else np.zeros(size, dtype=np.uint8)
        out(by_row != FITS, by_row)
    for place, (pool, need) in enumerate(zip(wish.pools, wish.pool_need, strict=True)):
        free = nodes.pools[pool, :size] if pool >= 0 else np.full(size, -1.0)
        out(free < 0, NO_POOL + 2 * place)
        out(free < need, FULL_POOL + 2 * place)
    for dimension in range(DIMENSIONS):
        if wish.need[dimension] > 0:
            free = nodes.capacity[:size, dimension] - nodes.claimed[:size, dimension]
            out(~(free >= wish.need[dimension]), LACKS + dimension)
    found = terms(nodes, wish, size)
    if wish.cells_least:
        out(found.cells == 0, NO_CELLS)
    return codes, np.where(codes == FITS, score(nodes, wish, found, size), -np.inf)


def terms(nodes: Nodes, wish: Wish, size: int) -> Terms:
    """The state of each node, with the VM on it."""
    capacity, after = nodes.capacity[:size], nodes.claimed[:size] + wish.need

    def share(dimension: int) -> Floats:
        return _share(after[:, dimension], capacity[:, dimension])

    pages = (MEMORY, PAGES_2M, PAGES_1G)
    memory = _share(
        after[:, pages[0]] + after[:, pages[1]] + after[:, pages[2]],
        capacity[:, pages[0]] + capacity[:, pages[1]] + capacity[:, pages[2]],
    )
    cpu = share(CPU)
    if wish.cells_least:
        given = nodes.cells_claimed[:size, :, CELL_CPU].sum(axis=1) + wish.cell_total[CELL_CPU]
        cpu = _share(given, nodes.cells_capacity[:size, :, CELL_CPU].sum(axis=1))
    idle = np.where(nodes.marks[:size, VMS] == 0, nodes.extras[:size, IDLE_WATTS], 0.0)
    return Terms(
        cpu=cpu,
        memory=memory,
        gpu=share(GPU),
        io=np.maximum(share(IO), share(NETWORK)),
        power=share(POWER),
        stranding=_stranding(nodes, wish, size),
        watts=idle + wish.cpus * nodes.extras[:size, WATTS_PER_CPU],
        cells=_cells(nodes, wish, size),
    )


def _stranding(nodes: Nodes, wish: Wish, size: int) -> Floats:
    claimed, capacity = nodes.claimed[:size], nodes.capacity[:size]

    def skew(taken: Floats) -> Floats:
        return _share(taken[:, CPU], capacity[:, CPU]) - _share(taken[:, MEMORY], capacity[:, MEMORY])

    nearer: Floats = np.abs(skew(claimed)) - np.abs(skew(claimed + wish.need))
    return nearer


def _share(after: Floats, capacity: Floats) -> Floats:
    there = capacity > 0
    shares: Floats = np.where(there, after / np.where(there, capacity, 1.0), 1.0)
    return shares


def _cells(nodes: Nodes, wish: Wish, size: int) -> Floats:
    """The fewest cells over which each node can split it evenly; 0: it can't."""
    fewest = np.zeros(size)
    if not wish.cells_least:
        return fewest
    free = nodes.cells_capacity[:size] - nodes.cells_claimed[:size]
    for count in range(wish.cells_least, min(wish.cells_most, free.shape[1]) + 1):
        part = np.ceil(wish.cell_total / count)
        fitting = ((free >= part) | (part == 0)).all(axis=2).sum(axis=1)
        fewest[(fewest == 0) & (fitting >= count)] = count
    return fewest


def score(nodes: Nodes, wish: Wish, found: Terms, size: int) -> Floats:
    """By the policy; higher is better. BALANCE: R, see above. PACK: the largest share, 0 to 1. SPREAD: 1 less that.
    SAVE_POWER: minus the kilowatts that it costs.
    """
    weights, total = wish.weights, found.cpu + found.memory
    if wish.score == BALANCE:
        gain = weights[0] * found.cpu + weights[1] * found.memory + weights[2] * found.gpu
        cost = weights[3] * (1.0 + found.io) + weights[4] * (1.0 + found.power)
        points = gain / np.where(cost > 0, cost, 1.0)
    else:
        has_gpus = nodes.capacity[:size, GPU] > 0
        largest = np.maximum(np.maximum(found.cpu, found.memory), found.io)
        largest = np.where(has_gpus, np.maximum(largest, found.gpu), largest)
        if wish.score == PACK:
            points = largest + SUM_WEIGHT * total
        elif wish.score == SPREAD:
            points = (1.0 - largest) - SUM_WEIGHT * total
        else:
            points = SUM_WEIGHT * largest - found.watts / 1000.0
    if wish.score in (BALANCE, PACK):
        points = points + weights[5] * found.stranding + weights[6] * nodes.extras[:size, BONUS]
    points = points - SPLIT_COST * np.maximum(found.cells - 1.0, 0.0)
    result: Floats = points + wish.bonus[:size] if len(wish.bonus) else points
    return result
