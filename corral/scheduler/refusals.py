"""Refusals: the nearest miss, and what would make a VM fit.

In this room   refusal(): the node that lacks least, what it lacks, changes that would help, the smallest first
Comes in       a fleet, an Ask that no node takes
Goes out       Refusal
Always true    each change was tried on the arrays: with it, and nothing else, the VM fits
Next door      placement.py asks this when nothing fits
Start here     refusal()
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from corral.model.hardware import BY_CLASS, DeviceKind
from corral.model.ids import NodeId
from corral.model.units import MiB, format_size
from corral.scheduler.columns import CLOSED, OPEN, SITE, STATE
from corral.scheduler.devices import pick, too_few
from corral.scheduler.dimensions import CPU, DIMENSIONS, IN_WORDS, MEMORY, PAGES, Bools, Floats, in_words
from corral.scheduler.fleet import Fleet
from corral.scheduler.judging import judge
from corral.scheduler.rules import contradiction
from corral.scheduler.special import restrictions, specials
from corral.scheduler.wishes import (
    FITS,
    LACKS,
    NO_CELLS,
    NO_POOL,
    TEXTS,
    Codes,
    Reasons,
    Wish,
    need_of,
    wish_of,
)

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask

CHANGES_MAX: Final = 4
HOLDERS_MAX: Final = 50  # nodes that are looked at for VMs with the devices that are asked for


class Refusal(Struct, frozen=True, kw_only=True):
    """Why none of the nodes takes it."""

    nearest: NodeId | None = None
    lacks: str = ""
    never: str = ""  # why it would not even fit if the nodes were empty
    changes: tuple[str, ...] = ()  # "on n2 with 3 GiB of memory", "if VM x were gone from n1"


def refusal(fleet: Fleet, ask: "Ask") -> Refusal:
    """Costs some looks at every node, in NumPy: 20 ms for 10,000."""
    reasons = Reasons()
    special, bonus = specials(fleet, ask, reasons)
    wish = wish_of(fleet, ask, reasons)._replace(special=special, bonus=bonus)
    codes, _ = judge(fleet.columns.nodes, wish, fleet.size)
    nearest, lacks = _nearest(fleet, ask, codes)
    return Refusal(
        nearest=nearest,
        lacks=lacks,
        never=_never(fleet, ask),
        changes=tuple(_changes(fleet, ask, wish, codes, reasons))[:CHANGES_MAX],
    )


# ---- never


def _never(fleet: Fleet, ask: "Ask") -> str:
    """Why it would not fit on empty nodes either; empty: it would."""
    present, need = fleet.present, need_of(ask)
    capacity = fleet.capacity[: fleet.size][present]
    if not len(capacity):
        return ""
    for dimension in np.flatnonzero(need > 0):
        most = float(capacity[:, dimension].max())
        if need[dimension] > most:
            words = IN_WORDS[dimension]
            return f"it asks for {words(float(need[dimension]))}; the largest node has {words(most)}"
    if not (capacity >= need).all(axis=1).any():
        return f"no node has {in_words(need)} together"
    if why := _no_such_devices(fleet, ask):
        return why
    masks = dict(restrictions(fleet, ask))
    masks |= {n.reason: _with(fleet, n.any_of) for n in ask.sites}
    masks = {reason: mask & present for reason, mask in masks.items()}
    if (both := contradiction(masks)) and len(both) > 1:
        return "these can't hold together: " + "; ".join(both)
    return ""


def _no_such_devices(fleet: Fleet, ask: "Ask") -> str:
    """The first of the devices that no node has to give, whoever holds them. How many slices there could be changes."""
    stock = fleet.stock
    for device in ask.devices:
        if device.kind not in BY_CLASS:
            continue
        there = stock.by_place(stock.there, stock.fitting(device, ask.links), fleet.size).sum(axis=1)
        most = int(np.where(fleet.present, there, 0).max(initial=0))
        if most < (1 if device.kind == DeviceKind.MDEV else device.count):
            return f"it asks for {device.count} x {device.words}; no node has more than {most} to give"
    return ""


def _with(fleet: Fleet, words: frozenset[str]) -> Bools:
    by_site = np.array([bool(site & words) for site in fleet.sites.sets], dtype=bool)
    flags: Bools = by_site[fleet.columns.marks[: fleet.size, SITE]]
    return flags


# ---- nearest


def _nearest(fleet: Fleet, ask: "Ask", codes: Codes) -> tuple[NodeId | None, str]:
    """The node that takes VMs and lacks the smallest share of what is asked, and what it lacks.

    Nodes that only lack amounts come before those that something else speaks against.
    """
    open_ = fleet.columns.takes_vms
    if not open_.any():
        return None, "no node takes VMs"
    short = open_ & (codes >= LACKS) & (codes < TEXTS) & ~_about_pools(codes)
    among = short if short.any() else open_
    lacking = _lacking(fleet, ask)
    row = int(np.argmin(np.where(among, lacking.max(axis=1, initial=-np.inf), np.inf)))
    need = need_of(ask)
    missing = np.where(need > 0, need - (fleet.capacity[row] - fleet.claimed[row]), 0.0)
    return fleet.ids[row], in_words(missing)


def _about_pools(codes: Codes) -> Bools:
    about: Bools = (codes >= NO_POOL) & (codes < TEXTS)
    return about


def _lacking(fleet: Fleet, ask: "Ask") -> Floats:
    """Share of its capacity that each node lacks of what is asked for. (nodes, dimensions asked for)"""
    need = need_of(ask)
    asked = np.flatnonzero(need > 0)
    capacity = fleet.capacity[: fleet.size][:, asked]
    after = fleet.claimed[: fleet.size][:, asked] + need[asked]
    lacking: Floats = after / np.maximum(capacity, 1e-9) - 1
    return lacking


# ---- changes


def _changes(fleet: Fleet, ask: "Ask", wish: Wish, codes: Codes, reasons: Reasons) -> Iterator[str]:
    """Smallest first: another size by a little, one VM less, a node reopened, a rule or requirement less."""
    smaller = _smaller(fleet, ask, codes)
    gone = _without_one(fleet, ask, codes) or _without_holder(fleet, ask, codes, reasons)
    if smaller and smaller[0] <= 0.25:
        yield smaller[1]
    if gone:
        yield gone
    if reopened := _reopened(fleet, wish, codes):
        yield reopened
    yield from _without_reason(fleet, ask, wish, codes, reasons)
    if smaller and smaller[0] > 0.25:
        yield smaller[1]


def _smaller(fleet: Fleet, ask: "Ask", codes: Codes) -> tuple[float, str] | None:
    """The node on which it fits with the smallest share less, that share, and what it would have then."""
    rows = np.flatnonzero((codes >= LACKS) & (codes < NO_CELLS))
    need = need_of(ask)
    asked = [d for d in np.flatnonzero(need > 0) if d in (CPU, *PAGES.values(), MEMORY)]
    others = [d for d in range(DIMENSIONS) if need[d] > 0 and d not in asked]
    free = fleet.capacity[rows] - fleet.claimed[rows]
    cut = (1 - free[:, asked] / need[asked]).max(axis=1, initial=0.0)
    possible: Bools = np.all(free[:, others] >= need[others], axis=1) & np.all(free[:, asked] > 0, axis=1)
    for at in np.argsort(np.where(possible, cut, np.inf), kind="stable")[:3]:
        if not possible[at]:
            return None
        left = np.minimum(need, free[at])
        cpus, memory = ask.cpus, ask.memory_bytes
        if CPU in asked:
            cpus = int(left[CPU])
        page = ask.hugepage_bytes or MiB
        memory = int(left[PAGES.get(ask.hugepage_bytes, MEMORY)] // page * page)
        if cpus < 1 or memory < page or not _fits(fleet, _sized(ask, cpus, memory), int(rows[at])):
            continue
        words = [f"{cpus} vCPUs"] * (cpus < ask.cpus)
        words += [f"{format_size(memory)} of memory"] * (memory < ask.memory_bytes)
        return float(cut[at]), f"on {fleet.ids[rows[at]]} with {' and '.join(words)}"
    return None


def _sized(ask: "Ask", cpus: int, memory_bytes: int) -> "Ask":
    return msgspec.structs.replace(ask, cpus=cpus, memory_bytes=memory_bytes)


def _fits(fleet: Fleet, ask: "Ask", row: int) -> bool:
    """Whether it fits on this row, which is judged alone."""
    reasons = Reasons()
    special, _ = specials(fleet, msgspec.structs.replace(ask, devices=(), pinning=None), reasons)
    wish = wish_of(fleet, ask, reasons)._replace(special=special[row : row + 1])
    nodes = fleet.columns.nodes
    alone = nodes._replace(
        **{f: getattr(nodes, f)[row : row + 1] for f in nodes._fields if f != "pools"},
        pools=nodes.pools[:, row : row + 1],
    )
    codes, _ = judge(alone, wish, 1)
    return bool(codes[0] == FITS)


def _without_one(fleet: Fleet, ask: "Ask", codes: Codes) -> str:
    """The smallest VM that, were it gone from its node, would leave enough there."""
    rows = {int(row) for row in np.flatnonzero((codes >= LACKS) & (codes < NO_CELLS))}
    need, best = need_of(ask), (np.inf, "", "")
    free = fleet.capacity[: fleet.size] - fleet.claimed[: fleet.size]
    missing = np.where(need > 0, need - free, 0.0)
    most = np.maximum(fleet.capacity[: fleet.size].max(axis=0), 1.0)
    near = sorted(rows, key=lambda row: float((np.maximum(missing[row], 0) / most).max()))[:50]
    for row in near:
        for vm, claim in fleet.vms.get(fleet.ids[row], {}).items():
            if vm == ask.vm:
                continue
            share = max(claim.cpus / most[CPU], claim.memory_bytes / most[MEMORY])
            if share >= best[0]:
                continue
            if (fleet.amounts(claim) >= missing[row]).all():
                best = (share, str(vm), str(claim.node))
    return f"if VM {best[1]} were gone from {best[2]}" if best[1] else ""


def _without_holder(fleet: Fleet, ask: "Ask", codes: Codes, reasons: Reasons) -> str:
    """The VM with the fewest devices that, were it gone from its node, would leave those that are asked for."""
    words = {too_few(device) for device in ask.devices}
    lacking = [code for code, reason in reasons.coded() if reason in words]
    found: list[tuple[int, str, str]] = []
    for row in np.flatnonzero(np.isin(codes, lacking))[:HOLDERS_MAX].tolist():
        node = fleet.ids[row]
        for vm, claim in fleet.vms.get(node, {}).items():
            left = Counter(fleet.held(node))
            left.subtract(claim.devices)
            if not claim.devices or vm == ask.vm:
                continue
            inventory, units = fleet.inventories[node], fleet.units[node]
            if pick(inventory, left, ask.devices, links=ask.links, units=units)[0]:
                found.append((len(claim.devices), str(vm), str(node)))
    return "if VM {1} were gone from {2}".format(*min(found)) if found else ""


def _reopened(fleet: Fleet, wish: Wish, codes: Codes) -> str:
    """A node on which it would fit, if that took VMs."""
    state = fleet.columns.state
    if not (state[: fleet.size] == CLOSED).any():
        return ""
    marks = fleet.columns.marks.copy()
    marks[:, STATE] = np.where(state == CLOSED, OPEN, state)
    with_all, points = judge(fleet.columns.nodes._replace(marks=marks), wish, fleet.size)
    return f"if {fleet.ids[int(np.argmax(points))]} took VMs" if (with_all == FITS).any() else ""


def _without_reason(fleet: Fleet, ask: "Ask", wish: Wish, codes: Codes, reasons: Reasons) -> Iterator[str]:
    """Requirements that are the only thing in the way somewhere."""
    for code, reason in reasons.coded():
        if not (codes == code).any():
            continue
        free: dict[str, Any] = {
            name: np.where(getattr(wish, name) == code, FITS, getattr(wish, name)).astype(np.uint8)
            for name in ("kind_code", "place_code", "site_code", "special")
        }
        found, points = judge(fleet.columns.nodes, wish._replace(**free), fleet.size)
        if (found == FITS).any():
            yield f"on {fleet.ids[int(np.argmax(points))]}, were it not for: {reason}"
