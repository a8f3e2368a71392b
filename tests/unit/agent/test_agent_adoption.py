"""The agent takes a domain over and hands it back: the guest notices nothing, whenever the agent is killed."""

import pytest
from msgspec.structs import replace

from corral.hypervisor.libvirt.identity import adopted_id
from corral.hypervisor.simulated.foreign import add_foreign, foreign_report
from corral.model.domain import Drift
from corral.model.ids import PoolId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment, VmAssignment, VmRole, VolumeAssignment
from corral.model.units import MiB
from corral.model.vm import DomainState, VMReport
from corral.model.volume import ObjectState
from tests.unit.agent.rig import LAN, Rig, in_rig

UUID = "1b000000-0000-4000-8000-0000000000a1"
VM = VmId(adopted_id("vm-01K0000000000000000000000A", UUID))
FILE, MAC = "/srv/old.qcow2", "52:54:00:00:00:01"
OLD = foreign_report("old", UUID, paths=(FILE,), macs=(MAC,))
DISK = VolumeAssignment(
    volume=VolumeId("vol-1"), pool=PoolId(""), pool_path="/srv", size_bytes=MiB, path=FILE, made=True
)
ADOPTED = VmAssignment(
    vm=VM,
    name="old",
    role=VmRole.OWNER,
    generation=1,
    stint=40,
    boot=1,
    memory_bytes=128 * MiB,
    disks=(DiskAssignment(volume=DISK.volume, path=FILE),),
    nics=(NicAssignment(network=LAN.network, bridge="br0", mac=MAC),),
    base_xml=OLD.xml,
    adopt=True,
    adopted=True,
)
RELEASED = VmAssignment(
    vm=VM, name="old", role=VmRole.NONE, generation=2, stint=40, running=False, keep=True, autostart=True
)


def before(rig: Rig, *, running: bool = True) -> None:
    """The host as it was before Corral."""
    rig.one.local.sizes[FILE] = MiB
    state = DomainState.RUNNING if running else DomainState.STOPPED
    add_foreign(rig.one.host, replace(OLD, state=state))


def said(rig: Rig) -> VMReport | None:
    part = rig.one.server.held.get(f"vms/{VM}")
    return part if isinstance(part, VMReport) else None


async def taken_over(rig: Rig) -> VMReport:
    rig.one.server.assign(LAN, DISK, ADOPTED)
    await rig.until(lambda: (r := said(rig)) and r.generation == 1)
    report = said(rig)
    assert report
    return report


@in_rig
async def test_found_domains_are_told_and_a_change_is_told_soon(rig: Rig) -> None:
    before(rig)
    await rig.until(lambda: f"found/{UUID}" in rig.one.server.held)
    await taken_over(rig)
    await rig.until(lambda: rig.one.server.found_all == (), within_s=1)
    rig.one.server.assign(RELEASED)
    await rig.until(lambda: rig.one.server.found_all == (UUID,), within_s=1)


@in_rig
async def test_a_running_guest_runs_on_and_a_stopped_one_stays_stopped(rig: Rig) -> None:
    before(rig)
    report = await taken_over(rig)
    assert (report.state, report.boot, report.stint) == (DomainState.RUNNING, 1, 40)
    await rig.passes(30)
    assert rig.one.host.starts == 0 and rig.one.runs(VM) and not rig.one.host.foreign
    assert not [path for path in rig.one.local.sizes if "seeds" in path], "what it boots with is its own"


