"""The live fleet: which nodes are worth being kept full."""

from corral.controllers.placement import ROUND_S, FleetKeeper
from corral.model.ids import NodeId, VmId
from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus
from corral.model.units import GiB
from corral.model.vm import VM, VMPhase, VMSpec, VMStatus
from corral.scheduler.cpus import PlainCpus
from corral.scheduler.packing import EMPTY, SETTLED_S
from corral.store.interface import Put
from corral.store.mirror import Mirror

NOW_S = 1_000_000.0


def a_node(name: str) -> Node:
    status = NodeStatus(phase=NodePhase.READY, inventory=Inventory(cpus=64, memory_bytes=64 * GiB))
    return Node(id=f"node-{name}", name=name, spec=NodeSpec(), status=status)


def a_vm(name: str, node: str, age_s: float) -> VM:
    status = VMStatus(node=NodeId(f"node-{node}"), phase=VMPhase.RUNNING)
    spec = VMSpec(cpus=4, memory_bytes=GiB)
    return VM(id=f"vm-{name}", name=name, spec=spec, status=status, created_at=NOW_S - age_s)


def a_keeper(*resources: Node | VM) -> FleetKeeper:
    mirror = Mirror()
    mirror.suppose([Put(resource) for resource in resources])
    return FleetKeeper(mirror, PlainCpus())


def test_old_nodes_before_young_ones_before_empty_ones() -> None:
    nodes = (a_node("empty"), a_node("young"), a_node("old"))
    keeper = a_keeper(*nodes, a_vm("a", "young", 60), a_vm("b", "old", SETTLED_S + 1))
    keeper.look_at_ages(NOW_S)
    bonus = dict(zip(keeper.fleet.ids, keeper.fleet.columns.bonus.tolist(), strict=False))
    assert bonus["node-empty"] == EMPTY < bonus["node-young"] < bonus["node-old"]
    assert keeper.fleet.columns.settled[keeper.fleet.row[NodeId("node-old")]] == 4


def test_a_node_that_gets_its_first_vm_counts_at_once() -> None:
    keeper = a_keeper(a_node("one"))
    keeper.look_at_ages(NOW_S)
    keeper.fleet.see_vm(a_vm("a", "one", 0))
    keeper.look_at_ages(NOW_S + 1)
    assert keeper.fleet.columns.bonus[0] > EMPTY
    keeper.fleet.forget_vm(VmId("vm-a"))
    keeper.look_at_ages(NOW_S + 2)
    assert keeper.fleet.columns.bonus[0] == EMPTY


def test_between_rounds_nothing_changes_that_did_not_change() -> None:
    """Each row that changes is judged anew by every flavour."""
    keeper = a_keeper(a_node("one"), a_node("two"), a_vm("a", "one", 60))
    keeper.look_at_ages(NOW_S)
    changes = keeper.fleet.columns.changes
    keeper.look_at_ages(NOW_S + ROUND_S / 2)
    assert keeper.fleet.columns.changes == changes
    keeper.look_at_ages(NOW_S + ROUND_S)
    assert keeper.fleet.columns.changes == changes + 1
