"""Htools: Ganeti's text files, read and written, and its cluster score as terms of ours.

In this room   Cluster; read() and write() of the `|`-separated format; problem_of(), one group as a Problem
Comes in       files for `hbal -t` (`man htools` has the columns; sizes in MiB)
Goes out       Problem: the weights and shares of hbal's score, so that our total is the figure that `hbal -l 0` prints
Always true    only what the planner can express is taken: VMs on storage that all nodes of the group see ("ext", "rbd",
               "sharedfile", …). With DRBD a second node counts, which no VM of ours has: such files are refused.
Next door      rebalance.py compares; scheduler/rebalance/ plans
Start here     problem_of()
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from msgspec import Struct

from corral.scheduler.rebalance.problem import Problem, Rule

SHARED = ("ext", "rbd", "sharedfile", "gluster", "blockdev", "diskless")
OFFLINE = 20.0  # a VM on an offline node costs so much: 4 for being there, 16 for running there
CONFLICT = 2.0  # two VMs with the same exclusion tag on one node
VCPU_RATIO = 4.0  # where no policy says another
LOADS = 4  # CPU, memory, disk and network load; 1 each where nobody measured
FIELDS = 15


class GNode(Struct, kw_only=True):
    """A node line."""

    name: str
    memory: float
    own: float  # memory that the node itself uses
    free: float
    disk: float
    disk_free: float
    cpus: float
    role: str
    group: str
    tags: tuple[str, ...] = ()
    own_cpus: float = 0.0
    speed: float = 1.0

    @property
    def offline(self) -> bool:
        return self.role == "Y"


class GVm(Struct, kw_only=True):
    """An instance line."""

    name: str
    memory: int
    disk: int
    cpus: int
    status: str = "running"
    balanced: bool = True
    node: str
    secondary: str = ""
    storage: str = "ext"
    tags: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it uses memory and CPU, by its status."""
        return self.status not in ("ADMIN_down", "ADMIN_offline")


class Cluster(Struct, kw_only=True):
    """A file: what is not looked at stays as it was."""

    groups: list[str]  # lines
    nodes: list[GNode]
    vms: list[GVm]
    tags: list[str]
    policies: list[str]  # lines

    def of(self, group: str) -> tuple[list[int], list[int]]:
        """Rows of the group's nodes and VMs."""
        nodes = [i for i, n in enumerate(self.nodes) if n.group == group]
        names = {self.nodes[i].name for i in nodes}
        return nodes, [i for i, v in enumerate(self.vms) if v.node in names]


def only(cluster: Cluster, group: str) -> Cluster:
    """One group as a cluster of its own."""
    nodes, vms = cluster.of(group)
    return Cluster(
        groups=[line for line in cluster.groups if line.split("|")[1] == group],
        nodes=[cluster.nodes[i] for i in nodes],
        vms=[cluster.vms[i] for i in vms],
        tags=cluster.tags,
        policies=cluster.policies[:1],
    )


def read(path: Path) -> Cluster:
    sections = [part.split("\n") for part in path.read_text().rstrip("\n").split("\n\n")]
    groups, nodes, vms, *rest = [[line for line in s if line] for s in _sections(sections)]
    tags, policies = [*rest, [], []][:2]
    return Cluster(
        groups=groups,
        nodes=[_node(line.split("|")) for line in nodes],
        vms=[_vm(line.split("|")) for line in vms],
        tags=tags,
        policies=policies,
    )


def _sections(parts: list[list[str]]) -> Iterator[list[str]]:
    """An empty section shows as a part that begins with an empty line."""
    for part in parts:
        while len(part) > 1 and part[0] == "":
            yield []
            part = part[1:]
        yield part


def _node(f: list[str]) -> GNode:
    f = f + [""] * (FIELDS - len(f))
    lacking = any(x == "?" for x in f[1:7])
    memory, own, free, disk, disk_free, cpus = (0.0 if x == "?" else float(x) for x in f[1:7])
    return GNode(
        name=f[0],
        memory=memory,
        own=own,
        free=free,
        disk=disk,
        disk_free=disk_free,
        cpus=cpus,
        role="Y" if lacking else f[7],
        group=f[8],
        tags=tuple(t for t in f[10].split(",") if t),
        own_cpus=float(f[13] or 1.0),
        speed=float(f[14] or 1.0),
    )


def _vm(f: list[str]) -> GVm:
    return GVm(
        name=f[0],
        memory=int(f[1]),
        disk=int(f[2]),
        cpus=int(f[3]),
        status=f[4],
        balanced=f[5] == "Y",
        node=f[6],
        secondary=f[7],
        storage=f[8],
        tags=tuple(t for t in f[9].split(",") if t) if len(f) > 9 else (),
    )


def write(cluster: Cluster, path: Path) -> None:
    """For `hbal -t`; what nodes have free is counted anew, so that it agrees with the VMs."""
    memory, runs = dict.fromkeys((n.name for n in cluster.nodes), 0), [v for v in cluster.vms if v.runs]
    for vm in runs:
        memory[vm.node] += vm.memory
    nodes = [
        f"{n.name}|{n.memory:.0f}|{n.own:.0f}|{n.memory - n.own - memory[n.name]:.0f}|{n.disk:.0f}|{n.disk_free:.0f}"
        f"|{n.cpus:.0f}|{n.role}|{n.group}|1|{','.join(n.tags)}|N|0|{n.own_cpus:.0f}|{n.speed:g}"
        for n in cluster.nodes
    ]
    vms = [
        f"{v.name}|{v.memory}|{v.disk}|{v.cpus}|{v.status}|{'Y' if v.balanced else 'N'}|{v.node}|{v.secondary}"
        f"|{v.storage}|{','.join(v.tags)}|1|-"
        for v in cluster.vms
    ]
    sections = (cluster.groups, nodes, vms, cluster.tags, cluster.policies)
    path.write_text("\n".join("".join(f"{line}\n" for line in section) for section in sections))


