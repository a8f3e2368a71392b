"""Limits of disks and NICs: changed while the VM runs, or refused with the reason."""

import pytest
from msgspec.structs import replace

from corral.errors import Invalid, NotFound
from corral.model.hardware import DiskLimits, NicLimits
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.resource import Trouble
from corral.model.vm import VM, DomainState, Refusal, VMReport
from corral.model.volume import ObjectReport, ObjectState
from corral.server.services.requests import LimitDisk, LimitNic, NewNic
from corral.store.interface import Put
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

FIFTY, MBIT = LimitDisk(limits=DiskLimits(iops=50)), LimitNic(limits=NicLimits(in_mbit=10))


async def web(rig: Rig) -> PlayedAgent:
    await rig.shared_pool()
    await rig.lan()
    agent = await rig.node("n1")
    await rig.vm(nics=(NewNic(network="lan"),))
    await agent.assigned()
    await says(rig, agent)
    return agent


async def says(rig: Rig, agent: PlayedAgent, **fields: object) -> None:
    vm = rig.mirror.find(VM, "web")
    runs = VMReport(
        state=DomainState.RUNNING, stint=vm.status.stint, role="owner", generation=vm.generation, boot=1,
        **{"applied": vm.generation, **fields},  # type: ignore[arg-type]
    )  # fmt: skip
    made = {id: ObjectReport(state=ObjectState.READY, progress=1.0) for id in vm.spec.volumes}
    await agent.report(vms={vm.id: runs}, volumes=made)
    await rig.clock.sleep(0.5)


@in_rig
async def test_a_limit_goes_to_the_node(rig: Rig) -> None:
    agent = await web(rig)
    operation = await rig.services.changes.limit_disk("web", "web-0", FIFTY, ASKING)
    await agent.assigned()
    vm = rig.mirror.find(VM, "web")
    assert agent.held[vm.id].disks[0].tuning.limits.iops == 50
    await says(rig, agent)
    assert rig.mirror.find(Operation, operation.id).status.state == "succeeded"


@in_rig
async def test_a_limit_that_is_refused_there_is_taken_back(rig: Rig) -> None:
    """And the NIC that it was for is not mistaken for one that came."""
    agent = await web(rig)
    node = rig.mirror.find(Node, "n1")
    offers = replace(node.status.inventory.offers, nic_limits=True)
    inventory = replace(node.status.inventory, offers=offers)
    await rig.store.commit([Put(node.having(status=replace(node.status, inventory=inventory)))])
    await rig.clock.sleep(0.2)
    operation = await rig.services.changes.limit_nic("web", "lan", MBIT, ASKING)
    vm = rig.mirror.find(VM, "web")
    assert vm.spec.nics[0].limits.in_mbit == 10
    no = Refusal(generation=vm.generation, trouble=Trouble(code="vm.hotplug_refused", message="tc says no"))
    await says(rig, agent, refusal=no)
    assert rig.mirror.find(Operation, operation.id).status.state == "failed"
    vm = rig.mirror.find(VM, "web")
    assert (vm.spec.nics[0].limits, vm.spec.leaving) == (NicLimits(), ())


@in_rig
async def test_what_is_refused_at_once(rig: Rig) -> None:
    await web(rig)
    changes = rig.services.changes
    with pytest.raises(Invalid, match="can't limit a NIC"):
        await changes.limit_nic("web", "lan", MBIT, ASKING)
    both = LimitDisk(limits=DiskLimits(iops=1, read_iops=1))
    with pytest.raises(Invalid, match="together with read_iops"):
        await changes.limit_disk("web", "web-0", both, ASKING)
    with pytest.raises(NotFound):
        await changes.limit_disk("web", "data", FIFTY, ASKING)
    vm = rig.mirror.find(VM, "web")
    own = vm.having(spec=replace(vm.spec, base_xml="<domain type='kvm'/>"))
    await rig.store.commit([Put(own)])
    await rig.clock.sleep(0.2)
    with pytest.raises(Invalid, match="its own definition"):
        await changes.limit_disk("web", "web-0", FIFTY, ASKING)
