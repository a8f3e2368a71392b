"""The VM plan, a rule a row."""

import pytest
from msgspec.structs import replace

from corral.agent.ports import LocalVm
from corral.agent.reconcile import (
    CancelMigration,
    Conclude,
    Define,
    Destroy,
    Discard,
    Forget,
    Ground,
    LookAtGround,
    LookAtPending,
    Migrate,
    Pause,
    Prepare,
    Remember,
    Rest,
    Resume,
    Save,
    Seen,
    Shutdown,
    Start,
    Step,
    Undefine,
    Update,
    Wait,
    plan,
)
from corral.hypervisor.interface import Domain
from corral.model.ids import NodeId, VmId
from corral.model.link import MigrateAssignment, VmAssignment, VmRole
from corral.model.resource import Trouble
from corral.model.vm import DomainState, MigrationReport, Pending, RestartPolicy, StopReason

VM = VmId("vm-1")
WEB = VmAssignment(vm=VM, name="web", role=VmRole.OWNER, generation=2, boot=3, stop_timeout_s=90)
STOP = replace(WEB, running=False)
AT_ONCE = replace(STOP, stop_timeout_s=0)
ANEW = replace(WEB, boot=4, stop_timeout_s=0)
NEVER = replace(WEB, restart=RestartPolicy.NEVER)
ALWAYS = replace(WEB, restart=RestartPolicy.ALWAYS)
MOVE = MigrateAssignment(wish="w1", peer=NodeId("node-2"), peer_address="sim://two", go=True)
SOURCE = replace(WEB, role=VmRole.SOURCE, migrate=MOVE)
CANCEL = replace(SOURCE, migrate=replace(MOVE, cancel=True))
TARGET = replace(WEB, role=VmRole.TARGET, migrate=replace(MOVE, go=False))
NOBODY = VmAssignment(vm=VM, name="web", role=VmRole.NONE, generation=2, running=False)

RUNS = Domain(vm=VM, name="web", state=DomainState.RUNNING, generation=2)
OLD = replace(RUNS, generation=1)
PAUSED = replace(RUNS, state=DomainState.PAUSED)
OFF = replace(RUNS, state=DomainState.STOPPED)
COMING = replace(RUNS, state=DomainState.INCOMING, persistent=False)
READY = Ground("/seed.iso")
NOT_READY = Ground("/seed.iso", missing="volumes")
RAN = LocalVm(boot=3, ran=True, started_at=5.0, applied=2)
AWAY = replace(RAN, sent_away="w1")
WAITING = LocalVm(boot=3, prepared="w1")
NEW = LocalVm(boot=3, started_at=10.0, applied=2)
TROUBLE = Trouble(code="migration.failed", message="lost the target")
DONE = MigrationReport(wish="w1", state="done", progress=1.0)
BEHIND = replace(RAN, applied=1)
HOLDS = replace(RAN, waits=True)
HELD = Pending(what="disk", key="d", text="the guest has not let go", guest=True)
LATER = Pending(what="cpus", text="8 vCPUs")
FORCED = replace(WEB, forced=True)
STILL = replace(WEB, paused=True, turn=1)
GO_ON = replace(WEB, turn=2)
SUSPEND = replace(STOP, saved=True)
SAVED = replace(OFF, reason=StopReason.DESTROYED, saved=True)
FAILED = MigrationReport(wish="w1", state="failed", trouble=TROUBLE)
CANCELLED = MigrationReport(wish="w1", state="cancelled")


def off(reason: StopReason) -> Domain:
    return replace(OFF, reason=reason)


def stopped(reason: StopReason, restarts: int = 0) -> LocalVm:
    return replace(RAN, stopped=reason, restarts=restarts)


