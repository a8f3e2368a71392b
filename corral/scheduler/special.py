"""Special: what holds for single nodes, and so can't be told by their kind.

In this room   specials(): for each row a code or a bonus
Comes in       a fleet, an Ask
Goes out       Wish.special and Wish.bonus
Always true    the first reason that holds is the one that is told
Next door      rules.py has the rules between VMs; stock.py counts devices, devices.py looks at those of one node,
               useless.py says what they leave; wishes.py looks at kinds of nodes
Start here     specials()
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from corral.model.hardware import BY_CLASS, DeviceKind, HostDevice
from corral.model.ids import NodeId
from corral.model.node import Inventory
from corral.model.policy import Score
from corral.scheduler.devices import can_pin, needs_a_look, none_given, none_there, pick, too_few
from corral.scheduler.dimensions import CELL_CPU, CELL_MEMORY, CELL_PAGES, Bools, Floats
from corral.scheduler.fleet import Fleet
from corral.scheduler.rules import allowed
from corral.scheduler.useless import GpuKind, cost_at
from corral.scheduler.wishes import FITS, NO_BONUS, Codes, Reasons, spec_of

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask


NEAR: Final = (
    1.0  # what it is worth to have all devices in one NUMA cell, with the VM where that has its own CPUs
)
USELESS: Final = 1.0  # what a GPU costs that a placement makes useless; see useless.py


def is_special(ask: "Ask") -> bool:
    return bool(
        ask.only is not None or ask.near is not None or ask.without or ask.pinning or ask.devices or ask.rules
    )


def specials(fleet: Fleet, ask: "Ask", reasons: Reasons) -> tuple[Codes, Floats]:
    """Code and bonus of each row. (nodes,), or (0,) where there is no bonus."""
    codes = np.zeros(fleet.size, dtype=np.uint8)
    for reason, passes in (*restrictions(fleet, ask), *_stocks(fleet, ask)):
        codes[(codes == FITS) & ~passes] = reasons.special(reason)
    look = ask.pinning or needs_a_look(ask.devices)
    looked_at = _one_by_one(fleet, ask, codes == FITS) if look else ()
    for reason, passes in looked_at:
        codes[(codes == FITS) & ~passes] = reasons.special(reason)
    return codes, _bonus(fleet, ask)


def _bonus(fleet: Fleet, ask: "Ask") -> Floats:
    """What preferences and devices add to each node's score. (nodes,), or (0,) where there are none."""
    wished = [rule for rule in ask.rules if not rule.required]
    by_class = [device for device in ask.devices if device.kind in BY_CLASS]
    if not wished and not by_class:
        return NO_BONUS
    bonus = np.zeros(fleet.size)
    for rule in wished:
        bonus += rule.weight * allowed(fleet, rule)
    if by_class:
        bonus += NEAR * _near(fleet, ask, by_class)
    gpus = sum(device.count for device in by_class if device.kind == DeviceKind.GPU)
    if gpus and spec_of(ask.policy).score in (Score.BALANCE, Score.PACK):
        bonus -= USELESS * cost_at(fleet, GpuKind(float(ask.cpus), float(ask.memory_bytes), gpus))
    return bonus


def _near(fleet: Fleet, ask: "Ask", by_class: Sequence[HostDevice]) -> Bools:
    """Whether one NUMA cell has all the devices free, and CPUs and memory where these are dedicated. (nodes,)"""
    stock, size = fleet.stock, fleet.size
    can: Bools = np.ones((size, stock.free.shape[2] - 1), dtype=bool)
    for device in by_class:
        free = stock.by_place(stock.free, stock.fitting(device, ask.links), size)
        can &= free[:, 1:] >= device.count
    if ask.dedicated:
        columns = fleet.columns
        free_cells = columns.cells_capacity[:size] - columns.cells_claimed[:size]
        both = min(can.shape[1], free_cells.shape[1])
        memory = free_cells[:, :both, CELL_PAGES.get(ask.hugepage_bytes, CELL_MEMORY)]
        can[:, both:] = False
        can[:, :both] &= (free_cells[:, :both, CELL_CPU] >= ask.cpus) & (memory >= ask.memory_bytes)
    return np.asarray(can.any(axis=1))


def _stocks(fleet: Fleet, ask: "Ask") -> Iterator[tuple[str, Bools]]:
    """Devices by class: whether each node has so many at all, may give so many, has so many left."""
    stock, size = fleet.stock, fleet.size
    for device in ask.devices:
        if device.kind in BY_CLASS:
            fitting = stock.fitting(device, ask.links)
            there, kept, free = (
                stock.by_place(counts, fitting, size).sum(axis=1)
                for counts in (stock.there, stock.kept, stock.free)
            )
            yield none_there(device), there + kept >= device.count
            yield none_given(device), there >= device.count
            yield too_few(device), free >= device.count


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
    if needs_a_look(ask.devices):
        out: dict[str, Bools] = {}
        for row in rows:
            node = fleet.ids[row]
            units = fleet.units.get(node, ())
            _, why = pick(_inventory(fleet, row), fleet.held(node), ask.devices, links=ask.links, units=units)
            if why:
                out.setdefault(why, np.ones(fleet.size, dtype=bool))[row] = False
        yield from sorted(out.items(), key=lambda item: item[0])


def _inventory(fleet: Fleet, row: int) -> Inventory:
    return fleet.inventories.get(fleet.ids[row], Inventory())


def _is_one_of(fleet: Fleet, nodes: frozenset[NodeId]) -> Bools:
    flags = np.zeros(fleet.size, dtype=bool)
    flags[[fleet.row[n] for n in sorted(nodes) if n in fleet.row]] = True
    return flags
