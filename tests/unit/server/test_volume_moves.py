"""Moves of volumes as users ask for them: what the node is told, when it counts as moved, what is refused meanwhile."""

from typing import Any

from corral.errors import InUse, Invalid
from corral.model.operation import Operation, OperationState
from corral.model.pool import StoragePool
from corral.model.resource import Trouble
from corral.model.snapshot import Snapshot, SnapshotSpec
from corral.model.vm import VM, DomainState, VMReport
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.services.requests import CloneVolume, CreatePool, MigrateVM, MoveVolume
from corral.server.services.vms import DiskMoves
from corral.server.services.volumes import VolumeMoves
from corral.store.interface import Put
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig
from tests.unit.server.test_volumes import MADE, a_volume, refused


async def two_pools(rig: Rig) -> PlayedAgent:
    await rig.shared_pool()
    await rig.services.pools.create(CreatePool(name="fast", path="/fast"), ASKING)
    return await rig.node("n1")


def pool(rig: Rig, name: str) -> str:
    return rig.mirror.find(StoragePool, name).id


def at(volume: Volume, pool: str, progress: float = 1.0, **fields: Any) -> dict[str, ObjectReport]:
    """The node's report of a volume that moves."""
    report = ObjectReport(
        state=ObjectState.READY, pool=pool, generation=volume.generation, progress=progress, **fields
    )
    return {volume.id: report}


async def asked(rig: Rig, name: str, to: str) -> tuple[Operation, Volume]:
    operation = await rig.services.volumes.move(name, MoveVolume(pool=to), ASKING)
    await rig.clock.sleep(0.3)
    return operation, rig.mirror.find(Volume, name)


def state(rig: Rig, operation: Operation) -> OperationState:
    return rig.mirror.find(Operation, operation.id).status.state


@in_rig
async def test_move(rig: Rig) -> None:
    agent = await two_pools(rig)
    await a_volume(rig, agent)
    operation, volume = await asked(rig, "data", "fast")
    await agent.assigned()
    told = agent.held[volume.id]
    assert (told.pool_path, told.other.pool_path, told.generation) == ("/fast", "/pool", volume.generation)
    await agent.report(volumes=at(volume, pool(rig, "default"), 0.5))
    await rig.clock.sleep(0.5)
    status = rig.mirror.find(Operation, operation.id).status
    assert (status.state, status.steps[-1].name) == (OperationState.RUNNING, "move the volume")
    assert 0.3 < status.progress < 0.7
    await agent.report(volumes=at(volume, pool(rig, "fast")))
    await rig.clock.sleep(0.3)
    moved = rig.mirror.find(Volume, "data")
    assert (moved.pool, moved.moves, moved.spec.node) == (pool(rig, "fast"), False, "node-n1")
    assert state(rig, operation) is OperationState.SUCCEEDED
    await agent.assigned()
    assert (agent.held[volume.id].pool_path, agent.held[volume.id].other) == ("/fast", None)


@in_rig
async def test_old_report_does_not_count(rig: Rig) -> None:
    """It moved, moves back, and is called back at once: the report of the first move proves nothing."""
    agent = await two_pools(rig)
    await a_volume(rig, agent)
    _, volume = await asked(rig, "data", "fast")
    await agent.report(volumes=at(volume, pool(rig, "fast")))
    await rig.clock.sleep(0.3)
    await asked(rig, "data", "default")
    _, volume = await asked(rig, "data", "fast")
    assert volume.status.moving == pool(rig, "default"), "its node may have begun"
    await agent.report(volumes=at(volume, pool(rig, "fast")))
    await rig.clock.sleep(0.3)
    assert not rig.mirror.find(Volume, "data").moves


