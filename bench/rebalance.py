"""Rebalance: fewer moves to a better balance than Ganeti's hbal, at every step without overfilling a node.

What it does   makes unbalanced fleets (fleets.py), writes them as htools text files, and lets hbal and our planner work on
               each. After as many moves, both results are written as files again, and hbal itself says how good they are
               (`hbal -l 0`). Every step of ours is checked by other code than the planner's: capacity, vCPU ratio, and
               that the loss of any one node can be absorbed by the others of its group (N+1)
Peer           hbal of Debian's ganeti-htools. The VMs are on storage that all nodes see ("ext"): that is how Corral
               migrates. VMs have a measured load each (`hbal -U`), since without one hbal's score counts little but the
               number of VMs on a node; the figures for that are printed as well
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench import htools
from bench.fleets import Loads, fleet
from bench.htools import Cluster
from bench.machine import machine
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus
from corral.model.units import MiB
from corral.scheduler.claims import Claim
from corral.scheduler.fleet import Fleet
from corral.scheduler.placement import Ask, place, why_not
from corral.scheduler.rebalance.plan import plan_moves
from corral.scheduler.rebalance.planned import MovePlan
from corral.scheduler.rebalance.problem import Problem
from corral.scheduler.rebalance.wanted import Goal, Limits

STEP = re.compile(r"^\s*\d+\. (\S+) +(\S+) +=> (\S+) +([\d.]+)")
SCORE = re.compile(r"Initial score: ([\d.]+)")
TO_ITS_END = 1e-6  # gain of a move that is worth making where hbal may go on too
PLANNED = 5  # times
REFUSED = 15
DRAINED = 15  # nodes, one after the other
Moves = Sequence[tuple[str, str]]  # names of a VM and of the node it goes to


class Ran(Struct, frozen=True, kw_only=True):
    """What hbal did."""

    moves: Moves
    seconds: float
    score: float  # that it says it ends with


class Files:
    """Where fleets are written for hbal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hbal(self, cluster: Cluster, loads: Loads | None, group: str, moves: int | None) -> Ran:
        """Let hbal plan, `moves` at most (None: as long as it finds one)."""
        limit = [] if moves is None else ["-l", str(moves)]
        command = [*self._command(cluster, loads, group), *limit]
        begin = time.perf_counter()
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - begin
        steps = [m for line in text.splitlines() if (m := STEP.match(line))]
        score = float(steps[-1][4]) if steps else float(SCORE.search(text)[1])  # type: ignore[index]
        return Ran(moves=[(m[1], m[3]) for m in steps], seconds=seconds, score=score)

    def judged(self, cluster: Cluster, loads: Loads | None, group: str, moves: Moves) -> float:
        """Hbal's score of the group after these moves."""
        after = moved(cluster, moves)
        command = [*self._command(after, loads, group), "-l", "0"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = SCORE.search(text)
        assert found, text
        return float(found[1])

    def _command(self, cluster: Cluster, loads: Loads | None, group: str) -> list[str]:
        data, load = self.folder / "fleet.data", self.folder / "loads"
        htools.write(cluster, data)
        command = ["hbal", "-t", str(data), "-G", group]
        if loads is None:
            return command
        load.write_text("".join(f"{vm} {' '.join(map(str, of))}\n" for vm, of in loads.items()))
        return [*command, "-U", str(load)]


def moved(cluster: Cluster, moves: Moves) -> Cluster:
    where = {vm.name: vm.node for vm in cluster.vms} | dict(moves)
    return msgspec.structs.replace(
        cluster, vms=[msgspec.structs.replace(vm, node=where[vm.name]) for vm in cluster.vms]
    )


def names_of(cluster: Cluster, plan: MovePlan, vms: Sequence[int], nodes: Sequence[int]) -> Moves:
    return [(cluster.vms[vms[m.vm]].name, cluster.nodes[nodes[m.target]].name) for m in plan.moves]


def ours(cluster: Cluster, loads: Loads | None, group: str, limits: Limits) -> tuple[MovePlan, Moves, float]:
    """Plan, names, seconds; from arrays in memory, as hbal's own figure is without reading its file."""
    nodes, vms = cluster.of(group)
    problem = htools.problem_of(cluster, group, loads=loads, spare=True)
    begin = time.perf_counter()
    plan = plan_moves(problem, Goal.BALANCE, limits)
    seconds = time.perf_counter() - begin
    check_steps(problem, plan)
    return plan, names_of(cluster, plan, vms, nodes), seconds


def check_steps(problem: Problem, plan: MovePlan) -> None:
    """No step overfills a node, not even while a wave runs, and the loss of any one node stays absorbable."""
    node, wave, held = problem.node.copy(), -1, np.zeros_like(problem.capacity)
    used = problem.base.copy()
    np.add.at(used, node, problem.claims)
    absorbed = absorbs(problem, node, used)
    for move in plan.moves:
        if move.wave != wave:
            wave, held = move.wave, np.zeros_like(held)
        claim = problem.claims[move.vm]
        assert (used[move.target] + held[move.target] + claim <= problem.capacity[move.target] + 1e-6).all()
        held[move.source] += claim
        used[move.source] -= claim
        used[move.target] += claim
        node[move.vm] = move.target
        assert not absorbed or absorbs(problem, node, used), f"N+1 is lost by {move}"


def absorbs(problem: Problem, node: np.ndarray, used: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Whether the VMs of each node of the problem find room on the others: the largest first, where most is free."""
    order = np.argsort(-problem.claims[:, 0], kind="stable")
    for lost in range(problem.nodes):
        free = problem.capacity - used
        free[lost] = -1
        for vm in order[node[order] == lost]:
            fits = (free >= problem.claims[vm]).all(axis=1)
            if not fits.any():
                return False
            free[int(np.argmax(np.where(fits, free[:, 0], -1)))] -= problem.claims[vm]
    return True


def small_fleets(files: Files, seeds: Sequence[int], measured: bool) -> float:
    """Moves to hbal's final score, as a share of hbal's: 20 nodes, hbal runs to its end."""
    ratios = []
    for seed in seeds:
        cluster, loads = fleet(1, 20, 27, seed)
        known = loads if measured else None
        theirs = files.hbal(cluster, known, "group0", None)
        goal = files.judged(cluster, known, "group0", theirs.moves)
        plan, names, seconds = ours(cluster, known, "uuid-0", Limits(score=goal))
        score = files.judged(cluster, known, "group0", names)
        print(
            f"20 nodes, seed {seed}, load {'measured' if measured else 'not measured'}: hbal {len(theirs.moves)} moves to "
            f"{goal:.4f} in {theirs.seconds:.1f} s; ours {len(plan.moves)} moves to {score:.4f} in {seconds:.2f} s",
            flush=True,
        )
        ratios.append(len(plan.moves) / len(theirs.moves) if score <= goal + 1e-6 else float("inf"))
    return statistics.median(ratios)


def hundred(files: Files, moves: int) -> tuple[float, float]:
    """Score after as many moves, and how much faster one is: 100 nodes, 2,700 VMs."""
    cluster, loads = fleet(1, 100, 27, 100)
    theirs = files.hbal(cluster, loads, "group0", moves)
    limits = Limits(moves_max=len(theirs.moves), least_gain=TO_ITS_END)
    ours(cluster, loads, "uuid-0", limits)  # compiled code is loaded
    plan, names, seconds = ours(cluster, loads, "uuid-0", limits)
    before = files.judged(cluster, loads, "group0", [])
    scores = [files.judged(cluster, loads, "group0", m) for m in (names, theirs.moves)]
    each = theirs.seconds / len(theirs.moves), seconds / len(plan.moves)
    print(
        f"100 nodes: from {before:.4f} hbal to {scores[1]:.4f} in {len(theirs.moves)} moves of {each[0]:.2f} s; ours to "
        f"{scores[0]:.4f} in {len(plan.moves)} moves of {each[1] * 1000:.1f} ms",
        flush=True,
    )
    assert len(plan.moves) <= len(theirs.moves)
    return scores[0] / scores[1], each[0] / each[1]


def thousand(files: Files, cluster: Cluster, loads: Loads, moves: int, groups: int) -> float:
    """Score after as many moves, mean over groups: 1,000 nodes in groups of 50; hbal plans a group at a time."""
    ratios = []
    for line in cluster.groups[:groups]:
        name, uuid = line.split("|")[:2]
        mine = htools.only(cluster, uuid)
        known = {vm.name: loads[vm.name] for vm in mine.vms}
        theirs = files.hbal(mine, known, name, moves)
        limits = Limits(moves_max=len(theirs.moves), least_gain=TO_ITS_END)
        _, names, _ = ours(mine, known, uuid, limits)
        scores = [files.judged(mine, known, name, m) for m in (names, theirs.moves)]
        ratios.append(scores[0] / scores[1])
    print(f"1,000 nodes: score after {moves} moves a group, ours/hbal: {ratios[0]:.4f} … {ratios[-1]:.4f}")
    return statistics.mean(ratios)


def joined(parts: Sequence[Problem]) -> Problem:
    """Groups as one problem."""
    sizes = [p.nodes for p in parts]
    shift = np.cumsum([0, *sizes])[:-1]
    names = (
        *("capacity", "base", "claims", "amounts", "scale", "offset"),
        *("takes_vms", "counts", "leaving", "movable", "kind", "seconds", "bytes"),
    )
    return msgspec.structs.replace(
        parts[0],
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in names},
        node=np.concatenate([p.node + s for p, s in zip(parts, shift, strict=True)]),
        group=np.repeat(np.arange(len(parts)), sizes),
        failure_domain=np.arange(sum(sizes)),
        fits=np.ones((1, sum(sizes)), dtype=np.bool_),
        rules=(),
    )


def whole_fleet(cluster: Cluster, loads: Loads) -> Mapping[str, float]:
    """Seconds to plan 1,000 nodes to the end, and to plan the drain of one of them."""
    parts = [htools.problem_of(cluster, g.split("|")[1], loads=loads, spare=True) for g in cluster.groups]
    problem = joined(parts)
    plan_moves(problem, Goal.BALANCE, Limits(moves_max=1))
    times = []
    for _ in range(PLANNED):
        begin = time.perf_counter()
        plan = plan_moves(problem, Goal.BALANCE)
        times.append(time.perf_counter() - begin)
    took = statistics.median(times)
    for part, group in zip(parts, range(len(parts)), strict=True):
        rows = problem.group == group
        first, row = int(np.argmax(rows)), int(np.searchsorted(problem.group[problem.node], group))
        mine = [
            msgspec.structs.replace(m, vm=m.vm - row, source=m.source - first, target=m.target - first)
            for m in plan.moves
            if rows[m.target]
        ]
        if group < 2:  # the check is slow, and each group is planned alike
            check_steps(part, msgspec.structs.replace(plan, moves=tuple(mine)))
    print(f"1,000 nodes: {len(plan.moves)} moves from {plan.before:.4f} to {plan.after:.4f} in {took:.2f} s")
    one = msgspec.structs.replace(problem, group=np.zeros(problem.nodes, dtype=np.int64))
    drains = []
    for node in range(DRAINED):
        leaving = np.arange(problem.nodes) == node
        begin = time.perf_counter()
        drain = plan_moves(msgspec.structs.replace(one, leaving=leaving), Goal.DRAIN)
        drains.append(time.perf_counter() - begin)
        assert not drain.behind and drain.emptied == (node,)
    print(f"drain of 1 in 1,000: first {drains[0]:.3f} s, worst of the others {max(drains[1:]):.3f} s")
    return {"plan_s_1000": round(took, 2), "drain_s": round(statistics.median(drains), 3)}


def explained(cluster: Cluster) -> float:
    """Milliseconds until a refusal is explained: 1,000 nodes, VMs that are larger than what is free anywhere."""
    seen = Fleet()
    for node in cluster.nodes:
        inventory = Inventory(cpus=int(node.cpus), memory_bytes=int(node.memory) * MiB)
        spec = NodeSpec(reserve_memory_bytes=0)
        status = NodeStatus(phase=NodePhase.READY, inventory=inventory)
        seen.see_node(Node(id=f"node-{node.name}", name=node.name, spec=spec, status=status))
    for vm in cluster.vms:
        claim = Claim(NodeId(f"node-{vm.node}"), vm.cpus, vm.memory * MiB)
        seen.claim(VmId(f"vm-{vm.name}"), (claim,))
    times = []
    for number in range(REFUSED):
        ask = Ask(vm=VmId(f"vm-new-{number}"), cpus=8, memory_bytes=(255 * 1024 - number) * MiB)
        begin = time.perf_counter()
        decision = place(seen, ask)
        words = why_not(decision, ask, str)
        times.append((time.perf_counter() - begin) * 1000)
        assert decision.node is None and decision.changes and words.message
    print(f"a refusal: {words.message} Or: {'; '.join(decision.changes)}")
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=rebalance")
    parser.add_argument("--moves", type=int, default=5, help="that hbal makes on 100 nodes, 25 s each")
    parser.add_argument("--moves-1000", type=int, default=3, help="in each group of 50")
    parser.add_argument("--groups", type=int, default=20, help="of 1,000 nodes that hbal plans, 3 s a move")
    parser.add_argument("--seeds", type=int, default=3, help="fleets of 20 nodes")
    given = parser.parse_args()
    if shutil.which("hbal") is None:
        parser.exit(1, "hbal is not there to be compared with: apt-get install ganeti-htools\n")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        files, seeds = Files(Path(name)), range(1, given.seeds + 1)
        few = small_fleets(files, seeds, measured=True)
        counted = small_fleets(files, seeds[:1], measured=False)
        score_100, speedup = hundred(files, given.moves)
        cluster, loads = fleet(20, 50, 27, 1000)
        figures = whole_fleet(cluster, loads)
        score_1000 = thousand(files, cluster, loads, given.moves_1000, given.groups)
    print(
        json.dumps(
            {
                "score_ratio_100": round(score_100, 4),
                "moves_ratio_20": round(few, 3),
                "moves_ratio_20_unmeasured": round(counted, 3),
                "speedup_per_move": round(speedup),
                "score_ratio_1000": round(score_1000, 4),
                **figures,
                "explain_ms": round(explained(cluster), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
