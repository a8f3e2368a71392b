"""Live migration as two agents carry it out: done, failed, cancelled, and with either of them killed."""

import pytest
from msgspec.structs import replace

from corral.hypervisor.interface import HypervisorFailed, MigrationFailed
from corral.model.link import VmAssignment
from corral.model.vm import DomainState, MigrationReport
from tests.unit.agent.rig import LAN, NOBODY, POOL, VM, WEB, Place, Rig, in_rig, source, target


def said(place: Place) -> MigrationReport | None:
    report = place.server.vm()
    return report.migration if report else None


def ended(place: Place, wish: str = "w1") -> bool:
    move = said(place)
    return move is not None and move.wish == wish and move.state in ("done", "failed", "cancelled")


async def ready(rig: Rig) -> None:
    """Web runs on `one`, and `two` is ready to receive it."""
    await rig.web_runs()
    rig.two.server.assign(POOL, LAN, target(rig.one))
    await rig.until(lambda: (move := said(rig.two)) and move.state == "ready")


async def moved(rig: Rig) -> None:
    """The server hands the VM over, and `one` lets go of it."""
    rig.two.server.assign(replace(WEB, stint=3))
    rig.one.server.assign(replace(NOBODY, stint=3))
    await rig.until(lambda: (r := rig.two.server.vm()) and r.stint == 3 and r.role == "owner" and r.guest.up)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.stint == 3 and r.state == "absent")
    assert rig.two.host.starts == 0, "the target never boots it"
    assert not rig.one.host.domains and not rig.one.local.sizes and VM not in rig.one.memory.notes


@in_rig
async def test_a_migration_that_succeeds(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: ended(rig.one))
    move, report = said(rig.one), rig.one.server.vm()
    assert (
        move is not None
        and move.state == "done"
        and (move.figures.downtime_ms or 0) > 0
        and move.figures.total_s > 1
    )
    assert report is not None and report.state is DomainState.ABSENT
    await rig.until(lambda: (r := rig.two.server.vm()) and r.state == "running")
    assert rig.world.where(VM) == ("two",)
    await moved(rig)
    told = {
        r.vms[VM].migration.progress for r in rig.one.server.reports if VM in r.vms and r.vms[VM].migration
    }
    assert len(told) >= 4, "progress is told"
    rig.two.host.crash(VM)
    await rig.until(rig.two.runs)


@in_rig
async def test_a_migration_that_is_cancelled(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: (move := said(rig.one)) and move.progress > 0)
    rig.one.server.assign(source(rig.two, cancel=True))
    await rig.until(lambda: ended(rig.one))
    move = said(rig.one)
    assert move is not None and move.state == "cancelled"
    assert rig.world.where(VM) == ("one",)
    await owner_again(rig)


async def owner_again(rig: Rig) -> None:
    rig.one.server.assign(replace(WEB, stint=3))
    rig.two.server.assign(replace(NOBODY, stint=3))
    await rig.until(lambda: (r := rig.two.server.vm()) and r.stint == 3 and r.state == "absent")
    await rig.until(lambda: rig.one.memory.notes[VM].sent_away == "")
    rig.one.host.crash(VM)
    await rig.until(rig.one.runs)
    await rig.passes(20)
    assert rig.one.host.starts == 2


@in_rig
async def test_a_migration_whose_target_dies(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: (move := said(rig.one)) and move.progress > 0)
    rig.two.host.power_off()
    rig.two.kill()
    await rig.until(lambda: ended(rig.one))
    move = said(rig.one)
    assert move is not None and move.state == "failed" and move.trouble is not None
    assert move.trouble.code == "migration.failed" and rig.one.runs()
    rig.two.host.power_on()
    rig.two.server.streams[-1].breaks()
    rig.two.start()
    await owner_again(rig)


@in_rig
async def test_a_migration_whose_source_dies(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: (move := said(rig.one)) and move.progress > 0)
    rig.one.host.power_off()
    rig.one.kill()
    await rig.passes(20)
    assert rig.world.where(VM) == ()
    report = rig.two.server.vm()
    assert report is not None and report.state is DomainState.ABSENT
    rig.one.host.power_on()
    rig.one.server.streams[-1].breaks()
    rig.one.start()
    await rig.until(lambda: ended(rig.one))
    move = said(rig.one)
    assert move is not None and move.state == "failed" and not rig.one.runs(), "a source never starts it"
    rig.one.server.assign(replace(WEB, stint=3))
    await rig.until(rig.one.runs)


@in_rig
async def test_a_guest_that_dies_while_it_migrates(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: (move := said(rig.one)) and move.progress > 0)
    rig.one.host.crash(VM)
    await rig.until(lambda: ended(rig.one))
    await rig.passes(20)
    assert rig.world.where(VM) == ()
    rig.one.server.assign(replace(WEB, stint=3))
    await rig.until(rig.one.runs)


