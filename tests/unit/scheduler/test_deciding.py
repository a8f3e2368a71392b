"""Deciding: rules, cells, spares, batches, refusals; and what must hold whoever decides."""

import random
import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.model.group import GroupRule, RuleKind, contradictory
from corral.model.hardware import DeviceKind, HostDevice
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus, NumaCell, PciDevice
from corral.model.policy import SchedulingPolicySpec, Score, Spare, Weights
from corral.model.units import GiB, MiB, cpu_set, members
from corral.scheduler.batches import claim_for, place_all
from corral.scheduler.cellparts import pick_cells
from corral.scheduler.devices import pick
from corral.scheduler.fleet import Claim, Fleet
from corral.scheduler.placement import Ask, place, why_not
from corral.scheduler.rules import RACK, Rule
from corral.scheduler.standings import standings


def a_node(name: str, *, cpus: int = 8, memory: int = 16, cells: int = 1, **spec: Any) -> Node:
    """CPUs 0 and 4 are threads of one core, and so on."""
    each = cpus // cells
    numa = tuple(
        NumaCell(
            id=c,
            cpus=tuple(range(c * each, (c + 1) * each)),
            memory_bytes=memory * GiB // cells,
            cores=tuple((cpu, cpu + each // 2) for cpu in range(c * each, c * each + each // 2)),
        )
        for c in range(cells)
    )
    gpus = tuple(
        PciDevice(address=f"0000:0{c}:00.0", vendor="0x10de", device="0x2204", pci_class="0x030200", iommu_group=c, numa_cell=c)
        for c in range(cells)
    )  # fmt: skip
    labels = spec.pop("labels", {})
    inventory = Inventory(
        cpus=cpus,
        memory_bytes=memory * GiB,
        cells=numa,
        gpus=gpus if spec.pop("gpus", False) else (),
        devices=gpus,
    )
    return Node(
        id=name,
        name=name,
        labels=labels,
        spec=NodeSpec(**{"reserve_memory_bytes": 0, "cpu_overcommit": 1.0, **spec}),
        status=NodeStatus(phase=NodePhase.READY, inventory=inventory),
    )


def a_fleet(*nodes: Node, on: dict[str, str] | None = None) -> Fleet:
    """VMs of a vCPU and a GiB, by node."""
    fleet = Fleet()
    for node in nodes:
        fleet.see_node(node)
    for vm, node in (on or {}).items():
        fleet.claim(VmId(vm), (Claim(NodeId(node), 1, GiB),))
    return fleet


def an_ask(vm: str = "vm", **fields: Any) -> Ask:
    return Ask(**{"vm": VmId(vm), "cpus": 1, "memory_bytes": GiB, "policy": "pack", **fields})


def rule(**fields: Any) -> Rule:
    return Rule(**{"name": "group g", "apart": True, "vms": frozenset({VmId("x")}), **fields})


FOUR = (
    a_node("a", rack="r1"),
    a_node("b", rack="r1"),
    a_node("c", rack="r2"),
    a_node("d", labels={"disk": "fast"}),
)
RULES = [  # name, rules, nodes that pass
    ("apart by node", [rule()], "bcd"),
    ("together by node", [rule(apart=False)], "a"),
    ("apart by rack", [rule(domain=RACK)], "cd"),
    ("together by rack", [rule(apart=False, domain=RACK)], "ab"),
    ("apart by a label that its node lacks: by node", [rule(domain="disk")], "bcd"),
    ("only with a label", [rule(apart=False, sites=("disk=fast",))], "d"),
    ("not with a label", [rule(sites=("disk=fast",))], "abc"),
    ("a rack as a label", [rule(apart=False, sites=("rack=r1",))], "ab"),
    ("a node by itself", [rule(apart=False, sites=("c",), nodes=frozenset({NodeId("c")}))], "c"),
    ("nobody to be with yet: anywhere", [rule(apart=False, vms=frozenset({VmId("nobody")}))], "abcd"),
    ("together in the rack, apart on the node", [rule(), rule(apart=False, domain=RACK)], "b"),
    ("rules that exclude each other: nowhere", [rule(), rule(apart=False)], ""),
]


@pytest.mark.parametrize(("rules", "nodes"), [pytest.param(*r[1:], id=r[0]) for r in RULES])
def test_rules_leave_these_nodes(rules: list[Rule], nodes: str) -> None:
    fleet = a_fleet(*FOUR, on={"x": "a"})
    found = {s.node for s in standings(fleet, an_ask(rules=tuple(rules)), count=9)}
    assert found == set(nodes)
    assert place(fleet, an_ask(rules=tuple(rules))).node in ({*nodes} or {None})


def test_a_preference_counts_as_much_as_its_weight() -> None:
    fleet = a_fleet(*FOUR, on={"x": "a"})  # pack prefers a, which has something already
    kept = place(fleet, an_ask(rules=(rule(required=False, weight=2.0),)))
    outweighed = place(fleet, an_ask(rules=(rule(required=False, weight=0.0),)))
    assert (kept.node, outweighed.node) == ("b", "a")


def test_rules_that_exclude_each_other_are_named_the_fewest_that_do() -> None:
    fleet = a_fleet(*FOUR, on={"x": "a", "y": "c"})
    rules = (
        rule(name="group 1", domain=RACK, vms=frozenset({VmId("y")})),
        rule(name="group 2", apart=False),
        rule(name="group 3"),
    )
    never = place(fleet, an_ask(rules=rules)).never
    assert "group 2" in never and "group 3" in never and "group 1" not in never


A, AA = RuleKind.AFFINITY, RuleKind.ANTI_AFFINITY
CONTRADICTIONS = [  # name, rules, whether they contradict each other
    ("together and apart", [GroupRule(kind=A), GroupRule(kind=AA)], True),
    ("one node, several racks", [GroupRule(kind=A), GroupRule(kind=AA, domain="rack")], True),
    ("one rack, several nodes", [GroupRule(kind=A, domain="rack"), GroupRule(kind=AA)], False),
    ("one of them is a preference", [GroupRule(kind=A), GroupRule(kind=AA, required=False)], False),
    ("with and without a label", [GroupRule(kind=A, nodes=("x=1",)), GroupRule(kind=AA, nodes=("x=1", "x=2"))], True),
    ("two values of one label", [GroupRule(kind=A, nodes=("x=1",)), GroupRule(kind=A, nodes=("x=2",))], True),
    ("two labels", [GroupRule(kind=A, nodes=("x=1",)), GroupRule(kind=A, nodes=("y=2",))], False),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "clash"), [pytest.param(*r[1:], id=r[0]) for r in CONTRADICTIONS])
def test_contradictory_rules_are_known_before_any_vm_is(rules: list[GroupRule], clash: bool) -> None:
    assert bool(contradictory([("g", r) for r in rules])) is clash


# ---- cells


def test_dedicated_cpus_are_threads_of_the_same_cores_in_one_cell() -> None:
    fleet = a_fleet(a_node("a", cpus=16, cells=2, dedicated_cpus="0-15"))
    (part,) = pick_cells(fleet, NodeId("a"), cpus=4, memory_bytes=2 * GiB)
    assert (part.cell, part.cpus, part.memory_bytes) == (0, "0,4,1,5", 2 * GiB)


def test_a_vm_larger_than_a_cell_is_split_and_one_that_fits_nowhere_refused() -> None:
    fleet = a_fleet(a_node("a", cpus=16, cells=2, dedicated_cpus="0-15"))
    parts = pick_cells(fleet, NodeId("a"), cpus=10, memory_bytes=2 * GiB)
    assert [len(members(part.cpus)) for part in parts] == [5, 5]
    assert place(fleet, an_ask(cpus=10, dedicated=True)).node == "a"
    assert place(fleet, an_ask(cpus=17, dedicated=True)).out == {
        "no NUMA cell has so many CPUs and so much memory free": 1
    }


def test_devices_and_cpus_come_from_the_same_cell() -> None:
    node = a_node("a", cpus=16, cells=2, dedicated_cpus="0-15", gpus=True)
    fleet = a_fleet(node)
    asked = (HostDevice(kind=DeviceKind.PCI, id="10de:2204"),)
    fleet.claim(VmId("other"), (Claim(NodeId("a"), 1, GiB, devices=("pci:0000:00:00.0",)),))
    (part,) = pick_cells(fleet, NodeId("a"), cpus=2, memory_bytes=GiB, devices=asked)
    devices, _ = pick(node.status.inventory, fleet.held(NodeId("a")), asked, frozenset({part.cell}))
    assert part.cell == 1 and devices[0].id == "0000:01:00.0"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8), st.booleans()), max_size=25), st.integers(0, 9)
)
def test_no_cpu_is_given_twice_and_what_fits_gets_its_cells(
    asked: list[tuple[int, int, bool]], seed: int
) -> None:
    """VMs come and go: the decision and the picking of cells agree on whether there is room."""
    fleet, dice = (
        a_fleet(*(a_node(n, cpus=16, cells=2, dedicated_cpus="0-5,8-13") for n in "ab")),
        random.Random(seed),
    )
    for number, (cpus, memory, dedicated) in enumerate(asked):
        ask = an_ask(f"vm-{number}", cpus=cpus, memory_bytes=memory * GiB, dedicated=dedicated)
        if node := place(fleet, ask).node:
            claim = claim_for(fleet, ask, node)
            given_cpus = [cpu for share in claim.cells for cpu in share.cpus]
            assert len(given_cpus) == len(set(given_cpus)) == (cpus if dedicated else 0)
            assert set(given_cpus) <= fleet.dedicated_free(node)
            fleet.claim(ask.vm, (claim,))
        if dice.random() < 0.3 and fleet.claims:
            fleet.forget_vm(dice.choice(sorted(fleet.claims)))
    columns = fleet.columns
    assert (columns.cells_claimed <= columns.cells_capacity).all()
    assert (fleet.claimed[: fleet.size] <= fleet.capacity[: fleet.size]).all()


