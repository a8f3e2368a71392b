"""Wanted: what is asked for of a fleet, within which limits.

In this room   Goal, Limits
Next door      goals.py pursues them, plan.py keeps the limits
"""

from typing import Final

from msgspec import Struct

from corral.model.rebalance import Goal as Goal

MOVES_MAX: Final = 100_000


class Limits(Struct, frozen=True, kw_only=True):
    moves_max: int = MOVES_MAX
    bytes_max: float = float("inf")  # sent by all moves together
    parallel: int = 4  # moves at a time
    per_node: int = 2  # moves at a time that begin or end on one node
    least_gain: float = 0.1  # that a move has to bring, in shares of the score that fall on one node
    score: float = -float("inf")  # good enough: reached with as few moves as can be found
