"""Explaining a VM: what a running one has not got yet, and for whom it waits."""

from corral.model.vm import VM, DomainState, Pending, VMReport, device_key
from corral.model.volume import Volume
from corral.server.services.explaining import explain
from tests.unit.server.rig import Rig, in_rig


@in_rig
async def test_what_waits_for_the_next_start_and_what_for_the_guest(rig: Rig) -> None:
    """Two lists: a restart helps with one of them only. Volumes go by their names."""
    await rig.shared_pool()
    agent = await rig.node("n1")
    await rig.vm()
    vm = rig.mirror.find(VM, "web")
    volume = rig.mirror.find(Volume, "web-0")
    key = device_key(volume.id)
    report = VMReport(
        state=DomainState.RUNNING,
        stint=1,
        role="owner",
        generation=1,
        boot=1,
        applied=1,
        pending=(
            Pending(what="cpus", text="8 vCPUs: the running machine takes 4 at most"),
            Pending(what="disk", key=key, text=f"disk {key}: bus, cache or the like"),
            Pending(what="memory", text="the guest has 2 GiB of the 1 GiB that it shall have", guest=True),
        ),
    )
    await agent.report(vms={vm.id: report})
    told = explain(rig.mirror, rig.mirror.find(VM, "web"))
    assert told.pending == (
        "8 vCPUs: the running machine takes 4 at most",
        "disk web-0: bus, cache or the like",
    )
    assert "the guest has 2 GiB of the 1 GiB that it shall have" in told.waits_for
    await agent.report(vms={vm.id: VMReport(state=DomainState.STOPPED, stint=1, role="owner", generation=1)})
    assert explain(rig.mirror, rig.mirror.find(VM, "web")).pending == ()
