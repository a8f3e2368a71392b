"""Wellness: how well the fleet as a whole is used, by the balance equation.

In this room   balance_of(), one number
Comes in       a fleet as it is, no VM to be placed; the weights of a policy
Goes out       the mean of R over the nodes that are there and have something to give
Always true    R is judging.py's own, with a wish for nothing: no second version of the equation
Next door      judging.py has the equation, term by term
Start here     balance_of()
"""

import numpy as np

from corral.model.policy import Weights
from corral.scheduler.dimensions import CELL_DIMENSIONS, CPU, DIMENSIONS, MEMORY
from corral.scheduler.fleet import Fleet
from corral.scheduler.judging import score, terms
from corral.scheduler.wishes import BALANCE, NO_BONUS, NOWHERE, Wish

NO_POOLS = np.zeros(0, dtype=np.int32)


def balance_of(fleet: Fleet, weights: Weights) -> float | None:
    """Mean R of the nodes, each as it is now; None: there are none. Costs a look at every node in NumPy."""
    size = fleet.size
    counts = fleet.present[:size] & (fleet.capacity[:size, CPU] > 0) & (fleet.capacity[:size, MEMORY] > 0)
    if not counts.any():
        return None
    wish = _for_nothing(weights)
    found = score(fleet.columns.nodes, wish, terms(fleet.columns.nodes, wish, size), size)
    return float(found[counts].mean())


def _for_nothing(weights: Weights) -> Wish:
    """Needs nothing, and leaves out what stands beside R: stranding and bonus."""
    of_r = [weights.cpu, weights.memory, weights.gpu, weights.io, weights.power, 0.0, 0.0]
    return Wish(
        numbers=np.concatenate([np.zeros(DIMENSIONS), np.zeros(CELL_DIMENSIONS), of_r, [0.0]]),
        cells_least=0,
        cells_most=0,
        kind_code=NOWHERE,
        place_code=NOWHERE,
        site_code=NOWHERE,
        special=NOWHERE,
        bonus=NO_BONUS,
        pools=NO_POOLS,
        pool_need=NO_BONUS,
        score=BALANCE,
    )
