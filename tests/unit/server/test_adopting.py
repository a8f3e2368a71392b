"""Adoption: what is made of a domain, what stands in the way, and how a VM is handed back."""

import pytest
from msgspec.structs import replace

from corral.errors import CorralError, Invalid
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.simulated.foreign import foreign_report
from corral.model.domain import Refusal
from corral.model.found import FoundAll, FoundDomain, FoundReport
from corral.model.ids import VmId, VolumeId
from corral.model.link import VmAssignment, VmRole, VolumeAssignment
from corral.model.network import Network
from corral.model.operation import Operation, OperationState
from corral.model.port import Port
from corral.model.resource import Trouble
from corral.model.snapshot import Snapshot, SnapshotPhase, SnapshotSpec, SnapshotStatus
from corral.model.vm import VM, DomainState, VMPhase, VMReport
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.consoles import Consoles
from corral.server.disks_out import disk_out
from corral.server.services.adopting import vm_name
from corral.server.services.requests import AdoptDomain, CloneVM, CloneVolume, MoveVolume
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

ONE, TWO = "1b000000-0000-4000-8000-0000000000a1", "1b000000-0000-4000-8000-0000000000b2"
WEB = foreign_report("web", ONE, paths=("/srv/web.qcow2",), macs=("52:54:00:00:00:01",), bridge="br7")


async def tells(agent: PlayedAgent, *reports: FoundReport) -> None:
    found = {r.model.uuid: r for r in reports if r.model}
    await agent.report(found=found, found_all=FoundAll(uuids=tuple(sorted(found))))


async def adopted(rig: Rig, node: str = "n1", uuid: str = ONE, **fields: str) -> Operation:
    operation = await rig.services.adoptions.adopt(f"{node}.{uuid}", AdoptDomain(**fields), ASKING)
    await rig.clock.sleep(0.1)
    return operation


async def marked(rig: Rig, agent: PlayedAgent, state: DomainState = DomainState.RUNNING) -> VM:
    """The node has taken it over."""
    vm = rig.mirror.find(VM, "web")
    report = VMReport(state=state, stint=vm.status.stint, role="owner", generation=1, boot=vm.spec.boot)
    await agent.report(vms={vm.id: report}, found_all=FoundAll())
    return rig.mirror.find(VM, "web")


@in_rig
async def test_a_domain_becomes_a_vm_with_volumes_and_ports_on_what_is_there(rig: Rig) -> None:
    agent = await rig.node("n1")
    await tells(agent, replace(WEB, autostart=True))
    operation = await adopted(rig)
    vm = rig.mirror.find(VM, "web")
    assert domain_uuid(VmId(vm.id)) == ONE, "its UUID stays"
    assert (vm.spec.cpus, vm.spec.running, vm.spec.base_xml, vm.spec.autostart) == (1, True, WEB.xml, True)
    volume, port = rig.mirror.find(Volume, "web-0"), rig.mirror.list(Port)[0]
    assert volume.spec.file and volume.spec.file.path == "/srv/web.qcow2" and volume.spec.size_bytes
    assert port.spec.mac == "52:54:00:00:00:01" and rig.mirror.find(Network, "br7").spec.bridge == "br7"
    await agent.assigned()
    told, file = agent.held[vm.id], agent.held[volume.id]
    assert isinstance(told, VmAssignment) and told.adopt and told.adopted and told.role is VmRole.OWNER
    assert [d.path for d in told.disks] == ["/srv/web.qcow2"]
    assert isinstance(file, VolumeAssignment) and (file.path, file.made) == ("/srv/web.qcow2", True)
    vm = await marked(rig, agent)
    assert vm.status.phase is VMPhase.RUNNING and rig.mirror.list(FoundDomain) == []
    await rig.clock.sleep(0.5)
    assert rig.mirror.find(Operation, operation.id).status.state is OperationState.SUCCEEDED


@in_rig
async def test_a_dry_run_makes_nothing(rig: Rig) -> None:
    agent = await rig.node("n1")
    await tells(agent, WEB)
    adoption = rig.services.adoptions.preview(f"n1.{ONE}", AdoptDomain(name="web-9"))
    assert adoption.vm.name == "web-9" and len(adoption.volumes) == 1 and adoption.networks[0].name == "br7"
    assert rig.mirror.list(VM) == [] and len(rig.mirror.list(FoundDomain)) == 1


@in_rig
async def test_what_was_adopted_is_copied_by_way_of_an_image(rig: Rig) -> None:
    """Clone, move and export say so."""
    await rig.shared_pool()
    agent = await rig.node("n1")
    await tells(agent, WEB)
    await adopted(rig)
    vm = await marked(rig, agent)
    volume = rig.mirror.find(Volume, "web-0")
    snapshot = Snapshot(
        id="snap-1",
        name="web.one",
        spec=SnapshotSpec(vm=VmId(vm.id), disks=(VolumeId(volume.id),)),
        status=SnapshotStatus(phase=SnapshotPhase.READY),
    )
    consoles = Consoles(rig.mirror, rig.core.hub, rig.clock)
    for asked in (
        rig.services.clones.clone("web", CloneVM(name="two"), ASKING),
        rig.services.clones.clone("web", CloneVM(name="two", full=True), ASKING),
        rig.services.volumes.clone("web-0", CloneVolume(name="two"), ASKING),
        rig.services.volumes.move("web-0", MoveVolume(pool="default"), ASKING),
        disk_out(consoles, rig.mirror, snapshot, 0, "qcow2"),
    ):
        with pytest.raises(Invalid, match="Corral's own making") as refused:
            await asked
        assert "corral image upload" in refused.value.hint


