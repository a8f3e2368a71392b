"""Policies, groups and dedicated CPUs, from the request to the assignment; inventories that can't be."""

from typing import Any

import msgspec
import pytest

from corral.errors import Invalid
from corral.model.node import Inventory, MdevType, Node, NumaCell, PciDevice, PoolOnNode
from corral.model.operation import Operation, OperationState
from corral.model.policy import SchedulingPolicySpec
from corral.model.units import GiB, MiB
from corral.model.vm import VM
from corral.model.volume import Volume, VolumePhase
from corral.server.assignments import pinning_on
from corral.server.sane import absurd, absurd_pool
from corral.server.services.explaining import explain
from corral.server.services.policies import check_spec
from tests.unit.server.rig import Rig, in_rig

CELLS = tuple(
    NumaCell(id=c, cpus=tuple(range(4 * c, 4 * c + 4)), memory_bytes=4 * GiB, hugepages={str(2 * MiB): 8})
    for c in range(2)
)
GOOD = Inventory(cpus=8, memory_bytes=8 * GiB, cells=CELLS)


def changed(**fields: object) -> Inventory:
    return msgspec.structs.replace(GOOD, **fields)


def a_cell(**fields: object) -> Inventory:
    return changed(cells=(msgspec.structs.replace(CELLS[0], **fields),))


DEVICE = PciDevice(
    address="0000:3b:00.0", vendor="0x10de", device="0x2331", pci_class="0x030200", iommu_group=1
)


def a_device(**fields: Any) -> Inventory:
    return changed(devices=(msgspec.structs.replace(DEVICE, **fields),))


ABSURD = [  # name, inventory, what is said of it
    ("as it should be", GOOD, ""),
    ("less than no CPUs", changed(cpus=-1), "cpus is negative: -1"),
    ("not a number", changed(memory_bytes=float("nan")), "memory_bytes is nan"),
    ("without end", changed(memory_bytes=float("inf")), "memory_bytes is inf"),
    ("more than machines have", changed(cpus=10**9), "cpus is 1000000000, more than any machine has (8192)"),
    ("a cell far away", a_cell(id=10**6), "cells[1000000].id is 1000000, more than any machine has (63)"),
    ("a cell with a debt", a_cell(memory_bytes=-5), "cells[0].memory_bytes is negative: -5"),
    ("pages of no size", a_cell(hugepages={"0": 5}), "cells[0].hugepages has pages of '0' bytes"),
    ("less than no pages", a_cell(hugepages={"2097152": -3}), "cells[0].hugepages is negative: -3"),
    ("a CPU twice", changed(cells=(CELLS[0], msgspec.structs.replace(CELLS[0], id=1))), "a CPU is in two NUMA cells"),
    ("a cell twice", changed(cells=(CELLS[0], CELLS[0])), "two NUMA cells have the same id"),
    ("a device far away", a_device(numa_cell=64), "0000:3b:00.0.numa_cell is 64, more than any machine has (63)"),
    ("a device of no group", a_device(iommu_group=-2), "0000:3b:00.0.iommu_group is negative: -2"),
    ("split into less than nothing", a_device(virtual_functions=-1), "0000:3b:00.0.virtual_functions is negative: -1"),
    ("slices of no number", a_device(slices=(MdevType(type="t", instances=float("nan")),)),
     "0000:3b:00.0.slices[t].instances is nan"),
    ("slices without end", a_device(slices=(MdevType(type="t", instances=10**9),)),
     "0000:3b:00.0.slices[t].instances is 1000000000, more than any machine has (4096)"),
    ("slices that owe", a_device(slices=(MdevType(type="t", made=-1),)), "0000:3b:00.0.slices[t].made is negative: -1"),
    ("slices by one name", a_device(slices=(MdevType(type="t"),) * 2), "0000:3b:00.0 has two types of slices by one name"),
    ("a device twice", changed(devices=(DEVICE, DEVICE)), "two PCI devices have the same address"),
    ("more pages than memory", changed(memory_bytes=16 * MiB), "32 MiB in hugepages, of 16 MiB of memory"),
]  # fmt: skip


@pytest.mark.parametrize(("inventory", "why"), [pytest.param(*r[1:], id=r[0]) for r in ABSURD])
def test_what_an_inventory_can_not_be(inventory: Inventory, why: str) -> None:
    assert absurd(inventory) == why


def test_a_pool_has_no_less_than_nothing() -> None:
    assert absurd_pool(PoolOnNode(ready=True, free_bytes=-1)) == "free_bytes is negative: -1"
    assert absurd_pool(PoolOnNode(ready=True, free_bytes=5)) == ""


