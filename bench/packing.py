"""Packing: how dense a fleet of equal nodes stays while real VMs come and go, without and with live migrations.

What it does   azure-vm-v1 (or another file with its columns) on nodes of 64 vCPUs and 256 (128) GiB, as many as it takes,
               through `corral scheduler replay`'s own code: first-fit, best-fit, our default (balance) and pack; pack
               with one migration per 100 VM hours and with 0.3 (a bucket that saves six hours' worth). Density: the
               average over time, after the first quarter, of what is used of the dimension that is used most, over
               the capacity of the nodes that have VMs. A lifetime that is known to a bin lies anywhere in it, by the
               seed. For each it says how full the fleet was when the first VM was refused on 3 % fewer nodes than
               best-fit needs.
Bound          nodes: the most that the larger dimension needs at any time
"""

import argparse
import json
import time
from typing import Final

import numpy as np

from bench.datasets import data_set
from bench.machine import machine
from corral.cli.parts.traces import BadTrace, read_trace
from corral.scheduler.replay import Replayed, Shape, Trace, replay

RUNS: Final = (  # key, policy, migrations per 100 VM hours
    ("first_fit", "first-fit", 0.0),
    ("best_fit", "best-fit", 0.0),
    ("default", "balance", 0.0),
    ("ours", "pack", 0.0),
    ("ours_moves", "pack", 1.0),
    ("ours_moves_03", "pack", 0.3),
)
MEMORY_GIB: Final = (256, 128)
FEWER: Final = 0.97  # nodes, of those that best-fit needs, on which VMs are refused


def traces(seed: int) -> list[Trace]:
    folder = data_set("azure-vm-v1", "*.csv*")
    if folder is None:
        return [synthetic(seed)]
    found = []
    for file in sorted(folder.glob("*.csv*")):
        try:
            found.append(read_trace(file, seed))
        except BadTrace:
            continue  # flavours.csv is no trace
    return found or [synthetic(seed)]


def synthetic(seed: int) -> Trace:
    """Requests of one to a hundred equal VMs that end together, more by day; lifetimes with a heavy tail."""
    chance = np.random.default_rng(seed)
    flavours = np.array([(1, 1.75), (2, 3.5), (4, 7), (8, 14), (8, 56)], dtype=float)
    rows = []
    for round_number in range(1000):
        busy = 1 + 0.5 * np.sin(2 * np.pi * round_number / 288)
        for request in range(int(chance.poisson(8 * busy))):
            count = int(min(100, chance.pareto(1.1) + 1))
            flavour = flavours[int(chance.choice(5, p=(0.45, 0.25, 0.15, 0.13, 0.02)))]
            life_s = 600 * chance.pareto(0.7 if count < 8 else 1.0) + 300
            for _ in range(count):
                end_s = 300 * round_number + life_s * chance.uniform(0.8, 1.2)
                rows.append((300.0 * round_number, end_s, *flavour, 0.0, 1000 * round_number + request))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Trace("synthetic", *columns[:5], columns[5].astype(np.int64))


def bound(trace: Trace, shape: Shape) -> int:
    """Nodes without which the VMs of the fullest moment have no room."""
    at = np.concatenate([trace.arrive_s, trace.end_s])
    order = np.lexsort((np.repeat([1, 0], len(trace.cpus)), at))  # who ends makes room first
    most = 0.0
    for amount, size in ((trace.cpus, shape.cpus), (trace.memory_gib, shape.memory_gib)):
        most = max(most, float(np.cumsum(np.concatenate([amount, -amount])[order]).max() / size))
    return int(np.ceil(most))


def at_first_refusal(result: Replayed, shape: Shape) -> str:
    """How full the fleet was then."""
    nodes = result.figures.nodes
    for moment in result.moments:
        if moment.refused:
            return (
                f"first refused at {moment.used * moment.nodes / nodes:.1%} of the binding dimension in use"
            )
    return "none refused"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=packing")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(machine())
    figures: dict[str, float] = {}
    for number, trace in enumerate(traces(given.seed)):
        print(
            f"{trace.name}: {len(trace.cpus)} VMs in {(trace.arrive_s[-1] - trace.arrive_s[0]) / 3600:.0f} hours"
        )
        suffix = "" if number == 0 else f"_{trace.name.split('.')[0]}"
        for memory_gib in MEMORY_GIB:
            shape = Shape(64, memory_gib)
            print(f" nodes of 64 vCPUs, {memory_gib} GiB; lower bound {bound(trace, shape)} nodes")
            fewer = 0
            for key, policy, moves in RUNS:
                result = replay(trace, shape, policy, time.perf_counter_ns, moves_per_100_vm_hours=moves)
                found = result.figures
                fewer = int(FEWER * found.nodes) if key == "best_fit" else fewer
                figures[f"{key}_{memory_gib}{suffix}"] = found.density
                figures[f"{key}_nodes_{memory_gib}{suffix}"] = found.nodes
                print(
                    f"  {key:14} density {found.density:.4f}  {found.nodes} nodes  {found.migrations} migrations"
                    f" ({result.moved_gib:.0f} GiB)  {found.decisions_per_s} decisions/s  p99 {found.p99_us} us"
                )
            for key, policy, moves in RUNS[1:4]:
                result = replay(
                    trace, shape, policy, time.perf_counter_ns, nodes=fewer, moves_per_100_vm_hours=moves
                )
                print(
                    f"  {key:14} on {fewer} nodes: {result.figures.refused} refused; {at_first_refusal(result, shape)}"
                )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
