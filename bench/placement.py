"""Placement: decisions a second, one decision's time, durable placements; against Ganeti's hail on the same fleet.

What it does   fleets of 1,000, 10,000 and 100,000 nodes with 8 dimensions and two NUMA cells each, some with GPUs, in racks.
               VMs of 30 flavours come and go, one after the other, each decision on what the last one left: networks,
               pools, disk and network limits, power, hugepages, dedicated CPUs. One in 100 is of a size that never came
               before, one in 100 has a group to stay apart from by node and by rack. Counts of reasons are on.
               A decision is timed from the Ask to the answer. The rate has in it what a decision brings with it: cells and
               CPUs picked, the claim made, what changed since looked at anew. What is the load's own has not: dice, and
               the VMs that go.
               Durable: the writes of the VM controller (VM and event, with their expected revisions) through the SQLite
               store, synced, many on the way at once.
Peer           Ganeti's hail (package ganeti-htools) with --no-capacity-checks on the same 1,000 nodes and 27,000 VMs.
               OpenStack Placement (openstack_placement.py), candidates with limit 10 and the claim, one after the other,
               in a virtual environment of its own that is made when it is missing (needs the network, once).
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench import hail
from bench.machine import machine
from corral.clock import SystemClock, new_id
from corral.controllers.desk import new_event
from corral.model.ids import NodeId, VmId
from corral.model.node import (
    Inventory,
    NetworkOnNode,
    Node,
    NodePhase,
    NodeSpec,
    NodeStatus,
    NumaCell,
    PciDevice,
    PoolOnNode,
)
from corral.model.units import GiB, MiB
from corral.model.vm import VM, VMPhase, VMSpec, VMStatus
from corral.scheduler import flavours
from corral.scheduler.cellparts import pick_cells
from corral.scheduler.claims import CellShare
from corral.scheduler.fleet import Claim, Fleet
from corral.scheduler.placement import Ask, place
from corral.scheduler.rules import RACK, Rule
from corral.store.interface import Put
from corral.store.sqlite import SqliteStore

CELLS: Final = tuple(
    NumaCell(
        id=cell,
        cpus=tuple(range(cell * 32, cell * 32 + 32)),
        memory_bytes=128 * GiB,
        hugepages={str(2 * MiB): 8192, str(GiB): 16},
        cores=tuple((cpu, cpu + 16) for cpu in range(cell * 32, cell * 32 + 16)),
    )
    for cell in range(2)
)
GPUS: Final = tuple(
    PciDevice(
        address=f"0000:{n}b:00.0",
        vendor="0x10de",
        device="0x2204",
        pci_class="0x030200",
        iommu_group=n,
        numa_cell=n % 2,
    )
    for n in range(4)
)
SIZES: Final = ((1, 1), (1, 2), (2, 2), (2, 4), (2, 4), (4, 8), (4, 8), (8, 16))  # vCPUs, GiB
OPENSTACK: Final = Path(".cache/openstack-placement").absolute()
OPENSTACK_PACKAGE: Final = "openstack-placement==16.0.0"
VMS: Final = 27  # a node, on average: 80 % of the memory
UNKNOWN_SHARE, RULED_SHARE = 0.01, 0.01


def a_fleet(count: int) -> Fleet:
    plain, gpus = (
        Inventory(cpus=64, memory_bytes=256 * GiB, cells=CELLS, gpus=g, devices=g) for g in ((), GPUS)
    )
    fleet = Fleet()
    for n in range(count):
        status = NodeStatus(
            phase=NodePhase.READY,
            inventory=gpus if n % 10 == 0 else plain,
            networks={
                net: NetworkOnNode(ready=True) for net in ("net-a", "net-b") if net == "net-a" or n % 3
            },
            pools={"pool-1": PoolOnNode(ready=True, free_bytes=10**14)},
        )
        spec = NodeSpec(
            cpu_overcommit=4.0,
            dedicated_cpus="0-7,16-23,32-39,48-55",
            rack=f"r{n // 20}",
            iops=200_000,
            network_mbit=50_000,
            power_watts=900,
            idle_watts=150,
        )
        fleet.see_node(Node(id=f"node-{n}", name=f"node{n}", spec=spec, status=status))
    return fleet


def known_asks() -> list[Ask]:
    """200 to draw from, of 30 flavours: sizes, and what some of them want besides, as often as they come."""
    asks = []
    for cpus, memory in SIZES:
        plain = Ask(
            vm=VmId(""),
            cpus=cpus,
            memory_bytes=memory * GiB,
            networks=("net-a",),
            pools={"pool-1": 20 * GiB},
            iops=500 * cpus,
            mbit=50 * cpus,
            watts=4.0 * cpus,
            policy="balance",
        )
        asks += [plain] * 15 + [msgspec.structs.replace(plain, networks=("net-a", "net-b"))] * 6
        if cpus <= 4:
            asks += [msgspec.structs.replace(plain, dedicated=True)] * 3
            asks.append(msgspec.structs.replace(plain, dedicated=True, hugepage_bytes=2 * MiB))
        else:
            asks.append(msgspec.structs.replace(plain, gpu_milli=250))
    return asks


def coming(fleet: Fleet, asks: list[Ask], turn: int, rng: np.random.Generator, live: list[VmId]) -> Ask:
    """The next VM's ask."""
    vm, ask, dice = VmId(f"vm-{turn}"), asks[int(rng.integers(len(asks)))], rng.random()
    fields: dict[str, object] = {"vm": vm}
    if dice < UNKNOWN_SHARE:
        fields["memory_bytes"] = ask.memory_bytes + turn * MiB
    elif dice < UNKNOWN_SHARE + RULED_SHARE and live:
        others = frozenset(live[int(rng.integers(len(live)))] for _ in range(5))
        fields["rules"] = (
            Rule(name="group g", apart=True, vms=others),
            Rule(name="group g", apart=True, domain=RACK, vms=others, required=False, weight=0.5),
        )
    return msgspec.structs.replace(ask, **fields)