def test_sets_of_cpus_are_written_as_they_are_read() -> None:
    assert (cpu_set([0, 1, 2, 8, 10, 11]), cpu_set([])) == ("0-2,8,10-11", "")
    assert members(cpu_set({3, 1, 2, 7})) == {1, 2, 3, 7}


# ---- spares


def spare(what: Spare) -> SchedulingPolicySpec:
    return SchedulingPolicySpec(score=Score.PACK, spare=what)


def test_the_last_room_is_kept_for_what_a_lost_node_runs() -> None:
    """Two nodes of 16 GiB: together they may run what one of them can."""
    fleet = a_fleet(a_node("a"), a_node("b"))
    placed = 0
    while node := place(fleet, an_ask(f"vm-{placed}", memory_bytes=4 * GiB, policy=spare(Spare.NODE))).node:
        fleet.claim(VmId(f"vm-{placed}"), (Claim(node, 1, 4 * GiB),))
        placed += 1
    assert placed == 4
    out = place(fleet, an_ask(memory_bytes=4 * GiB, policy=spare(Spare.NODE))).out
    assert out == {
        "too little memory": 1,
        "what runs on a node could not all start elsewhere if that were lost": 1,
    }
    assert place(fleet, an_ask(memory_bytes=4 * GiB)).node, "without spares there is room"