def problem_of(
    cluster: Cluster, group: str, *, loads: Mapping[str, tuple[float, ...]] | None = None, spare: bool = False
) -> Problem:
    """The group with its score as hbal counts it, and with the limits that hbal keeps.

    loads    of VMs by name, as in the file for `hbal -U`; None: 1 each, which is what hbal assumes

    source   Ganeti 3.0, src/Ganeti/HTools: Cluster/MetricsComponents.hs has the terms and weights (each of memory, disk
             and vCPUs counts twice with 0.5: with and without VMs that are still to come), Node.hs the limits
    """
    rows, mine = cluster.of(group)
    nodes, vms = [cluster.nodes[i] for i in rows], [cluster.vms[i] for i in mine]
    if odd := {v.storage for v in vms} - {*SHARED}:
        raise ValueError(
            f"VMs on {', '.join(sorted(odd))} have local disks or a second node, which count in hbal's score"
        )
    row = {n.name: i for i, n in enumerate(nodes)}
    at = np.array([row[v.node] for v in vms], dtype=np.int64)
    runs = np.array([v.runs for v in vms], dtype=np.float64)
    cpus, memory = (np.array([getattr(v, f) for v in vms], dtype=np.float64) for f in ("cpus", "memory"))
    total, own, free, disk, disk_free, pcpus, own_cpus, speed = (
        np.array([getattr(n, f) for n in nodes], dtype=np.float64)
        for f in ("memory", "own", "free", "disk", "disk_free", "cpus", "own_cpus", "speed")
    )
    lost = np.array([n.offline for n in nodes], dtype=np.bool_)
    record = total - own - np.bincount(at, memory * runs, len(nodes))
    unaccounted = record - free
    taken = own + np.maximum(unaccounted, 0.0)  # as hbal counts: what is used beyond the records stays used
    seen = own + unaccounted
    with np.errstate(divide="ignore"):
        by_memory, by_cpu = 1 / np.maximum(total, 1.0), 1 / np.maximum(pcpus * speed, 1e-9)
        disk_used = np.where(disk > 0, 1 - disk_free / np.maximum(disk, 1.0), 0.0)
    ones, none = np.ones(len(nodes)), np.zeros(len(nodes))
    measured = [np.array([loads[v.name][k] for v in vms]) for k in range(LOADS)] if loads else []
    load_terms = [(1.0, load, ones, none) for load in measured] or [
        (float(LOADS), np.ones(len(vms)), ones, none)
    ]
    terms = [  # weight, what a VM brings, scale, offset
        (0.5, memory * runs, by_memory, taken),
        (0.5, memory * runs, by_memory, seen),
        (1.0, cpus * runs, by_cpu, own_cpus),
        *load_terms,
        (1.0, np.zeros(len(vms)), ones, disk_used),
    ]
    if (taken == seen).all():
        terms[:2] = [(1.0, memory * runs, by_memory, taken)]
    ratio = _vcpu_ratio(cluster, group)
    return Problem(
        capacity=np.column_stack([np.maximum(total - 1, 0), np.maximum(pcpus * ratio, own_cpus)]),
        base=np.column_stack([taken, own_cpus]),
        claims=np.column_stack([memory * runs, cpus * runs]),
        node=at,
        amounts=np.column_stack([t[1] for t in terms]),
        scale=np.column_stack([t[2] for t in terms]),
        offset=np.maximum(np.column_stack([t[3] for t in terms]), 0.0),
        weight=np.array([t[0] for t in terms]),
        takes_vms=~lost,
        counts=~lost,
        leaving=lost,
        movable=np.array([v.balanced for v in vms], dtype=np.bool_),
        kind=np.zeros(len(vms), dtype=np.int64),
        fits=np.ones((1, len(nodes)), dtype=np.bool_),
        group=np.zeros(len(nodes), dtype=np.int64),
        failure_domain=np.arange(len(nodes)),
        spare=spare,
        seconds=np.maximum(memory / 1024, 1.0),
        bytes=memory * 2**20,
        rules=_rules(cluster, vms, len(nodes)),
    )


def _vcpu_ratio(cluster: Cluster, group: str) -> float:
    name = next((g.split("|")[0] for g in cluster.groups if g.split("|")[1] == group), "")
    ratios = {p.split("|")[0]: float(p.split("|")[-2]) for p in cluster.policies}
    return ratios.get(name, ratios.get("", VCPU_RATIO))


def _rules(cluster: Cluster, vms: list[GVm], nodes: int) -> list[Rule]:
    """VMs that share an exclusion tag are to be on different nodes."""
    prefixes = tuple(t.removeprefix("htools:iextags:") + ":" for t in cluster.tags if "iextags" in t)
    alike: dict[str, list[int]] = {}
    for i, vm in enumerate(vms):
        for tag in vm.tags:
            if prefixes and tag.startswith(prefixes):
                alike.setdefault(tag, []).append(i)
    return [
        Rule(vms=tuple(rows), domain=np.arange(nodes), worth=CONFLICT)
        for rows in alike.values()
        if len(rows) > 1
    ]
