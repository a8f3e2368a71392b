"""The VM's next status: one row a rule."""

import msgspec
import pytest

from corral.controllers.migration_plan import Target
from corral.controllers.vm_plan import NodeSeen, Seen, plan_vm
from corral.model.link import VmRole
from corral.model.resource import Trouble
from corral.model.vm import (
    VM,
    VM_PHASE_NEXT,
    DomainState,
    Migration,
    MigrationReport,
    MigrationResult,
    MigrationStage,
    MigrationWish,
    StopReason,
    VMPhase,
    VMReport,
    VMSpec,
    VMStatus,
)

A, B, GONE = "node-a", "node-b", "node-gone"
RUN = DomainState.RUNNING
TROUBLE = Trouble(code="hypervisor.failed", message="no")


def report(state: DomainState, **fields: object) -> VMReport:
    return VMReport(**{"state": state, "stint": 1, "role": "owner", "generation": 1, "boot": 1, **fields})


def a_vm(reports: dict[str, VMReport], *, deleting: bool = False, **fields: object) -> VM:
    spec = {k: fields.pop(k) for k in ("running", "boot", "migration_wish") if k in fields}
    if "migration_wish" in spec:
        spec["migration"] = spec.pop("migration_wish")
    status = VMStatus(
        **{"node": A, "stint": 1, "traces": tuple(sorted(reports)), "reports": reports, **fields}
    )
    return VM(
        id="vm-1",
        name="web",
        deleted_at=5.0 if deleting else None,
        spec=VMSpec(cpus=1, memory_bytes=1, **spec),
        status=status,
    )


def seen(*lost: str, **fields: object) -> Seen:
    nodes = {n: NodeSeen(name=n, reachable=n not in lost) for n in (A, B)}
    return Seen(**{"nodes": nodes, "now_s": 100.0, **fields})


PHASES = [  # name, VM, lost nodes, phase
    ("no node yet: pending", a_vm({}, node=None), (), VMPhase.PENDING),
    ("node has said nothing: preparing", a_vm({}), (), VMPhase.PREPARING),
    (
        "node has no domain yet: preparing",
        a_vm({A: report(DomainState.ABSENT, boot=0)}),
        (),
        VMPhase.PREPARING,
    ),
    (
        "node can't: failed",
        a_vm({A: report(DomainState.ABSENT, boot=0, trouble=TROUBLE)}),
        (),
        VMPhase.FAILED,
    ),
    (
        "defined, boot not done: starting",
        a_vm({A: report(DomainState.STOPPED, boot=0)}),
        (),
        VMPhase.STARTING,
    ),
    ("runs: running", a_vm({A: report(RUN)}), (), VMPhase.RUNNING),
    ("runs from an older boot: starting again", a_vm({A: report(RUN)}, boot=2), (), VMPhase.STARTING),
    ("runs, should not: stopping", a_vm({A: report(RUN)}, running=False), (), VMPhase.STOPPING),
    ("stopped as asked", a_vm({A: report(DomainState.STOPPED)}, running=False), (), VMPhase.STOPPED),
    (
        "guest shut down: stopped",
        a_vm({A: report(DomainState.STOPPED, reason=StopReason.SHUTDOWN)}),
        (),
        VMPhase.STOPPED,
    ),
    ("paused", a_vm({A: report(DomainState.PAUSED)}), (), VMPhase.PAUSED),
    ("node silent: unknown", a_vm({A: report(RUN)}), (A,), VMPhase.UNKNOWN),
    ("node removed: unknown", a_vm({GONE: report(RUN)}, node=GONE), (), VMPhase.UNKNOWN),
    ("deleting: deleting", a_vm({A: report(RUN)}, deleting=True), (), VMPhase.DELETING),
]