@pytest.mark.parametrize("killed_at_ms", range(0, 8000, 160))
@pytest.mark.parametrize("who", ["one", "two"])
def test_an_agent_is_killed_at_any_moment(who: str, killed_at_ms: int) -> None:
    @in_rig
    async def migrate(rig: Rig) -> None:
        await ready(rig)
        rig.one.server.assign(source(rig.two))
        await rig.passes(killed_at_ms / 1000)
        place = rig.one if who == "one" else rig.two
        place.kill()
        place.server.streams[-1].breaks()
        await rig.passes(3.0)
        place.start()
        await rig.until(lambda: ended(rig.one))
        await rig.until(lambda: (r := rig.one.server.vm()) and r.stint == 2)
        move = said(rig.one)
        assert move is not None
        if move.state == "done":
            assert rig.world.where(VM) == ("two",)
            await moved(rig)
        else:
            assert rig.world.where(VM) == ("one",)
            await owner_again(rig)

    migrate()


@pytest.mark.parametrize("point", ["hypervisor.migrate", "hypervisor.migrate.end", "hypervisor.migration"])
def test_a_call_that_fails(point: str) -> None:
    """Where the VM is afterwards decides how the migration ended, not what the call said."""

    @in_rig
    async def migrate(rig: Rig) -> None:
        await ready(rig)
        rig.one.faults.plan(point, MigrationFailed("lost"), HypervisorFailed("lost again"))
        rig.one.server.assign(source(rig.two))
        await rig.until(lambda: ended(rig.one))
        move = said(rig.one)
        assert move is not None and move.state == ("failed" if point == "hypervisor.migrate" else "done")
        assert rig.world.where(VM) == (("two",) if move.state == "done" else ("one",))

    migrate()


@in_rig
async def test_a_new_wish_is_a_new_attempt(rig: Rig) -> None:
    await ready(rig)
    rig.one.faults.plan("hypervisor.migrate", MigrationFailed("lost"))
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: ended(rig.one))
    await rig.passes(30)
    assert rig.world.where(VM) == ("one",), "one wish, one attempt"
    rig.two.server.assign(target(rig.one, "w2"))
    rig.one.server.assign(source(rig.two, "w2"))
    await rig.until(lambda: ended(rig.one, "w2"))
    assert rig.world.where(VM) == ("two",)


@in_rig
async def test_back_and_forth(rig: Rig) -> None:
    """Nodes that held it before, and were not told to let go in between, do not stand in its way."""
    places = [rig.one, rig.two]
    await ready(rig)
    for number in range(4):
        here, there = places[number % 2], places[(number + 1) % 2]
        wish = f"w{number}"
        there.server.assign(POOL, LAN, stinted(target(here, wish), 10 + number))
        here.server.assign(stinted(source(there, wish), 10 + number))
        await rig.until(lambda here=here, wish=wish: ended(here, wish))  # type: ignore[misc]
        assert rig.world.where(VM) == (there.name,)
    assert rig.one.host.starts + rig.two.host.starts == 1


def stinted(vm: VmAssignment, stint: int) -> VmAssignment:
    return replace(vm, stint=stint)


@in_rig
async def test_the_server_gives_it_back_although_it_left(rig: Rig) -> None:
    """A source that is told to be owner, while the VM runs elsewhere, does not start a second one."""
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: rig.world.where(VM) == ("two",))
    rig.one.server.assign(replace(WEB, stint=3))
    await rig.passes(60)
    assert rig.world.where(VM) == ("two",)
    move = said(rig.one)
    assert move is not None and (move.wish, move.state) == ("w1", "done")


@in_rig
async def test_a_target_waits_for_what_it_can_not_see(rig: Rig) -> None:
    await rig.web_runs()
    rig.two.networking.missing_bridges = ("br0",)
    rig.two.server.assign(POOL, LAN, target(rig.one))
    await rig.passes(5)
    report = rig.two.server.vm()
    assert report is not None and report.migration is None and report.step == "waiting for networks"
    rig.two.networking.missing_bridges = ()
    await rig.until(lambda: (move := said(rig.two)) and move.state == "ready")


@in_rig
async def test_deleted_while_it_migrates(rig: Rig) -> None:
    await ready(rig)
    rig.one.server.assign(source(rig.two))
    await rig.until(lambda: (move := said(rig.one)) and move.progress > 0)
    for place in (rig.one, rig.two):
        place.server.assign(NOBODY)
    for place in (rig.one, rig.two):
        await rig.until(lambda place=place: (r := place.server.vm()) and r.stint == 9 and r.state == "absent")  # type: ignore[misc]
    await rig.passes(30)
    assert rig.world.where(VM) == () and not rig.one.host.domains and not rig.two.host.domains
