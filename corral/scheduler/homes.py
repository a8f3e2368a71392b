"""Homes: failure domains that groups are tied to, and the room that is kept for groups that grow.

In this room   Homes: where each group is, how much it may still grow, what that is worth to a VM without ties
Comes in       placements as they happen; free room by node
Goes out       a bonus for each node, beside the costs of cells.py
Always true    rules are not kept here (rules.py does): this only makes it likely that they can be kept later
Next door      cells.py counts slots; rules.py says which nodes are allowed at all
Start here     Homes.bonus()

A group that has to be in one rack gets more members later, when its rack may have been filled by VMs that could be
anywhere. So a group begins in the rack with most room that is not promised to other groups, and while a group is
smaller than the largest that was seen, VMs without ties keep off its rack as long as there is room elsewhere.
"""

from collections.abc import Hashable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from corral.scheduler.cells import CPU, Kind, slots
from corral.scheduler.dimensions import Floats

AT_HOME: Final = 1e6  # a group stays where it is
BEGIN: Final = 1e5  # and begins where most room is
TOGETHER: Final = 10.0  # others fill domain after domain
PROMISED: Final = 1e4  # VMs without ties keep off promised room
CLOSE: Final = 0.25  # share of a domain's room from which on what is promised counts
GROUP_MIN: Final = 16  # members that are expected of a group before any was seen to be larger


class Homes:
    """Of groups that are tied to a domain."""

    def __init__(self, domains: NDArray[np.int64]) -> None:
        """domains: (nodes,) the number of each node's rack"""
        self.domains = domains
        self.count = int(domains.max(initial=-1)) + 1
        self.at: dict[Hashable, set[int]] = {}
        self.members: dict[Hashable, int] = {}
        self.kind: dict[Hashable, Kind] = {}  # of its last member
        self.most: Floats | None = None
        self.largest = GROUP_MIN

    def bonus(self, free: Floats, kind: Kind, group: Hashable | None, *, grows: bool = False) -> Floats:
        """For a VM of the group, or of none. (nodes,)"""
        promised = self._promised()
        home = self.at.get(group) if group is not None else None
        if home and grows:
            return np.where(np.isin(self.domains, sorted(home)), AT_HOME, 0.0)
        kept = self._kept(free, promised)
        together = kept + TOGETHER * self._used(free)
        if group is None:
            return together
        if grows:
            return self._begin(free, kind, promised)
        at_home = np.isin(self.domains, sorted(home or ()))
        return np.where(at_home, AT_HOME, 0.0) + together

    def _used(self, free: Floats) -> Floats:
        """Share of the CPUs of a node's domain that are used, since this began. (nodes,)"""
        left = np.bincount(self.domains, weights=free[:, :, CPU].sum(axis=1), minlength=self.count)
        if self.most is None:
            self.most = np.maximum(left, 1e-9)
        used: Floats = (1 - left / self.most)[self.domains]
        return used

    def _kept(self, free: Floats, promised: dict[Kind, Floats]) -> Floats:
        """Minus how much of a node's domain is promised, where that is close to all of its room."""
        share = np.zeros(self.count)
        for kind, vms in promised.items():
            room = np.bincount(self.domains, weights=slots(free, kind), minlength=self.count)
            share = np.maximum(share, vms / np.maximum(room, 1.0))
        return np.where(share > CLOSE, -PROMISED * np.minimum(share, 2.0), 0.0)[self.domains]

    def _begin(self, free: Floats, kind: Kind, promised: dict[Kind, Floats]) -> Floats:
        room = np.bincount(self.domains, weights=slots(free, kind), minlength=self.count).astype(np.float64)
        room *= kind.cpus
        for of_kind, vms in promised.items():
            room -= vms * of_kind.cpus
        best = max(float(np.abs(room).max(initial=0.0)), 1e-9)
        bonus: Floats = (BEGIN / best) * room[self.domains]
        return bonus

    def _promised(self) -> dict[Kind, Floats]:
        """VMs of each kind that groups may still bring to each domain."""
        promised: dict[Kind, Floats] = {}
        for group, home in self.at.items():
            more = self.largest - self.members[group]
            if more > 0 and len(home) == 1:
                vms = promised.setdefault(self.kind[group], np.zeros(self.count))
                vms[next(iter(home))] += more
        return promised

    def see(self, group: Hashable, node: int, kind: Kind, *, grows: bool) -> None:
        """A member of the group was placed. grows: it has to stay in this one domain, so room is kept for more."""
        home = self.at.setdefault(group, set())
        home.add(int(self.domains[node]))
        self.kind[group] = kind
        self.members[group] = self.members.get(group, 0) + 1 if grows else self.largest
        if grows:
            self.largest = max(self.largest, self.members[group])