STEPS: list[tuple[str, VmAssignment, Seen, Step]] = [
    # starting
    ("new: see what it stands on", WEB, Seen(), LookAtGround()),
    ("disks not ready: wait", WEB, Seen(ground=NOT_READY), Wait(1.0, "waiting for volumes")),
    ("ready: define", WEB, Seen(ground=READY), Define()),
    ("defined: note the boot and start", WEB, Seen(domain=OFF, ground=READY), Start(NEW)),
    ("defined otherwise: define anew before starting", WEB, Seen(domain=replace(OFF, generation=1), ground=READY), Define()),
    ("start noted but not seen: start", WEB, Seen(domain=OFF, note=LocalVm(boot=3), ground=READY), Start(NEW)),
    (
        "start noted but not seen, old reason left: start",
        NEVER,
        Seen(domain=off(StopReason.SHUTDOWN), note=LocalVm(boot=3), ground=READY),
        Start(NEW),
    ),
    ("runs, which was not noted yet: note", WEB, Seen(domain=RUNS, note=LocalVm(boot=3)), Remember(LocalVm(boot=3, ran=True))),
    ("runs, nothing is known of it: adopt", WEB, Seen(domain=RUNS), Remember(LocalVm(boot=3, ran=True, applied=2))),
    ("runs as wanted: rest", WEB, Seen(domain=RUNS, note=RAN, pending=()), Rest()),
    ("runs, and it is not known what it lacks: look", WEB, Seen(domain=RUNS, note=RAN), LookAtPending()),
    ("runs with an older definition: see the ground", WEB, Seen(domain=OLD, note=RAN), LookAtGround()),
    ("runs with an older definition: define", WEB, Seen(domain=OLD, note=RAN, ground=READY), Define()),
    ("paused on the host: leave it", WEB, Seen(domain=PAUSED, note=RAN, pending=()), Rest()),
    ("still arriving: leave it", WEB, Seen(domain=COMING, note=RAN), Rest("receiving")),
    ("arriving, to be started anew: note first", ANEW, Seen(domain=COMING, note=WAITING), Remember(replace(WAITING, stopped=StopReason.ASKED))),
    ("lost on the way, to be started anew: end it", ANEW, Seen(domain=COMING, note=replace(WAITING, stopped=StopReason.ASKED)), Destroy()),
    ("arriving, to be started anew with patience: leave it", replace(WEB, boot=4), Seen(domain=COMING, note=WAITING), Rest("receiving")),
    ("lost on the way, to be stopped: end it", AT_ONCE, Seen(domain=COMING, note=replace(WAITING, stopped=StopReason.ASKED)), Destroy()),
    # stopping
    ("stop: note first", STOP, Seen(domain=RUNS, note=RAN), Remember(stopped(StopReason.ASKED))),
    ("stop: ask the guest", STOP, Seen(domain=RUNS, note=stopped(StopReason.ASKED)), Shutdown()),
    ("asked: wait", STOP, Seen(domain=RUNS, note=stopped(StopReason.ASKED), asked_s=60.0), Wait(30.0, "stopping")),
    ("asked long ago: force", STOP, Seen(domain=RUNS, note=stopped(StopReason.ASKED), asked_s=90.0), Destroy()),
    ("no patience: note first all the same", AT_ONCE, Seen(domain=RUNS, note=RAN), Remember(stopped(StopReason.ASKED))),
    ("no patience: force", AT_ONCE, Seen(domain=RUNS, note=stopped(StopReason.ASKED)), Destroy()),
    ("stopped as asked: rest", STOP, Seen(domain=off(StopReason.SHUTDOWN), note=stopped(StopReason.ASKED)), Rest()),
    (
        "stopped by itself when a stop was wanted: note why",
        STOP,
        Seen(domain=off(StopReason.CRASHED), note=RAN),
        Remember(stopped(StopReason.CRASHED)),
    ),
    ("created stopped: define", STOP, Seen(ground=READY), Define()),
    ("created stopped, defined: rest", STOP, Seen(domain=OFF), Rest()),
    # restart
    ("restart asked: stop first, noted", WEB, Seen(domain=RUNS, note=replace(RAN, boot=2)), Remember(replace(RAN, boot=2, stopped=StopReason.ASKED))),
    ("restart asked: ask the guest", WEB, Seen(domain=RUNS, note=replace(stopped(StopReason.ASKED), boot=2)), Shutdown()),
    ("restart asked, stopped: start", WEB, Seen(domain=off(StopReason.SHUTDOWN), note=replace(stopped(StopReason.ASKED), boot=2), ground=READY), Start(NEW)),
    ("start asked after a crash: start, count anew", NEVER, Seen(domain=OFF, note=replace(stopped(StopReason.CRASHED, 7), boot=2), ground=READY), Start(NEW)),
    ("stop and start without a boot between: start", NEVER, Seen(domain=OFF, note=stopped(StopReason.ASKED), ground=READY), Start(NEW)),
    # restart policy
    ("crashed: note why", WEB, Seen(domain=off(StopReason.CRASHED), note=RAN), Remember(stopped(StopReason.CRASHED))),
    ("stopped, libvirt forgot why: the host it was", WEB, Seen(domain=OFF, note=RAN), Remember(stopped(StopReason.HOST))),
    ("on-failure, crashed: pause", WEB, Seen(domain=OFF, note=stopped(StopReason.CRASHED), pause_s=0.2), Wait(0.2, "restarting")),
    ("on-failure, crashed: start, counted", WEB, Seen(domain=OFF, note=stopped(StopReason.CRASHED, 1), ground=READY), Start(replace(NEW, restarts=2))),
    ("on-failure, host went down: start", WEB, Seen(domain=OFF, note=stopped(StopReason.HOST), ground=READY), Start(replace(NEW, restarts=1))),
    ("on-failure, guest shut down: stays off", WEB, Seen(domain=OFF, note=stopped(StopReason.SHUTDOWN)), Rest()),
    ("on-failure, virsh destroy: stays off", WEB, Seen(domain=OFF, note=stopped(StopReason.DESTROYED)), Rest()),
    ("always, guest shut down: start", ALWAYS, Seen(domain=OFF, note=stopped(StopReason.SHUTDOWN), ground=READY), Start(replace(NEW, restarts=1))),
    ("always, virsh destroy: start", ALWAYS, Seen(domain=OFF, note=stopped(StopReason.DESTROYED), ground=READY), Start(replace(NEW, restarts=1))),
    ("never, crashed: stays off", NEVER, Seen(domain=OFF, note=stopped(StopReason.CRASHED)), Rest()),
    ("stays off, new definition: define", NEVER, Seen(domain=replace(OFF, generation=1), note=stopped(StopReason.CRASHED), ground=READY), Define()),
    ("domain vanished: note it", ALWAYS, Seen(note=RAN), Remember(stopped(StopReason.DESTROYED))),
    ("domain vanished, then a start is asked: start", WEB, Seen(note=replace(RAN, boot=2), ground=READY), Define()),
    # source
    ("source, not told to go: rest", replace(SOURCE, migrate=replace(MOVE, go=False)), Seen(domain=RUNS, note=RAN), Rest()),
    ("source: note, then migrate", SOURCE, Seen(domain=RUNS, note=RAN), Migrate(AWAY)),
    ("source, an older wish was tried: migrate", SOURCE, Seen(domain=RUNS, note=replace(RAN, sent_away="w0")), Migrate(AWAY)),
    ("source, migrating: look again", SOURCE, Seen(domain=RUNS, note=AWAY, moving=True), Wait(1.0, "migrating")),
    ("source, cancel: cancel", CANCEL, Seen(domain=RUNS, note=AWAY, moving=True), CancelMigration()),
    ("source, cancelled before it began", CANCEL, Seen(domain=RUNS, note=RAN), Conclude(CANCELLED)),
    ("source, call failed and VM is here: failed", SOURCE, Seen(domain=RUNS, note=AWAY, error=TROUBLE), Conclude(FAILED)),
    ("source, call failed and VM is gone: done", SOURCE, Seen(note=AWAY, error=TROUBLE), Conclude(DONE)),
    ("source, call was cancelled and VM is here", SOURCE, Seen(domain=RUNS, note=AWAY, cancelled=True), Conclude(CANCELLED)),
    ("source, cancelled too late: done", CANCEL, Seen(note=AWAY), Conclude(DONE)),
    ("source, paused and no migration runs: failed", SOURCE, Seen(domain=PAUSED, note=AWAY, error=TROUBLE), Conclude(FAILED)),
    ("source, concluded: rest", SOURCE, Seen(domain=RUNS, note=AWAY, result=FAILED), Rest()),
    ("source, sent away: rest", SOURCE, Seen(note=AWAY, result=DONE), Rest()),
    ("source, crashed after a failed migration: not started", SOURCE, Seen(domain=off(StopReason.CRASHED), note=AWAY, result=FAILED), Rest()),
    # owner again
    ("owner again, still migrating: cancel", WEB, Seen(domain=RUNS, note=AWAY, moving=True), CancelMigration()),
    ("owner again, VM is here: forget that it was sent", WEB, Seen(domain=RUNS, note=AWAY), Remember(RAN)),
    ("owner again, VM crashed here: forget that it was sent", WEB, Seen(domain=OFF, note=AWAY), Remember(RAN)),
    ("owner again, but it did leave: never start it", WEB, Seen(note=AWAY), Rest("migrated away")),
    ("owner again, did leave, a start is asked: start", WEB, Seen(note=replace(AWAY, boot=2)), Remember(LocalVm(boot=2, started_at=5.0, applied=2))),
    # target
    ("target: note the wish", TARGET, Seen(), Remember(WAITING)),
    ("target, held it once: note anew", TARGET, Seen(note=AWAY), Remember(WAITING)),
    ("target: see the ground", TARGET, Seen(note=WAITING), LookAtGround()),
    ("target, volume not visible: wait", TARGET, Seen(note=WAITING, ground=NOT_READY), Wait(1.0, "waiting for volumes")),
    ("target: prepare", TARGET, Seen(note=WAITING, ground=READY), Prepare()),
    ("target, ready: rest", TARGET, Seen(note=WAITING, ground=READY, prepared=True), Rest()),
    ("target, left-over definition: prepare, never start", TARGET, Seen(domain=OFF, note=WAITING, ground=READY), Prepare()),
    ("target, arriving: rest", TARGET, Seen(domain=COMING, note=WAITING), Rest()),
    ("target, arrived: note", TARGET, Seen(domain=RUNS, note=WAITING), Remember(replace(WAITING, ran=True, started_at=10.0))),
    ("target, arrived and noted: rest", TARGET, Seen(domain=RUNS, note=replace(WAITING, ran=True)), Rest()),
    ("target, arrived, then crashed: not started", TARGET, Seen(domain=OFF, note=replace(WAITING, ran=True)), Rest()),
    ("target owns it now: bring it up to date, no second boot", WEB, Seen(domain=RUNS, note=replace(WAITING, ran=True)), Update(replace(WAITING, ran=True, applied=2))),
    # changes while it runs
    ("defined anew: change the running domain", WEB, Seen(domain=RUNS, note=BEHIND), Update(RAN)),
    ("defined anew, force: change it with force", FORCED, Seen(domain=RUNS, note=BEHIND), Update(RAN, force=True)),
    ("it comes with the next start: rest", WEB, Seen(domain=RUNS, note=RAN, pending=(LATER,)), Rest()),
    ("the guest does not let go: ask again in a while", WEB, Seen(domain=RUNS, note=HOLDS, pending=(HELD,)), Wait(3.0, "waiting for the guest")),
    ("asked a while ago: ask again", WEB, Seen(domain=RUNS, note=HOLDS), Update(HOLDS)),
    ("the guest does not let go, no force: never lose power", WEB, Seen(domain=RUNS, note=HOLDS, pending=(HELD,), asking_s=900.0), Wait(3.0, "waiting for the guest")),
    ("force, but the guest has time yet: wait", FORCED, Seen(domain=RUNS, note=HOLDS, pending=(HELD,), asking_s=19.0), Wait(3.0, "waiting for the guest")),
    ("force, time is over: note first", FORCED, Seen(domain=RUNS, note=HOLDS, pending=(HELD,), asking_s=20.0), Remember(replace(HOLDS, stopped=StopReason.ASKED))),
    ("force, time is over: pull the plug", FORCED, Seen(domain=RUNS, note=replace(HOLDS, stopped=StopReason.ASKED), pending=(HELD,), asking_s=20.0), Destroy()),
    ("force, the plug was pulled: start again", FORCED, Seen(domain=OFF, note=replace(HOLDS, stopped=StopReason.ASKED), ground=READY), Start(NEW)),
    ("stop goes before a change", STOP, Seen(domain=RUNS, note=BEHIND), Remember(replace(BEHIND, stopped=StopReason.ASKED))),
    # pause, suspend, rename
    ("pause: pause", STILL, Seen(domain=RUNS, note=RAN), Pause(replace(RAN, turn=1))),
    ("paused as asked: rest", STILL, Seen(domain=PAUSED, note=replace(RAN, turn=1), pending=()), Rest()),
    ("paused as asked, then resumed on the host: leave it", STILL, Seen(domain=RUNS, note=replace(RAN, turn=1), pending=()), Rest()),
    ("resume: resume", GO_ON, Seen(domain=PAUSED, note=replace(RAN, turn=1)), Resume(replace(RAN, turn=2))),
    ("stop while paused: first let it hear", replace(GO_ON, running=False), Seen(domain=PAUSED, note=replace(RAN, turn=1)), Resume(replace(RAN, turn=2))),
    ("suspend: note first", SUSPEND, Seen(domain=RUNS, note=RAN), Remember(stopped(StopReason.ASKED))),
    ("suspend: write the memory", SUSPEND, Seen(domain=RUNS, note=stopped(StopReason.ASKED)), Save()),
    ("suspend, being written: look again", SUSPEND, Seen(domain=RUNS, note=stopped(StopReason.ASKED), saving=True), Wait(1.0, "suspending to disk")),
    ("suspended: rest", SUSPEND, Seen(domain=SAVED, note=stopped(StopReason.ASKED)), Rest()),
    ("suspended, then a plain stop: forget the memory", STOP, Seen(domain=SAVED, note=stopped(StopReason.ASKED)), Discard()),
    ("suspended, then a start: it goes on as it was then", WEB, Seen(domain=SAVED, note=stopped(StopReason.ASKED), ground=READY), Start(replace(NEW, applied=0))),
    ("renamed while it ran, stopped now: define", STOP, Seen(domain=replace(OFF, name="old"), note=stopped(StopReason.ASKED), ground=READY), Define()),
    ("its name is taken by another domain: rest", STOP, Seen(domain=replace(OFF, name="web-vm-1"), note=stopped(StopReason.ASKED)), Rest()),
    ("target owns it now and it never arrived: define", WEB, Seen(note=WAITING, ground=READY), Define()),
    # nobody
    ("nobody's and running: end it", NOBODY, Seen(domain=RUNS, note=RAN), Destroy()),
    ("nobody's and arriving: end it", NOBODY, Seen(domain=COMING), Destroy()),
    ("nobody's and paused: end it", NOBODY, Seen(domain=PAUSED), Destroy()),
    ("nobody's and stopped: undefine", NOBODY, Seen(domain=OFF), Undefine()),
    ("nobody's and absent: tidy up", NOBODY, Seen(note=RAN), Forget()),
    ("nobody's, a migration may bring it back: wait", NOBODY, Seen(note=AWAY, moving=True), Wait(1.0, "stopping")),
    ("nobody's and tidied up: rest", NOBODY, Seen(clean=True), Rest()),
]  # fmt: skip


