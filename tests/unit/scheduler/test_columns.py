"""Columns against a rebuild; scan, tree and NumPy against each other: any history, the same bits."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from corral.model.policy import BUILT_IN, SchedulingPolicySpec, Weights
from corral.model.units import GiB, MiB
from corral.scheduler import flavours
from corral.scheduler.claims import CellShare
from corral.scheduler.columns import KIND, PLACE, SITE, Nodes
from corral.scheduler.fleet import Claim, Fleet
from corral.scheduler.judging import judge
from corral.scheduler.placement import Ask, place
from corral.scheduler.standings import SHOWN, standings
from corral.scheduler.wishes import CODES, FITS, Reasons, wish_of

NODES = "abcdefghijkl"
GPU = "0000:0{}:00.0"


def a_node(
    name: str, cpus: int, gpus: int, cells: int, free: int, rack: str, cordoned: bool, limited: bool
) -> Node:
    """As many CPUs a cell, half of them dedicated; a GPU in the last cell."""
    each = cpus // cells
    numa = tuple(
        NumaCell(id=c, cpus=tuple(range(c * each, (c + 1) * each)), memory_bytes=16 * GiB, hugepages={str(2 * MiB): 1024})
        for c in range(cells)
    )  # fmt: skip
    devices = tuple(
        PciDevice(address=GPU.format(n), vendor="0x10de", device="0x2204", pci_class="0x030200", iommu_group=n, numa_cell=cells - 1)
        for n in range(gpus)
    )  # fmt: skip
    inventory = Inventory(cpus=cpus, memory_bytes=16 * GiB * cells, cells=numa, gpus=devices, devices=devices)
    spec = NodeSpec(
        cordoned=cordoned,
        reserve_memory_bytes=GiB,
        cpu_overcommit=1.5,
        dedicated_cpus=f"0-{cpus // 2 - 1}",
        rack=rack,
        iops=1000 * limited,
        network_mbit=100 * limited,
        power_watts=400 * limited,
        idle_watts=100 * limited,
    )
    status = NodeStatus(
        phase=NodePhase.CORDONED if cordoned else NodePhase.READY,
        inventory=inventory,
        pools={"pool-1": PoolOnNode(ready=True, free_bytes=free * GiB)} if free else {},
        networks={"net-1": NetworkOnNode(ready=True)} if rack == "r1" else {},
    )
    return Node(id=name, name=name, spec=spec, status=status, labels={"zone": rack})


A_NODE = st.builds(
    a_node,
    st.sampled_from(NODES),
    st.sampled_from([4, 8, 16]),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(["", "r1", "r2"]),
    st.booleans(),
    st.booleans(),
)
A_SHARE = st.builds(
    CellShare, st.integers(0, 2), st.frozensets(st.integers(0, 15), max_size=2), st.integers(0, 8 * GiB)
)
A_CLAIM = st.builds(
    Claim,
    st.sampled_from(NODES),
    st.integers(0, 8),
    st.integers(1, 9 * GiB),
    st.sampled_from([0, 2 * MiB, GiB]),
    st.sampled_from([(), ("pci:" + GPU.format(0),), ("pci:" + GPU.format(1), "usb:1:2")]),
    st.integers(0, 900),
    st.integers(0, 90),
    st.integers(0, 50).map(float),
    st.sampled_from([0, 250]),
    st.lists(A_SHARE, max_size=2).map(tuple),
    st.sampled_from([0.0, 100.0]),
)
EVENT = st.one_of(
    A_NODE,
    st.sampled_from(NODES),  # that is removed
    st.tuples(st.integers(0, 9), st.lists(A_CLAIM, max_size=2)),
)
POLICIES = [*BUILT_IN, SchedulingPolicySpec(weights=Weights(cpu=0.1, io=0.0, power=0.0))]
AN_ASK = st.builds(
    lambda **fields: Ask(vm=VmId("vm-ask"), **fields),
    cpus=st.integers(1, 6),
    memory_bytes=st.integers(1, 8).map(lambda n: n * GiB),
    pools=st.sampled_from([{}, {"pool-1": GiB}, {"pool-2": 0}]),
    networks=st.sampled_from([(), ("net-1",)]),
    policy=st.sampled_from(POLICIES),
    hugepage_bytes=st.sampled_from([0, 0, 2 * MiB]),
    dedicated=st.booleans(),
    cells=st.integers(0, 2),
    gpu_milli=st.sampled_from([0, 500, 1000]),
    iops=st.sampled_from([0, 400]),
    mbit=st.sampled_from([0, 40]),
    watts=st.sampled_from([0.0, 60.0]),
)


def happen(fleet: Fleet, event: Any) -> None:
    if isinstance(event, Node):
        fleet.see_node(event)
    elif isinstance(event, str):
        fleet.forget_node(NodeId(event))
    else:
        fleet.claim(VmId(f"vm-{event[0]}"), tuple(event[1]))


def rebuilt(history: list[Any], order: list[NodeId]) -> Fleet:
    """A fleet that is told the outcome only, nodes in the same order of rows."""
    nodes: dict[str, Node | None] = {}
    claims: dict[int, list[Claim]] = {}
    for event in history:
        if isinstance(event, Node):
            nodes[event.id] = event
        elif isinstance(event, str):
            nodes[event] = None
        else:
            claims[event[0]] = event[1]
    fleet = Fleet()
    for id in order:
        fleet._row(id)
    for node in nodes.values():
        if node:
            fleet.see_node(node)
    for vm, last in claims.items():
        fleet.claim(VmId(f"vm-{vm}"), tuple(last))
    return fleet


@settings(deadline=None, max_examples=100)  # a busy machine is no mistake
@given(st.lists(EVENT, max_size=40))
def test_columns_equal_a_rebuild(history: list[Any]) -> None:
    """Whatever came and went: every column is what it would be, had only the outcome been told."""
    fleet = Fleet()
    for event in history:
        happen(fleet, event)
    fresh = rebuilt(history, fleet.ids)
    there = fleet.present
    assert (there == fresh.present).all()
    assert _same(fleet, fresh, "vms")
    for name in (
        "claimed",
        "cells_claimed",
        "capacity",
        "cells_capacity",
        "state",
        "extras",
    ):
        assert _same(fleet, fresh, name, there), name
    for id in fleet.ids:
        assert fleet.held(id) == fresh.held(id)
    for row in np.flatnonzero(there):
        for name in ("hardware", "networks", "sites"):
            column = {"hardware": KIND, "networks": PLACE, "sites": SITE}[name]
            words = [getattr(f, name).sets[f.columns.marks[row, column]] for f in (fleet, fresh)]
            assert words[0] == words[1]


def _same(one: Fleet, other: Fleet, name: str, rows: Any = None) -> bool:
    """Equal, where one array may have more cells or rows than the other, which are then empty."""
    a, b = getattr(one.columns, name)[: one.size], getattr(other.columns, name)[: other.size]
    if rows is not None:
        a, b = a[rows], b[rows]
    cells = min(a.shape[1], b.shape[1]) if a.ndim == 3 else None
    if cells is not None:
        assert not a[:, cells:].any() and not b[:, cells:].any()
        a, b = a[:, :cells], b[:, :cells]
    return bool(np.array_equal(a, b))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(EVENT, AN_ASK), max_size=40), st.lists(AN_ASK, min_size=1, max_size=3))
def test_scan_tree_and_numpy_agree_to_the_bit(history: list[Any], again: list[Ask]) -> None:
    """At any point of any history, and for asks that come again and again while rows change."""
    kernels = flavours.warm()
    fleet = Fleet()
    for event in history:
        for ask in [event] if isinstance(event, Ask) else again:
            _agree(fleet, ask, kernels)
        if not isinstance(event, Ask):
            happen(fleet, event)
    for ask in again:
        _agree(fleet, ask, kernels)


def _agree(fleet: Fleet, ask: Ask, kernels: Any) -> None:
    reasons = Reasons()
    wish, nodes = wish_of(fleet, ask, reasons), fleet.columns.nodes
    codes, points = judge(nodes, wish, fleet.size)
    counts = np.zeros(CODES, dtype=np.int64)
    row, score = kernels.scan(nodes, wish, fleet.size, flavours.NO_LOG, counts)
    assert (counts == np.bincount(codes, minlength=CODES)).all()
    assert row == (int(np.argmax(points)) if (codes == FITS).any() else -1)
    decision = place(fleet, ask)  # by scan at first, by the tree when it comes again
    assert decision.node == (fleet.ids[row] if row >= 0 else None)
    if row >= 0:
        assert score == points[row] == decision.score
    assert sum(decision.out.values()) == decision.nodes - counts[FITS]
    best = standings(fleet, ask)  # from the tree, once there is one
    rows = np.argsort(-points, kind="stable")[: min(SHOWN, counts[FITS])]
    assert [(s.node, s.score) for s in best] == [(fleet.ids[r], round(float(points[r]), 4)) for r in rows]


def test_the_log_may_run_over() -> None:
    """A flavour that was not used for longer than the log reaches back looks at all rows."""
    flavours.warm()
    fleet = Fleet()
    for name in NODES:
        fleet.see_node(a_node(name, 8, 0, 1, 1, "", False, False))
    ask = Ask(vm=VmId("vm"), cpus=1, memory_bytes=GiB, policy="pack")
    assert [place(fleet, ask).node for _ in range(3)] == ["a"] * 3
    for turn in range(40_000):
        fleet.claim(VmId("x"), (Claim(NodeId("c"), 1 + turn % 2, GiB),))
    assert place(fleet, ask).node == "c"


def test_what_cannot_be_in_an_inventory_stays_out_of_the_arrays() -> None:
    """Nodes are a bounded number of bytes each."""
    fleet = Fleet()
    for number in range(1000):
        fleet.see_node(msgspec.structs.replace(a_node("a", 8, 0, 2, 1, "r1", False, True), id=f"n{number}"))
    assert fleet.columns.columns_bytes / fleet.columns.rows < 420
    assert set(Nodes._fields) <= set(vars(fleet.columns))


@pytest.mark.parametrize("policy", [*BUILT_IN])
def test_no_division_by_zero(policy: str) -> None:
    """A node that has nothing, reports nothing and limits nothing."""
    fleet = Fleet()
    fleet.see_node(Node(id="n", name="n", status=NodeStatus(phase=NodePhase.READY)))
    with np.errstate(all="raise"):
        decision = place(fleet, Ask(vm=VmId("v"), cpus=1, memory_bytes=GiB, policy=policy))
    assert decision.node is None and decision.never