def test_a_rack_is_lost_as_a_whole() -> None:
    nodes = [a_node(name, rack=rack) for name, rack in (("a", "r1"), ("b", "r1"), ("c", "r2"))]
    by_node, by_rack = a_fleet(*nodes), a_fleet(*nodes)
    counts = []
    for fleet, what in ((by_node, Spare.NODE), (by_rack, Spare.RACK)):
        placed = 0
        while node := place(fleet, an_ask(f"vm-{placed}", memory_bytes=4 * GiB, policy=spare(what))).node:
            fleet.claim(VmId(f"vm-{placed}"), (Claim(node, 1, 4 * GiB),))
            placed += 1
        counts.append(placed)
    assert counts == [8, 4]


def test_scattered_room_is_no_spare() -> None:
    """In sum there is enough elsewhere, but no node could take the large VM."""
    fleet = a_fleet(a_node("a"), a_node("b"), a_node("c"))
    for node in "bc":
        fleet.claim(VmId(f"half-{node}"), (Claim(NodeId(node), 1, 8 * GiB),))
    large = an_ask(memory_bytes=12 * GiB, policy=spare(Spare.NODE))
    assert place(fleet, large).node is None
    assert place(fleet, msgspec.structs.replace(large, memory_bytes=8 * GiB)).node


# ---- batches


def test_together_more_find_room_than_one_by_one() -> None:
    """Small ones first would leave no node whole for the large ones."""
    spread = {"policy": "spread"}
    small = [an_ask(f"s{n}", memory_bytes=4 * GiB, **spread) for n in range(4)]
    large = [an_ask(f"l{n}", memory_bytes=14 * GiB, **spread) for n in range(2)]
    fleet = a_fleet(*(a_node(name) for name in "abcd"))
    one_by_one = 0
    for ask in (*small, *large):
        if node := place(fleet, ask).node:
            fleet.claim(ask.vm, (claim_for(fleet, ask, node),))
            one_by_one += 1
    fleet = a_fleet(*(a_node(name) for name in "abcd"))
    together = place_all(fleet, [*small, *large])
    assert one_by_one == 4 and all(decision.node for decision in together)
    assert not fleet.claims, "nothing is claimed by deciding"


