"""An agent carries out what it is whatever fails or is killed in between."""

import pytest
from msgspec.structs import replace

from corral.agent.ports import LocalVm
from corral.hypervisor.interface import HypervisorFailed, HypervisorGone
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, VmAssignment, VolumeAssignment
from corral.model.vm import DomainState, RestartPolicy, StopReason
from corral.model.volume import ObjectState
from corral.network.interface import NetworkFailed
from corral.storage.interface import BadImage, PoolFull, StorageFailed
from tests.unit.agent.rig import LAN, NOBODY, POOL, VM, VOLUME, WEB, Rig, in_rig


@in_rig
async def test_create_needs_no_word_from_the_server_between_volume_and_vm(rig: Rig) -> None:
    one = rig.one
    one.server.acks = False
    await rig.passes(0.1)
    one.server.assign(WEB, VOLUME, LAN, POOL)  # in any order
    assert await rig.until(one.runs) < 2.0
    assert one.memory.notes[VM].boot == 1


@in_rig
async def test_a_running_vm_is_reported_with_its_stint_boot_and_guest(rig: Rig) -> None:
    await rig.web_runs()
    report = rig.one.server.vm()
    assert report is not None
    assert (report.stint, report.role, report.boot, report.generation) == (1, "owner", 1, 1)
    assert (report.guest.hostname, report.reason, report.step, report.trouble) == ("web", "", "", None)
    assert report.started_at > 0
    assert rig.one.server.volume().state is ObjectState.READY


@in_rig
async def test_at_rest_nothing_is_reported(rig: Rig) -> None:
    await rig.web_runs()
    await rig.passes(1)
    before, asked = len(rig.one.server.reports), rig.one.faults.hit["hypervisor.look"]
    await rig.passes(300)
    assert len(rig.one.server.reports) == before
    looks = rig.one.faults.hit["hypervisor.look"] - asked
    assert looks <= 33, "one look in 10 s, give or take its spread, is enough at rest"
    assert len(rig.one.server.facts) > 100


@in_rig
async def test_stop_asks_the_guest_and_says_so(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, running=False))
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state is DomainState.STOPPED)
    report = rig.one.server.vm()
    assert report is not None and report.reason is StopReason.ASKED
    assert rig.one.faults.hit["hypervisor.destroy"] == 0


@in_rig
async def test_a_deaf_guest_is_forced_after_the_timeout(rig: Rig) -> None:
    await rig.web_runs()
    running = rig.one.host.domains[VM].running
    assert running
    running.deaf = True
    rig.one.server.assign(replace(WEB, running=False))
    took_s = await rig.until(lambda: not rig.one.runs())
    assert 20 <= took_s < 22
    await rig.passes(1)
    report = rig.one.server.vm()
    assert report is not None and report.reason is StopReason.ASKED


@in_rig
async def test_no_patience_forces_at_once(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, running=False, stop_timeout_s=0))
    assert await rig.until(lambda: not rig.one.runs()) < 0.2


@in_rig
async def test_restart_stops_and_starts_once(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, boot=2))
    await rig.until(lambda: (r := rig.one.server.vm()) and r.boot == 2 and r.guest.up)
    await rig.passes(60)
    assert rig.one.host.starts == 2


@in_rig
async def test_delete_leaves_nothing(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(NOBODY)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state is DomainState.ABSENT)
    report = rig.one.server.vm()
    assert report is not None and (report.stint, report.role) == (9, "none")
    assert not rig.one.host.domains and VM not in rig.one.memory.notes and not rig.one.local.sizes
    rig.one.server.assign(assigned_volume(wanted=False))
    await rig.until(lambda: rig.one.server.volume().state is ObjectState.ABSENT)
    assert not rig.one.server.volume().wanted
    assert [path for path in rig.shared.sizes if "volumes" in path] == []


def assigned_volume(*, wanted: bool) -> VolumeAssignment:
    return VolumeAssignment(
        volume=VOLUME.volume, pool=VOLUME.pool, pool_path="/pool", size_bytes=1, wanted=wanted
    )


