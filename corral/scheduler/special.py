"""Special: what holds for single nodes, and so can't be told by their kind.

In this room   specials(): for each row a code or a bonus
Comes in       a fleet, an Ask
Goes out       Wish.special and Wish.bonus
Always true    the first reason that holds is the one that is told
Next door      rules.py has the rules between VMs; devices.py looks at one node; wishes.py at kinds of nodes
Start here     specials()
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from corral.model.ids import NodeId
from corral.model.node import Inventory
from corral.scheduler.devices import can_pin, pick
from corral.scheduler.dimensions import Bools, Floats
from corral.scheduler.fleet import Fleet
from corral.scheduler.rules import allowed
from corral.scheduler.wishes import FITS, NO_BONUS, Codes, Reasons

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask


def is_special(ask: "Ask") -> bool:
    return bool(
        ask.only is not None or ask.near is not None or ask.without or ask.pinning or ask.devices or ask.rules
    )


def specials(fleet: Fleet, ask: "Ask", reasons: Reasons) -> tuple[Codes, Floats]:
    """Code and bonus of each row. (nodes,), or (0,) where there is no bonus."""
    codes = np.zeros(fleet.size, dtype=np.uint8)
    for reason, passes in restrictions(fleet, ask):
        codes[(codes == FITS) & ~passes] = reasons.special(reason)
    looked_at = _one_by_one(fleet, ask, codes == FITS) if ask.pinning or ask.devices else ()
    for reason, passes in looked_at:
        codes[(codes == FITS) & ~passes] = reasons.special(reason)
    wished = [rule for rule in ask.rules if not rule.required]
    bonus = NO_BONUS
    if wished:
        bonus = np.zeros(fleet.size)
        for rule in wished:
            bonus += rule.weight * allowed(fleet, rule)
    return codes, bonus


def restrictions(fleet: Fleet, ask: "Ask") -> Iterator[tuple[str, Bools]]:
    """Reason, and for each node whether it passes: what was decided elsewhere, and rules."""
    if ask.only is not None:
        yield "VM is bound to another node", _is_one_of(fleet, frozenset({ask.only}))
    if ask.near is not None:
        yield "its local volumes are elsewhere", _is_one_of(fleet, ask.near)
    if ask.without:
        yield "the VM is there already", ~_is_one_of(fleet, ask.without)
    for rule in ask.rules:
        if rule.required:
            yield rule.reason, allowed(fleet, rule)


def _one_by_one(fleet: Fleet, ask: "Ask", left: Bools) -> Iterator[tuple[str, Bools]]:
    """What only a look at a node's inventory tells; at those that are left."""
    open_ = left & fleet.columns.takes_vms
    rows = [int(row) for row in np.flatnonzero(open_)]
    if ask.pinning:
        passes = np.ones(fleet.size, dtype=bool)
        for row in rows:
            passes[row] = can_pin(_inventory(fleet, row), ask.pinning)
        yield "it has not all CPUs and NUMA cells of the pinning", passes
    if ask.devices:
        out: dict[str, Bools] = {}
        for row in rows:
            _, why = pick(_inventory(fleet, row), fleet.held(fleet.ids[row]), ask.devices)
            if why:
                out.setdefault(why, np.ones(fleet.size, dtype=bool))[row] = False
        yield from sorted(out.items(), key=lambda item: item[0])


def _inventory(fleet: Fleet, row: int) -> Inventory:
    return fleet.inventories.get(fleet.ids[row], Inventory())


def _is_one_of(fleet: Fleet, nodes: frozenset[NodeId]) -> Bools:
    flags = np.zeros(fleet.size, dtype=bool)
    flags[[fleet.row[n] for n in sorted(nodes) if n in fleet.row]] = True
    return flags
