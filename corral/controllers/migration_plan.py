"""Migration planning: one live migration, from wish to result.

In this room   pure functions on a VM's status
Comes in       a VM with a wish (spec.migration), what its source and target report
Goes out       the next status; seconds after which to look again
Always true    until the source was told to go, stopping is free. From then on libvirt decides where the VM
               runs, and only what source and target report ends the migration. A source whose guest has stopped
               gets it back only after the target said, when that was known, that it has nothing.
Next door      vm_plan.py calls this; forecast.py chooses the method; server/assignments.py tells the two nodes their parts
Start here     plan_migration()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from corral.controllers.forecast import Outlook, choose, link_to
from corral.model.ids import NodeId, VolumeId
from corral.model.migration import (
    Migration,
    MigrationFigures,
    MigrationReport,
    MigrationResult,
    MigrationStage,
    MigrationTls,
    MigrationWish,
)
from corral.model.resource import Trouble
from corral.model.vm import VM, DomainState, VMStatus

if TYPE_CHECKING:
    from corral.controllers.vm_plan import Seen

PREPARE_S_MAX = 60.0  # for the target to get ready
PREPARE_DISKS_S_MAX = 480.0  # when it has volumes to make first
MEASURE_S_MAX = 3.0  # for the source to say how fast the guest writes
LATE_S = 30.0  # after the method's own timeout, which the source keeps, the server cancels


class Target(Struct, frozen=True, kw_only=True):
    """Where the scheduler would migrate the VM, or why nowhere."""

    node: NodeId | None = None
    volumes: tuple[VolumeId, ...] = ()  # in local pools: they go along
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
        return _prepare(vm, status, migration, seen, wanted)
    if migration.stage is MigrationStage.LOST:
        return _lost(vm, status, migration, seen), None
    if migration.stage is MigrationStage.SETTLING:
        return _settle(vm, status, migration, seen), None
    return _move(vm, status, migration, seen, wanted)


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
    if vm.spec.migration_policy.tls is MigrationTls.ALWAYS and not seen.tls:
        return _result(status, wish.id, None, "failed", _no_tls()), None
    migration = Migration(
        wish=wish.id,
        source=status.node,
        target=seen.target.node,
        started_at=seen.now_s,
        volumes=seen.target.volumes,
    )
    traces = tuple(sorted({*status.traces, migration.target}))
    reports = {n: r for n, r in status.reports.items() if n != migration.target}
    return (
        msgspec.structs.replace(
            status, migration=migration, traces=traces, reports=reports, stint=status.stint + 1
        ),
        MEASURE_S_MAX,
    )


def _prepare(
    vm: VM, status: VMStatus, migration: Migration, seen: Seen, wanted: bool
) -> tuple[VMStatus, float | None]:
    """Wait for the target to be ready. Nothing has happened to the VM yet."""
    source = status.reports.get(migration.source)
    target = _answer(status, migration.target, migration)
    most_s = PREPARE_DISKS_S_MAX if migration.volumes else PREPARE_S_MAX
    left_s = migration.started_at + most_s - seen.now_s
    if not wanted:
        return _end(status, migration, "cancelled", seen), None
    if not _reachable(seen, migration.target):
        return _end(status, migration, "failed", seen, _trouble("the target node is silent")), None
    if source is None or source.state is not DomainState.RUNNING:
        return _end(status, migration, "failed", seen, _trouble("the VM no longer runs")), None
    if target and target.state == "failed":
        return _end(status, migration, "failed", seen, target.trouble), None
    if seen.volume_trouble:
        return _end(status, migration, "failed", seen, seen.volume_trouble), None
    if target and target.state == "ready":
        measured = _answer(status, migration.source, migration)
        patience_s = migration.started_at + MEASURE_S_MAX - seen.now_s
        if measured is None and patience_s > 0:
            return status, patience_s
        return _go(vm, status, migration, measured, seen)
    if left_s <= 0:
        trouble = status.reports[migration.target].trouble if migration.target in status.reports else None
        late = trouble or _trouble(f"the target was not ready within {most_s:g} s")
        return _end(status, migration, "failed", seen, late), None
    return status, left_s


def _go(
    vm: VM, status: VMStatus, migration: Migration, measured: MigrationReport | None, seen: Seen
) -> tuple[VMStatus, float | None]:
    """Both are ready: choose how, and tell the source."""
    how, forecast = choose(outlook_of(vm, migration, measured, seen))
    moving = msgspec.structs.replace(
        migration, stage=MigrationStage.MOVING, started_at=seen.now_s, how=how, forecast=forecast
    )
    return msgspec.structs.replace(status, migration=moving), how.timeout_s + LATE_S


def outlook_of(vm: VM, migration: Migration, measured: MigrationReport | None, seen: Seen) -> Outlook:
    return Outlook(
        memory_bytes=vm.spec.memory_bytes,
        last=vm.status.last_migration,
        resident_bytes=measured.memory_bytes if measured else 0,
        dirty_bytes_s=measured.dirty_bytes_s if measured else None,
        working_bytes=measured.working_bytes if measured else None,
        disk_bytes=seen.disk_bytes,
        link=link_to(seen.links, migration.target),
        policy=vm.spec.migration_policy,
        tls=seen.tls,
    )


def _move(
    vm: VM, status: VMStatus, migration: Migration, seen: Seen, wanted: bool
) -> tuple[VMStatus, float | None]:
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
    elif said and said.state == "lost":
        return _lose(vm, status, migration, said), None
    elif _is_lost(status, migration) and not _reachable(seen, migration.source):
        return _lose(vm, status, migration, said), None  # else the source tries to go on
    elif said and said.state in ("failed", "cancelled"):
        if source and source.state is DomainState.RUNNING:
            return _end(status, migration, said.state, seen, said.trouble), None
        if arrived:
            return _hand_over(status, migration, seen, None), None
        settling = msgspec.structs.replace(migration, stage=MigrationStage.SETTLING)
        return msgspec.structs.replace(status, migration=settling, stint=status.stint + 1), None
    elif arrived and not _reachable(seen, migration.source):
        return _hand_over(status, migration, seen, None), None
    left_s = migration.started_at + migration.how.timeout_s + LATE_S - seen.now_s
    if migration.stage is MigrationStage.MOVING and (not wanted or left_s <= 0):
        stopping = msgspec.structs.replace(migration, stage=MigrationStage.CANCELLING)
        return msgspec.structs.replace(status, migration=stopping), None
    return status, max(left_s, 1.0) if migration.stage is MigrationStage.MOVING else None


def _settle(vm: VM, status: VMStatus, migration: Migration, seen: Seen) -> VMStatus:
    """The guest does not run at its source any more. Whether it runs at its target, the target has to say anew."""
    if migration.target not in seen.nodes:  # removed by force
        return _end(status, migration, "failed", seen, _trouble("its target was removed"))
    if _arrived(status, migration):
        return _hand_over(status, migration, seen, None)
    if _is_lost(status, migration):
        return _lose(vm, status, migration, None)
    report = status.reports.get(migration.target)
    if report and report.stint == status.stint and report.state in (DomainState.ABSENT, DomainState.STOPPED):
        said = _answer(status, migration.source, migration)
        return _end(status, migration, "failed", seen, (said and said.trouble) or _trouble("the VM stopped"))
    return status


def _lose(vm: VM, status: VMStatus, migration: Migration, said: MigrationReport | None) -> VMStatus:
    """Half of the guest is on each node. Both wait, until someone asks for a new start or a stop."""
    trouble = (said and said.trouble) or _guest_lost()
    lost = msgspec.structs.replace(migration, stage=MigrationStage.LOST, boot=vm.spec.boot)
    return _result(
        msgspec.structs.replace(status, migration=lost), migration.wish, migration, "lost", trouble
    )


def _lost(vm: VM, status: VMStatus, migration: Migration, seen: Seen) -> VMStatus:
    """Once a new start or a stop was asked for, the target has it: that is where the guest ran last.

    A source that was not heard of may have gone on with it meanwhile.
    """
    if _arrived(status, migration):
        return _hand_over(status, migration, seen, None)
    if vm.spec.running and vm.spec.boot <= migration.boot:
        return status
    heir = migration.target if migration.target in seen.nodes else migration.source
    return msgspec.structs.replace(status, node=heir, migration=None, stint=status.stint + 1)


def _is_lost(status: VMStatus, migration: Migration) -> bool:
    report = status.reports.get(migration.target)
    return report is not None and report.stint == status.stint and report.lost


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
    figures = said.figures if said else MigrationFigures()
    done = MigrationResult(
        wish=migration.wish,
        source=migration.source,
        target=migration.target,
        state="done",
        downtime_ms=figures.downtime_ms,
        total_s=figures.total_s or max(0.0, seen.now_s - migration.started_at),
        figures=figures if figures.total_s else None,
        forecast=migration.forecast,
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
        forecast=migration.forecast if migration else None,
        trouble=trouble,
    )
    return msgspec.structs.replace(status, last_migration=result)


def _reachable(seen: Seen, node: NodeId | None) -> bool:
    found = seen.nodes.get(node or "")
    return found is not None and found.reachable


def _no_tls() -> Trouble:
    return Trouble(
        code="migration.no_tls",
        message="its policy asks for TLS, and not both nodes have certificates for it",
        hint="docs/operations/migration.md says how nodes get them; `--tls auto` does without.",
    )


def _guest_lost() -> Trouble:
    return Trouble(
        code="migration.lost",
        message="the link broke in post-copy: half of the guest is on each node, paused, and can't go on",
        hint="`corral vm restart --force` starts it anew from its disks.",
    )


def _trouble(message: str) -> Trouble:
    return Trouble(code="migration.failed", message=message, hint="The VM stays where it is.")
