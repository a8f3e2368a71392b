"""Batches: many VMs that wait, placed together.

In this room   place_all(): a decision for each
Comes in       a fleet, Asks; whether it is all of them or none
Goes out       Decisions in the order of the Asks; the fleet is left as it was
Always true    no fewer find a node than one by one in the order in which they came: that order is tried too
Next door      controllers/batching.py asks this for VMs that wait, and commits what comes of it
Start here     place_all()

The order of packing.py comes first, where the policy packs: it keeps a fleet dense while VMs come and go. Where it leaves
one without a node, large ones come first, as in vector bin packing by decreasing size: small ones find room in what is
left, large ones do not. Which size counts is not known beforehand, so a few orders are tried, and the one that places most
is taken.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Final

import numpy as np

from corral.model.hardware import CellPart, HeldDevice
from corral.model.ids import NodeId
from corral.model.node import Inventory
from corral.model.policy import Score
from corral.scheduler.cellparts import pick_cells, shares_of
from corral.scheduler.claims import Claim
from corral.scheduler.devices import pick
from corral.scheduler.dimensions import CPU, DIMENSIONS, MEMORY, Floats
from corral.scheduler.fleet import Fleet
from corral.scheduler.packing import order
from corral.scheduler.placement import Ask, Decision, place
from corral.scheduler.wishes import need_of, spec_of

Order = Callable[
    [Floats], Floats
]  # (asks, dimensions) as shares of the fleet: the largest of the result comes first
ORDERS: Final[tuple[Order, ...]] = (
    lambda shares: shares.max(axis=1),  # by the dimension that it needs most of
    lambda shares: shares.sum(axis=1),
    lambda shares: shares[:, MEMORY],
    lambda shares: shares[:, CPU],
)


def place_all(fleet: Fleet, asks: Sequence[Ask], *, whole: bool = False) -> tuple[Decision, ...]:
    """A decision each, as if all were placed at once; of those that find no node only the first one's is explained.

    whole   if one finds no node, none gets one
    """
    if not asks:
        return ()
    best: tuple[Decision, ...] = ()
    chosen: Sequence[int] = range(len(asks))
    for sequence in _orders(fleet, asks):
        decisions = _try(fleet, asks, sequence)
        if not best or _placed(decisions) > _placed(best):
            best, chosen = decisions, sequence
        if _placed(best) == len(asks):
            return best
    best = _try(fleet, asks, chosen, explain=True)
    if whole and _placed(best) < len(asks):
        return tuple(_none(decision, best) for decision in best)
    return best


def _placed(decisions: Sequence[Decision]) -> int:
    return sum(decision.node is not None for decision in decisions)


def _none(decision: Decision, all_: Sequence[Decision]) -> Decision:
    """The refusal of one that would have had a node, were it not for another."""
    if decision.node is None:
        return decision
    stuck = next(other for other in all_ if other.node is None)
    return Decision(
        node=None,
        tally=stuck.tally,
        nearest=stuck.nearest,
        lacks=stuck.lacks,
        never=stuck.never,
        changes=stuck.changes,
    )


def _orders(fleet: Fleet, asks: Sequence[Ask]) -> Iterator[Sequence[int]]:
    needs = np.array([need_of(ask) for ask in asks])
    for at, ask in enumerate(asks):
        needs[at, CPU] = ask.cpus  # dedicated ones too
    total = fleet.capacity[: fleet.size][fleet.present].sum(axis=0)
    shares = needs / np.where(np.isfinite(total) & (total > 0), total, np.inf)
    if spec_of(asks[0].policy).score in (Score.BALANCE, Score.PACK):
        yield _packed(fleet, asks)
    for size in ORDERS:
        yield np.argsort(-size(shares), kind="stable").tolist()
    yield range(len(asks))


def _packed(fleet: Fleet, asks: Sequence[Ask]) -> Sequence[int]:
    """As replay.py does it with VMs of one instant."""
    capacity = fleet.capacity[: fleet.size][fleet.present]
    cpus, memory = np.array([ask.cpus for ask in asks]), np.array([ask.memory_bytes for ask in asks])
    numbers: dict[Hashable, int] = {}
    alone = (len(asks) + number for number in range(len(asks)))  # above those of batches
    batch = [
        next(alone) if ask.batch is None else numbers.setdefault(ask.batch, len(numbers)) for ask in asks
    ]
    typical = np.median(capacity, axis=0) if len(capacity) else np.ones(DIMENSIONS)
    found = order(
        cpus.astype(float),
        memory.astype(float),
        np.array(batch, dtype=np.int64),
        max(float(typical[CPU]), 1.0),
        max(float(typical[MEMORY]), 1.0),
    )
    indices: list[int] = found.tolist()
    return indices


def _try(
    fleet: Fleet, asks: Sequence[Ask], sequence: Sequence[int], *, explain: bool = False
) -> tuple[Decision, ...]:
    """Each on what those before it left; then everything is taken back."""
    decisions: dict[int, Decision] = {}
    room = fleet.room
    before = {ask.vm: fleet.claims.get(ask.vm, ()) for ask in asks}
    try:
        for at in sequence:
            decisions[at] = place(fleet, asks[at], explain=explain and at == 0)
            if node := decisions[at].node:
                fleet.claim(asks[at].vm, (*before[asks[at].vm], claim_for(fleet, asks[at], node)))
    finally:
        for vm, claims in before.items():
            fleet.claim(vm, claims)
        fleet.room = room  # what was only tried has freed nothing
    return tuple(decisions[at] for at in range(len(asks)))


def claim_for(fleet: Fleet, ask: Ask, node: NodeId) -> Claim:
    """What the VM holds once it is there, which devices aside."""
    parts: tuple[CellPart, ...] = ()
    if ask.dedicated:
        parts = pick_cells(
            fleet,
            node,
            cpus=ask.cpus,
            memory_bytes=ask.memory_bytes,
            hugepage_bytes=ask.hugepage_bytes,
            devices=ask.devices,
            links=ask.links,
            exactly=ask.cells,
        )
    devices = devices_for(fleet, ask, node, frozenset(part.cell for part in parts))
    return Claim(
        node,
        0 if ask.dedicated else ask.cpus,
        ask.memory_bytes,
        ask.hugepage_bytes,
        tuple(device.key for device in devices),
        iops=ask.iops,
        mbit=ask.mbit,
        watts=ask.watts,
        gpu_milli=0 if devices else ask.gpu_milli,
        cells=shares_of(parts),
        ends_s=ask.ends_s,
    )


def devices_for(fleet: Fleet, ask: Ask, node: NodeId, near: frozenset[int]) -> tuple[HeldDevice, ...]:
    """The devices that the VM gets there. near: NUMA cells of its CPUs"""
    if not ask.devices:
        return ()
    inventory = fleet.inventories.get(node, Inventory())
    units = fleet.units.get(node, ())
    return pick(inventory, fleet.held(node), ask.devices, near, links=ask.links, units=units)[0]
