"""Wishes: what a VM asks for, as numbers and tables that each row can be held against.

In this room   Wish, the arrays; the codes of a row: 0, it fits, or the first reason why not
Comes in       an Ask and the fleet whose kinds, pools and rows it is about
Goes out       Wish for judging.py and kernels.py, which must agree on it to the last bit; words for its codes
Always true    a table has an entry for each kind that the fleet knew when it was made (grown() makes it longer)
Next door      placement.py has Ask and decides
Start here     wish_of()
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corral.model.policy import BUILT_IN, SchedulingPolicySpec, Score, Weights
from corral.scheduler.dimensions import (
    CELL_CPU,
    CELL_DIMENSIONS,
    CELL_MEMORY,
    CELL_PAGES,
    CPU,
    DIMENSIONS,
    GPU,
    IO,
    MEMORY,
    NETWORK,
    PAGES,
    POWER,
    TOO_LITTLE,
    Floats,
)
from corral.scheduler.fleet import Fleet
from corral.scheduler.traits import Traits

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask

Codes = NDArray[np.uint8]

FITS: Final = 0
NOT_READY: Final = 1
LACKS: Final = 2  # + the dimension
NO_CELLS: Final = LACKS + DIMENSIONS
NO_POOL: Final = 16  # + 2 x the place in Wish.pools
FULL_POOL: Final = 17
TEXTS: Final = 64  # and above: Reasons.texts, about kinds of nodes
SPECIALS: Final = 192  # and above: Reasons.specials, about single nodes
OTHER: Final = 254  # of a reason for which there was no number left
ABSENT: Final = 255  # no node: counted nowhere
CODES: Final = 256
POOLS_MAX: Final = (TEXTS - NO_POOL) // 2
CELLS_MAX: Final = 8  # NUMA cells that one VM may have

BALANCE, PACK, SPREAD, SAVE_POWER = range(4)
SCORES: Final = {
    Score.BALANCE: BALANCE,
    Score.PACK: PACK,
    Score.SPREAD: SPREAD,
    Score.POWER: SAVE_POWER,
}
TOTAL: Final = DIMENSIONS  # where in Wish.numbers it begins: what it needs of all its cells together
WEIGHTS: Final = TOTAL + CELL_DIMENSIONS
CPUS: Final = WEIGHTS + len(Weights.__struct_fields__)
NOWHERE: Final = np.zeros(0, dtype=np.uint8)
NO_BONUS: Final = np.zeros(0)


class Wish(NamedTuple):
    """Arrays as a kernel takes them."""

    numbers: Floats  # (CPUS + 1,) need, cell_total, weights, cpus, one after the other: see below
    cells_least: int  # NUMA cells that it may be split over; 0: it is tied to none
    cells_most: int
    kind_code: Codes  # (kinds,) 0, or why nodes of this kind are out
    place_code: Codes  # (places,)
    site_code: Codes  # (sites,)
    special: Codes  # (n,) 0, or why just this row is out; (0,): none is
    bonus: Floats  # (n,) added to the score; (0,): none
    pools: NDArray[np.int32]  # (p,) rows of Nodes.pools
    pool_need: Floats  # (p,) bytes
    score: int  # BALANCE …

    @property
    def need(self) -> Floats:
        """Of a node. (DIMENSIONS,)"""
        return self.numbers[:TOTAL]

    @property
    def cell_total(self) -> Floats:
        """Of all its cells together. (CELL_DIMENSIONS,)"""
        return self.numbers[TOTAL:WEIGHTS]

    @property
    def weights(self) -> Floats:
        """Of cpu, memory, gpu, io, power, stranding, bonus. (7,)"""
        return self.numbers[WEIGHTS:CPUS]

    @property
    def cpus(self) -> float:
        """Its vCPUs, dedicated or not."""
        return float(self.numbers[CPUS])


class Reasons:
    """Words for codes."""

    def __init__(self, other: "Reasons | None" = None) -> None:
        """As `other` is now, to add to."""
        self.texts: list[str] = list(other.texts) if other else []
        self.pools: list[str] = list(other.pools) if other else []
        self.specials: list[str] = list(other.specials) if other else []

    def code(self, text: str) -> int:
        """The code of what speaks against a kind of nodes."""
        return _numbered(self.texts, text, TEXTS, SPECIALS)

    def special(self, text: str) -> int:
        """The code of what speaks against single nodes."""
        return _numbered(self.specials, text, SPECIALS, OTHER)

    def coded(self) -> list[tuple[int, str]]:
        """All that were put into words here."""
        return [*enumerate(self.texts, TEXTS), *enumerate(self.specials, SPECIALS)]

    def __getitem__(self, code: int) -> str:
        if code == NOT_READY:
            return "not ready, or cordoned"
        if LACKS <= code < NO_CELLS:
            return TOO_LITTLE[code - LACKS]
        if code == NO_CELLS:
            return "no NUMA cell has so many CPUs and so much memory free"
        if NO_POOL <= code < TEXTS:
            pool = self.pools[(code - NO_POOL) // 2]
            return f"pool {pool} is too full" if (code - NO_POOL) % 2 else f"pool {pool} is not there"
        return dict(self.coded()).get(code, "another reason")


def _numbered(texts: list[str], text: str, first: int, end: int) -> int:
    """Its number, a new one if need be and there is one left."""
    if text not in texts and first + len(texts) < end:
        texts.append(text)
    return first + texts.index(text) if text in texts else OTHER


def spec_of(policy: SchedulingPolicySpec | str) -> SchedulingPolicySpec:
    """The policy itself, or the one that is built in under this name."""
    return BUILT_IN[policy] if isinstance(policy, str) else policy


def wish_of(fleet: Fleet, ask: "Ask", reasons: Reasons) -> Wish:
    """What holds for every node of a kind; `special` and `bonus` are for the caller to add."""
    policy = spec_of(ask.policy)
    reasons.pools = [*ask.pools]
    assert len(ask.pools) <= POOLS_MAX, "a VM has fewer disks"
    for need in (*ask.needs, *ask.sites):
        reasons.code(need.reason)  # numbered in the order in which people would look for them
    return Wish(
        numbers=np.concatenate(
            [
                need_of(ask),
                _cell_total(ask),
                [getattr(policy.weights, name) for name in policy.weights.__struct_fields__],
                [float(ask.cpus)],
            ]
        ),
        cells_least=max(1, ask.cells) if ask.dedicated else 0,
        cells_most=(ask.cells or min(CELLS_MAX, ask.cpus)) if ask.dedicated else 0,
        kind_code=_table(fleet.hardware.sets, _kind_coder(ask, reasons)),
        place_code=_table(fleet.networks.sets, _place_coder(ask, reasons)),
        site_code=_table(fleet.sites.sets, _site_coder(ask, reasons)),
        special=NOWHERE,
        bonus=NO_BONUS,
        pools=np.array([fleet.pools.get(pool, -1) for pool in ask.pools], dtype=np.int32),
        pool_need=np.array([*ask.pools.values()], dtype=float),
        score=SCORES[policy.score],
    )


def need_of(ask: "Ask") -> Floats:
    """What it needs of a node, by dimension."""
    need = np.zeros(DIMENSIONS)
    need[CPU] = 0 if ask.dedicated else ask.cpus
    need[PAGES.get(ask.hugepage_bytes, MEMORY)] = ask.memory_bytes
    need[GPU], need[IO], need[NETWORK], need[POWER] = ask.gpu_milli, ask.iops, ask.mbit, ask.watts
    return need


def _cell_total(ask: "Ask") -> Floats:
    total = np.zeros(CELL_DIMENSIONS)
    if ask.dedicated:
        total[CELL_CPU] = ask.cpus
        total[CELL_PAGES.get(ask.hugepage_bytes, CELL_MEMORY)] = ask.memory_bytes
    return total


def grown(fleet: Fleet, ask: "Ask", wish: Wish, reasons: Reasons) -> Wish:
    """The wish with tables for all kinds that the fleet knows by now, and pools where they are now."""
    return wish._replace(
        kind_code=_table(fleet.hardware.sets, _kind_coder(ask, reasons), wish.kind_code),
        place_code=_table(fleet.networks.sets, _place_coder(ask, reasons), wish.place_code),
        site_code=_table(fleet.sites.sets, _site_coder(ask, reasons), wish.site_code),
        pools=np.array([fleet.pools.get(pool, -1) for pool in ask.pools], dtype=np.int32),
    )


def _table(sets: Sequence[Traits], code: Callable[[Traits], int] | None, known: Codes = NOWHERE) -> Codes:
    if len(known) == len(sets):
        return known
    new = [code(words) for words in sets[len(known) :]] if code else [FITS] * (len(sets) - len(known))
    return np.concatenate([known, np.array(new, dtype=np.uint8)])


def _kind_coder(ask: "Ask", reasons: Reasons) -> Callable[[Traits], int] | None:
    if not ask.needs:
        return None

    def code(words: Traits) -> int:
        why = next((need.reason for need in ask.needs if not words & need.any_of), "")
        return reasons.code(why) if why else FITS

    return code


def _place_coder(ask: "Ask", reasons: Reasons) -> Callable[[Traits], int] | None:
    if not ask.networks:
        return None

    def code(words: Traits) -> int:
        why = next((network for network in ask.networks if network not in words), "")
        return reasons.code(f"network {why} is not there") if why else FITS

    return code


def _site_coder(ask: "Ask", reasons: Reasons) -> Callable[[Traits], int] | None:
    if not ask.sites:
        return None

    def code(words: Traits) -> int:
        why = next((need.reason for need in ask.sites if not words & need.any_of), "")
        return reasons.code(why) if why else FITS

    return code