@pytest.mark.parametrize(("vm", "lost", "phase"), [pytest.param(*r[1:], id=r[0]) for r in PHASES])
def test_phase(vm: VM, lost: tuple[str, ...], phase: VMPhase) -> None:
    plan = plan_vm(vm, seen(*lost))
    assert plan.status.phase is phase
    assert phase is vm.status.phase or phase in VM_PHASE_NEXT[vm.status.phase]


@pytest.mark.parametrize(("vm", "lost"), [pytest.param(r[1], r[2], id=r[0]) for r in PHASES])
def test_planning_again_changes_nothing(vm: VM, lost: tuple[str, ...]) -> None:
    once = plan_vm(vm, seen(*lost)).status
    assert plan_vm(vm.having(status=once), seen(*lost)).status == once


def test_guest_that_shut_down_says_so_with_a_hint() -> None:
    trouble = plan_vm(
        a_vm({A: report(DomainState.STOPPED, reason=StopReason.SHUTDOWN)}), seen()
    ).status.trouble
    assert trouble is not None
    assert "guest shut itself down" in trouble.message
    assert "corral vm start web" in trouble.hint


GONE_BY_THIS_STINT = report(DomainState.ABSENT, role=VmRole.NONE)
DELETIONS = [  # name, reports, volumes left, lost, delete volumes, remove
    ("domain still there: wait", {A: report(RUN)}, 0, (), False, False),
    ("absent, but not as told: wait", {A: report(DomainState.ABSENT)}, 0, (), False, False),
    (
        "absent from an older stint: wait",
        {A: report(DomainState.ABSENT, role="none", stint=0)},
        0,
        (),
        False,
        False,
    ),
    ("one of two nodes silent: wait", {A: GONE_BY_THIS_STINT, B: report(RUN)}, 0, (B,), False, False),
    ("domain gone, volumes left: volumes go", {A: GONE_BY_THIS_STINT}, 2, (), True, False),
    ("nothing left: the record goes", {A: GONE_BY_THIS_STINT}, 0, (), True, True),
    ("its node was removed: nothing to wait for", {GONE: report(RUN)}, 0, (), True, True),
]


@pytest.mark.parametrize(
    ("reports", "left", "lost", "volumes", "remove"), [pytest.param(*r[1:], id=r[0]) for r in DELETIONS]
)
def test_deletion(
    reports: dict[str, VMReport], left: int, lost: tuple[str, ...], volumes: bool, remove: bool
) -> None:
    plan = plan_vm(a_vm(reports, deleting=True), seen(*lost, volumes_left=left))
    assert (plan.delete_volumes, plan.remove) == (volumes, remove)


def test_a_trace_is_dropped_only_after_the_node_let_go() -> None:
    vm = a_vm({A: report(RUN), B: report(DomainState.ABSENT, role=VmRole.NONE, stint=0)})
    assert plan_vm(vm, seen()).status.traces == (A, B)
    vm = a_vm({A: report(RUN), B: GONE_BY_THIS_STINT})
    assert plan_vm(vm, seen()).status.traces == (A,)


WISH = MigrationWish(id="op-1")
PREPARING = Migration(wish="op-1", source=A, target=B, started_at=90.0)
RECENT = msgspec.structs.replace(PREPARING, started_at=99.0)
MOVING = msgspec.structs.replace(PREPARING, stage=MigrationStage.MOVING)


def moved(state: str, **fields: object) -> MigrationReport:
    return MigrationReport(wish="op-1", state=state, **fields)


def migrating(migration: Migration | None, a: VMReport | None, b: VMReport | None, **fields: object) -> VM:
    reports = {n: r for n, r in ((A, a), (B, b)) if r}
    wish = fields.pop("wish", WISH)
    return a_vm(
        reports, migration=migration, migration_wish=wish, traces=(A, B) if migration else (A,), **fields
    )


