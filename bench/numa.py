"""NUMA: real requests with cells, groups and failure domains, on partly used hosts, until they are placed or refused.

What it does   huawei-topology: 1,710 hosts of two cells each with what is free there, in their racks; sequences of
               requests, each on fresh hosts, one request after the other. Through the scheduler's own rules and search
               (scheduler/rules.py, flavours.py), with the bonus of scheduler/cells.py. Afterwards the placements are
               checked by themselves, from the files alone. Then the sequence goes on from its start, until a request
               without rules is refused: what share of the cores is then stranded, with ours and with best-fit.
Rules          numa 1: all in one cell; 2: half in each of two cells. affinity: the group is in one rack (most groups
               are larger than any host). anti-affinity: no two of the group on one host. fault_domain: what is in
               different domains of a group is in different racks.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from bench.datasets import data_set
from bench.machine import machine
from corral.cli.parts.traces import read_table
from corral.model.ids import NodeId, VmId
from corral.model.policy import SchedulingPolicySpec
from corral.scheduler.cells import Choice, Costs, Demand, Kind
from corral.scheduler.claims import CellShare, Claim
from corral.scheduler.columns import OPEN, SITE
from corral.scheduler.dimensions import CELL_CPU, CELL_MEMORY, MEMORY, Floats
from corral.scheduler.flavours import Flavours, warm
from corral.scheduler.fleet import Fleet
from corral.scheduler.homes import Homes
from corral.scheduler.placement import Ask
from corral.scheduler.replay import PEERS
from corral.scheduler.rules import NODE, RACK, Rule
from corral.scheduler.special import specials
from corral.scheduler.wishes import Codes, Reasons

BY_BONUS: Final[SchedulingPolicySpec] = PEERS[
    "first-fit"
]  # without weights of its own: the bonus alone decides


class Hosts(NamedTuple):
    free: Floats  # (hosts, 2 cells, 2) cores, GB
    racks: Sequence[str]


class Request(NamedTuple):
    cpus: float
    memory: float
    cells: int
    strategy: str
    group: str
    domain: str


class Placed(NamedTuple):
    host: int
    cells: tuple[int, ...]


def read_hosts(folder: Path) -> Hosts:
    table = read_table(next(folder.glob("PM_res.csv*")))
    racks = read_table(next(folder.glob("topology_provider.csv*")))["rack_id"]
    free = np.array([table[c] for c in ("CPU1", "RAM1", "CPU2", "RAM2")], dtype=float).T.reshape(-1, 2, 2)
    return Hosts(free, racks[: len(free)])


def read_requests(file: Path) -> list[Request]:
    table = read_table(file)
    columns = ("flavor_vcpus", "flavor_ram", "numa", "strategy", "group", "domain")
    return [
        Request(float(c), float(m), int(float(n)), strategy.strip(), group, domain)
        for c, m, n, strategy, group, domain in zip(*(table[c] for c in columns), strict=True)
    ]


class Cluster:
    """Hosts as a fleet, and where each group is."""

    def __init__(self, hosts: Hosts, best_fit: bool = False) -> None:
        self.hosts, self.best_fit = hosts, best_fit
        self.fleet, self.demand = Fleet(), Demand()
        self.fleet.columns.have_cells(2)
        for host, (free, rack) in enumerate(zip(hosts.free, hosts.racks, strict=True)):
            self._add(host, free, rack)
        self.fleet.flavours = Flavours(self.fleet)
        self.groups: dict[tuple[str, str], dict[str, list[VmId]]] = defaultdict(lambda: defaultdict(list))
        self.homes = Homes(np.unique(np.array(hosts.racks), return_inverse=True)[1])
        self.left = hosts.free.copy()
        self.costs = Costs(self.left, self.demand)
        self.requests: list[Request] = []
        self.placed: list[Placed | None] = []  # where each of them is
        self.moves = 0

    def _add(self, host: int, free: Floats, rack: str) -> None:
        fleet, id = self.fleet, NodeId(f"host-{host}")
        row = fleet.columns.add_row()
        fleet.ids.append(id)
        fleet.row[id] = row
        fleet.columns.marks[row, SITE] = fleet.sites.number([f"rack:{rack}"])
        fleet.columns.capacity[row, MEMORY] = free[:, 1].sum()
        fleet.columns.cells_capacity[row, :2, CELL_CPU] = free[:, 0]
        fleet.columns.cells_capacity[row, :2, CELL_MEMORY] = free[:, 1]
        fleet.columns.state[row] = OPEN

    def place(self, request: Request) -> Placed | None:
        """One more request; a rack in which a group has to stay makes room by moving VMs that may leave it."""
        number = len(self.requests)
        kind = Kind(request.cpus, request.memory, request.cells)
        self.requests.append(request)
        self.demand.see(kind)
        self.placed.append(self._search(number, request, kind))
        stuck = self.placed[number] is None and request.strategy == "affinity" and not self.best_fit
        if stuck and self._make_room(request, kind):
            self.placed[number] = self._search(number, request, kind)
        at = self.placed[number]
        if at is None:
            return None
        self._claim(number, at, kind)
        self._note(number, kind)
        if request.strategy:
            self.groups[request.strategy, request.group][request.domain].append(VmId(f"vm-{number}"))
        return at

    def _search(
        self, number: int, request: Request, kind: Kind, without: frozenset[NodeId] = frozenset()
    ) -> Placed | None:
        """Where it may go and costs least."""
        choice = self._best_fit(kind) if self.best_fit else self.costs.of(kind)
        ask = Ask(
            vm=VmId(f"vm-{number}"),
            cpus=int(request.cpus),
            memory_bytes=int(request.memory),
            dedicated=True,
            cells=request.cells,
            policy=BY_BONUS,
            rules=self._rules(request),
            without=without,
        )
        bonus = np.where(np.isfinite(choice.cost), -choice.cost, -1e9)
        if not self.best_fit:
            grows = request.strategy == "affinity"
            bonus = bonus + self.homes.bonus(self.left, kind, self._tie(request), grows=grows)

        def with_costs(reasons: Reasons) -> tuple[Codes, Floats]:
            return specials(self.fleet, ask, reasons)[0], bonus

        assert self.fleet.flavours
        row = self.fleet.flavours.search(ask, with_costs).row
        return Placed(row, tuple(choice.cells[row].tolist())) if row >= 0 else None

    def _make_room(self, request: Request, kind: Kind) -> bool:
        """Move VMs that may leave the rack off the host of the group's rack where the fewest have to go."""
        home = self.homes.at.get(("affinity", request.group, request.domain))
        if not home:
            return False
        hosts = np.flatnonzero(np.isin(self.homes.domains, sorted(home))).tolist()
        ways = [way for host in hosts if (way := self._way(host, kind)) is not None]
        rack = frozenset(self.fleet.ids[host] for host in hosts)
        for number in min(ways, key=len, default=[]):
            moved = self.requests[number]
            moved_kind = Kind(moved.cpus, moved.memory, moved.cells)
            target = self._search(number, moved, moved_kind, without=rack)
            if target is None:
                return False
            self._release(number, moved_kind)
            self._claim(number, target, moved_kind)
            self.placed[number] = target
            self._note(number, moved_kind)
            self.moves += 1
        return bool(ways)

    def _way(self, host: int, kind: Kind) -> list[int] | None:
        """VMs that may leave the rack, large ones first, that make room for the kind when they go; None: not even all."""
        free, gone = self.left[host].copy(), []
        here = [
            number
            for number, at in enumerate(self.placed)
            if at is not None and at.host == host and self.requests[number].strategy != "affinity"
        ]
        for number in sorted(here, key=lambda n: (-self.requests[n].cpus, n)):
            if (free >= kind.part).all(axis=1).sum() >= kind.cells:
                break
            moved, at = self.requests[number], self.placed[number]
            assert at is not None
            free[list(at.cells)] += Kind(moved.cpus, moved.memory, moved.cells).part
            gone.append(number)
        return gone if (free >= kind.part).all(axis=1).sum() >= kind.cells else None

    def _note(self, number: int, kind: Kind) -> None:
        """Its group is at home there."""
        request, at = self.requests[number], self.placed[number]
        tie = self._tie(request)
        if tie is not None and at is not None:
            self.homes.see(tie, at.host, kind, grows=request.strategy == "affinity")

    def _tie(self, request: Request) -> tuple[str, ...] | None:
        """What it shares racks with."""
        tied = request.strategy in ("affinity", "fault_domain")
        return (request.strategy, request.group, request.domain) if tied else None

    def _best_fit(self, kind: Kind) -> Choice:
        """The host that has the least cores left; of its cells, the fullest that fit."""
        free = self.left
        fits = (free >= kind.part).all(axis=2)
        by_room = np.argsort(np.where(fits, free[:, :, 0], np.inf), axis=1, kind="stable")[:, : kind.cells]
        enough = fits.sum(axis=1) >= kind.cells
        return Choice(np.where(enough, free[:, :, 0].sum(axis=1), np.inf), by_room)

    def _rules(self, request: Request) -> tuple[Rule, ...]:
        group = self.groups[request.strategy, request.group]
        everyone = frozenset(vm for vms in group.values() for vm in vms)
        match request.strategy:
            case "affinity":
                return (Rule(name="affinity", apart=False, domain=RACK, vms=everyone),)
            case "anti-affinity":
                return (Rule(name="anti-affinity", apart=True, domain=NODE, vms=everyone),)
            case "fault_domain":
                others = everyone - frozenset(group[request.domain])
                return (Rule(name="fault domains", apart=True, domain=RACK, vms=others),)
        return ()

    def _claim(self, number: int, at: Placed, kind: Kind) -> None:
        shares = tuple(
            CellShare(cell, frozenset(self._cores(at.host, cell, int(kind.part[0]))), int(kind.part[1]))
            for cell in at.cells
        )
        self.left[at.host, list(at.cells)] -= kind.part
        self.costs.touch(at.host)
        claim = Claim(self.fleet.ids[at.host], 0, int(kind.memory), cells=shares)
        self.fleet.claim(VmId(f"vm-{number}"), (claim,))

    def _release(self, number: int, kind: Kind) -> None:
        at = self.placed[number]
        assert at is not None
        self.left[at.host, list(at.cells)] += kind.part
        self.costs.touch(at.host)
        self.fleet.claim(VmId(f"vm-{number}"), ())

    def _cores(self, row: int, cell: int, count: int) -> list[int]:
        """Numbers of cores: the cell's next ones."""
        used = int(self.fleet.columns.cells_claimed[row, cell, CELL_CPU])
        return [1000 * cell + used + n for n in range(count)]

    def stranded(self, usual: Kind) -> float:
        """Share of all cores that are free where not even the most frequent kind of VM fits."""
        free = self.left
        fits = (free >= usual.part).all(axis=2)
        lost = np.where(fits, 0.0, free[:, :, 0])
        return float(lost.sum() / self.hosts.free[:, :, 0].sum())