@in_rig
async def test_it_is_stopped_started_and_deleted_like_any_vm_and_its_file_stays(rig: Rig) -> None:
    before(rig)
    await taken_over(rig)
    rig.one.server.assign(replace(ADOPTED, generation=2, running=False))
    await rig.until(lambda: (r := said(rig)) and r.state is DomainState.STOPPED)
    rig.one.server.assign(replace(ADOPTED, generation=3, boot=2, memory_bytes=256 * MiB))
    await rig.until(lambda: (r := said(rig)) and r.state is DomainState.RUNNING and r.boot == 2)
    assert rig.one.host.domains[VM].wish.base_xml == OLD.xml
    rig.one.server.assign(replace(RELEASED, keep=False))
    await rig.until(lambda: (r := said(rig)) and r.state is DomainState.ABSENT)
    assert not rig.one.host.domains and not rig.one.host.foreign and rig.one.local.sizes == {FILE: MiB}


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("killed_at_ms", range(0, 120, 4))
def test_killed_at_any_moment_of_an_adoption_and_of_a_release(killed_at_ms: int, running: bool) -> None:
    @in_rig
    async def life(rig: Rig) -> None:
        before(rig, running=running)
        await rig.passes(0.5)
        vm = replace(ADOPTED, running=running, boot=1 if running else 0)
        for assignment in ((LAN, DISK, vm), (RELEASED,)):
            rig.one.server.assign(*assignment)
            await rig.passes(killed_at_ms / 1000)
            rig.one.kill()
            rig.one.server.streams[-1].breaks()
            rig.one.start()
            last = assignment[-1]
            assert isinstance(last, VmAssignment)
            done = (
                DomainState.ABSENT if last.keep else DomainState.RUNNING if running else DomainState.STOPPED
            )
            await rig.until(lambda: (r := said(rig)) and r.state is done and r.role == last.role)  # noqa: B023
            await rig.passes(5)
        assert rig.one.host.starts == 0, "the guest noticed something"
        state = DomainState.RUNNING if running else DomainState.STOPPED
        found = rig.one.host.foreign[UUID]
        assert (found.name, found.state, found.autostart) == ("old", state, True)
        assert VM not in rig.one.memory.notes

    life()


@in_rig
async def test_a_domain_that_is_gone_or_started_meanwhile_is_not_taken(rig: Rig) -> None:
    rig.one.server.assign(LAN, DISK, ADOPTED)
    await rig.until(lambda: (r := said(rig)) and r.trouble)
    report = said(rig)
    assert report and report.trouble and report.trouble.code == "adoption.failed"
    assert not rig.one.host.domains, "it is not made anew"
    rig.one.server.assign(RELEASED)
    await rig.until(lambda: (r := said(rig)) and r.state is DomainState.ABSENT and r.role == "none")
    before(rig)
    rig.one.server.assign(replace(ADOPTED, running=False, boot=0, stint=41))
    await rig.until(lambda: (r := said(rig)) and r.stint == 41 and r.trouble)
    assert rig.one.host.foreign[UUID].state is DomainState.RUNNING, "it is not stopped"


@in_rig
async def test_one_that_stopped_meanwhile_is_left_to_its_policy(rig: Rig) -> None:
    before(rig, running=False)
    await taken_over(rig)
    await rig.until(lambda: rig.one.runs(VM))  # the reason is not known: as after a restart of its host
    assert rig.one.host.starts == 1


@in_rig
async def test_a_file_that_is_gone_is_told_and_not_made(rig: Rig) -> None:
    before(rig)
    await taken_over(rig)
    del rig.one.local.sizes[FILE]
    rig.one.kill()
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    await rig.until(lambda: rig.one.server.volume().state is ObjectState.FAILED)
    assert FILE not in rig.one.local.sizes and rig.one.runs(VM)


# ---- drift

DRIFT = Drift(digest="d1", lines=("~ domain/memory",))


@in_rig
async def test_a_drift_is_told_kept_and_overwritten_only_by_who_knows_it(rig: Rig) -> None:
    before(rig)
    await taken_over(rig)
    held = rig.one.host.domains[VM]
    held.drift = DRIFT
    await rig.until(lambda: (r := said(rig)) and r.drift == DRIFT, within_s=15)
    rig.one.server.assign(replace(ADOPTED, generation=2, memory_bytes=256 * MiB))
    await rig.until(lambda: (r := said(rig)) and r.generation == 2)
    assert held.drift == DRIFT and held.wish.memory_bytes == 128 * MiB, "overwritten"
    rig.one.server.assign(replace(ADOPTED, generation=3, memory_bytes=256 * MiB, settles="d0"))
    await rig.until(lambda: (r := said(rig)) and r.generation == 3)
    assert held.drift == DRIFT, "another one was settled"
    rig.one.server.assign(replace(ADOPTED, generation=4, memory_bytes=256 * MiB, settles="d1"))
    await rig.until(lambda: (r := said(rig)) and r.generation == 4 and r.drift is None, within_s=2)
    assert rig.one.host.domains[VM].wish.memory_bytes == 256 * MiB and rig.one.host.starts == 0