CANCELLED = msgspec.structs.replace(WISH, cancel=True)
READY = report(DomainState.INCOMING, role="target", migration=moved("ready"))
INCOMING = report(DomainState.INCOMING, role="target")
THERE = report(RUN, role="target")
HALF = report(DomainState.PAUSED, role="target", lost=True)
SETTLING = msgspec.structs.replace(MOVING, stage=MigrationStage.SETTLING)
SETTLING_GONE = msgspec.structs.replace(SETTLING, target=GONE)
LOST = msgspec.structs.replace(MOVING, stage=MigrationStage.LOST, boot=1)
RESULT = MigrationResult(wish="op-1", state="lost", trouble=TROUBLE)
LEFT = report(DomainState.ABSENT, role="source")
MIGRATIONS = [  # name, VM, lost, (node, stage or None, result or None)
    ("preparing: wait for the target", migrating(PREPARING, report(RUN), None), (), (A, "preparing", None)),
    ("target ready, source has not measured yet: wait", migrating(RECENT, report(RUN), READY), (), (A, "preparing", None)),
    ("target ready, source has measured: go", migrating(RECENT, report(RUN, migration=moved("measured", dirty_bytes_s=1e6)), READY), (), (A, "moving", None)),
    ("target ready, source measures for too long: go", migrating(PREPARING, report(RUN), READY), (), (A, "moving", None)),
    (
        "target ready in an older stint: wait",
        migrating(PREPARING, report(RUN), report(DomainState.INCOMING, stint=0, migration=moved("ready"))),
        (),
        (A, "preparing", None),
    ),
    ("target silent: failed", migrating(PREPARING, report(RUN), None), (B,), (A, None, "failed")),
    ("target refuses: failed", migrating(PREPARING, report(RUN), report(DomainState.ABSENT, migration=moved("failed", trouble=TROUBLE))), (), (A, None, "failed")),
    ("VM stopped meanwhile: failed", migrating(PREPARING, report(DomainState.STOPPED), READY), (), (A, None, "failed")),
    ("cancelled while preparing", migrating(PREPARING, report(RUN), None, wish=CANCELLED), (), (A, None, "cancelled")),
    ("cancelled while moving: told to the source", migrating(MOVING, report(RUN), INCOMING, wish=CANCELLED), (), (A, "cancelling", None)),
    ("source says done: handed over", migrating(MOVING, report(DomainState.ABSENT, migration=moved("done")), None), (), (B, None, "done")),
    ("source says failed: stays", migrating(MOVING, report(RUN, migration=moved("failed")), INCOMING), (), (A, None, "failed")),
    ("source says failed, target runs it, source has it too: stays", migrating(MOVING, report(RUN, migration=moved("failed")), THERE), (), (A, None, "failed")),
    ("source says failed and has nothing, target runs it: handed over", migrating(MOVING, report(DomainState.ABSENT, migration=moved("failed")), THERE), (), (B, None, "done")),
    ("source says failed and has nothing: the target has to say anew", migrating(MOVING, report(DomainState.STOPPED, migration=moved("failed")), READY), (), (A, "settling", None)),
    ("settling, target has not said anew: wait", migrating(SETTLING, report(DomainState.STOPPED, migration=moved("failed")), report(DomainState.ABSENT, stint=0)), (), (A, "settling", None)),
    ("settling, target silent: wait", migrating(SETTLING, report(DomainState.STOPPED, stint=0), None), (B,), (A, "settling", None)),
    ("settling, target has nothing: stays", migrating(SETTLING, report(DomainState.STOPPED, migration=moved("failed")), report(DomainState.ABSENT)), (), (A, None, "failed")),
    ("settling, target runs it: handed over", migrating(SETTLING, report(DomainState.STOPPED), THERE), (), (B, None, "done")),
    ("settling, half of it is at the target: lost", migrating(SETTLING, report(DomainState.STOPPED), HALF), (), (A, "lost", "lost")),
    ("settling, target was removed: stays", migrating(SETTLING_GONE, report(DomainState.STOPPED), None), (), (A, None, "failed")),
    ("source says lost", migrating(MOVING, report(DomainState.PAUSED, lost=True, migration=moved("lost", trouble=TROUBLE)), HALF), (), (A, "lost", "lost")),
    ("target says lost, source tries to go on", migrating(MOVING, report(DomainState.PAUSED, lost=True, migration=moved("running")), HALF), (), (A, "moving", None)),
    ("target says lost, source is silent", migrating(MOVING, report(DomainState.PAUSED), HALF), (A,), (A, "lost", "lost")),
    ("lost: both wait", migrating(LOST, report(DomainState.PAUSED, lost=True), HALF, last_migration=RESULT), (), (A, "lost", "lost")),
    ("lost, but a source that was silent has gone on", migrating(LOST, report(DomainState.ABSENT), THERE, last_migration=RESULT), (), (B, None, "done")),
    ("lost, a new start is asked for: the target has it", migrating(LOST, report(DomainState.PAUSED, lost=True), HALF, last_migration=RESULT, boot=2), (), (B, None, "lost")),
    ("lost, a stop is asked for: the target has it", migrating(LOST, report(DomainState.PAUSED, lost=True), HALF, last_migration=RESULT, running=False), (), (B, None, "lost")),
    ("about another wish: wait", migrating(MOVING, report(RUN, migration=MigrationReport(wish="op-0", state="done")), INCOMING), (), (A, "moving", None)),
    ("source silent, target waits: wait", migrating(MOVING, report(RUN), INCOMING), (A,), (A, "moving", None)),
    ("source silent, target runs it: handed over", migrating(MOVING, report(RUN), THERE), (A,), (B, None, "done")),
    ("source silent, target ran it in an older stint: wait", migrating(MOVING, report(RUN), report(RUN, stint=0)), (A,), (A, "moving", None)),
    ("source has nothing left, target runs it: wait for its word", migrating(MOVING, LEFT, THERE), (), (A, "moving", None)),
    ("target silent, source still copies: wait", migrating(MOVING, report(RUN), INCOMING), (B,), (A, "moving", None)),
]  # fmt: skip


