"""Clones of VMs as users ask for them: who they are, what they are copied from, how they end."""

import pytest
from msgspec.structs import replace

from corral.errors import InUse, Invalid, NameTaken
from corral.model.operation import Operation
from corral.model.resource import Trouble
from corral.model.snapshot import Snapshot, SnapshotPhase, SnapshotReport, SnapshotState
from corral.model.vm import VM, CloudInit, DomainState, Nic, VMReport
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.services.clones import as_somebody_else
from corral.server.services.requests import CloneVM, CreateSnapshot
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig
from tests.unit.server.test_snapshots import DROPPED, MADE, READY, says, state, taken, web


def told_of(rig: Rig, agent: PlayedAgent) -> Snapshot:
    """The snapshot that is only there to be copied."""
    (found,) = [s for s in rig.mirror.list(Snapshot) if s.spec.copy_for]
    return found


async def runs(rig: Rig, agent: PlayedAgent, name: str) -> None:
    await agent.assigned()
    vm = rig.mirror.find(VM, name)
    report = VMReport(
        state=DomainState.RUNNING, stint=vm.status.stint, role="owner", generation=vm.generation, boot=1
    )
    await agent.report(vms={vm.id: report})
    await rig.clock.sleep(0.5)


@in_rig
async def test_a_linked_clone_of_a_running_vm(rig: Rig) -> None:
    agent = await web(rig)
    asked = await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)
    await agent.assigned()
    source, copy = rig.mirror.find(VM, "web"), rig.mirror.find(Volume, "two-0")
    snapshot = told_of(rig, agent)
    assert [s.snapshot for s in agent.held[source.id].snapshots] == [snapshot.id]
    assert copy.id not in agent.held, "nothing is copied before the snapshot is there"
    await says(rig, agent, snapshots={snapshot.id: READY})
    told = agent.held[copy.id]
    assert (told.source.snapshot, told.source.volume) == (snapshot.id, source.spec.disks[0].volume)
    assert told.image and told.image.image == "img-1"
    await agent.report(volumes={copy.id: MADE})
    await agent.assigned()
    assert [s.wanted for s in agent.held[source.id].snapshots] == [False], "it has done its work"
    await says(rig, agent, snapshots={snapshot.id: DROPPED})
    await runs(rig, agent, "two")
    assert state(rig, asked) == "succeeded" and not rig.mirror.list(Snapshot)
    assert source.spec.snapshot is None


@in_rig
async def test_a_full_clone_of_a_snapshot_stands_on_nothing(rig: Rig) -> None:
    agent = await web(rig)
    snapshot = await taken(rig, agent, "one")
    await rig.services.clones.clone(
        "web", CloneVM(name="two", full=True, snapshot="web.one", running=False), ASKING
    )
    await agent.assigned()
    told = agent.held[rig.mirror.find(Volume, "two-0").id]
    assert told.image is None and told.source.snapshot == snapshot.id
    vm = rig.mirror.find(VM, "two")
    assert not vm.spec.running and vm.spec.boot == 0
    await agent.report(volumes={rig.mirror.find(Volume, "two-0").id: MADE})
    assert rig.mirror.find(Snapshot, "web.one").status.phase is SnapshotPhase.READY, "it was there before"


@in_rig
async def test_the_clone_is_somebody_else(rig: Rig) -> None:
    await rig.lan()
    agent = await web(rig)
    source = rig.mirror.find(VM, "web")
    await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)
    clone = rig.mirror.find(VM, "two")
    assert clone.id != source.id and clone.spec.disks[0].volume != source.spec.disks[0].volume
    assert agent
    with pytest.raises(NameTaken):
        await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)


def test_cloud_init_takes_it_for_a_new_machine() -> None:
    was = (Nic(network="net-1", mac="0e:00:00:00:00:01"),)  # type: ignore[arg-type]
    old = CloudInit(
        user_data="u", meta_data="instance-id: web", network_config="macaddress: 0e:00:00:00:00:01"
    )
    new = as_somebody_else(old, was, (replace(was[0], mac="0e:00:00:00:00:02"),))
    assert (new.user_data, new.meta_data, new.network_config) == ("u", "", "macaddress: 0e:00:00:00:00:02")


@in_rig
async def test_a_snapshot_that_fails_is_taken_again(rig: Rig) -> None:
    agent = await web(rig)
    await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)
    await agent.assigned()
    snapshot = told_of(rig, agent)
    trouble = Trouble(code="snapshot.failed", message="busy")
    await says(
        rig, agent, snapshots={snapshot.id: SnapshotReport(state=SnapshotState.FAILED, trouble=trouble)}
    )
    assert told_of(rig, agent).status.phase is SnapshotPhase.FAILED
    await says(rig, agent)
    await rig.clock.sleep(6)
    assert told_of(rig, agent).status.phase is SnapshotPhase.CREATING


@in_rig
async def test_a_source_stays_until_its_clone_has_what_it_needs(rig: Rig) -> None:
    """Else the clone could never be made. Whoever wants the source gone cancels the clone."""
    agent = await web(rig)
    asked = await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)
    await agent.assigned()
    with pytest.raises(InUse, match="two-0"):
        await rig.services.vms.delete("web", ASKING)
    await rig.services.operations.cancel(asked.id, ASKING)
    assert rig.mirror.find(VM, "two").deleting
    gone = await rig.services.vms.delete("web", ASKING, purge=True)
    await agent.assigned()
    for vm in rig.mirror.list(VM):
        absent = VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")
        await agent.report(vms={vm.id: absent})
    await rig.clock.sleep(1)
    away = ObjectReport(state=ObjectState.ABSENT, wanted=False)
    await agent.report(volumes={volume.id: away for volume in rig.mirror.list(Volume)})
    await rig.clock.sleep(6)
    assert state(rig, gone) == "succeeded" and rig.mirror.list(Volume) == []


@in_rig
async def test_cancelling_a_clone_takes_its_snapshot_along(rig: Rig) -> None:
    agent = await web(rig)
    asked = await rig.services.clones.clone("web", CloneVM(name="two"), ASKING)
    await agent.assigned()
    snapshot = told_of(rig, agent)
    await rig.services.operations.cancel(asked.id, ASKING)
    vm = rig.mirror.find(VM, "two")
    await agent.report(vms={vm.id: VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")})
    await says(rig, agent, snapshots={snapshot.id: READY})
    await rig.clock.sleep(1)
    away = ObjectReport(state=ObjectState.ABSENT, wanted=False)
    await agent.report(volumes={v.id: away for v in rig.mirror.list(Volume) if v.name == "two-0"})
    await rig.clock.sleep(1)
    assert told_of(rig, agent).deleting
    await says(rig, agent, snapshots={snapshot.id: DROPPED})
    await rig.clock.sleep(1)
    assert not rig.mirror.list(Snapshot) and state(rig, asked) == "cancelled"


@in_rig
async def test_what_is_refused(rig: Rig) -> None:
    agent = await web(rig)
    await rig.vm("other")
    await rig.services.snapshots.create("web", CreateSnapshot(name="one"), ASKING)
    assert agent
    with pytest.raises(Invalid):
        await rig.services.clones.clone("other", CloneVM(name="two", snapshot="web.one"), ASKING)
    with pytest.raises(Invalid):
        await rig.services.clones.clone("web", CloneVM(name="Two"), ASKING)
    assert rig.mirror.select(Operation, "phase", "running")
