"""Standings: the best nodes for a VM, with the terms that made their scores.

In this room   standings(): the winner and the runners-up
Comes in       a fleet, an Ask, before its claim is made
Goes out       Standing, a row each
Always true    the first is the node that place() chooses
Next door      judging.py has what each term is; server/services/explaining.py shows it
Start here     standings()
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.model.ids import NodeId
from corral.model.policy import SchedulingPolicySpec, Score
from corral.scheduler.columns import Nodes
from corral.scheduler.dimensions import Floats
from corral.scheduler.flavours import flavours_of
from corral.scheduler.fleet import Fleet
from corral.scheduler.judging import judge, terms
from corral.scheduler.special import is_special, specials
from corral.scheduler.wishes import Reasons, Wish, spec_of, wish_of

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask

SHOWN: Final = 3


class Standing(Struct, frozen=True, kw_only=True):
    """A node as one VM's policy sees it, with the VM on it."""

    node: NodeId
    score: float
    terms: dict[str, float]  # see judging.py


def standings(fleet: Fleet, ask: "Ask", count: int = SHOWN) -> tuple[Standing, ...]:
    """The best `count` nodes, best first. Costs a look at every score; at every node, where those are not remembered."""
    wish, points = _scores(fleet, ask)
    rows = _best(points, count)
    nodes, alone = _only(fleet.columns.nodes, rows), _wish_at(wish, rows)
    found = terms(nodes, alone, len(rows))
    terms_of = {name: getattr(found, name).tolist() for name in found._fields}
    terms_of["kept"] = fleet.columns.bonus[rows].tolist()  # full, see packing.py; -3: it is empty
    if len(wish.bonus):
        terms_of["rules"] = alone.bonus.tolist()
    return tuple(
        Standing(
            node=fleet.ids[row],
            score=round(float(points[row]), 4),
            terms={name: round(values[at], 4) for name, values in terms_of.items()},
        )
        for at, row in enumerate(rows.tolist())
    )


def _scores(fleet: Fleet, ask: "Ask") -> tuple[Wish, Floats]:
    """The ask as a wish, and the score of each row for it; -inf where it does not fit. (size,)"""
    special = is_special(ask)
    if not special and (known := flavours_of(fleet).scores(ask)):
        return known
    reasons = Reasons()
    wish = wish_of(fleet, ask, reasons)
    if special:
        codes, bonus = specials(fleet, ask, reasons)
        wish = wish._replace(special=codes, bonus=bonus)
    return wish, judge(fleet.columns.nodes, wish, fleet.size)[1]


def _best(points: Floats, count: int) -> NDArray[np.int64]:
    """The rows of the highest scores, the highest first; of equal ones the lowest row first."""
    least = -np.inf if len(points) <= count else np.partition(points, -count)[-count]
    rows = np.flatnonzero((points >= least) & (points > -np.inf))
    return rows[np.argsort(-points[rows], kind="stable")[:count]]


def _only(nodes: Nodes, rows: NDArray[np.int64]) -> Nodes:
    fields: dict[str, Any] = {f: getattr(nodes, f)[rows] for f in nodes._fields if f != "pools"}
    return nodes._replace(**fields, pools=nodes.pools[:, rows])


def _wish_at(wish: Wish, rows: NDArray[np.int64]) -> Wish:
    special = wish.special[rows] if len(wish.special) else wish.special
    return wish._replace(special=special, bonus=wish.bonus[rows] if len(wish.bonus) else wish.bonus)


def in_words(standing: Standing, policy: SchedulingPolicySpec | str) -> str:
    """`cpu 0.50, memory 0.25 …`: the terms that count with this policy."""
    spec = spec_of(policy)
    shown = {
        Score.BALANCE: ("cpu", "memory", "gpu", "io", "power", "stranding", "kept", "rules"),
        Score.PACK: ("cpu", "memory", "io", "stranding", "kept", "rules"),
        Score.SPREAD: ("cpu", "memory", "io", "rules"),
        Score.POWER: ("watts", "cpu", "memory", "rules"),
    }[spec.score]
    words = [f"{name} {standing.terms[name]:.2f}" for name in shown if name in standing.terms]
    if standing.terms.get("cells"):
        words.append(f"{standing.terms['cells']:.0f} NUMA cells")
    return ", ".join(words)
