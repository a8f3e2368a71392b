"""Compiled: loops that run as machine code, kept on disk after the first run.

In this room   compiled(), Numba's njit with types that mypy can follow, and compiled_inside(); ranked(), a sort for such
               loops
Always true    what only compiled loops call is compiled_inside(): to take an Arena from Python is half the code to compile
Next door      scores.py, spares.py and search.py use it
"""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")

OPTIONS: Final[dict[str, Any]] = {
    "cache": True,
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,  # C does not call it
}
INSIDE: Final = OPTIONS | {"no_cpython_wrapper": True}
# -1 with a type: all that a bare one is passed to would be compiled once more for it
NO_ROW: Final = cast(int, np.int64(-1))


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The same function as machine code: no Python objects inside, division by zero gives infinity, threads run on."""
    return cast(Callable[P, R], numba.njit(**OPTIONS)(function))


def compiled_inside(function: Callable[P, R]) -> Callable[P, R]:
    """The same for what only other compiled functions call; Python can't."""
    return cast(Callable[P, R], numba.njit(**INSIDE)(function))


def written_out(function: Callable[P, R]) -> Callable[P, R]:
    """The same for what one compiled function of the module calls in one place: it is compiled as a part of that."""
    return cast(Callable[P, R], numba.njit(inline="always", **INSIDE)(function))


@compiled_inside
def ranked(keys: Floats) -> Ints:
    """Places of the keys, the smallest first; equal ones as they come. One sort for all loops: it compiles slowly."""
    return np.argsort(keys, kind="mergesort")
