"""Placement: which node, and why not the others."""

import pytest

from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, NetworkOnNode, Node, NodePhase, NodeSpec, NodeStatus, PoolOnNode
from corral.model.units import GiB
from corral.scheduler.fleet import Claim, Fleet
from corral.scheduler.placement import Ask, place, why_not


def a_node(
    name: str, *, memory: int = 8, cpus: int = 4, cordoned: bool = False, pool_free: int = 100
) -> Node:
    status = NodeStatus(
        phase=NodePhase.CORDONED if cordoned else NodePhase.READY,
        inventory=Inventory(cpus=cpus, memory_bytes=memory * GiB),
        pools={"pool-1": PoolOnNode(ready=True, free_bytes=pool_free * GiB)},
        networks={"net-1": NetworkOnNode(ready=True)},
    )
    spec = NodeSpec(cordoned=cordoned, reserve_memory_bytes=0, cpu_overcommit=1.0)
    return Node(id=name, name=name, spec=spec, status=status)


def a_fleet(*nodes: Node, claims: dict[str, Claim] | None = None) -> Fleet:
    fleet = Fleet()
    for node in nodes:
        fleet.see_node(node)
    for vm, claim in (claims or {}).items():
        fleet.claim(VmId(vm), (claim,))
    return fleet


def an_ask(**fields: object) -> Ask:
    return Ask(**{"vm": VmId("vm-1"), "cpus": 1, "memory_bytes": GiB, **fields})


LOADED = {"vm-x": Claim(NodeId("a"), 2, 2 * GiB)}
CHOICES = [  # name, nodes, claims, ask, node
    ("no nodes: none", (), {}, an_ask(), None),
    ("equal nodes: the first", (a_node("a"), a_node("b")), {}, an_ask(), "a"),
    ("spread: the emptier", (a_node("a"), a_node("b")), LOADED, an_ask(), "b"),
    ("pack: the fuller", (a_node("a"), a_node("b")), LOADED, an_ask(policy="pack"), "a"),
    ("cordoned: passed over", (a_node("a", cordoned=True), a_node("b")), {}, an_ask(), "b"),
    (
        "too little memory",
        (a_node("a", memory=1), a_node("b", memory=4)),
        {},
        an_ask(memory_bytes=2 * GiB),
        "b",
    ),
    ("exactly full fits", (a_node("a", memory=2),), {}, an_ask(memory_bytes=2 * GiB, cpus=4), "a"),
    ("a byte too much does not", (a_node("a", memory=2),), {}, an_ask(memory_bytes=2 * GiB + 1), None),
    ("bound to a node", (a_node("a"), a_node("b")), {}, an_ask(only=NodeId("b")), "b"),
    ("near its volumes", (a_node("a"), a_node("b")), {}, an_ask(near=frozenset({NodeId("b")})), "b"),
    ("not where it is", (a_node("a"), a_node("b")), {}, an_ask(without=frozenset({NodeId("a")})), "b"),
    ("pool too full", (a_node("a", pool_free=1), a_node("b")), {}, an_ask(pools={"pool-1": 2 * GiB}), "b"),
    ("pool nowhere", (a_node("a"),), {}, an_ask(pools={"pool-2": 0}), None),
    ("network there", (a_node("a"),), {}, an_ask(networks=("net-1",)), "a"),
    ("network nowhere", (a_node("a"),), {}, an_ask(networks=("net-2",)), None),
]


@pytest.mark.parametrize(("nodes", "claims", "ask", "node"), [pytest.param(*r[1:], id=r[0]) for r in CHOICES])
def test_choice(nodes: tuple[Node, ...], claims: dict[str, Claim], ask: Ask, node: str | None) -> None:
    assert place(a_fleet(*nodes, claims=claims), ask).node == node


def test_a_refusal_counts_every_node_once_and_names_the_nearest() -> None:
    fleet = a_fleet(
        a_node("a", memory=1), a_node("b", memory=3), a_node("c", cordoned=True), a_node("d", cpus=1)
    )
    ask = an_ask(cpus=2, memory_bytes=4 * GiB)
    decision = place(fleet, ask)
    assert sum(decision.out.values()) == decision.nodes == 4
    assert decision.out == {"not ready, or cordoned": 1, "too few vCPUs": 1, "too little memory": 2}
    assert (decision.nearest, decision.lacks) == ("b", "1 GiB of memory")
    trouble = why_not(decision, ask, lambda word: word)
    assert "2 x too little memory" in trouble.message
    assert "b lacks 1 GiB of memory" in trouble.message