@in_rig
async def test_its_vm_is_told_where_it_is(rig: Rig) -> None:
    agent = await two_pools(rig)
    await rig.vm()
    await rig.clock.sleep(0.2)
    await agent.assigned()
    root = rig.mirror.find(Volume, "web-0")
    await agent.report(volumes={root.id: MADE})
    vm = rig.mirror.find(VM, "web")
    running = VMReport(state=DomainState.RUNNING, generation=1, boot=1, stint=vm.status.stint, role="owner")
    await agent.report(vms={vm.id: running})
    _, root = await asked(rig, "web-0", "fast")
    await agent.assigned()
    assert agent.held[vm.id].disks[0].path == f"/pool/volumes/{root.id}.qcow2"
    assert agent.held[root.id].image.image == "img-1", "it stands on it there too"
    await refused(DiskMoves, rig.services.vms.migrate("web", MigrateVM(), ASKING))
    before = rig.mirror.find(VM, "web").generation
    await agent.report(volumes=at(root, pool(rig, "fast")))
    await rig.clock.sleep(0.3)
    await agent.assigned()
    assert agent.held[vm.id].disks[0].path == f"/fast/volumes/{root.id}.qcow2"
    assert rig.mirror.find(VM, "web").generation == before + 1, "its definition has to name the new path"


@in_rig
async def test_cancel(rig: Rig) -> None:
    agent = await two_pools(rig)
    await a_volume(rig, agent)
    operation, _ = await asked(rig, "data", "fast")
    await rig.services.operations.cancel(operation.id, ASKING)
    await rig.clock.sleep(0.3)
    volume = rig.mirror.find(Volume, "data")
    await agent.assigned()
    assert (agent.held[volume.id].pool_path, agent.held[volume.id].other.pool_path) == ("/pool", "/fast")
    assert state(rig, operation) is OperationState.RUNNING, "something may be left in the other pool"
    await agent.report(volumes=at(volume, pool(rig, "default")))
    await rig.clock.sleep(0.3)
    assert state(rig, operation) is OperationState.CANCELLED
    assert not rig.mirror.find(Volume, "data").moves


@in_rig
async def test_no_room_there(rig: Rig) -> None:
    """The operation says why it fails; the volume is where it was, and can be left there."""
    agent = await two_pools(rig)
    await a_volume(rig, agent)
    operation, volume = await asked(rig, "data", "fast")
    trouble = Trouble(code="storage.full", message="no room", since=rig.clock.now_s())
    await agent.report(volumes=at(volume, pool(rig, "default"), 0.0, trouble=trouble))
    await rig.clock.sleep(30.0)
    status = rig.mirror.find(Operation, operation.id).status
    assert (status.state, status.error and status.error.code) == (OperationState.FAILED, "storage.full")
    back, volume = await asked(rig, "data", "default")
    await agent.report(volumes=at(volume, pool(rig, "default")))
    await rig.clock.sleep(0.3)
    assert state(rig, back) is OperationState.SUCCEEDED


@in_rig
async def test_refused(rig: Rig) -> None:
    agent = await two_pools(rig)
    await rig.services.pools.create(CreatePool(name="third", path="/third", shared=True), ASKING)
    volume = await a_volume(rig, agent)
    move = rig.services.volumes.move
    await refused(Invalid, move("data", MoveVolume(pool="default"), ASKING))
    snapshot = Snapshot(id="snap-1", name="s", spec=SnapshotSpec(vm="vm-x", disks=(volume.id,)))  # type: ignore[arg-type]
    stored = await rig.store.commit([Put(snapshot)])
    await rig.mirror.wait_for(stored[0].revision)
    await refused(InUse, move("data", MoveVolume(pool="fast"), ASKING))
    await a_volume(rig, agent, "other")
    await asked(rig, "other", "fast")
    await refused(VolumeMoves, move("other", MoveVolume(pool="third"), ASKING))
    await refused(VolumeMoves, rig.services.volumes.delete("other", ASKING))
    await refused(VolumeMoves, rig.services.volumes.clone("other", CloneVolume(name="two"), ASKING))
