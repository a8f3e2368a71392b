"""Dimensions: what is counted of a node and of its NUMA cells, in which unit.

In this room   the columns by name; why a node is out when it lacks one; an amount in words
Next door      columns.py has the arrays; judging.py and kernels.py decide on them
Start here     CPU … POWER
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.model.units import GiB, MiB, format_size

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CPU: Final = 0  # vCPUs that share CPUs; capacity after overcommit
MEMORY: Final = 1  # bytes in ordinary pages
PAGES_2M: Final = 2  # bytes in hugepages of 2 MiB
PAGES_1G: Final = 3  # bytes in hugepages of 1 GiB
GPU: Final = 4  # thousandths of a GPU
IO: Final = 5  # disk operations a second
NETWORK: Final = 6  # Mbit/s (10^6 bits)
POWER: Final = 7  # watts
DIMENSIONS: Final = 8  # of a node

CELL_CPU: Final = 0  # CPUs that can be given to one vCPU alone
CELL_MEMORY: Final = 1  # bytes
CELL_2M: Final = 2  # bytes in hugepages of 2 MiB
CELL_1G: Final = 3  # bytes in hugepages of 1 GiB
CELL_GPU: Final = 4  # thousandths of a GPU
CELL_DIMENSIONS: Final = 5  # of a NUMA cell

PAGES: Final = {2 * MiB: PAGES_2M, GiB: PAGES_1G}
CELL_PAGES: Final = {2 * MiB: CELL_2M, GiB: CELL_1G}
MILLI: Final = 1000  # of a whole GPU

TOO_LITTLE: Final = (  # why a node is out, by dimension
    "too few vCPUs",
    "too little memory",
    "too few free hugepages of 2 MiB",
    "too few free hugepages of 1 GiB",
    "too few GPUs free",
    "too few disk operations a second free",
    "too little network bandwidth free",
    "too little power left",
)
IN_WORDS: Final[tuple[Callable[[float], str], ...]] = (
    lambda n: f"{n:g} vCPUs",
    lambda n: f"{format_size(n)} of memory",
    lambda n: f"{format_size(n)} in hugepages of 2 MiB",
    lambda n: f"{format_size(n)} in hugepages of 1 GiB",
    lambda n: f"{n / MILLI:g} GPUs",
    lambda n: f"{n:g} disk operations a second",
    lambda n: f"{n:g} Mbit/s",
    lambda n: f"{n:g} W",
)


def in_words(amounts: Floats) -> str:
    """Those above 0: `2 vCPUs and 1 GiB of memory`."""
    return " and ".join(IN_WORDS[d](float(amounts[d])) for d in np.flatnonzero(amounts > 0))
