"""GPUs: where a task that needs a share of a GPU, or whole ones, leaves the rest most useful.

In this room   Tasks, the kinds of tasks that are expected; Gpus, nodes with what each GPU has left, and the choice
Comes in       capacities of nodes; for each task its kind
Goes out       the node and the GPU for a share; the node for whole GPUs; nothing where no node can
Always true    no node and no GPU is ever overfilled. Ties go to the lowest row, then to the lowest GPU.
Next door      fragments.py is compiled; dimensions.py counts GPUs of a node as a whole
Start here     Gpus.place()

A placement's cost is what it makes useless, in thousandths of a GPU, lowest is best:

    fragments    expected GPU capacity that a task drawn from `Tasks` can't use on the node, after less before
                 (fragmentation gradient descent: Weng et al., "Beware of Fragmentation", USENIX ATC 2023)
    starved      GPU capacity for which the node has too few CPUs, at the CPUs that GPU tasks need a GPU on average
    surplus      CPUs that the node will have beyond that, for GPU tasks that need many
    leftover     what stays of the GPU when the tasks that come often fill it as well as they can

Fragmentation by itself sees a node only as long as single tasks fit. Where many tasks need more CPUs a GPU than nodes
have, GPUs end up without CPUs; `starved` keeps tasks that need many of them on nodes that have many. `leftover` tells
apart the rests of a GPU that no single task tells apart: 530 is filled by 470 + 60, 460 is not.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.dimensions import MILLI, Floats
from corral.scheduler.fragments import GPUS_MAX, choose, fragments_of, hold
from corral.scheduler.useless import STARVED, SURPLUS

LEFTOVER: Final = 1.0
OFTEN: Final = 0.005  # share of tasks on one GPU that a kind needs to count as one that comes often


class Tasks(NamedTuple):
    """Kinds of tasks. (kinds,) each"""

    cpus: Floats
    memory: Floats  # any unit, the same as of the nodes
    gpus: NDArray[np.int64]  # 0: needs none; 1: a share; more: whole ones
    milli: Floats  # of each GPU, up to 1000
    models: NDArray[np.int64]  # bits of models that will do; 0: any
    popularity: Floats  # share of all tasks


class Weights(NamedTuple):
    """Of the costs beside fragments. All 0: plain fragmentation gradient descent."""

    starved: float = STARVED
    surplus: float = SURPLUS
    leftover: float = LEFTOVER


class Gpus:
    """Nodes with GPUs, and without."""

    def __init__(
        self,
        cpus: Floats,
        memory: Floats,
        gpus: NDArray[np.int64],
        models: NDArray[np.int64],
        tasks: Tasks,
        weights: Weights = Weights(),  # noqa: B008  # a tuple
    ) -> None:
        """cpus, memory, gpus (count), models (number of the bit): (nodes,) each"""
        nodes, kinds = len(cpus), len(tasks.cpus)
        if gpus.max(initial=0) > GPUS_MAX:
            raise ValueError(f"a node has more than {GPUS_MAX} GPUs: {gpus.max()=}")
        self.tasks, self.weights = tasks, weights
        self.free_cpus, self.free_memory, self.count = (
            cpus.astype(float),
            memory.astype(float),
            gpus.astype(np.int64),
        )
        self.model_bit = np.where(models >= 0, 1 << np.maximum(models, 0), 0)
        self.free_milli = np.where(np.arange(GPUS_MAX) < gpus[:, None], float(MILLI), 0.0)
        self.needs = np.column_stack([tasks.cpus, tasks.memory, tasks.gpus, tasks.milli])
        self.cpus_per_milli = cpus_per_milli(tasks)
        self.leftover = leftover(tasks)
        self.version = np.zeros(nodes, dtype=np.int64)  # of each node, grows with each change
        self.known_version = np.full((kinds, nodes), -1, dtype=np.int64)
        self.known_cost = np.zeros((kinds, nodes))
        self.known_gpu = np.zeros((kinds, nodes), dtype=np.int64)
        self.largest_cpus = float(max(cpus.max(initial=0), 1e-9))

    def place(self, kind: int) -> tuple[int, int]:
        """Node, and the GPU for a share (-1: none, or whole ones); node -1: none can take it."""
        node, gpu = choose(
            kind,
            self.needs,
            self.tasks.popularity,
            self.tasks.models,
            self.model_bit,
            self.free_cpus,
            self.free_memory,
            self.free_milli,
            self.count,
            self.leftover,
            self.cpus_per_milli,
            self.largest_cpus,
            self.version,
            self.known_version,
            self.known_cost,
            self.known_gpu,
            *self.weights,
        )
        if node >= 0:
            hold(node, gpu, self.needs[kind], self.free_cpus, self.free_memory, self.free_milli, self.count)
            self.version[node] += 1
        return int(node), int(gpu)

    def fragments(self, node: int) -> float:
        """Expected thousandths of GPUs that a task can't use there."""
        return float(
            fragments_of(
                self.free_cpus[node],
                self.free_memory[node],
                self.free_milli[node],
                self.count[node],
                self.model_bit[node],
                self.needs,
                self.tasks.popularity,
                self.tasks.models,
            )
        )


def cpus_per_milli(tasks: Tasks) -> float:
    """CPUs that tasks with GPUs need for a thousandth of one, on average."""
    with_gpus = tasks.gpus > 0
    milli = float((tasks.popularity * tasks.gpus * tasks.milli)[with_gpus].sum())
    return float((tasks.popularity * tasks.cpus)[with_gpus].sum()) / milli if milli else 0.0


def leftover(tasks: Tasks) -> Floats:
    """What stays of a GPU with so many thousandths left when tasks that come often fill it best. (1001,)"""
    one = tasks.gpus == 1
    often = one & (tasks.popularity > OFTEN * tasks.popularity[one].sum())
    sizes = np.unique(tasks.milli[often].astype(np.int64))
    left = np.arange(MILLI + 1, dtype=float)
    for free in range(MILLI + 1):
        fitting = sizes[(sizes <= free) & (sizes > 0)]
        if len(fitting):
            left[free] = left[free - fitting].min()
    return left