@in_rig
async def test_an_inventory_that_can_not_be_is_not_taken_and_the_node_says_so(rig: Rig) -> None:
    agent = await rig.node("n1")
    before = rig.mirror.find(Node, "n1").status.inventory
    await agent.report(inventory=msgspec.structs.replace(before, memory_bytes=-1))
    node = rig.mirror.find(Node, "n1")
    assert node.status.inventory == before
    assert node.status.trouble and "memory_bytes is negative" in node.status.trouble.message
    await agent.report(inventory=msgspec.structs.replace(before, kernel="7"))
    assert rig.mirror.find(Node, "n1").status.trouble is None


@in_rig
async def test_the_policy_called_default_counts_for_vms_that_name_none(rig: Rig) -> None:
    await rig.shared_pool()
    for name in ("n1", "n2"):
        await rig.node(name)
    await rig.apply(kind="VM", name="one", running=False)
    await rig.apply(kind="VM", name="two", running=False)
    await rig.clock.sleep(1)
    homes = {rig.mirror.find(VM, name).status.node for name in ("one", "two")}
    assert len(homes) == 1, "the balance equation packs"
    await rig.apply(kind="SchedulingPolicy", name="default", spec={"score": "spread"})
    await rig.apply(kind="VM", name="three", running=False)
    await rig.clock.sleep(1)
    assert rig.mirror.find(VM, "three").status.node not in homes
    why = explain(rig.mirror, rig.mirror.find(VM, "three"))
    assert "spread" in why.why_here and "next n" in why.why_here
    assert why.elsewhere.policy == "spread" and why.elsewhere.candidates[0].terms["cpu"] > 0
    refused = await rig.apply(kind="VM", name="four", policy="nonsense")
    assert refused.trouble and "policy" in refused.trouble.message


REFUSED = [  # spec.rebalance, score, what it says
    ({"automatic": True, "goal": "consolidate"}, "spread", "would fill"),
    ({"goal": "drain"}, "pack", "balance or consolidate"),
    ({"moves_per_100_vm_hours": 0.0}, "pack", "0.01 to 1000"),
]


@pytest.mark.parametrize(("rebalance", "score", "says"), REFUSED)
def test_what_rebalancing_can_not_do_by_itself_is_refused(
    rebalance: dict[str, object], score: str, says: str
) -> None:
    asked = msgspec.convert({"score": score, "rebalance": rebalance}, SchedulingPolicySpec)
    with pytest.raises(Invalid, match=says):
        check_spec(asked)


@in_rig
async def test_a_volume_waits_with_its_vm_and_gets_its_node_in_one_commit(rig: Rig) -> None:
    await rig.shared_pool()
    written: list[str] = []
    rig.mirror.on_change(lambda changes: written.extend(c.resource.id for c in changes))
    await rig.vm("web")
    await rig.clock.sleep(12)
    (volume,) = rig.mirror.list(Volume)
    assert volume.status.phase is VolumePhase.PENDING and volume.status.since == volume.created_at
    assert written.count(volume.id) == 1, "written when it was created, and not again while it waits"
    await rig.node("n1")
    await rig.clock.sleep(6)
    vm, (volume,) = rig.mirror.find(VM, "web"), rig.mirror.list(Volume)
    assert vm.status.node == volume.status.node == rig.mirror.find(Node, "n1").id


@in_rig
async def test_groups_keep_vms_apart_and_what_contradicts_itself_is_refused(rig: Rig) -> None:
    await rig.shared_pool()
    for name in ("n1", "n2"):
        await rig.node(name)
    await rig.apply(kind="PlacementGroup", name="apart", spec={"rules": [{"kind": "anti-affinity"}]})
    for name in ("a", "b", "c"):
        await rig.apply(kind="VM", name=name, running=False, groups=["apart"])
        await rig.clock.sleep(1)
    homes = [rig.mirror.find(VM, name).status.node for name in ("a", "b", "c")]
    assert {homes[0], homes[1]} == {rig.mirror.find(Node, n).id for n in ("n1", "n2")} and homes[2] is None
    trouble = rig.mirror.find(VM, "c").status.trouble
    assert trouble and "group apart: a VM to be apart from is on it" in trouble.message
    both = {"rules": [{"kind": "anti-affinity", "domain": "rack"}, {"kind": "affinity"}]}
    refused = await rig.apply(kind="PlacementGroup", name="both", spec=both)
    assert refused.trouble and refused.trouble.code == "group.contradictory"


