"""Migration planning: one live migration, from wish to result.

In this room   pure functions on a VM's status
Comes in       a VM with a wish (spec.migration), what its source and target report
Goes out       the next status; seconds after which to look again
Always true    until the source was told to go, stopping is free. From then on libvirt decides where the VM
               runs, and only what source and target report ends the migration.
Next door      vm_plan.py calls this; server/assignments.py tells the two nodes their parts
Start here     plan_migration()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from corral.model.ids import NodeId
from corral.model.resource import Trouble
from corral.model.vm import (
    VM,
    DomainState,
    Migration,
    MigrationReport,
    MigrationResult,
    MigrationStage,
    MigrationWish,
    VMStatus,
)

if TYPE_CHECKING:
    from corral.controllers.vm_plan import Seen

PREPARE_S_MAX = 60.0  # for the target to get ready
MOVE_S_MAX = 540.0  # then it is cancelled: less than an operation's deadline


class Target(Struct, frozen=True, kw_only=True):
    """Where the scheduler would migrate the VM, or why nowhere."""

    node: NodeId | None = None
    trouble: Trouble | None = None


def plan_migration(vm: VM, status: VMStatus, seen: Seen) -> tuple[VMStatus, float | None]:
    """Begin, go on with, or end a migration. `status.node` is set."""
    wish, migration = vm.spec.migration, status.migration
    if migration is None:
        if reverting(vm):
            return status, None  # another node does not know whether it was carried out
        return _begin(vm, status, wish, seen) if wish and _open(wish, status) else (status, None)
    wanted = wish is not None and wish.id == migration.wish and not wish.cancel
    if migration.stage is MigrationStage.PREPARING:
        return _prepare(status, migration, seen, wanted)
    return _move(status, migration, seen, wanted)


def wants_target(vm: VM) -> bool:
    """Whether the scheduler has to be asked for a target."""
    wish = vm.spec.migration
    return (
        wish is not None
        and not wish.cancel
        and not vm.deleting
        and vm.status.node is not None
        and vm.status.migration is None
        and not reverting(vm)
        and _open(wish, vm.status)
    )


def reverting(vm: VM) -> bool:
    """Whether a revert to a snapshot was asked for and has not ended."""
    wish, last = vm.spec.revert, vm.status.last_revert
    return wish is not None and (last is None or last.wish != wish.id)


def _open(wish: MigrationWish, status: VMStatus) -> bool:
    return status.last_migration is None or status.last_migration.wish != wish.id


def _begin(vm: VM, status: VMStatus, wish: MigrationWish, seen: Seen) -> tuple[VMStatus, float | None]:
    report = status.reports.get(status.node or "")
    if wish.cancel:
        return _result(status, wish.id, None, "cancelled"), None
    if not _reachable(seen, status.node):
        return _result(status, wish.id, None, "failed", _trouble("the VM's node is silent")), None
    if report is None or report.state is not DomainState.RUNNING or not vm.spec.running:
        return _result(status, wish.id, None, "failed", _trouble("the VM does not run")), None
    if seen.target is None:
        return status, 0.0  # the scheduler has not been asked yet
    if seen.target.node is None:
        return _result(status, wish.id, None, "failed", seen.target.trouble), None
    assert status.node is not None
    migration = Migration(wish=wish.id, source=status.node, target=seen.target.node, started_at=seen.now_s)
    traces = tuple(sorted({*status.traces, migration.target}))
    reports = {n: r for n, r in status.reports.items() if n != migration.target}
    return (
        msgspec.structs.replace(
            status, migration=migration, traces=traces, reports=reports, stint=status.stint + 1
        ),
        PREPARE_S_MAX,
    )


def _prepare(
    status: VMStatus, migration: Migration, seen: Seen, wanted: bool
) -> tuple[VMStatus, float | None]:
    """Wait for the target to be ready. Nothing has happened to the VM yet."""
    source = status.reports.get(migration.source)
    target = _answer(status, migration.target, migration)
    left_s = migration.started_at + PREPARE_S_MAX - seen.now_s
    if not wanted:
        return _end(status, migration, "cancelled", seen), None
    if not _reachable(seen, migration.target):
        return _end(status, migration, "failed", seen, _trouble("the target node is silent")), None
    if source is None or source.state is not DomainState.RUNNING:
        return _end(status, migration, "failed", seen, _trouble("the VM no longer runs")), None
    if target and target.state == "failed":
        return _end(status, migration, "failed", seen, target.trouble), None
    if target and target.state == "ready":
        moving = msgspec.structs.replace(migration, stage=MigrationStage.MOVING, started_at=seen.now_s)
        return msgspec.structs.replace(status, migration=moving), MOVE_S_MAX
    if left_s <= 0:
        trouble = status.reports[migration.target].trouble if migration.target in status.reports else None
        late = trouble or _trouble(f"the target was not ready within {PREPARE_S_MAX:g} s")
        return _end(status, migration, "failed", seen, late), None
    return status, left_s


def _move(status: VMStatus, migration: Migration, seen: Seen, wanted: bool) -> tuple[VMStatus, float | None]:
    """The source migrates. What it and the target say decides; silence decides nothing.

    A source that is linked says how the migration ended, with its figures, as soon as it knows: it is waited for
    even when the target runs the VM already.
    """
    source = status.reports.get(migration.source)
    said = _answer(status, migration.source, migration)
    arrived = _arrived(status, migration)
    if migration.source not in seen.nodes:  # removed by force
        if arrived:
            return _hand_over(status, migration, seen, None), None
    elif said and said.state == "done":
        return _hand_over(status, migration, seen, said), None
    elif said and said.state in ("failed", "cancelled"):
        if arrived and source and source.state is not DomainState.RUNNING:
            return _hand_over(status, migration, seen, None), None
        return _end(status, migration, said.state, seen, said.trouble), None
    elif arrived and not _reachable(seen, migration.source):
        return _hand_over(status, migration, seen, None), None
    left_s = migration.started_at + MOVE_S_MAX - seen.now_s
    if migration.stage is MigrationStage.MOVING and (not wanted or left_s <= 0):
        stopping = msgspec.structs.replace(migration, stage=MigrationStage.CANCELLING)
        return msgspec.structs.replace(status, migration=stopping), None
    return status, max(left_s, 1.0) if migration.stage is MigrationStage.MOVING else None


def _arrived(status: VMStatus, migration: Migration) -> bool:
    """Whether the target says that the VM runs there: the switch-over has happened."""
    report = status.reports.get(migration.target)
    return report is not None and report.stint == status.stint and report.state is DomainState.RUNNING


def _answer(status: VMStatus, node: NodeId, migration: Migration) -> MigrationReport | None:
    """What the node says about this very migration."""
    report = status.reports.get(node)
    if report is None or report.stint != status.stint or report.migration is None:
        return None
    return report.migration if report.migration.wish == migration.wish else None


def _hand_over(status: VMStatus, migration: Migration, seen: Seen, said: MigrationReport | None) -> VMStatus:
    """The VM belongs to the target now."""
    done = MigrationResult(
        wish=migration.wish,
        source=migration.source,
        target=migration.target,
        state="done",
        downtime_ms=said.downtime_ms if said else 0.0,
        total_s=said.total_s if said else seen.now_s - migration.started_at,
    )
    return msgspec.structs.replace(
        status, node=migration.target, migration=None, last_migration=done, stint=status.stint + 1
    )


def _end(
    status: VMStatus, migration: Migration, state: str, seen: Seen, trouble: Trouble | None = None
) -> VMStatus:
    """The VM stays where it is."""
    new = msgspec.structs.replace(status, migration=None, stint=status.stint + 1)
    return _result(new, migration.wish, migration, state, trouble)


def _result(
    status: VMStatus, wish: str, migration: Migration | None, state: str, trouble: Trouble | None = None
) -> VMStatus:
    result = MigrationResult(
        wish=wish,
        source=migration.source if migration else status.node,
        target=migration.target if migration else None,
        state=state,
        trouble=trouble,
    )
    return msgspec.structs.replace(status, last_migration=result)


def _reachable(seen: Seen, node: NodeId | None) -> bool:
    found = seen.nodes.get(node or "")
    return found is not None and found.reachable


def _trouble(message: str) -> Trouble:
    return Trouble(code="migration.failed", message=message, hint="The VM stays where it is.")