def claim_of(fleet: Fleet, ask: Ask, node: NodeId) -> Claim:
    parts = ()
    if ask.dedicated:
        parts = pick_cells(
            fleet, node, cpus=ask.cpus, memory_bytes=ask.memory_bytes, hugepage_bytes=ask.hugepage_bytes
        )
    cells = tuple(CellShare(p.cell, frozenset(map(int, p.cpus.split(","))), p.memory_bytes) for p in parts)
    return Claim(
        node,
        0 if ask.dedicated else ask.cpus,
        ask.memory_bytes,
        ask.hugepage_bytes,
        iops=ask.iops,
        mbit=ask.mbit,
        watts=ask.watts,
        gpu_milli=ask.gpu_milli,
        cells=cells,
    )


def decisions(count: int, turns: int) -> dict[str, float]:
    """So many VMs, one after the other; those that came first begin to go when the fleet is full."""
    rng, fleet, asks = np.random.default_rng(count), a_fleet(count), known_asks()
    live: list[VmId] = []
    most = min(VMS * count, 500_000)
    fill(fleet, asks, rng, live, most)
    for ask in asks:
        place(fleet, ask)  # what has come before is known
    gc.collect()
    gc.freeze()  # what is there stays: the collector need not look at it again and again
    took_ns, refused, begin = [], 0, time.perf_counter()
    unmeasured, unmeasured_cpu, cpu = 0.0, 0.0, time.thread_time()
    for turn in range(turns):
        aside, aside_cpu = time.perf_counter(), time.thread_time()
        ask = coming(fleet, asks, turn, rng, live)
        leaving = live[k] if len(live) >= most and (k := int(rng.integers(len(live)))) >= 0 else None
        unmeasured_cpu += time.thread_time() - aside_cpu  # the load's own dice
        unmeasured += time.perf_counter() - aside
        start = time.perf_counter_ns()
        decision = place(fleet, ask)
        took_ns.append(time.perf_counter_ns() - start)
        if decision.node is None:
            refused += 1
            continue
        fleet.claim(ask.vm, (claim_of(fleet, ask, decision.node),))
        aside, aside_cpu = time.perf_counter(), time.thread_time()
        if leaving:
            fleet.forget_vm(leaving)
            live[k] = ask.vm
        else:
            live.append(ask.vm)
        unmeasured_cpu += time.thread_time() - aside_cpu
        unmeasured += time.perf_counter() - aside
    seconds = time.perf_counter() - begin - unmeasured
    cpu = time.thread_time() - cpu - unmeasured_cpu
    us = np.array(took_ns) / 1e3
    result = {
        "per_s": turns / seconds,
        "p50_us": float(np.percentile(us, 50)),
        "p99_us": float(np.percentile(us, 99)),
        "max_us": float(us.max()),
    }
    node_bytes = fleet.columns.columns_bytes / fleet.columns.rows
    print(
        f"{count:7,} nodes, {len(live):,} VMs: {result['per_s']:,.0f} decisions/s ({turns / cpu:,.0f} a second of CPU), one takes {result['p50_us']:.1f} us "
        f"(p99 {result['p99_us']:.0f}, most {result['max_us']:.0f}); {refused} refused; {node_bytes:.0f} bytes a node in arrays, "
        f"{len(fleet.flavours.trees) if fleet.flavours else 0} trees of {flavours.LEAF_BYTES} bytes a node",
        flush=True,
    )
    return result