@in_rig
async def test_its_file_stays_when_it_is_deleted_and_goes_when_that_is_asked_for(rig: Rig) -> None:
    agent = await rig.node("n1")
    for erase in (False, True):
        await tells(agent, WEB)
        await adopted(rig)
        vm = await marked(rig, agent)
        await rig.services.vms.delete("web", ASKING, erase=erase)
        await rig.clock.sleep(0.2)
        gone = VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")
        await agent.report(vms={vm.id: gone})
        await rig.clock.sleep(0.5)
        await agent.assigned()
        wanted = [a for a in agent.held.values() if isinstance(a, VolumeAssignment) and not a.wanted]
        assert [a.path for a in wanted] == (["/srv/web.qcow2"] if erase else [])
        for assignment in wanted:
            await agent.report(
                volumes={assignment.volume: ObjectReport(state=ObjectState.ABSENT, wanted=False)}
            )
        await rig.clock.sleep(0.5)
        assert rig.mirror.list(VM) == [] and rig.mirror.list(Volume) == []


@in_rig
async def test_released_its_domain_is_left_alone_and_all_records_go(rig: Rig) -> None:
    agent = await rig.node("n1")
    await tells(agent, replace(WEB, autostart=True))
    await adopted(rig)
    vm = await marked(rig, agent)
    operation = await rig.services.adoptions.release("web", ASKING)
    await agent.assigned()
    told = agent.held[vm.id]
    assert isinstance(told, VmAssignment) and (told.role, told.keep, told.autostart) == (
        VmRole.NONE,
        True,
        True,
    )
    await agent.report(vms={vm.id: VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="none")})
    await rig.clock.sleep(0.5)
    assert [rig.mirror.list(k) for k in (VM, Volume, Port)] == [[], [], []]
    assert rig.mirror.find(Operation, operation.id).status.state is OperationState.SUCCEEDED
    await agent.assigned()
    assert not any(isinstance(a, VolumeAssignment) for a in agent.held.values()), "no word about its file"
    await tells(agent, WEB)
    await adopted(rig)
    assert rig.mirror.find(VM, "web").status.stint > vm.status.stint, "late reports of before prove nothing"


# ---- what stands in the way


REFUSED: list[tuple[str, str, FoundReport, FoundReport, bool]] = [
    # code, first on n1, then on n2; is the first one adopted before
    ("adoption.uuid_in_use", "the same domain on two nodes", WEB, WEB, False),
    ("adoption.uuid_in_use", "its UUID is a VM's", WEB, WEB, True),
    ("adoption.file_in_use", "two nodes, one file on shared storage",
     foreign_report("a", ONE, paths=("/pool/x.qcow2",)), foreign_report("b", TWO, paths=("/pool/x.qcow2",)), False),
    ("adoption.file_in_use", "the file is a volume's",
     foreign_report("web", ONE, paths=("/pool/x.qcow2",)), foreign_report("b", TWO, paths=("/pool/x.qcow2",)), True),
    ("resource.name_taken", "a VM has the name", WEB, foreign_report("web", TWO), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "first", "second", "before"), [pytest.param(r[0], *r[2:], id=r[1]) for r in REFUSED]
)
def test_refused(code: str, first: FoundReport, second: FoundReport, before: bool) -> None:
    @in_rig
    async def play(rig: Rig) -> None:
        await rig.shared_pool()
        one, two = await rig.node("n1"), await rig.node("n2")
        await tells(one, first)
        if before:
            await adopted(rig)
            await marked(rig, one)
        await tells(two, second)
        assert second.model
        with pytest.raises(CorralError) as caught:
            await adopted(rig, "n2", second.model.uuid)
        assert caught.value.code == code, caught.value.message

    play()


@in_rig
async def test_what_can_not_be_managed_says_why(rig: Rig) -> None:
    agent = await rig.node("n1")
    refusal = Refusal(element="domain/@type", reason="'lxc' is no domain of QEMU's")
    await agent.report(found={ONE: replace(WEB, refusal=refusal)}, found_all=FoundAll(uuids=(ONE,)))
    with pytest.raises(CorralError, match="'lxc'") as caught:
        await adopted(rig)
    assert caught.value.code == "adoption.refused"


@in_rig
async def test_the_same_path_on_two_nodes_is_two_files_when_it_is_local(rig: Rig) -> None:
    one, two = await rig.node("n1"), await rig.node("n2")
    await tells(one, WEB)
    await tells(two, foreign_report("db", TWO, paths=("/srv/web.qcow2",)))
    await adopted(rig)
    await adopted(rig, "n2", TWO)
    assert len(rig.mirror.list(VM)) == 2


@in_rig
async def test_a_domain_that_is_gone_by_then_fails_the_adoption(rig: Rig) -> None:
    agent = await rig.node("n1")
    await tells(agent, WEB)
    operation = await adopted(rig)
    vm = rig.mirror.find(VM, "web")
    trouble = Trouble(code="adoption.failed", message="not there any more")
    report = VMReport(state=DomainState.ABSENT, stint=vm.status.stint, role="owner", trouble=trouble)
    await agent.report(vms={vm.id: report}, found_all=FoundAll())
    await rig.clock.sleep(0.5)
    ended = rig.mirror.find(Operation, operation.id).status
    assert ended.state is OperationState.FAILED and ended.error and ended.error.code == "adoption.failed"


NAMES = [
    ("web", "web"),
    ("Win 11 (büro) ™", "win-11-b-ro"),
    ("vm_1", "vm-1"),
    ("---", "adopted"),
    ("x" * 99, "x" * 63),
]


@pytest.mark.parametrize(("domain", "vm"), NAMES)
def test_names(domain: str, vm: str) -> None:
    assert vm_name(domain) == vm