@pytest.mark.parametrize(("vm", "lost", "outcome"), [pytest.param(*r[1:], id=r[0]) for r in MIGRATIONS])
def test_migration(vm: VM, lost: tuple[str, ...], outcome: tuple[str, str | None, str | None]) -> None:
    status = plan_vm(vm, seen(*lost)).status
    stage = status.migration.stage if status.migration else None
    result = status.last_migration.state if status.last_migration else None
    assert (status.node, stage, result) == outcome


def test_begin_claims_the_target_and_notes_its_trace_first() -> None:
    vm = migrating(None, report(RUN), None)
    status = plan_vm(vm, seen(target=Target(node=B))).status
    assert status.migration == Migration(wish="op-1", source=A, target=B, started_at=100.0)
    assert (status.traces, status.stint, vm.having(status=status).claimed_on) == ((A, B), 2, (A, B))


def test_no_target_fails_the_wish_and_says_why() -> None:
    status = plan_vm(migrating(None, report(RUN), None), seen(target=Target(trouble=TROUBLE))).status
    assert status.last_migration is not None
    assert (status.last_migration.state, status.last_migration.trouble) == ("failed", TROUBLE)
    assert status.migration is None


def test_a_wish_that_was_answered_is_not_begun_again() -> None:
    done = MigrationResult(wish="op-1")
    vm = migrating(None, report(RUN), None, last_migration=done)
    assert plan_vm(vm, seen(target=Target(node=B))).status.migration is None


def test_a_migration_that_takes_too_long_is_cancelled() -> None:
    vm = migrating(MOVING, report(RUN), INCOMING)
    status = plan_vm(vm, seen(now_s=90.0 + 511)).status
    assert status.migration is not None
    assert status.migration.stage is MigrationStage.CANCELLING
