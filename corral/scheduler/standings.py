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

from corral.model.ids import NodeId
from corral.model.policy import SchedulingPolicySpec, Score
from corral.scheduler.columns import Nodes
from corral.scheduler.fleet import Fleet
from corral.scheduler.judging import judge, terms
from corral.scheduler.special import is_special, specials
from corral.scheduler.wishes import FITS, Reasons, Wish, spec_of, wish_of

if TYPE_CHECKING:
    from corral.scheduler.placement import Ask

SHOWN: Final = 3


class Standing(Struct, frozen=True, kw_only=True):
    """A node as one VM's policy sees it, with the VM on it."""

    node: NodeId
    score: float
    terms: dict[str, float]  # see judging.py


def standings(fleet: Fleet, ask: "Ask", count: int = SHOWN) -> tuple[Standing, ...]:
    """The best `count` nodes, best first. Costs a look at every node in NumPy."""
    reasons = Reasons()
    wish = wish_of(fleet, ask, reasons)
    if is_special(ask):
        special, bonus = specials(fleet, ask, reasons)
        wish = wish._replace(special=special, bonus=bonus)
    codes, points = judge(fleet.columns.nodes, wish, fleet.size)
    fitting = int((codes == FITS).sum())
    rows = np.argsort(-points, kind="stable")[: min(count, fitting)]
    return tuple(_standing(fleet, wish, int(row), float(points[row])) for row in rows)


def _standing(fleet: Fleet, wish: Wish, row: int, score: float) -> Standing:
    nodes, alone = _only(fleet.columns.nodes, row), _wish_at(wish, row)
    found = terms(nodes, alone, 1)
    values = {name: round(float(getattr(found, name)[0]), 4) for name in found._fields}
    values["kept"] = round(float(fleet.columns.bonus[row]), 4)  # full, see packing.py; -3: it is empty
    if len(wish.bonus):
        values["rules"] = round(float(wish.bonus[row]), 4)
    return Standing(node=fleet.ids[row], score=round(score, 4), terms=values)


def _only(nodes: Nodes, row: int) -> Nodes:
    fields: dict[str, Any] = {f: getattr(nodes, f)[row : row + 1] for f in nodes._fields if f != "pools"}
    return nodes._replace(**fields, pools=nodes.pools[:, row : row + 1])


def _wish_at(wish: Wish, row: int) -> Wish:
    return wish._replace(special=wish.special[row : row + 1], bonus=wish.bonus[row : row + 1])


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