@in_rig
async def test_policy_and_groups_of_a_vm_can_be_changed(rig: Rig) -> None:
    """They count the next time that it is placed; a VM that waits because of its group is placed at once."""
    await rig.shared_pool()
    await rig.node("n1")
    await rig.apply(kind="PlacementGroup", name="apart", spec={"rules": [{"kind": "anti-affinity"}]})
    for name in ("a", "b"):
        await rig.apply(kind="VM", name=name, running=False, groups=["apart"])
        await rig.clock.sleep(1)
    assert rig.mirror.find(VM, "b").status.node is None
    changed = await rig.apply(kind="VM", name="a", policy="pack", groups=[])
    assert changed.action == "update" and changed.trouble is None
    await rig.clock.sleep(6)
    a, b = (rig.mirror.find(VM, name) for name in "ab")
    assert (a.spec.policy, a.spec.groups) == ("pack", ()) and b.status.node
    for name, kind in (("on", "affinity"), ("off", "anti-affinity")):
        rules = [{"kind": kind, "nodes": ["disk=fast"]}]
        await rig.apply(kind="PlacementGroup", name=name, spec={"rules": rules})
    refused = await rig.apply(kind="VM", name="b", groups=["on", "off"])
    assert refused.trouble and refused.trouble.code == "group.contradictory"
    for fields in ({"policy": "nonsense"}, {"groups": ["nobody"]}):
        refused = await rig.apply(kind="VM", name="b", **fields)
        assert refused.trouble and "no" in refused.trouble.message
    assert rig.mirror.find(VM, "b").spec == b.spec


@in_rig
async def test_what_never_fits_fails_at_once(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.node("n1", memory=8)
    applied = await rig.apply(kind="VM", name="huge", memory="1TiB")
    await rig.clock.sleep(3)
    operation = rig.mirror.find(Operation, applied.operations[0])
    assert operation.status.state is OperationState.FAILED and operation.status.error
    assert operation.status.error.code == "placement.never_fits"
    assert "it asks for 1 TiB of memory; the largest node has" in operation.status.error.message


@in_rig
async def test_dedicated_cpus_reach_the_domain_and_others_stay_off_them(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await agent.report(inventory=GOOD)
    await rig.apply(kind="Node", name="n1", dedicated_cpus="2-3,6-7")
    await rig.apply(kind="VM", name="db", cpus=2, memory="1GiB", running=False, hardware={"dedicated": True})
    await rig.apply(kind="VM", name="web", cpus=2, memory="1GiB", running=False)
    await rig.clock.sleep(1)
    db, web, node = (rig.mirror.find(kind, name) for kind, name in ((VM, "db"), (VM, "web"), (Node, "n1")))
    pinned = pinning_on(rig.mirror, db, node.id)  # type: ignore[arg-type]
    assert pinned and (pinned.vcpus, pinned.cells, pinned.emulator) == (("2", "3"), "0", "0-1")
    others = pinning_on(rig.mirror, web, node.id)  # type: ignore[arg-type]
    assert others and others.vcpus == ("0-1,4-5",)
    await rig.apply(kind="VM", name="db2", cpus=3, memory="1GiB", running=False, hardware={"dedicated": True})
    await rig.clock.sleep(1)
    assert rig.mirror.find(VM, "db2").status.trouble


@in_rig
async def test_a_whole_group_gets_its_nodes_together_or_none_does(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.node("n1", memory=8)
    await rig.apply(kind="PlacementGroup", name="all", spec={"whole": True})
    await rig.apply(kind="Node", name="n1", cordoned=True)
    for number in range(3):
        await rig.apply(kind="VM", name=f"part{number}", memory="3GiB", running=False, groups=["all"])
    await rig.apply(kind="VM", name="alone", memory="2GiB", running=False)
    await rig.apply(kind="Node", name="n1", cordoned=False)
    await rig.clock.sleep(0.5)
    homes = [rig.mirror.find(VM, f"part{number}").status.node for number in range(3)]
    assert homes == [None] * 3, "two of them would fit, all three do not"
    assert rig.mirror.find(VM, "alone").status.node
    await rig.node("n2", memory=8)
    await rig.clock.sleep(0.5)
    assert all(rig.mirror.find(VM, f"part{number}").status.node for number in range(3))


@in_rig
async def test_vms_that_wait_are_placed_together_large_ones_first(rig: Rig) -> None:
    """One by one, in the order in which they came, the last one would find no room."""
    await rig.shared_pool()
    for name in ("n1", "n2"):
        await rig.node(name, memory=8)
        await rig.apply(kind="Node", name=name, cordoned=True, reserve_memory="1GiB")
    await rig.apply(kind="SchedulingPolicy", name="default", spec={"score": "spread"})
    for name, memory in (("s1", "1GiB"), ("s2", "1GiB"), ("m", "5GiB"), ("l", "7GiB")):
        await rig.apply(kind="VM", name=name, memory=memory, running=False)
    await rig.clock.sleep(0.5)
    documents = [{"kind": "Node", "name": name, "cordoned": False} for name in ("n1", "n2")]
    await rig.apply_all(documents)
    await rig.clock.sleep(0.5)
    assert all(rig.mirror.find(VM, name).status.node for name in ("s1", "s2", "m", "l"))
