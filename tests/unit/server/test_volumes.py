"""Volumes as users ask for them: what is refused, what goes to which node, how it ends."""

from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from corral.controllers.vm import is_kept
from corral.errors import CorralError, InUse, Invalid, NameTaken
from corral.model.ids import ImageId, NodeId, PoolId, VolumeId
from corral.model.node import PoolOnNode
from corral.model.operation import Operation
from corral.model.pool import StoragePool
from corral.model.units import GiB
from corral.model.vm import VM, Cd, DomainState, VMReport, VMSpec
from corral.model.volume import (
    FoundFile,
    ObjectReport,
    ObjectState,
    Volume,
    VolumePhase,
    VolumeSpec,
    VolumeStatus,
)
from corral.server.services.requests import CloneVolume, CreatePool, CreateVolume, NewDisk, RestoreVolume
from corral.server.services.volumes import NotInTrash, VolumeChanging, VolumeNotReady
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

R = TypeVar("R", VM, Volume)


def having(resource: R, **spec: Any) -> R:
    return resource.having(spec=replace(resource.spec, **spec))


MADE = ObjectReport(state=ObjectState.READY, progress=1.0)


async def a_volume(rig: Rig, agent: PlayedAgent, name: str = "data", **fields: Any) -> Volume:
    """One that its node has made."""
    await rig.services.volumes.create(CreateVolume(**{"name": name, "size": GiB, **fields}), ASKING)
    await agent.assigned()
    await agent.report(volumes={rig.mirror.find(Volume, name).id: MADE})
    return rig.mirror.find(Volume, name)


async def refused(code: type[CorralError], asked: Any) -> CorralError:
    with pytest.raises(code) as refusal:
        await asked
    return refusal.value