@in_rig
async def test_forget_touches_nothing(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.forget(VM, VOLUME.key)
    await rig.passes(30)
    assert rig.one.runs()
    assert VM not in rig.one.memory.assignments
    report = rig.one.server.vm()
    assert report is not None and report.state is DomainState.RUNNING and report.role == ""


# ---- what is killed or cut off


@in_rig
async def test_works_without_a_server_from_what_is_on_disk(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.go_down()
    rig.one.kill()
    rig.one.host.power_off()
    await rig.passes(5)
    rig.one.host.power_on()
    rig.one.start()
    await rig.until(rig.one.runs)
    assert rig.one.memory.notes[VM].restarts == 1
    rig.one.server.up = True
    await rig.until(lambda: len(rig.one.server.hellos) > 1)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.restarts == 1)


@in_rig
async def test_an_agent_that_comes_back_sends_only_what_changed(rig: Rig) -> None:
    await rig.web_runs()
    await rig.passes(1)
    rig.one.kill()
    before = len(rig.one.server.reports)
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    await rig.passes(20)
    hello = rig.one.server.hellos[-1]
    assert hello.assigned.keys() == {VM, VOLUME.key, POOL.key, LAN.key}
    news = rig.one.server.reports[before:]
    assert not any(r.inventory or r.networks or r.volumes for r in news)
    assert all(pool.ready for r in news for pool in r.pools.values()), "only its room may be told anew"
    assert rig.one.runs() and rig.one.host.starts == 1


@in_rig
async def test_reports_without_an_ack_are_sent_again(rig: Rig) -> None:
    server = rig.one.server
    server.acks = False
    await rig.passes(0.5)
    server.assign(POOL)
    await rig.passes(10)
    assert not server.held
    server.acks = True
    await rig.until(lambda: "pools/pool-1" in server.held and "inventory/" in server.held)
    assert len(server.streams) > 1, "a server that does not commit is dialled again"


@pytest.mark.parametrize("killed_at_ms", range(0, 900, 15))
def test_killed_at_any_moment_of_a_create(killed_at_ms: int) -> None:
    @in_rig
    async def create(rig: Rig) -> None:
        await rig.passes(0.1)
        rig.one.server.assign(POOL, LAN, VOLUME, WEB)
        await rig.passes(killed_at_ms / 1000)
        rig.one.kill()
        rig.one.server.streams[-1].breaks()
        rig.one.start()
        await rig.until(lambda: (r := rig.one.server.vm()) and r.guest.up)
        await rig.passes(20)
        assert rig.one.host.starts == 1 and rig.one.memory.notes[VM].ran

    create()


@pytest.mark.parametrize("killed_at_ms", range(0, 4000, 80))
def test_killed_at_any_moment_of_a_restart(killed_at_ms: int) -> None:
    @in_rig
    async def restart(rig: Rig) -> None:
        await rig.web_runs()
        rig.one.server.assign(replace(WEB, boot=2, restart=RestartPolicy.NEVER))
        await rig.passes(killed_at_ms / 1000)
        rig.one.kill()
        rig.one.server.streams[-1].breaks()
        rig.one.start()
        await rig.until(lambda: (r := rig.one.server.vm()) and r.boot == 2 and r.guest.up)
        await rig.passes(20)
        assert rig.one.host.starts == 2

    restart()


@in_rig
async def test_an_agent_that_is_killed_leaves_the_guest_and_is_right_again_in_2_s(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.kill()
    rig.one.host.crash(VM)
    await rig.passes(1)
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    assert await rig.until(rig.one.runs) < 2.0


# ---- restart policy


@in_rig
async def test_a_crashed_vm_is_started_again_and_counted(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.host.crash(VM)
    assert await rig.until(rig.one.runs) < 2.0
    await rig.until(lambda: (r := rig.one.server.vm()) and r.restarts == 1 and r.state == "running")


@in_rig
async def test_a_vm_that_always_crashes_is_started_ever_more_seldom(rig: Rig) -> None:
    await rig.web_runs()
    for _ in range(40):
        await rig.until(rig.one.runs, within_s=40)
        rig.one.host.crash(VM)
        if rig.clock.monotonic_s() > 300:
            break
    assert 5 <= rig.one.host.starts <= 25


@in_rig
async def test_virsh_destroy_and_guest_shutdown_are_respected(rig: Rig) -> None:
    await rig.web_runs()
    for number, reason in enumerate((StopReason.DESTROYED, StopReason.SHUTDOWN), start=2):
        rig.one.host.end(VM, reason)
        await rig.passes(40)
        report = rig.one.server.vm()
        assert report is not None and report.reason is reason and not rig.one.runs()
        rig.one.server.assign(replace(WEB, boot=number))
        await rig.until(rig.one.runs)


@in_rig
async def test_a_reason_survives_the_agent_and_the_hypervisor(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, restart=RestartPolicy.NEVER))
    await rig.passes(1)
    rig.one.host.crash(VM)
    await rig.passes(1)
    rig.one.kill()
    rig.one.host.power_off()
    rig.one.host.power_on()
    rig.one.server.held.clear()
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    await rig.until(lambda: (r := rig.one.server.vm()) and r.reason is StopReason.CRASHED)


@in_rig
async def test_a_vm_that_was_moved_away_by_hand_is_not_started_again(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.assign(replace(WEB, restart=RestartPolicy.ALWAYS))
    await rig.passes(1)
    rig.one.host.remove(VM, "undefined by hand")
    await rig.passes(60)
    report = rig.one.server.vm()
    assert not rig.one.runs() and report is not None and report.trouble is not None
    assert (report.state, report.trouble.code) == (DomainState.ABSENT, "vm.vanished")
    rig.one.server.assign(replace(WEB, boot=2))
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state == "running" and r.trouble is None)


# ---- what fails


@pytest.mark.parametrize(
    "point",
    [
        "hypervisor.look",
        "hypervisor.define",
        "hypervisor.define.end",
        "hypervisor.start",
        "hypervisor.start.end",
        "storage.make_seed",
        "storage.see_volume",
        "storage.make_volume",
        "storage.make_volume.end",
        "storage.open_pool",
        "network.serve",
        "network.serve.end",
        "memory.save_vm",
        "memory.save_assignments",
    ],
)
@pytest.mark.parametrize("hangs_first", [False, True])
def test_each_call_may_fail_or_hang(point: str, hangs_first: bool) -> None:
    kind = {"s": StorageFailed, "n": NetworkFailed}.get(point[0], HypervisorFailed)
    faults = (400.0, kind("first")) if hangs_first else (kind("first"), 400.0)

    @in_rig
    async def create(rig: Rig) -> None:
        await rig.passes(0.1)
        once = (
            point.endswith(".end") or point == "memory.save_assignments"
        )  # done, however late: no second call
        rig.one.faults.plan(
            point, *(faults[:1] if once else (*faults, kind("third"), HypervisorGone("gone")))
        )
        rig.one.server.assign(POOL, LAN, VOLUME, WEB)
        await rig.until(lambda: (r := rig.one.server.vm()) and r.guest.up, within_s=900)
        await rig.passes(60)
        report = rig.one.server.vm()
        assert report is not None and report.trouble is None and report.state == "running"
        assert rig.one.host.starts == 1
        assert not rig.one.faults.planned[point], "a fault never struck"

    create()


@in_rig
async def test_trouble_is_told_and_not_repeated(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.one.faults.plan("hypervisor.start", *[HypervisorFailed("no more memory")] * 6)
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.trouble)
    await rig.passes(1)
    told = [r.vms[VM] for r in rig.one.server.reports if VM in r.vms and r.vms[VM].trouble]
    assert len(told) <= 2, "that the boot was noted is news, that it failed again is not"
    assert all(report.trouble == told[0].trouble for report in told)
    assert told[0].trouble and told[0].trouble.code == "hypervisor.failed"
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state == "running" and not r.trouble)


@in_rig
async def test_a_daemon_that_restarts_is_no_trouble_for_guests(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.host.stop_daemon()
    await rig.passes(30)
    rig.one.host.crash(VM)
    await rig.passes(1)
    rig.one.host.start_daemon()
    assert await rig.until(rig.one.runs) < 2.0


@in_rig
async def test_a_full_pool_is_told_and_tried_again(rig: Rig) -> None:
    rig.shared.total_bytes = 1000
    await rig.passes(0.1)
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.until(lambda: rig.one.server.held.get("volumes/vol-1"))
    await rig.until(lambda: rig.one.server.volume().state is ObjectState.FAILED)
    trouble = rig.one.server.volume().trouble
    assert trouble is not None and trouble.code == PoolFull.code
    report = rig.one.server.vm()
    assert report is not None and report.step == "waiting for volumes"
    rig.shared.total_bytes = 10**12
    await rig.until(lambda: (r := rig.one.server.vm()) and r.guest.up)
    assert rig.one.server.volume().trouble is None


@in_rig
async def test_a_bad_image_is_not_fetched_again_and_again(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.one.faults.plan("storage.make_volume", BadImage("it is no image", sha256="b" * 64))
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.passes(120)
    assert rig.one.server.volume().state is ObjectState.FAILED
    assert rig.one.faults.hit["storage.make_volume"] == 1


@in_rig
async def test_a_volume_that_is_not_wanted_any_more_is_not_waited_for(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.one.faults.plan("storage.make_volume", 200.0)
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.passes(1)
    rig.one.server.assign(NOBODY, assigned_volume(wanted=False))
    took_s = await rig.until(lambda: rig.one.server.volume().state is ObjectState.ABSENT)
    assert took_s < 2.0 and not rig.one.server.volume().wanted


@in_rig
async def test_a_volume_that_another_node_makes_is_waited_for(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.two.server.assign(POOL, LAN, WEB)
    await rig.passes(5)
    report = rig.two.server.vm()
    assert report is not None and report.step == "waiting for volumes"
    rig.one.server.assign(POOL, VOLUME)
    assert await rig.until(rig.two.runs) < 4.0


@in_rig
async def test_a_vm_that_is_told_to_stop_while_its_seed_is_made_is_not_started(rig: Rig) -> None:
    await rig.web_runs()
    one = rig.one
    one.server.assign(replace(WEB, running=False))
    await rig.until(lambda: not one.runs())
    await rig.passes(1)
    made, started = one.faults.hit["storage.make_seed"], one.faults.hit["hypervisor.start"]
    one.faults.plan("storage.make_seed", 3.0)
    one.server.assign(replace(WEB, boot=2))
    await rig.until(lambda: one.faults.hit["storage.make_seed"] > made)
    one.server.assign(replace(WEB, boot=2, running=False))
    await rig.passes(10)
    assert one.faults.hit["hypervisor.start"] == started


@in_rig
async def test_a_change_of_a_running_vm_takes_three_looks(rig: Rig) -> None:
    """Before its definition, before the change and after it."""
    await rig.web_runs()
    await rig.passes(1)
    asked = rig.one.faults.hit["hypervisor.look"]
    rig.one.server.assign(replace(WEB, generation=2, cpus=2))
    await rig.until(lambda: (r := rig.one.server.vm()) and r.applied == 2)
    assert rig.one.faults.hit["hypervisor.look"] - asked <= 3


@in_rig
async def test_changes_that_come_close_together_lead_to_one_look_at_definitions_after_them(rig: Rig) -> None:
    await rig.web_runs()
    await rig.passes(1)
    looked = rig.one.faults.hit["hypervisor.found"]
    for generation in range(2, 6):
        rig.one.server.assign(replace(WEB, generation=generation))
        await rig.until(lambda g=generation: (r := rig.one.server.vm()) and r.applied == g)  # type: ignore[misc]
    assert rig.one.faults.hit["hypervisor.found"] == looked, "not in between"
    await rig.passes(1)
    assert rig.one.faults.hit["hypervisor.found"] == looked + 1


@in_rig
async def test_networks_that_are_gone_leave_nothing_behind(rig: Rig) -> None:
    other = replace(LAN, network=NetworkId("net-2"))
    rig.one.server.assign(LAN, other)
    await rig.until(lambda: set(rig.one.networking.served) == {"net-1", "net-2"})
    rig.one.server.forget("net-2")
    assert await rig.until(lambda: set(rig.one.networking.served) == {"net-1"}) < 2
    rig.one.faults.plan("network.sweep", NetworkFailed("busy"), 400.0)
    rig.one.server.forget("net-1")
    assert await rig.until(lambda: not rig.one.networking.served, within_s=200)


@in_rig
async def test_a_missing_bridge_is_told(rig: Rig) -> None:
    rig.one.networking.missing_bridges = ("br0",)
    await rig.passes(0.1)
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.step == "waiting for networks")
    rig.one.networking.missing_bridges = ()
    await rig.until(rig.one.runs)


@in_rig
async def test_assignments_are_on_disk_before_anything_is_done(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.one.faults.plan("memory.save_assignments", 5.0)
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.passes(4.0)
    assert not rig.one.host.domains and not rig.shared.sizes
    await rig.until(rig.one.runs)


@in_rig
async def test_a_vm_that_nobody_assigned_is_told_and_left_alone(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.kill()
    rig.one.memory.assignments.clear()
    rig.one.memory.notes.clear()
    rig.one.server.assigned.clear()
    rig.one.server.held.clear()
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state == "running" and r.role == "")
    rig.one.server.assign(POOL, LAN, VOLUME, WEB)
    await rig.until(lambda: rig.one.memory.notes.get(VM))
    assert rig.one.memory.notes[VM] == LocalVm(boot=1, ran=True, applied=1)
    assert rig.one.host.starts == 1, "what runs is adopted, not restarted"


@in_rig
async def test_thirty_vms_start_side_by_side(rig: Rig) -> None:
    await rig.passes(0.1)
    things: list[VmAssignment | VolumeAssignment] = []
    for number in range(30):
        volume = VolumeId(f"vol-{number:02}")
        disk = DiskAssignment(volume=volume, path=f"/pool/volumes/{volume}.qcow2")
        things.append(VolumeAssignment(volume=volume, pool=POOL.pool, pool_path="/pool", size_bytes=1))
        things.append(replace(WEB, vm=VmId(f"vm-{number:02}"), name=f"web{number}", disks=(disk,)))
    rig.one.server.assign(POOL, LAN, *things)
    took_s = await rig.until(lambda: sum(rig.one.runs(f"vm-{n:02}") for n in range(30)) == 30)
    assert took_s < 2.0
    assert rig.one.faults.hit["hypervisor.look"] < 200, "looks are shared"
