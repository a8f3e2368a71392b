"""Fragments: the loops of gpus.py, compiled by Numba.

In this room   fragments_of() a node; choose() the node and GPU for a kind of task; hold() what was chosen
Comes in       arrays, see gpus.Gpus
Goes out       rows
Always true    what is known of a node for a kind is used again until the node changes: choose() looks anew at those only
Next door      gpus.py says what the costs mean
Start here     choose()

Rows of `needs`: CPUs, memory, GPUs, thousandths of each GPU.
"""

from numba import njit

GPUS_MAX = 16  # of a node
WHOLE = 1000
NONE = 1e18
WITHOUT_GPUS = -1e6  # nodes without GPUs come first for tasks that need none


@njit(cache=True)
def fragments_of(cpus, memory, milli, count, model, needs, popularity, models):
    """Expected thousandths that a task drawn by popularity can't use on the node; those without a GPU are left out."""
    total = 0.0
    for gpu in range(count):
        total += milli[gpu]
    if total == 0.0:
        return 0.0
    fragments = 0.0
    for kind in range(len(needs)):
        wanted = needs[kind, 2]
        if wanted == 0:
            continue
        if needs[kind, 0] > cpus or needs[kind, 1] > memory or (models[kind] and not models[kind] & model):
            fragments += popularity[kind] * total
            continue
        least = needs[kind, 3] if wanted == 1 else WHOLE
        usable, useless = 0, 0.0
        for gpu in range(count):
            if milli[gpu] >= least:
                usable += 1
            else:
                useless += milli[gpu]
        fragments += popularity[kind] * (useless if usable >= wanted else total)
    return fragments


@njit(cache=True)
def choose(
    kind,
    needs,
    popularity,
    models,
    model_bit,
    free_cpus,
    free_memory,
    free_milli,
    count,
    leftover,
    cpus_per_milli,
    largest_cpus,
    version,
    known_version,
    known_cost,
    known_gpu,
    starved,
    surplus,
    leftover_weight,
):
    best, gpu, least = -1, -1, NONE / 2
    for node in range(len(free_cpus)):
        if known_version[kind, node] != version[node]:
            known_cost[kind, node], known_gpu[kind, node] = _cost(
                kind,
                node,
                needs,
                popularity,
                models,
                model_bit,
                free_cpus,
                free_memory,
                free_milli,
                count,
                leftover,
                cpus_per_milli,
                largest_cpus,
                starved,
                surplus,
                leftover_weight,
            )
            known_version[kind, node] = version[node]
        if known_cost[kind, node] < least:
            best, gpu, least = node, known_gpu[kind, node], known_cost[kind, node]
    return best, gpu


@njit(cache=True)
def _cost(
    kind,
    node,
    needs,
    popularity,
    models,
    model_bit,
    free_cpus,
    free_memory,
    free_milli,
    count,
    leftover,
    cpus_per_milli,
    largest_cpus,
    starved,
    surplus,
    leftover_weight,
):
    """Of the kind on the node, and the GPU that costs least; NONE: it does not fit."""
    cpus, memory, wanted, share = needs[kind, 0], needs[kind, 1], int(needs[kind, 2]), needs[kind, 3]
    model = model_bit[node]
    if cpus > free_cpus[node] or memory > free_memory[node] or (models[kind] and not models[kind] & model):
        return NONE, -1
    cpus_left, memory_left, gpus = free_cpus[node] - cpus, free_memory[node] - memory, count[node]
    if gpus == 0:
        return (NONE, -1) if wanted else (WITHOUT_GPUS + cpus_left / largest_cpus, -1)
    milli = free_milli[node].copy()
    total = 0.0
    for gpu in range(gpus):
        total += milli[gpu]
    before = fragments_of(free_cpus[node], free_memory[node], milli, gpus, model, needs, popularity, models)
    per = max(cpus_per_milli, 1e-12)
    after_total = total - wanted * share
    beside = (
        starved * (max(0.0, after_total - cpus_left / per) - max(0.0, total - free_cpus[node] / per))
        + surplus * (max(0.0, cpus_left - after_total * per) - max(0.0, free_cpus[node] - total * per)) / per
    )
    if wanted == 1 and share < WHOLE:
        least, chosen = NONE, -1
        for gpu in range(gpus):
            if milli[gpu] < share or _seen(milli, gpu):
                continue
            left = milli[gpu]
            milli[gpu] = left - share
            after = fragments_of(cpus_left, memory_left, milli, gpus, model, needs, popularity, models)
            rest = leftover[int(left - share)] - leftover[int(left)]
            milli[gpu] = left
            cost = after - before + beside + leftover_weight * rest
            if cost < least:
                least, chosen = cost, gpu
        return least, chosen
    taken = 0
    for gpu in range(gpus):
        if taken < wanted and milli[gpu] >= WHOLE:
            milli[gpu] = 0.0
            taken += 1
    if taken < wanted:
        return NONE, -1
    return fragments_of(
        cpus_left, memory_left, milli, gpus, model, needs, popularity, models
    ) - before + beside, -1


@njit(cache=True)
def _seen(milli, gpu):
    """An earlier GPU has as much left: it would cost the same."""
    seen = False
    for other in range(gpu):
        seen = seen or milli[other] == milli[gpu]
    return seen


@njit(cache=True)
def hold(node, gpu, need, free_cpus, free_memory, free_milli, count):
    free_cpus[node] -= need[0]
    free_memory[node] -= need[1]
    if gpu >= 0:
        free_milli[node, gpu] -= need[3]
        return
    left = int(need[2])
    for at in range(count[node]):
        if left and free_milli[node, at] >= WHOLE:
            free_milli[node, at] = 0.0
            left -= 1
    assert left == 0