def violations(hosts: Hosts, requests: Sequence[Request], placed: Sequence[Placed | None]) -> int:
    """Rules broken, counted from the files and the outcome alone."""
    used, broken = np.zeros_like(hosts.free), 0
    hosts_of: dict[tuple[str, str], list[int]] = defaultdict(list)
    domains_in: dict[tuple[str, str], set[str]] = defaultdict(set)
    for request, at in zip(requests, placed, strict=True):
        if at is None:
            continue
        broken += len(set(at.cells)) != request.cells
        for cell in at.cells:
            used[at.host, cell] += (request.cpus / request.cells, request.memory / request.cells)
        if request.strategy:
            hosts_of[request.strategy, request.group].append(at.host)
        if request.strategy == "fault_domain":
            domains_in[request.group, hosts.racks[at.host]].add(request.domain)
    broken += int((used > hosts.free).any(axis=2).sum())
    for (strategy, _), members in hosts_of.items():
        if strategy == "affinity":
            broken += len({hosts.racks[host] for host in members}) - 1
        elif strategy == "anti-affinity":
            broken += len(members) - len(set(members))
    return broken + sum(len(domains) - 1 for domains in domains_in.values())


def synthetic(seed: int) -> tuple[Hosts, dict[str, list[Request]]]:
    chance = np.random.default_rng(seed)
    sizes = np.array([(60, 202), (40, 120), (32, 64), (24, 16), (48, 32), (96, 64)], dtype=float)
    free = sizes[chance.choice(6, (300, 2))] * chance.choice([0.5, 0.75, 1.0], (300, 2, 1))
    flavours = ((4, 8, 1), (2, 4, 1), (8, 32, 1), (16, 64, 1), (32, 64, 2), (32, 128, 2))
    requests = []
    for number in range(700):
        cpus, memory, cells = flavours[int(chance.choice(6, p=(0.25, 0.25, 0.15, 0.1, 0.2, 0.05)))]
        strategy = str(
            chance.choice(["", "affinity", "anti-affinity", "fault_domain"], p=(0.55, 0.1, 0.15, 0.2))
        )
        group = str(number // 40) if strategy else ""
        domain = str(chance.integers(3)) if strategy == "fault_domain" else ""
        requests.append(Request(cpus, memory, cells, strategy, group, domain))
    return Hosts(np.floor(free), [str(host // 15) for host in range(300)]), {"synthetic": requests}


def fill(cluster: Cluster, requests: Sequence[Request]) -> tuple[int, float]:
    """Go on with the sequence until one without rules is refused: how many more, and the share of stranded cores."""
    usual = max(cluster.demand.seen, key=lambda kind: (cluster.demand.seen[kind], kind))
    free_of_rules = [r for r in requests if not r.strategy]
    more = 0
    while cluster.place(free_of_rules[more % len(free_of_rules)]) is not None:
        more += 1
    return more, cluster.stranded(usual)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=numa")
    parser.add_argument("--fill", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    print(machine())
    warm()
    folder = data_set("huawei-topology", "PM_res.csv*", "topology_provider.csv*", "VM_data_*.csv*")
    if folder:
        hosts = read_hosts(folder)
        sequences = {f.name.split(".")[0]: read_requests(f) for f in sorted(folder.glob("VM_data_*.csv*"))}
    else:
        hosts, sequences = synthetic(1)
    total = {"vms": 0, "placed": 0, "violations": 0, "cross_cell": 0}
    for name, requests in sequences.items():
        cluster = Cluster(hosts)
        for request in requests:
            cluster.place(request)
        placed = list(cluster.placed)
        found = {
            "vms": len(requests),
            "placed": sum(at is not None for at in placed),
            "violations": violations(hosts, requests, placed),
            "cross_cell": sum(
                at is not None and len(at.cells) > request.cells
                for at, request in zip(placed, requests, strict=True)
            ),
        }
        print(f"{name}: {json.dumps(found)}; {cluster.moves} VMs moved to make room")
        for key, value in found.items():
            total[key] += value
        if given.fill:
            peer = Cluster(hosts, best_fit=True)
            for request in requests:
                peer.place(request)
            for who, filled in (("ours", cluster), ("best-fit", peer)):
                more, stranded = fill(filled, requests)
                used = 1 - filled.left[:, :, 0].sum() / hosts.free[:, :, 0].sum()
                print(
                    f"{name}, filled up, {who}: {more} more, {used:.1%} of cores used, {stranded:.1%} stranded"
                )
    print(json.dumps(total))


if __name__ == "__main__":
    main()