def test_small_requests_choose_before_large_ones_as_in_the_replay() -> None:
    """What was asked for by itself takes the gap on the node that is in use; three that belong together stay together."""
    fleet = a_fleet(a_node("used"), a_node("new"), on={"old": "used"})
    fleet.claim(VmId("most"), (Claim(NodeId("used"), 5, 13 * GiB),))
    three = [an_ask(f"web{n}", cpus=2, memory_bytes=2 * GiB, batch="web") for n in range(3)]
    alone = an_ask("alone", cpus=2, memory_bytes=2 * GiB)
    for policy in ("pack", "balance"):
        asks = [msgspec.structs.replace(ask, policy=policy) for ask in (*three, alone)]
        assert [decision.node for decision in place_all(fleet, asks)] == ["new", "new", "new", "used"]
    spread = [msgspec.structs.replace(ask, policy="spread") for ask in (*three, alone)]
    assert [decision.node for decision in place_all(fleet, spread)][3] == "new"


def test_all_or_none() -> None:
    fleet = a_fleet(a_node("a"))
    asks = [an_ask(f"vm-{n}", memory_bytes=6 * GiB) for n in range(3)]
    assert [bool(d.node) for d in place_all(fleet, asks)].count(True) == 2
    refused = place_all(fleet, asks, whole=True)
    assert not any(d.node for d in refused)
    assert all("memory" in str(d.out) for d in refused)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 16)), min_size=1, max_size=12))
def test_a_batch_is_never_worse_and_never_too_much(sizes: list[tuple[int, int]]) -> None:
    nodes = [a_node(name) for name in "abc"]
    asks = [an_ask(f"vm-{n}", cpus=c, memory_bytes=m * GiB) for n, (c, m) in enumerate(sizes)]
    fleet, alone = a_fleet(*nodes), 0
    for ask in asks:
        if node := place(fleet, ask).node:
            fleet.claim(ask.vm, (claim_for(fleet, ask, node),))
            alone += 1
    fleet = a_fleet(*nodes)
    decisions = place_all(fleet, asks)
    for ask, decision in zip(asks, decisions, strict=True):
        if decision.node:
            fleet.claim(ask.vm, (claim_for(fleet, ask, decision.node),))
    assert (fleet.claimed[:3] <= fleet.capacity[:3]).all()
    assert sum(d.node is not None for d in decisions) >= alone


# ---- refusals


def test_what_no_node_can_ever_hold_is_told_at_once() -> None:
    fleet = a_fleet(a_node("a"), a_node("b", memory=32))
    decision = place(fleet, an_ask(memory_bytes=64 * GiB))
    assert decision.never == "it asks for 64 GiB of memory; the largest node has 32 GiB of memory"
    assert why_not(decision, an_ask(), str).code == "placement.never_fits"
    assert place(fleet, an_ask(cpus=9)).never == "it asks for 9 vCPUs; the largest node has 8 vCPUs"


def test_each_change_that_is_proposed_would_do() -> None:
    fleet = a_fleet(a_node("a"), a_node("b"), a_node("c", cordoned=True))
    for vm, node, memory in (("x", "a", 4), ("y", "a", 3), ("z", "b", 12)):
        fleet.claim(VmId(vm), (Claim(NodeId(node), 1, memory * GiB),))
    ask = an_ask(memory_bytes=10 * GiB)
    decision = place(fleet, ask)
    assert (decision.nearest, decision.lacks) == ("a", "1 GiB of memory")
    assert decision.changes[:3] == ("on a with 9 GiB of memory", "if VM y were gone from a", "if c took VMs")
    assert place(fleet, an_ask(memory_bytes=9 * GiB)).node == "a"
    fleet.forget_vm(VmId("y"))
    assert place(fleet, ask).node == "a"


def test_a_requirement_that_alone_is_in_the_way_is_named() -> None:
    fleet = a_fleet(*FOUR, on={"x": "d"})
    ask = an_ask(rules=(rule(apart=False), rule(domain="disk")))
    assert any("were it not for" in change for change in place(fleet, ask).changes)