@in_rig
async def test_clone(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    origin = await a_volume(rig, agent)
    operation = await rig.services.volumes.clone("data", CloneVolume(name="two", size="2GiB"), ASKING)
    await agent.assigned()
    copy = rig.mirror.find(Volume, "two")
    told = agent.held[copy.id]
    assert (told.source.volume, told.source.pool_path, told.size_bytes) == (origin.id, "/pool", 2 * GiB)
    assert told.image is None
    error = await refused(InUse, rig.services.volumes.delete("data", ASKING))
    assert "being copied" in error.message
    await agent.report(volumes={copy.id: MADE})
    assert rig.mirror.find(Operation, operation.id).status.state == "succeeded"
    await rig.services.volumes.delete("data", ASKING)


@in_rig
async def test_linked_clone_keeps_its_image(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await a_volume(rig, agent, "root", image="debian")
    await rig.services.volumes.clone("root", CloneVolume(name="two", linked=True), ASKING)
    await agent.assigned()
    assert agent.held[rig.mirror.find(Volume, "two").id].image.image == "img-1"
    await a_volume(rig, agent, "empty")
    await refused(
        Invalid, rig.services.volumes.clone("empty", CloneVolume(name="three", linked=True), ASKING)
    )


@in_rig
async def test_what_a_running_vm_writes_to_is_not_cloned(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await rig.vm()
    await agent.assigned()
    await rig.clock.sleep(0.2)
    await agent.report(volumes={rig.mirror.find(Volume, "web-0").id: MADE})
    error = await refused(
        VolumeChanging, rig.services.volumes.clone("web-0", CloneVolume(name="two"), ASKING)
    )
    assert "corral vm stop web" in error.hint
    await rig.services.vms.stop("web", ASKING)
    await refused(VolumeChanging, rig.services.volumes.clone("web-0", CloneVolume(name="two"), ASKING))
    await stopped(rig, agent)
    await rig.services.volumes.clone("web-0", CloneVolume(name="two"), ASKING)


async def stopped(rig: Rig, agent: PlayedAgent) -> None:
    vm = rig.mirror.find(VM, "web")
    report = VMReport(
        state=DomainState.STOPPED,
        generation=vm.generation,
        boot=vm.spec.boot,
        stint=vm.status.stint,
        role="owner",
    )
    await agent.report(vms={vm.id: report})


@in_rig
async def test_clone_of_what_is_not_there_yet(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await rig.services.volumes.create(CreateVolume(name="data", size=GiB), ASKING)
    await refused(VolumeNotReady, rig.services.volumes.clone("data", CloneVolume(name="two"), ASKING))
    await agent.assigned()


@in_rig
async def test_clone_of_a_local_volume_is_made_where_it_is(rig: Rig) -> None:
    """And into a shared pool by the one node that sees it."""
    await rig.services.pools.create(CreatePool(name="local", path="/local"), ASKING)
    await rig.services.pools.create(CreatePool(name="default", path="/pool", shared=True), ASKING)
    await rig.services.pools.create(CreatePool(name="far", path="/far", nodes=()), ASKING)
    one, two = await rig.node("n1"), await rig.node("n2")
    roomy = {k: PoolOnNode(ready=True, free_bytes=900 * GiB) for k in two.held if k.startswith("pool-")}
    await two.report(pools=roomy)  # the scheduler would rather have it there
    await a_volume(rig, one, pool="local", node="n1")
    await rig.services.volumes.clone("data", CloneVolume(name="two", pool="default"), ASKING)
    await one.assigned()
    assert rig.mirror.find(Volume, "two").status.node == "node-n1"
    assert one.held[rig.mirror.find(Volume, "two").id].source.pool_path == "/local"


@in_rig
async def test_volume_that_was_made_is_known_as_such(rig: Rig) -> None:
    """So that its node never makes an empty one in its place."""
    await rig.shared_pool()
    agent = await rig.node("n1")
    origin = await a_volume(rig, agent)
    await agent.assigned()
    assert agent.held[origin.id].made
    gone = ObjectReport(state=ObjectState.FAILED)
    await agent.report(volumes={origin.id: gone})
    now = rig.mirror.find(Volume, "data")
    assert now.status.made
    assert now.status.phase is not VolumePhase.READY


@in_rig
async def test_deleted_volume_is_restored(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    origin = await a_volume(rig, agent)
    operation = await rig.services.volumes.delete("data", ASKING)
    assert operation.status.state == "succeeded"
    await rig.clock.sleep(0.2)
    gone = rig.mirror.get(origin.id)
    assert isinstance(gone, Volume)
    assert (gone.status.phase, gone.spec.trash and gone.spec.trash.name) == (VolumePhase.TRASHED, "data")
    await agent.assigned()
    assert agent.held[origin.id].wanted, "its file stays"
    await refused(Invalid, rig.vm("other", disks=(NewDisk(volume=origin.id),)))
    await refused(VolumeNotReady, rig.services.volumes.clone(origin.id, CloneVolume(name="two"), ASKING))
    await a_volume(rig, agent, "data")  # the name is free
    await refused(NameTaken, rig.services.volumes.restore(origin.id, RestoreVolume(), ASKING))
    await rig.services.volumes.restore(origin.id, RestoreVolume(name="old"), ASKING)
    await rig.clock.sleep(0.2)
    back = rig.mirror.find(Volume, "old")
    assert (back.id, back.status.phase, back.spec.trash) == (origin.id, VolumePhase.READY, None)
    await refused(NotInTrash, rig.services.volumes.restore("old", RestoreVolume(), ASKING))


@in_rig
async def test_trash_is_emptied_when_its_time_is_over(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    rig.services.desk.trash_s = 100.0
    origin = await a_volume(rig, agent)
    await rig.services.volumes.delete("data", ASKING)
    await rig.clock.sleep(90.0)
    await agent.assigned()
    assert agent.held[origin.id].wanted
    await rig.clock.sleep(15.0)
    await agent.assigned()
    assert not agent.held[origin.id].wanted
    await agent.report(volumes={origin.id: ObjectReport(state=ObjectState.ABSENT, wanted=False)})
    assert rig.mirror.get(origin.id) is None


async def web_is_gone(rig: Rig, agent: PlayedAgent, **how: bool) -> Operation:
    """VM web has run, and is deleted."""
    await rig.vm()
    await agent.assigned()
    vm = rig.mirror.find(VM, "web")
    runs = VMReport(state=DomainState.RUNNING, stint=vm.status.stint, role="owner", generation=1, boot=1)
    await agent.report(vms={vm.id: runs}, volumes=dict.fromkeys(vm.spec.volumes, MADE))
    operation = await rig.services.vms.delete("web", ASKING, **how)
    await agent.assigned()
    gone = VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")
    await agent.report(vms={vm.id: gone})
    await rig.clock.sleep(1.0)
    return rig.mirror.find(Operation, operation.id)


@in_rig
async def test_volumes_of_a_deleted_vm_can_be_had_back(rig: Rig) -> None:
    """By name; also when a VM of the same name has come and gone meanwhile."""
    await rig.shared_pool()
    agent = await rig.node("n1")
    for _ in range(2):
        assert (await web_is_gone(rig, agent)).status.state == "succeeded"
    assert rig.mirror.list(VM) == []
    trashed = rig.mirror.list(Volume)
    assert [v.spec.trash.name for v in trashed if v.spec.trash] == ["web-0", "web-0"]
    assert all(agent.held[v.id].wanted for v in trashed), "nothing happens on the node"
    await rig.services.volumes.restore(trashed[0].id, RestoreVolume(), ASKING)
    await rig.clock.sleep(0.2)
    back = rig.mirror.find(Volume, "web-0")
    assert (back.status.phase, back.spec.vm) == (VolumePhase.READY, None)
    await rig.vm(disks=(NewDisk(volume="web-0"),))


@in_rig
async def test_volumes_of_a_vm_go_at_once_when_that_is_asked_for(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    deleting = await web_is_gone(rig, agent, purge=True)
    (volume,) = rig.mirror.list(Volume)
    await agent.assigned()
    assert volume.deleting and not agent.held[volume.id].wanted and deleting.status.state == "running"
    await agent.report(volumes={volume.id: ObjectReport(state=ObjectState.ABSENT, wanted=False)})
    await rig.clock.sleep(1.0)
    assert (
        rig.mirror.list(Volume) == [] and rig.mirror.find(Operation, deleting.id).status.state == "succeeded"
    )
    await rig.vm()
    await refused(Invalid, rig.services.vms.delete("web", ASKING, purge=True, keep_volumes=True))


WEB = VM(id="vm-1", name="web", spec=VMSpec(cpus=1, memory_bytes=1, trash_s=60.0))
WHOLE = Volume(
    id="vol-1", name="web-0", spec=VolumeSpec(pool=PoolId("p"), size_bytes=1), status=VolumeStatus(made=True)
)
KEPT = [  # name, volume, VM, whether it goes into the trash
    ("whole: kept", WHOLE, WEB, True),
    ("for good was asked for, or there is no trash", WHOLE, having(WEB, trash_s=0.0), False),
    ("never made: nothing to keep", WHOLE.having(status=VolumeStatus()), WEB, False),
    ("a file that was found", having(WHOLE, file=FoundFile(path="/srv/a.img")), WEB, False),
    ("a disc's copy", WHOLE, having(WEB, cd=Cd(volume=VolumeId("vol-1"), image=ImageId("img-1"))), False),
    ("a volume of the user's in the CD drive", WHOLE, having(WEB, cd=Cd(volume=VolumeId("vol-1"))), True),
    ("on its way to a node", WHOLE.having(status=VolumeStatus(made=True, moving_to=NodeId("n"))), WEB, False),
]  # fmt: skip


@pytest.mark.parametrize(("volume", "vm", "kept"), [pytest.param(*r[1:], id=r[0]) for r in KEPT])
def test_which_volumes_are_kept_when_their_vm_goes(volume: Volume, vm: VM, kept: bool) -> None:
    assert is_kept(volume, vm) is kept


@in_rig
async def test_purge_and_wipe(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    for name, purge, wipe in (("one", True, False), ("two", False, True)):
        origin = await a_volume(rig, agent, name)
        operation = await rig.services.volumes.delete(name, ASKING, purge=purge, wipe=wipe)
        await agent.assigned()
        assert (agent.held[origin.id].wanted, agent.held[origin.id].wipe) == (False, wipe)
        assert rig.mirror.find(Operation, operation.id).status.state == "running"


@in_rig
async def test_what_was_never_made_leaves_no_trash(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.services.volumes.create(CreateVolume(name="data", size=GiB), ASKING)
    await rig.services.volumes.delete("data", ASKING)
    await rig.clock.sleep(0.5)
    assert not rig.mirror.list(Volume)


@in_rig
async def test_node_that_sees_another_file_system_is_found_out(rig: Rig) -> None:
    """The first that opens a shared pool says what its marker is; the others are asked for that one."""
    await rig.shared_pool()
    one, two = await rig.node("n1"), await rig.node("n2")
    pool = rig.mirror.find(StoragePool, "default").id
    await one.report(pools={pool: PoolOnNode(ready=True, marker="a1")})
    await two.assigned()
    assert two.held[pool].marker == "a1"
    await two.report(pools={pool: PoolOnNode(ready=True, marker="b2")})
    assert rig.mirror.find(StoragePool, "default").status.marker == "a1"


@in_rig
async def test_local_pool_is_looked_for_by_the_marker_that_it_had(rig: Rig) -> None:
    await rig.services.pools.create(CreatePool(name="local", path="/local"), ASKING)
    one = await rig.node("n1")
    pool = rig.mirror.find(StoragePool, "local").id
    await one.report(pools={pool: PoolOnNode(ready=True, marker="a1")})
    await one.report(pools={pool: PoolOnNode(ready=False)})
    await one.assigned()
    assert one.held[pool].marker == "a1"