def fill(fleet: Fleet, asks: list[Ask], rng: np.random.Generator, live: list[VmId], count: int) -> None:
    """VMs anywhere that they fit, so that nodes differ."""
    for n in range(count + count // 5):
        if len(live) == count:
            return
        ask, node = asks[int(rng.integers(len(asks)))], fleet.ids[int(rng.integers(fleet.size))]
        row = fleet.row[node]
        claim = claim_of(fleet, ask, node)
        if ask.dedicated and not claim.cells:
            continue
        if (fleet.capacity[row] - fleet.claimed[row] >= _amounts(claim)).all():
            live.append(VmId(f"old-{n}"))
            fleet.claim(live[-1], (claim,))


def _amounts(claim: Claim) -> np.ndarray:  # type: ignore[type-arg]
    page = claim.hugepage_bytes
    amounts = [claim.cpus, 0, 0, 0, claim.gpu_milli, claim.iops, claim.mbit, claim.watts]
    amounts[{0: 1, 2 * MiB: 2}.get(page, 3)] = claim.memory_bytes
    return np.array(amounts, dtype=float)


async def durable(turns: int, at_once: int, directory: Path) -> float:
    """Placements a second on 1,000 nodes, each on disk when it counts."""
    clock, fleet = SystemClock(), a_fleet(1000)
    store = SqliteStore(directory / "corral.db", clock)
    asks, rng = known_asks(), np.random.default_rng(7)
    waiting = []
    for n in range(turns):
        ask = asks[int(rng.integers(len(asks)))]
        spec = VMSpec(cpus=ask.cpus, memory_bytes=ask.memory_bytes)
        waiting.append((VM(id=new_id("vm", clock), name=f"vm{n}", spec=spec), ask))
    for part in range(0, turns, 500):
        await store.commit([Put(vm) for vm, _ in waiting[part : part + 500]])
    revisions = {r.id: r.revision for r in (await store.load()).resources}

    async def worker() -> None:
        while waiting:
            vm, ask = waiting.pop()
            decision = place(fleet, ask)
            if decision.node is None:
                raise RuntimeError(f"no room: {decision.out}")
            fleet.claim(VmId(vm.id), (claim_of(fleet, ask, decision.node),))
            status = VMStatus(phase=VMPhase.PREPARING, node=decision.node, traces=(decision.node,), stint=1)
            event = new_event(clock, vm, "placed", f"{vm.name}: placed on {decision.node}")
            expect = {vm.id: revisions[vm.id], event.id: 0}
            await store.commit([Put(vm.having(status=status)), Put(event)], expect=expect)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    per_s = turns / (time.perf_counter() - begin)
    await store.close()
    print(
        f"durable: {per_s:,.0f} placements/s, {at_once} on the way at once (VM and event, SQLite, synced)",
        flush=True,
    )
    return per_s


def against_hail(directory: Path) -> float | None:
    """How many times faster one allocation is by us, from state in memory."""
    if not hail.HAIL.exists():
        print("hail: not measured, package ganeti-htools is not installed")
        return None
    rng = np.random.default_rng(1)
    nodes = [f"node{n}" for n in range(1000)]
    free = dict.fromkeys(nodes, hail.MEMORY_MIB - 512)
    vms = []
    while len(vms) < 27_000:
        cpus, memory = SIZES[int(rng.integers(6))]
        node = nodes[int(rng.integers(1000))]
        if free[node] >= memory << 10:
            free[node] -= memory << 10
            vms.append((f"vm{len(vms)}", cpus, memory << 10, node))
    cluster = directory / "cluster.data"
    cluster.write_text(hail.text_of(vms, nodes))
    theirs_s, theirs_mib, _ = hail.hail(cluster, 2, 4096)
    cold_s, cold_mib, _ = hail.cold(cluster, 2, 4096)
    fleet, took_s = hail.read(cluster), []
    for n in range(2000):
        ask = Ask(vm=VmId(f"new-{n}"), cpus=2, memory_bytes=4 * GiB, policy="balance")
        begin = time.perf_counter()
        decision = place(fleet, ask)
        assert decision.node
        fleet.claim(ask.vm, (Claim(decision.node, ask.cpus, ask.memory_bytes),))
        took_s.append(time.perf_counter() - begin)
    ours_s = float(np.median(took_s))
    print(
        f"hail: {theirs_s:.2f} s and {theirs_mib:.0f} MiB for one allocation; ours from cold state {cold_s:.2f} s "
        f"({theirs_s / cold_s:.1f} x) and {cold_mib:.0f} MiB, from state in memory {ours_s * 1e6:.1f} us",
        flush=True,
    )
    return theirs_s / ours_s


def against_placement(directory: Path, durable_per_s: float) -> float | None:
    """How many times more durable placements a second we make than OpenStack Placement."""
    python = OPENSTACK / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(OPENSTACK)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", OPENSTACK_PACKAGE]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"OpenStack Placement: not measured, {OPENSTACK_PACKAGE} can't be installed: {done.stderr[-200:].strip()}"
        )
        return None
    folder = directory / "openstack"
    folder.mkdir()
    script = Path(__file__).with_name("openstack_placement.py")
    command = [str(python), "-P", str(script), str(folder)]  # -P: our placement.py is not theirs
    theirs = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )
    print(
        f"OpenStack Placement: {theirs['per_s']:.1f} candidates and claims/s, p99 {theirs['p99_s'] * 1e3:.0f} ms; "
        f"ours durable {durable_per_s / theirs['per_s']:.0f} x as many",
        flush=True,
    )
    return durable_per_s / float(theirs["per_s"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=30_000)
    parser.add_argument("--nodes", type=int, default=0, help="this size only, and nothing else")
    args = parser.parse_args()
    print(machine())
    began = time.perf_counter()
    flavours.warm()
    print(f"kernels: ready in {time.perf_counter() - began:.1f} s")
    if args.nodes:
        decisions(args.nodes, args.turns)
        return
    by_count = {
        n: decisions(n, turns)
        for n, turns in ((1_000, args.turns), (10_000, args.turns), (100_000, args.turns // 3))
    }
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as directory:
        durable_per_s = asyncio.run(durable(12_000, 256, Path(directory)))
        ratio = against_hail(Path(directory))
        placement = against_placement(Path(directory), durable_per_s)
    figures = {
        "per_s_1k": round(by_count[1_000]["per_s"]),
        "per_s_10k": round(by_count[10_000]["per_s"]),
        "p99_us_10k": round(by_count[10_000]["p99_us"], 1),
        "p99_us_100k": round(by_count[100_000]["p99_us"], 1),
        "durable_per_s_1k": round(durable_per_s),
        "ratio_hail": round(ratio) if ratio else None,
        "ratio_placement": round(placement) if placement else None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