@pytest.mark.parametrize(("vm", "seen", "step"), [pytest.param(*r[1:], id=r[0]) for r in STEPS])
def test_plan(vm: VmAssignment, seen: Seen, step: Step) -> None:
    assert plan(vm, replace(seen, now_s=10.0)) == step


def test_a_vanished_domain_is_told_with_a_hint_and_not_started() -> None:
    step = plan(ALWAYS, Seen(note=stopped(StopReason.DESTROYED), ground=READY))
    assert isinstance(step, Rest) and step.trouble is not None
    assert step.trouble.code == "vm.vanished" and "web" in step.trouble.hint


@pytest.mark.parametrize("domain", [None, OFF, off(StopReason.SHUTDOWN)])
def test_what_does_not_run_can_not_be_migrated(domain: Domain | None) -> None:
    step = plan(SOURCE, Seen(domain=domain, note=RAN))
    assert isinstance(step, Conclude) and step.result.state == "failed"
    assert step.result.trouble is not None and step.result.trouble.code == "migration.not_running"


def test_a_migration_that_nobody_watched_says_so() -> None:
    step = plan(SOURCE, Seen(domain=RUNS, note=AWAY))
    assert isinstance(step, Conclude) and step.result.state == "failed"
    assert step.result.trouble is not None and step.result.trouble.code == "migration.failed"


@pytest.mark.parametrize("role", [VmRole.SOURCE, VmRole.TARGET, VmRole.NONE])
@pytest.mark.parametrize("domain", [None, OFF, off(StopReason.CRASHED), RUNS, PAUSED, COMING])
@pytest.mark.parametrize("note", [None, RAN, AWAY, WAITING, stopped(StopReason.CRASHED), LocalVm(boot=1)])
@pytest.mark.parametrize("moving", [False, True])
def test_only_an_owner_starts_it(
    role: VmRole, domain: Domain | None, note: LocalVm | None, moving: bool
) -> None:
    vm = replace(ALWAYS, role=role, migrate=MOVE, boot=9)
    step = plan(vm, Seen(domain=domain, note=note, ground=READY, moving=moving))
    assert not isinstance(step, Start | Define)
