"""Addresses: all arrays of a flavour, handed to a kernel as one.

In this room   addresses_of(), where each array is and how long; nodes_at(), wish_at() …: the arrays again, inside a kernel
Comes in       Nodes, a Wish, the log, the arrays of a tree
Goes out       an array of numbers, SLOTS for each array: address, rows, columns, layers
Always true    nothing here keeps an array alive: whoever keeps the numbers keeps the arrays, and makes the numbers anew
               when one of them is replaced
Next door      kernels.py reads them; flavours.py makes them when Columns.epoch, a wish or a tree has changed
Start here     addresses_of()

Numba takes 0.15 us to look at an array that it is given. A decision has 25 of them and judges few rows, so to hand them
over one by one takes longer than to decide.
"""

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from corral.scheduler.columns import EXTRAS, MARKS, Nodes
from corral.scheduler.dimensions import CELL_DIMENSIONS, DIMENSIONS
from corral.scheduler.wishes import Wish

SLOTS = 4
NODES = 0  # where the arrays of each begin, in SLOTS
WISH = len(Nodes._fields)
TREE = WISH + len(Wish._fields)
LOG_AT, TREE_AT, POINTS_AT, CODES_AT, COUNTS_AT = range(TREE, TREE + 5)
TYPES = (  # of the arrays, in order; None: a number
    *(np.int32, np.float64, np.float64, np.float64, np.float64, np.float64, np.float64),
    *(np.float64, None, None, np.uint8, np.uint8, np.uint8, np.uint8, np.float64, np.int32, np.float64, None),
    *(np.int32, np.int32, np.float64, np.uint8, np.int64),
)


def addresses_of(nodes, wish, log, tree, points, codes, counts):
    """See above. A wish's numbers stand where the address of an array would. (SLOTS x arrays,)"""
    arrays = (*nodes, *wish, log, tree, points, codes, counts)
    numbers = np.zeros((len(arrays), SLOTS), dtype=np.int64)
    for slots, array, dtype in zip(numbers, arrays, TYPES, strict=True):
        if dtype is None:
            slots[0] = array
            continue
        assert array.dtype == dtype and array.flags.c_contiguous
        slots[0], slots[1 : 1 + array.ndim] = array.ctypes.data, array.shape
    return numbers.ravel()


# For what only kernels call. Numba's code for calls from Python and from C would take longer to compile than the rest.
INSIDE: dict[str, Any] = {"cache": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
OUTSIDE: dict[str, Any] = {"cache": True, "no_cfunc_wrapper": True, "nogil": True}


@intrinsic
def _pointer(typing_context, address):
    def make(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), make


@njit(**INSIDE)
def _line(numbers, place, dtype):
    at = SLOTS * place
    return carray(_pointer(numbers[at]), (numbers[at + 1],), dtype)


@njit(**INSIDE)
def _table(numbers, place, columns, dtype):
    """columns: as many as it surely has, known when this is compiled; 0: look."""
    at = SLOTS * place
    return carray(_pointer(numbers[at]), (numbers[at + 1], columns or numbers[at + 2]), dtype)


@njit(**INSIDE)
def _cells(numbers, place):
    at = SLOTS * place
    return carray(_pointer(numbers[at]), (numbers[at + 1], numbers[at + 2], CELL_DIMENSIONS), np.float64)


@njit(**INSIDE)
def nodes_at(numbers):
    return Nodes(
        _table(numbers, NODES, MARKS, np.int32),
        _table(numbers, NODES + 1, EXTRAS, np.float64),
        _table(numbers, NODES + 2, DIMENSIONS, np.float64),
        _table(numbers, NODES + 3, DIMENSIONS, np.float64),
        _cells(numbers, NODES + 4),
        _cells(numbers, NODES + 5),
        _table(numbers, NODES + 6, 0, np.float64),
    )


@njit(**INSIDE)
def wish_at(numbers):
    return Wish(
        _line(numbers, WISH, np.float64),
        numbers[SLOTS * (WISH + 1)],
        numbers[SLOTS * (WISH + 2)],
        _line(numbers, WISH + 3, np.uint8),
        _line(numbers, WISH + 4, np.uint8),
        _line(numbers, WISH + 5, np.uint8),
        _line(numbers, WISH + 6, np.uint8),
        _line(numbers, WISH + 7, np.float64),
        _line(numbers, WISH + 8, np.int32),
        _line(numbers, WISH + 9, np.float64),
        numbers[SLOTS * (WISH + 10)],
    )


@njit(**INSIDE)
def tree_at(numbers):
    """The log; tree, points, codes and counts."""
    return (
        _line(numbers, LOG_AT, np.int32),
        _line(numbers, TREE_AT, np.int32),
        _line(numbers, POINTS_AT, np.float64),
        _line(numbers, CODES_AT, np.uint8),
        _line(numbers, COUNTS_AT, np.int64),
    )
