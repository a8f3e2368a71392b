"""Placement: which node takes a VM, and why not the others.

In this room   filters (each says why a node is out), scores (each a policy), the decision
Comes in       Fleet, and what a VM asks for
Goes out       Decision: the node, or the number of nodes per reason and the nearest miss
Always true    equal fleets give equal decisions; ties go to the node that was seen first
Next door      fleet.py has the columns; controllers/placement.py commits the decision
Start here     place()
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from msgspec import Struct

from corral.errors import CorralError
from corral.model.hardware import HostDevice, Pinning
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory
from corral.model.resource import Trouble
from corral.model.units import format_size
from corral.scheduler.devices import can_pin, pick
from corral.scheduler.fleet import CPU, MEMORY, Bools, Fleet, Floats
from corral.scheduler.traits import Need


class Ask(Struct, frozen=True, kw_only=True):
    """What a VM needs of a node."""

    vm: VmId
    cpus: int
    memory_bytes: int
    pools: Mapping[str, int] = {}  # bytes of new volumes by pool; 0: the pool has to be there
    networks: tuple[str, ...] = ()
    only: NodeId | None = None  # this node and no other
    near: frozenset[NodeId] | None = None  # nodes that hold its local volumes
    without: frozenset[NodeId] = frozenset()
    policy: str = "spread"
    needs: tuple[Need, ...] = ()
    hugepage_bytes: int = 0  # its memory consists of pages of this size; 0: ordinary ones
    devices: tuple[HostDevice, ...] = ()
    pinning: Pinning | None = None

    @property
    def ordinary_bytes(self) -> int:
        """Memory that is not in hugepages."""
        return 0 if self.hugepage_bytes else self.memory_bytes


class Decision(Struct, frozen=True, kw_only=True):
    """Where, and why not elsewhere."""

    node: NodeId | None
    nodes: int  # that were looked at
    out: Mapping[str, int]  # nodes by the first reason that excludes them
    score: float = 0.0  # of the chosen node, see the policy
    nearest: NodeId | None = None  # when none fits: what lacks least
    lacks: str = ""  # and what that is, in words


class NoRoom(CorralError):
    """No node can take the VM at the moment."""

    code = "placement.no_room"
    status = 409
    retryable = True


def place(fleet: Fleet, ask: Ask) -> Decision:
    """The best node for the VM by its policy.

    costs    nodes x (4 + pools + networks), in time
    """
    size = fleet.size
    left = fleet.present[:size].copy()
    count, out = int(left.sum()), {}
    for reason, passes in _filters(fleet, ask):
        gone = left & ~passes
        if gone.any():
            out[reason] = int(gone.sum())
        left &= passes
    if not left.any():
        nearest, lacks = _nearest(fleet, ask)
        return Decision(node=None, nodes=count, out=out, nearest=nearest, lacks=lacks)
    score = np.where(left, SCORES[ask.policy](fleet, ask), -np.inf)
    best = int(np.argmax(score))
    return Decision(node=fleet.ids[best], nodes=count, out=out, score=float(score[best]))


def _filters(fleet: Fleet, ask: Ask) -> Iterator[tuple[str, Bools]]:
    """Reason, and for each node (nodes,) whether it passes."""
    size = fleet.size
    yield "not ready, or cordoned", fleet.takes_vms[:size]
    if ask.only is not None:
        yield "VM is bound to another node", _is_one_of(fleet, frozenset({ask.only}))
    if ask.near is not None:
        yield "its local volumes are elsewhere", _is_one_of(fleet, ask.near)
    if ask.without:
        yield "the VM is there already", ~_is_one_of(fleet, ask.without)
    for need in ask.needs:
        yield need.reason, fleet.having(need.any_of)
    if ask.pinning:
        pins = [can_pin(fleet.inventories.get(node, Inventory()), ask.pinning) for node in fleet.ids]
        yield "it has not all CPUs and NUMA cells of the pinning", np.array(pins, dtype=bool)
    if ask.devices:
        yield from _device_filters(fleet, ask)
    for pool, size_bytes in ask.pools.items():
        free = fleet.pool_free.get(pool, np.full(len(fleet.capacity), -1.0))[:size]
        yield f"pool {pool} is not there", free >= 0
        yield f"pool {pool} is too full", free >= size_bytes
    for network in ask.networks:
        yield (
            f"network {network} is not there",
            fleet.networks.get(network, np.zeros(len(fleet.capacity), bool))[:size],
        )
    free = fleet.capacity[:size] - fleet.claimed[:size]
    yield "too few vCPUs", free[:, CPU] >= ask.cpus
    yield "too little memory", free[:, MEMORY] >= ask.ordinary_bytes
    if ask.hugepage_bytes:
        page = format_size(ask.hugepage_bytes)
        yield f"too few free hugepages of {page}", fleet.pages_free(ask.hugepage_bytes) >= ask.memory_bytes


def _device_filters(fleet: Fleet, ask: Ask) -> Iterator[tuple[str, Bools]]:
    """A reason each for the nodes that it holds for."""
    out: dict[str, Bools] = {}
    for row, node in enumerate(fleet.ids):
        _, why = pick(fleet.inventories.get(node, Inventory()), fleet.held(node), ask.devices)
        if why:
            out.setdefault(why, np.ones(fleet.size, dtype=bool))[row] = False
    yield from sorted(out.items(), key=lambda item: item[0])


def _is_one_of(fleet: Fleet, nodes: frozenset[NodeId]) -> Bools:
    flags = np.zeros(fleet.size, dtype=bool)
    flags[[fleet.row[n] for n in sorted(nodes) if n in fleet.row]] = True
    return flags


def _shares_after(fleet: Fleet, ask: Ask) -> Floats:
    """Claimed share of each dimension after the placement, (nodes, dimensions), 0 to 1 where it fits."""
    size = fleet.size
    after = fleet.claimed[:size] + np.array([ask.cpus, ask.ordinary_bytes], dtype=float)
    shares: Floats = after / np.maximum(fleet.capacity[:size], 1e-9)
    return shares


def _spread(fleet: Fleet, ask: Ask) -> Floats:
    """Emptiest node first: 1 less the larger share after the placement; ties by the sum. (nodes,), 0 to 1."""
    shares = _shares_after(fleet, ask)
    score: Floats = 1 - shares.max(axis=1) - 1e-3 * shares.sum(axis=1)
    return score


def _pack(fleet: Fleet, ask: Ask) -> Floats:
    """Fullest node first: the larger share after the placement; ties by the sum. (nodes,), 0 to 1."""
    shares = _shares_after(fleet, ask)
    score: Floats = shares.max(axis=1) + 1e-3 * shares.sum(axis=1)
    return score


SCORES: Final[Mapping[str, Callable[[Fleet, Ask], Floats]]] = {"spread": _spread, "pack": _pack}


def _nearest(fleet: Fleet, ask: Ask) -> tuple[NodeId | None, str]:
    """The node that takes VMs and lacks the smallest share of what is asked, and what it lacks."""
    size = fleet.size
    open_ = fleet.takes_vms[:size]
    if not open_.any():
        return None, "no node takes VMs"
    lacking = _shares_after(fleet, ask) - 1
    worst = np.where(open_, lacking.max(axis=1), np.inf)
    row = int(np.argmin(worst))
    free = fleet.capacity[row] - fleet.claimed[row]
    words = []
    if free[CPU] < ask.cpus:
        words.append(f"{ask.cpus - free[CPU]:g} vCPUs")
    if free[MEMORY] < ask.ordinary_bytes:
        words.append(f"{format_size(ask.ordinary_bytes - free[MEMORY])} of memory")
    return fleet.ids[row], " and ".join(words)


def why_not(decision: Decision, ask: Ask, names: Callable[[str], str]) -> Trouble:
    """A refusal in words. `names` turns ids into names."""
    reasons = "; ".join(f"{count} x {_named(reason, names)}" for reason, count in decision.out.items())
    nearest = (
        f" Nearest: {names(decision.nearest)} lacks {decision.lacks}."
        if decision.nearest and decision.lacks
        else ""
    )
    return Trouble(
        code=NoRoom.code,
        message=f"none of {decision.nodes} nodes takes it: {reasons or 'there is no node'}.{nearest}",
        hint="It is placed as soon as a node has room. Stop or delete VMs, uncordon or add a node.",
        context={"nodes": decision.nodes, "cpus": ask.cpus, "memory_bytes": ask.memory_bytes},
    )


def _named(reason: str, names: Callable[[str], str]) -> str:
    return " ".join(names(word) for word in reason.split(" "))
