"""Problem: a fleet as plain arrays, what is to become better, and what must not be broken.

In this room   Problem and Rules; check(), which refuses what makes no sense
Comes in       from controllers/rebalance.py, or from a bench that reads another tool's files
Always true    rows are nodes or VMs, in an order that the caller keeps; all figures are finite and none is negative
Next door      arena.py works on it
Start here     Problem
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.errors import Invalid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REPAIR: Final = 2.0  # worth of one violation less, in the unit of the score
LEAVE: Final = 20.0  # worth of a VM that has left a node which is to be emptied


class Rule(Struct, frozen=True, kw_only=True):
    """VMs that belong together or apart."""

    vms: tuple[int, ...]  # rows
    domain: Ints  # (nodes,) what counts as one place: a node's own row, or its rack's number
    together: bool = False  # all in one domain; else apart
    most: int = 1  # apart: VMs in one domain at most
    required: bool = True  # else only preferred
    worth: float = REPAIR  # of one violation less


class Problem(Struct, frozen=True, kw_only=True):
    """Who is where, and what fits.

    A node's share in a term is (offset + what its VMs bring) x scale; the score is the sum over the terms of weight x
    standard deviation of the shares, over the nodes that count. Ganeti's hbal scores so (`man hbal`).
    """

    capacity: Floats  # (nodes, dimensions) what VMs can claim, after reserve and with overcommit
    base: Floats  # (nodes, dimensions) claimed by what is no VM of this problem
    claims: Floats  # (vms, dimensions)
    node: Ints  # (vms,) row of the node that each VM is on
    amounts: Floats  # (vms, terms)
    scale: Floats  # (nodes, terms)
    offset: Floats  # (nodes, terms)
    weight: Floats  # (terms,)
    takes_vms: Bools  # (nodes,)
    counts: Bools  # (nodes,) whether its shares are part of the score
    leaving: Bools  # (nodes,) whether it is to be emptied
    movable: Bools  # (vms,)
    kind: Ints  # (vms,) VMs of one kind fit on the same nodes
    fits: Bools  # (kinds, nodes) besides room: pools, networks, CPU, labels
    group: Ints  # (nodes,) VMs move within a group
    failure_domain: Ints  # (nodes,) what fails together; used with spare
    spare: bool = False  # the loss of any one failure domain can be absorbed, at every step
    seconds: Floats  # (vms,) that its migration takes
    bytes: Floats  # (vms,) that its migration sends
    thrift: float = 0.0  # how much a dear move has to bring more: gains are weighed against seconds ** thrift
    rules: Sequence[Rule] = ()

    @property
    def nodes(self) -> int:
        return len(self.capacity)

    @property
    def vms(self) -> int:
        return len(self.node)


def check(problem: Problem) -> None:
    """Raises Invalid: an agent or a bug gave figures that nothing can be planned on."""
    nodes, vms = problem.nodes, problem.vms
    shapes = {
        "base": (problem.base, problem.capacity.shape),
        "claims": (problem.claims, (vms, problem.capacity.shape[1])),
        "amounts": (problem.amounts, (vms, len(problem.weight))),
        "scale": (problem.scale, (nodes, len(problem.weight))),
        "offset": (problem.offset, (nodes, len(problem.weight))),
        "seconds": (problem.seconds, (vms,)),
        "bytes": (problem.bytes, (vms,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise Invalid(name, str(array.shape), f"an array of shape {shape}")
    for name, array in {"capacity": problem.capacity, **{n: a for n, (a, _) in shapes.items()}}.items():
        if not np.isfinite(array).all() or (array < 0).any():
            raise Invalid(name, "NaN, infinite or negative", "figures of 0 or more")
    if vms and not (problem.node.min() >= 0 and problem.node.max() < nodes):
        raise Invalid("node", "a row beyond the nodes", f"0 to {nodes - 1}")