def test_a_refusal_among_ten_thousand_nodes_is_explained_soon() -> None:
    fleet, node = Fleet(), a_node("n")
    for number in range(10_000):
        fleet.see_node(msgspec.structs.replace(node, id=f"n{number}"))
        fleet.claim(VmId(f"vm{number}"), (Claim(NodeId(f"n{number}"), 7, 15 * GiB),))
    ask = an_ask(cpus=4, memory_bytes=8 * GiB)
    took_s = []
    for _ in range(3):
        begin = time.thread_time()
        decision = place(fleet, ask)
        took_s.append(time.thread_time() - begin)
    assert decision.node is None and decision.changes and decision.nearest
    assert min(took_s) < 0.2, (
        took_s
    )  # 50 ms is what we look for; this is to notice a look at all VMs by all nodes


def test_the_terms_of_the_balance_equation() -> None:
    """R as it is written, of a node that is half full of vCPUs and a quarter full of memory."""
    fleet = a_fleet(a_node("a", iops=1000, power_watts=200, idle_watts=100))
    ask = an_ask(cpus=4, memory_bytes=4 * GiB, iops=500, watts=25.0, policy="balance")
    (best,) = standings(fleet, ask)
    terms = best.terms
    assert [terms[t] for t in ("cpu", "memory", "gpu", "io", "power")] == [0.5, 0.25, 1.0, 0.5, 0.25]
    r = (0.42 * 0.5 + 0.35 * 0.25 + 0.23 * 1.0) / (0.28 * 1.5 + 0.11 * 1.25)
    assert best.score == pytest.approx(r + terms["stranding"], abs=1e-3)


def test_power_wakes_no_node_while_another_can_take_it() -> None:
    limits = {"power_watts": 500, "idle_watts": 100}
    fleet = a_fleet(a_node("a", **limits), a_node("b", **limits), on={"x": "b"})
    assert place(fleet, an_ask(policy="power")).node == "b"


def test_weights_are_data() -> None:
    """Who weighs GPUs only keeps ordinary VMs off nodes that have some."""
    fleet = a_fleet(a_node("a", gpus=True), a_node("b"), on={"x": "a"})
    gpu_only = SchedulingPolicySpec(weights=Weights(cpu=0, memory=0, stranding=0))
    assert place(fleet, an_ask(policy=gpu_only)).node == "b"
    assert place(fleet, an_ask(policy="pack")).node == "a"


def test_columns_hold_what_python_integers_hold() -> None:
    """Bytes of whole fleets are exact in 64-bit floats."""
    fleet = a_fleet(a_node("a", memory=12 * 1024))
    for number in range(100):
        fleet.claim(VmId(f"v{number}"), (Claim(NodeId("a"), 0, 123 * GiB + number * MiB + number),))
    assert fleet.claimed[0, 1] == sum(123 * GiB + n * MiB + n for n in range(100))
    assert np.isfinite(fleet.claimed).all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 12)), max_size=14), st.integers(3, 5))
def test_whatever_was_placed_with_spares_survives_the_loss_of_any_node(
    sizes: list[tuple[int, int]], nodes: int
) -> None:
    """Whoever is lost: one by one, its VMs find room on the others. Up to five nodes are all looked at, VM by VM."""
    fleet = a_fleet(*(a_node(name) for name in "abcde"[:nodes]))
    for number, (cpus, memory) in enumerate(sizes):
        ask = an_ask(f"vm-{number}", cpus=cpus, memory_bytes=memory * GiB, policy=spare(Spare.NODE))
        if node := place(fleet, ask).node:
            fleet.claim(ask.vm, (claim_for(fleet, ask, node),))
    for lost in fleet.ids:
        victims = sorted(((c.cpus, c.memory_bytes) for c in fleet.vms.get(lost, {}).values()), reverse=True)
        free = [
            tuple(fleet.capacity[fleet.row[n], :2] - fleet.claimed[fleet.row[n], :2])
            for n in fleet.ids
            if n != lost
        ]
        assert _packs(victims, free), lost


def _packs(vms: list[tuple[int, int]], free: list[tuple[float, float]]) -> bool:
    """Whether there is any way at all, by trying all."""
    if not vms:
        return True
    (cpus, memory), rest = vms[0], vms[1:]
    return any(
        _packs(rest, [*free[:at], (c - cpus, m - memory), *free[at + 1 :]])
        for at, (c, m) in enumerate(free)
        if c >= cpus and m >= memory and (c, m) not in free[:at]
    )
