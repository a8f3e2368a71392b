"""Rules: which VMs are to be together or apart, and rules that contradict each other.

In this room   Rule; allowed(), the rows that a rule leaves; contradiction(), the smallest set that leaves none
Comes in       a fleet, rules as the controller resolved them from PlacementGroups
Goes out       masks over rows
Always true    a node that lacks the label of a domain is a domain of its own
Next door      special.py turns masks into codes; model/group.py is what users write
Start here     allowed()
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from corral.model.ids import NodeId, VmId
from corral.scheduler.columns import SITE
from corral.scheduler.dimensions import Bools
from corral.scheduler.fleet import Fleet

NODE: Final = "node"
RACK: Final = "rack"


class Rule(Struct, frozen=True, kw_only=True):
    """Of a VM towards others."""

    name: str  # of what it comes from, for people
    apart: bool  # False: together
    domain: str = NODE  # what they share, or not: node, rack, or the key of a label
    vms: frozenset[VmId] = frozenset()  # the others
    sites: tuple[str, ...] = ()  # or: labels of nodes, key=value …
    nodes: frozenset[NodeId] = frozenset()  # … and nodes by themselves
    required: bool = True
    weight: float = 0.0  # where it is not required: what the score gains by keeping it

    @property
    def reason(self) -> str:
        if self.sites:
            return f"{self.name}: {'not with' if self.apart else 'only with'} {'|'.join(self.sites)}"
        where = "on it" if self.domain == NODE else f"in its {self.domain}"
        return f"{self.name}: {'a VM to be apart from is' if self.apart else 'the VMs to be with are not'} {where}"


def domains(fleet: Fleet, domain: str) -> NDArray[np.int64]:
    """The number of each row's domain; a node without one has a negative number of its own. (nodes,)"""
    rows = np.arange(fleet.size)
    if domain == NODE:
        return rows
    found = _by_site(fleet, domain)[fleet.columns.marks[: fleet.size, SITE]]
    return np.where(found < 0, -1 - rows, found)


def _by_site(fleet: Fleet, domain: str) -> NDArray[np.int64]:
    """The number of the domain of each set of labels; -1: none. Kept until there are more sets."""
    known = fleet.site_domains.get(domain)
    if known is not None and len(known) >= len(fleet.sites.sets):
        return known
    numbers: dict[str, int] = {}
    by_site = np.full(max(1, len(fleet.sites.sets)), -1)
    start = "rack:" if domain == RACK else f"{domain}="
    for site, words in enumerate(fleet.sites.sets):
        value = next((word for word in words if word.startswith(start) and word != "rack:"), None)
        if value is not None:
            by_site[site] = numbers.setdefault(value, len(numbers))
    fleet.site_domains[domain] = by_site
    return by_site


def allowed(fleet: Fleet, rule: Rule) -> Bools:
    """Rows on which the rule holds. All, where none of the others is anywhere. (nodes,)"""
    if rule.sites:
        return _at_sites(fleet, rule)
    rows = [fleet.row[c.node] for vm in rule.vms for c in fleet.claims.get(vm, ()) if c.node in fleet.row]
    if not rows:
        return np.ones(fleet.size, dtype=bool)
    there = np.zeros(fleet.size, dtype=bool)
    if rule.domain != NODE:
        found = _by_site(fleet, rule.domain)[fleet.columns.marks[: fleet.size, SITE]]
        taken = np.zeros(len(fleet.sites.sets) + 1, dtype=bool)  # by number of the domain; the last: by none
        taken[found[rows]] = True
        taken[-1] = False
        there = taken[found]
    there[rows] = True
    return ~there if rule.apart else there


def _at_sites(fleet: Fleet, rule: Rule) -> Bools:
    words = frozenset(f"rack:{w.removeprefix('rack=')}" if w.startswith("rack=") else w for w in rule.sites)
    by_site = np.array([bool(site & words) for site in fleet.sites.sets] or [False])
    there: Bools = by_site[fleet.columns.marks[: fleet.size, SITE]]
    there[[fleet.row[n] for n in sorted(rule.nodes) if n in fleet.row]] = True
    return ~there if rule.apart else there


def contradiction(masks: Mapping[str, Bools]) -> tuple[str, ...]:
    """The smallest set of rules (the first, of several) that no row can keep together; empty: there is none."""
    names = list(masks)
    if not names or np.logical_and.reduce([masks[n] for n in names]).any():
        return ()
    for count in range(1, 4):
        for some in combinations(names, count):
            if not np.logical_and.reduce([masks[n] for n in some]).any():
                return some
    kept = names
    for name in names:  # more than three: leave out what is not needed for it
        fewer = [n for n in kept if n != name]
        if not np.logical_and.reduce([masks[n] for n in fewer]).any():
            kept = fewer
    return tuple(kept)
