"""Drift: told by the node, accepted or reverted by its digest, and never lost."""

import pytest
from msgspec.structs import replace

from corral.errors import CorralError
from corral.hypervisor.simulated.foreign import foreign_report
from corral.model.domain import Drift, Refusal
from corral.model.link import VmAssignment
from corral.model.operation import Operation, OperationState
from corral.model.port import Port
from corral.model.units import MiB
from corral.model.vm import VM, DomainState, VMReport
from corral.model.volume import Volume
from corral.server.services.requests import CreateNetwork, CreateVM, MigrateVM, NewDisk, NewNic, SettleDrift
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

MAC = "52:54:00:00:00:07"


async def drifted(rig: Rig, drift: Drift | None = None) -> tuple[PlayedAgent, VM, Drift]:
    """A VM that runs; somebody changed its memory, and gave it another disk and NIC for its own."""
    await rig.shared_pool()
    await rig.services.networks.create(CreateNetwork(name="lan", bridge="br0"), ASKING)
    agent = await rig.node("n1")
    ask = CreateVM(name="web", disks=(NewDisk(image="debian"),), nics=(NewNic(network="lan"),))
    await rig.services.vms.create(ask, ASKING)
    await rig.clock.sleep(0.3)
    vm = rig.mirror.find(VM, "web")
    own = f"/pool/volumes/{vm.spec.disks[0].volume}.qcow2"
    changed = foreign_report("web", "", paths=(own, "/srv/extra.raw"), macs=(MAC,), memory_bytes=256 * MiB)
    drift = drift or Drift(digest="d1", lines=("~ domain/memory",), xml=changed.xml, model=changed.model)
    await tells(rig, agent, drift, generation=vm.generation)
    return agent, rig.mirror.find(VM, "web"), drift


async def tells(rig: Rig, agent: PlayedAgent, drift: Drift | None, *, generation: int) -> None:
    vm = rig.mirror.find(VM, "web")
    report = VMReport(
        state=DomainState.RUNNING,
        stint=vm.status.stint,
        role="owner",
        generation=generation,
        boot=1,
        drift=drift,
    )
    await agent.report(vms={vm.id: report})


async def settle(rig: Rig, how: str, digest: str = "") -> Operation:
    return await rig.services.drifting.settle("web", SettleDrift(settle=how, digest=digest), ASKING)


async def ended(rig: Rig, operation: Operation) -> OperationState:
    await rig.clock.sleep(0.5)
    return rig.mirror.find(Operation, operation.id).status.state


@in_rig
async def test_accepted_the_vm_takes_it_over(rig: Rig) -> None:
    agent, before, drift = await drifted(rig)
    operation = await settle(rig, "accept", "d1")
    vm = rig.mirror.find(VM, "web")
    assert (vm.spec.memory_bytes, vm.spec.base_xml, vm.spec.settles) == (256 * MiB, drift.xml, "d1")
    assert vm.spec.disks[0] == before.spec.disks[0] and len(vm.spec.disks) == 2
    extra = rig.mirror.find(Volume, "web-1")
    assert (
        extra.spec.file and extra.spec.file.path == "/srv/extra.raw" and extra.id == vm.spec.disks[1].volume
    )
    assert [nic.mac for nic in vm.spec.nics] == [MAC] == [port.spec.mac for port in rig.mirror.list(Port)]
    await agent.assigned()
    told = agent.held[vm.id]
    assert isinstance(told, VmAssignment) and (told.settles, told.base_xml) == ("d1", drift.xml)
    assert await ended(rig, operation) is OperationState.RUNNING
    await tells(rig, agent, None, generation=vm.generation)
    assert await ended(rig, operation) is OperationState.SUCCEEDED


@in_rig
async def test_reverted_the_spec_stays(rig: Rig) -> None:
    agent, before, _ = await drifted(rig)
    operation = await settle(rig, "revert")
    vm = rig.mirror.find(VM, "web")
    assert vm.spec == replace(before.spec, settles="d1") and vm.generation == before.generation + 1
    await tells(rig, agent, Drift(digest="d2", lines=("x",)), generation=vm.generation)
    assert await ended(rig, operation) is OperationState.CANCELLED, "it was changed once more"


@in_rig
async def test_a_drift_that_was_not_looked_at_is_not_settled(rig: Rig) -> None:
    await drifted(rig)
    for how, digest, code in (("accept", "d0", "vm.drift_changed"), ("both", "d1", "request.invalid")):
        with pytest.raises(CorralError) as caught:
            await settle(rig, how, digest)
        assert caught.value.code == code


@in_rig
async def test_without_a_drift_there_is_nothing_to_settle(rig: Rig) -> None:
    agent, vm, _ = await drifted(rig)
    await tells(rig, agent, None, generation=vm.generation)
    with pytest.raises(CorralError) as caught:
        await settle(rig, "revert")
    assert caught.value.code == "vm.no_drift"


@in_rig
async def test_what_can_not_be_managed_can_only_be_reverted(rig: Rig) -> None:
    refusal = Refusal(element="memory", reason="'x' is no size")
    await drifted(rig, Drift(digest="d1", lines=("~ domain/memory",), refusal=refusal))
    with pytest.raises(CorralError, match="is no size"):
        await settle(rig, "accept")
    await settle(rig, "revert")


@in_rig
async def test_a_drifted_vm_does_not_migrate(rig: Rig) -> None:
    await drifted(rig)
    await rig.node("n2")
    with pytest.raises(CorralError) as caught:
        await rig.services.vms.migrate("web", MigrateVM(), ASKING)
    assert caught.value.code == "vm.drifted"
