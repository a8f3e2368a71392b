"""Snapshots as users ask for them: the tree, what is refused, how operations end."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.errors import CorralError, InUse, Invalid
from corral.model.hardware import Firmware, Hardware
from corral.model.ids import SnapshotId
from corral.model.operation import Operation
from corral.model.resource import Trouble
from corral.model.snapshot import Beside, RevertReport, Snapshot, SnapshotPhase, SnapshotReport, SnapshotState
from corral.model.vm import VM, DomainState, VMReport, VMSpec
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.services.requests import CreatePool, CreateSnapshot, MigrateVM, NewDisk
from corral.server.services.snapshots import (
    NotNow,
    OtherHardware,
    SnapshotNotReady,
    WouldLoseSnapshots,
    beside_disks,
)
from corral.store.interface import Put
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

MADE = ObjectReport(state=ObjectState.READY, progress=1.0)
READY = SnapshotReport(state=SnapshotState.READY, taken_at=7.0, frozen=True)
DROPPED = SnapshotReport(state=SnapshotState.ABSENT, wanted=False)


async def says(
    rig: Rig, agent: PlayedAgent, state: DomainState = DomainState.RUNNING, **fields: object
) -> None:
    vm = rig.mirror.find(VM, "web")
    report = VMReport(
        state=state,
        stint=vm.status.stint,
        role="owner",
        generation=vm.generation,
        boot=vm.spec.boot,
        **fields,  # type: ignore[arg-type]
    )
    await agent.report(vms={vm.id: report})
    await agent.assigned()


async def web(rig: Rig, *, pool: str = "") -> PlayedAgent:
    """A VM that runs."""
    await rig.shared_pool()
    await rig.services.pools.create(CreatePool(name="local", path="/local"), ASKING)
    agent = await rig.node("n1")
    await rig.vm(disks=(NewDisk(image="debian", pool=pool or "default"),))
    await agent.assigned()
    await agent.report(volumes={v.id: MADE for v in rig.mirror.list(Volume)})
    await says(rig, agent)
    return agent


async def taken(rig: Rig, agent: PlayedAgent, name: str, *, memory: bool = False) -> Snapshot:
    await rig.services.snapshots.create("web", CreateSnapshot(name=name, memory=memory), ASKING)
    await agent.assigned()
    snapshot = rig.mirror.find(Snapshot, f"web.{name}")
    await says(rig, agent, snapshots={snapshot.id: READY})
    return rig.mirror.find(Snapshot, f"web.{name}")


def state(rig: Rig, operation: Operation) -> str:
    return rig.mirror.find(Operation, operation.id).status.state


@in_rig
async def test_take_and_delete(rig: Rig) -> None:
    agent = await web(rig)
    vm = rig.mirror.find(VM, "web")
    asked = await rig.services.snapshots.create("web", CreateSnapshot(name="one"), ASKING)
    await agent.assigned()
    (told,) = agent.held[vm.id].snapshots
    assert (told.wanted, told.freeze, told.disks) == (True, True, agent.held[vm.id].disks)
    await says(rig, agent, snapshots={told.snapshot: READY})
    snapshot = rig.mirror.find(Snapshot, "web.one")
    assert (snapshot.status.phase, snapshot.status.taken_at) == (SnapshotPhase.READY, 7.0)
    assert state(rig, asked) == "succeeded" and agent.held[vm.id].snapshots == ()
    assert rig.mirror.find(VM, "web").generation == vm.generation, "nothing of the definition changed"
    asked = await rig.services.snapshots.delete("web.one", ASKING)
    await agent.assigned()
    assert [s.wanted for s in agent.held[vm.id].snapshots] == [False] and state(rig, asked) == "running"
    await says(rig, agent, snapshots={told.snapshot: DROPPED})
    await rig.clock.sleep(1)
    assert state(rig, asked) == "succeeded" and not rig.mirror.list(Snapshot)
    assert rig.mirror.find(VM, "web").spec.snapshot is None


FOUND = Path(__file__).parents[1] / "hypervisor/domains/windows-secure-boot.xml"
BOTH = (Beside.VARIABLES, Beside.TPM)
LEFT_OUT = [  # name, hardware, its own definition, what a snapshot of disks leaves out
    ("BIOS: nothing", Hardware(), "", ()),
    ("UEFI", Hardware(firmware=Firmware.UEFI), "", (Beside.VARIABLES,)),
    ("BIOS with a TPM", Hardware(tpm=True), "", (Beside.TPM,)),
    ("Secure Boot", Hardware(firmware=Firmware.UEFI_SECURE, tpm=True), "", BOTH),
    ("adopted, whose hardware stands in its own definition", Hardware(), FOUND.read_text(), BOTH),
]


@pytest.mark.parametrize(("hardware", "own", "left_out"), [pytest.param(*r[1:], id=r[0]) for r in LEFT_OUT])
def test_what_a_snapshot_of_disks_leaves_out(hardware: Hardware, own: str, left_out: tuple[Beside]) -> None:
    spec = VMSpec(cpus=1, memory_bytes=1, hardware=hardware, base_xml=own)
    assert tuple(beside_disks(VM(id="vm-1", name="web", spec=spec))) == left_out


@in_rig
async def test_memory_brings_variables_and_tpm_along(rig: Rig) -> None:
    agent = await web(rig)
    vm = rig.mirror.find(VM, "web")
    secure = replace(vm.spec, hardware=Hardware(firmware=Firmware.UEFI_SECURE, tpm=True))
    await rig.store.commit([Put(vm.having(spec=secure))])
    assert (await taken(rig, agent, "disks")).spec.left_out == BOTH
    assert (await taken(rig, agent, "all", memory=True)).spec.left_out == ()


@in_rig
async def test_the_tree(rig: Rig) -> None:
    """a - b - c; back to b, d on it; b goes: c and d stand on a."""
    agent = await web(rig)
    a, b, c = [await taken(rig, agent, name) for name in "abc"]
    assert [s.spec.parent for s in (a, b, c)] == [None, a.id, b.id]
    asked = await rig.services.snapshots.revert("web.b", ASKING)
    await agent.assigned()
    revert = agent.held[c.spec.vm].revert
    assert (revert.wish, revert.to.snapshot) == (asked.id, b.id)
    with pytest.raises(NotNow):
        await rig.services.snapshots.create("web", CreateSnapshot(name="soon"), ASKING)
    with pytest.raises(NotNow):
        await rig.services.vms.migrate("web", MigrateVM(), ASKING)
    await says(rig, agent, revert=RevertReport(wish=asked.id, state="done"))
    await rig.clock.sleep(1)
    assert state(rig, asked) == "succeeded" and agent.held[c.spec.vm].revert is None
    d = await taken(rig, agent, "d")
    assert d.spec.parent == b.id
    await rig.services.snapshots.revert("web.b", ASKING)
    wish = rig.mirror.find(VM, "web").spec.revert
    assert wish
    await says(rig, agent, revert=RevertReport(wish=wish.id, state="done"))
    await rig.services.snapshots.delete("web.b", ASKING)
    await says(rig, agent, snapshots={b.id: DROPPED})
    await rig.clock.sleep(1)
    assert {s.name: s.spec.parent for s in rig.mirror.list(Snapshot)} == {
        "web.a": None, "web.c": a.id, "web.d": a.id,
    }  # fmt: skip
    assert rig.mirror.find(VM, "web").spec.snapshot == SnapshotId(a.id)


@in_rig
async def test_a_failed_snapshot_says_why_and_can_be_deleted(rig: Rig) -> None:
    agent = await web(rig)
    asked = await rig.services.snapshots.create("web", CreateSnapshot(name="one"), ASKING)
    id = rig.mirror.find(Snapshot, "web.one").id
    trouble = Trouble(code="snapshot.failed", message="raw")
    await says(rig, agent, snapshots={id: SnapshotReport(state=SnapshotState.FAILED, trouble=trouble)})
    await rig.clock.sleep(1)
    ended = rig.mirror.find(Operation, asked.id)
    assert ended.status.state == "failed" and ended.status.error and ended.status.error.message == "raw"
    with pytest.raises(SnapshotNotReady):
        await rig.services.snapshots.revert("web.one", ASKING)
    await rig.services.snapshots.delete("web.one", ASKING)
    await says(rig, agent, snapshots={id: DROPPED})
    await rig.clock.sleep(1)
    assert not rig.mirror.list(Snapshot)


@in_rig
async def test_what_is_refused(rig: Rig) -> None:
    agent = await web(rig, pool="local")
    await rig.node("n2")
    snapshot = await taken(rig, agent, "one", memory=True)
    with pytest.raises(WouldLoseSnapshots):
        await rig.services.vms.migrate("web", MigrateVM(), ASKING)
    with pytest.raises(WouldLoseSnapshots):
        await rig.services.vms.delete("web", ASKING, keep_volumes=True)
    with pytest.raises(Invalid):
        await rig.services.snapshots.create("web", CreateSnapshot(name="../x"), ASKING)
    with pytest.raises(CorralError):
        await rig.services.snapshots.create("web", CreateSnapshot(name="one"), ASKING)
    await rig.services.vms.stop("web", ASKING)
    await says(rig, agent, DomainState.STOPPED)
    with pytest.raises(Invalid):
        await rig.services.snapshots.create("web", CreateSnapshot(name="two", memory=True), ASKING)
    asked = await rig.services.snapshots.revert("web.one", ASKING)
    vm = rig.mirror.find(VM, "web")
    assert vm.spec.running, "memory is there to go on from"
    with pytest.raises(NotNow):
        await rig.services.snapshots.delete("web.one", ASKING)
    await says(rig, agent, revert=RevertReport(wish=asked.id, state="done"))
    assert snapshot.spec.memory
    with pytest.raises(InUse):
        await rig.services.volumes.delete("web-0", ASKING)


@in_rig
async def test_memory_fits_no_other_hardware(rig: Rig) -> None:
    agent = await web(rig)
    await taken(rig, agent, "one", memory=True)
    vm = rig.mirror.find(VM, "web")
    from msgspec.structs import replace

    from corral.store.interface import Put

    other = vm.having(spec=replace(vm.spec, cpus=vm.spec.cpus + 1))
    await rig.store.commit([Put(other)])
    await rig.clock.sleep(0.1)
    with pytest.raises(OtherHardware, match="vCPUs"):
        await rig.services.snapshots.revert("web.one", ASKING)


@in_rig
async def test_a_vm_takes_its_snapshots_along(rig: Rig) -> None:
    agent = await web(rig)
    await taken(rig, agent, "one")
    with pytest.raises(WouldLoseSnapshots, match="out of reach"):
        await rig.services.vms.delete("web", ASKING)  # into the trash
    asked = await rig.services.vms.delete("web", ASKING, purge=True)
    vm = rig.mirror.find(VM, "web")
    await agent.assigned()
    absent = VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")
    await agent.report(vms={vm.id: absent})
    gone = ObjectReport(state=ObjectState.ABSENT, wanted=False)
    await agent.report(volumes={v.id: gone for v in rig.mirror.list(Volume)})
    await rig.clock.sleep(2)
    assert state(rig, asked) == "succeeded" and not rig.mirror.list(Snapshot)
