"""Compiled: loops that run as machine code, kept on disk after the first run.

In this room   compiled(), Numba's njit with types that mypy can follow; ranked(), a sort for such loops
Next door      scores.py, spares.py and search.py use it
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The same function as machine code: no Python objects inside, division by zero gives infinity, threads run on."""
    return cast(Callable[P, R], numba.njit(cache=True, error_model="numpy", nogil=True)(function))


@compiled
def ranked(keys: Floats) -> Ints:
    """Places of the keys, the smallest first; equal ones as they come. One sort for all loops: it compiles slowly."""
    return np.argsort(keys, kind="mergesort")
