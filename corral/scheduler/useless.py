"""Useless: what a VM that gets whole GPUs makes useless on each node, for VMs like those that are there.

In this room   kinds_of() the VMs with GPUs; cost() of a VM on each node
Comes in       a fleet; what the VM needs
Goes out       GPUs that would be of no use, which special.py takes off a node's score
Always true    the same costs as in gpus.py (fragmentation gradient descent with `starved` beside it), for GPUs that are
               free or taken as a whole; tests hold both to each other. Equal fleets give equal costs.
Next door      gpus.py has the source and what the costs mean, for shares too
Start here     cost()
"""

from typing import Final, NamedTuple

import numpy as np

from corral.scheduler.dimensions import CPU, MEMORY, MILLI, Floats
from corral.scheduler.fleet import Fleet

STARVED: Final = 0.1  # weights beside fragments, as in gpus.py
SURPLUS: Final = 0.01
KINDS_MAX: Final = 64  # that count


class GpuKind(NamedTuple):
    """What VMs need that have GPUs."""

    cpus: float
    memory: float  # bytes
    gpus: int


def kinds_of(fleet: Fleet) -> list[tuple[GpuKind, float]]:
    """Of the VMs that have whole GPUs the most frequent ones, and each kind's share of them."""
    often = sorted(fleet.gpu_kinds.items(), key=lambda item: (-item[1], item[0]))[:KINDS_MAX]
    total = sum(count for _, count in often)
    return [(GpuKind(*kind), count / total) for kind, count in often]


def cost_at(fleet: Fleet, need: GpuKind) -> Floats:
    """Of the VM on each node. (nodes,) GPUs, lower is better"""
    size, kinds = fleet.size, kinds_of(fleet) or [(need, 1.0)]
    free = fleet.capacity[:size] - fleet.claimed[:size]
    gpus = fleet.stock.gpus_free(size).astype(float)
    return cost(free[:, CPU], free[:, MEMORY], gpus, need, kinds) / MILLI


def cost(
    cpus: Floats, memory: Floats, gpus: Floats, need: GpuKind, kinds: list[tuple[GpuKind, float]]
) -> Floats:
    """Thousandths of GPUs that a VM drawn from `kinds` can't use, after less before, and what starves. (nodes,)

    cpus, memory, gpus   (nodes,) free
    """
    after = cpus - need.cpus, memory - need.memory, gpus - need.gpus
    milli = sum(share * kind.gpus for kind, share in kinds) * MILLI
    per = max(sum(share * kind.cpus for kind, share in kinds) / max(milli, 1e-12), 1e-12)  # CPUs a thousandth

    def beside(cpus: Floats, gpus: Floats) -> Floats:
        starved = np.maximum(0.0, gpus * MILLI - cpus / per)
        surplus: Floats = np.maximum(0.0, cpus - gpus * MILLI * per) / per
        return STARVED * starved + SURPLUS * surplus

    return (
        fragments(*after, kinds)
        - fragments(cpus, memory, gpus, kinds)
        + beside(after[0], after[2])
        - beside(cpus, gpus)
    )


def fragments(cpus: Floats, memory: Floats, gpus: Floats, kinds: list[tuple[GpuKind, float]]) -> Floats:
    """Expected thousandths of free GPUs that a VM drawn from `kinds` can't use. (nodes,)"""
    lost = np.zeros(len(gpus))
    for kind, share in kinds:
        fits = (cpus >= kind.cpus) & (memory >= kind.memory) & (gpus >= kind.gpus)
        lost += np.where(fits, 0.0, share * MILLI * np.maximum(gpus, 0.0))
    return lost
