"""Operation planning: how far a request is, judged by its target.

In this room   pure functions: what an operation's target says about it
Comes in       an operation, its target (None: gone), the time
Goes out       the operation's next status
Always true    every operation ends: as asked, as failed, as cancelled, or at its deadline
Next door      operation.py carries plans out
Start here     judge()
"""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from corral.errors import DeadlinePassed
from corral.model.image import Image, ImagePhase
from corral.model.migration import MigrationFigures, MigrationResult
from corral.model.network import Network
from corral.model.node import NetworkOnNode, Node, PoolOnNode
from corral.model.operation import Operation, OperationState, OperationStatus, Step, Verb
from corral.model.pool import StoragePool
from corral.model.rebalance import MoveState, Rebalance, RebalancePhase
from corral.model.resource import Resource, Trouble
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.units import format_size
from corral.model.vm import VM, DomainState, VMPhase
from corral.model.volume import Volume, VolumePhase

NEVER_FITS = "placement.never_fits"  # code of scheduler.placement.NeverFits: to wait for room is no use
PATIENCE_S = 20.0  # for a node that fails and tries again, before the operation is called failed


class Verdict(Struct, frozen=True, kw_only=True):
    """What the target says about the operation now."""

    state: OperationState = OperationState.RUNNING
    step: str = ""  # what is being done
    progress: float = 0.0
    waiting_for: str = ""
    error: Trouble | None = None
    result: dict[str, str | int | float] = {}
    failing_since: float | None = None  # Unix time; a trouble that may pass by itself


GOING = (Verb.DELETE, Verb.RELEASE)  # they end when the target is gone
DONE = Verdict(state=OperationState.SUCCEEDED, progress=1.0)
CANCELLED = Verdict(state=OperationState.CANCELLED)


def judge(op: Operation, target: Resource | None, nodes: tuple[Node, ...], now_s: float) -> OperationStatus:
    """The operation's next status. `nodes`: those that a new pool or network has to be ready on."""
    verdict = _verdict(op, target, nodes)
    if verdict.failing_since is not None and now_s - max(verdict.failing_since, op.created_at) > PATIENCE_S:
        verdict = Verdict(state=OperationState.FAILED, step=verdict.step, error=verdict.error)
    if verdict.state is OperationState.RUNNING and now_s >= op.created_at + op.spec.deadline_s:
        verdict = Verdict(state=OperationState.FAILED, step=verdict.step, error=_late(op, verdict, now_s))
    return _status(op.status, verdict, now_s)


def looks_again_s(op: Operation, status: OperationStatus, target: Resource | None, now_s: float) -> float:
    """Seconds until time alone may end it."""
    left = op.created_at + op.spec.deadline_s - now_s
    return max(0.05, min(left, 1.0 if status.error else left))


def _verdict(op: Operation, target: Resource | None, nodes: tuple[Node, ...]) -> Verdict:
    if target is None:
        return _target_gone(op)
    if target.deleting and op.spec.verb not in GOING:
        return (
            Verdict(step="undo", waiting_for="its deletion")
            if op.spec.cancel
            else _superseded("it was deleted")
        )
    match target:
        case VM() as vm:
            return _VM_VERBS[op.spec.verb](op, vm)
        case Volume() as volume:
            return _volume(op, volume)
        case Snapshot() as snapshot:
            return _snapshot(op, snapshot)
        case Image() as image if op.spec.verb is Verb.CREATE:
            return _image(image)
        case Rebalance():
            return _rebalance(target)
        case StoragePool():
            return _on_nodes(op, [(n, n.status.pools.get(target.id)) for n in nodes])
        case Network():
            return _on_nodes(op, [(n, n.status.networks.get(target.id)) for n in nodes])
    return Verdict(step="delete", waiting_for="its copies") if op.spec.verb is Verb.DELETE else DONE


def _rebalance(rebalance: Rebalance) -> Verdict:
    """How far the moves of the present plan are, with those made before it."""
    status = rebalance.status
    moves = [m for m in status.moves if m.state is not MoveState.DROPPED]
    made = sum(m.state is MoveState.DONE for m in moves)
    result: dict[str, str | int | float] = {
        "rebalance": rebalance.id,
        "moves": made,
        "score_before": round(status.before, 4),
        "score_after": round(status.after, 4),
    }
    match status.phase:
        case RebalancePhase.DONE:
            return Verdict(state=OperationState.SUCCEEDED, progress=1.0, result=result)
        case RebalancePhase.FAILED:
            return Verdict(state=OperationState.FAILED, error=status.trouble, result=result)
        case RebalancePhase.CANCELLED:
            return Verdict(state=OperationState.CANCELLED, result=result)
        case RebalancePhase.PLANNING:
            return Verdict(step="plan" if not status.plans else "plan anew", progress=0.0)
    moving = sum(m.state is MoveState.MOVING for m in moves)
    waiting = f"{made} of {len(moves)} moves are made, {moving} VMs migrate"
    return Verdict(step="migrate VMs", progress=made / max(len(moves), 1), waiting_for=waiting)


def _target_gone(op: Operation) -> Verdict:
    if op.spec.verb in GOING:
        return DONE
    return CANCELLED if op.spec.cancel else _superseded("it was deleted")


def _superseded(why: str) -> Verdict:
    error = Trouble(code="operation.superseded", message=why)
    return Verdict(state=OperationState.CANCELLED, error=error)


def _start(op: Operation, vm: VM) -> Verdict:
    """Create, start and restart end when the guest runs from the boot that was asked for."""
    if not vm.spec.running:
        if op.spec.verb is Verb.CREATE and not op.spec.boot:
            return _create_stopped(vm)
        return CANCELLED if op.spec.cancel else _superseded("it was asked to stop")
    report = vm.report
    if _is_up(vm) and report and report.boot >= op.spec.boot:
        return _started(op, vm)
    if vm.status.phase is VMPhase.STOPPED and report and report.boot >= op.spec.boot:
        return Verdict(state=OperationState.FAILED, step="start", error=vm.status.trouble)
    return _on_the_way(vm)


def _started(op: Operation, vm: VM) -> Verdict:
    """Whoever created it may want to know why it is where it is."""
    if op.spec.verb is not Verb.CREATE or not vm.status.why_here:
        return DONE
    return msgspec.structs.replace(DONE, result={"node": vm.status.node or "", "why": vm.status.why_here})


def _is_up(vm: VM) -> bool:
    """Whether it runs as it is wanted to: one that shall stand still is up when it does."""
    up = (
        (VMPhase.RUNNING, VMPhase.MIGRATING, VMPhase.PAUSED)
        if vm.spec.paused
        else (VMPhase.RUNNING, VMPhase.MIGRATING)
    )
    return vm.status.phase in up


def _create_stopped(vm: VM) -> Verdict:
    report = vm.report
    ready = report is not None and report.state is DomainState.STOPPED and report.generation > 0
    return DONE if ready else _on_the_way(vm)


_STEPS = {  # phase: step, progress
    VMPhase.PENDING: ("find a node", 0.05),
    VMPhase.PREPARING: ("prepare disks and networks", 0.3),
    VMPhase.STARTING: ("start", 0.7),
    VMPhase.STOPPING: ("stop", 0.5),
    VMPhase.MIGRATING: ("migrate", 0.5),
}


def _on_the_way(vm: VM) -> Verdict:
    step, progress = _STEPS.get(vm.status.phase, ("start", 0.5))
    trouble, report = vm.status.trouble, vm.report
    if vm.status.phase is VMPhase.PENDING and trouble and trouble.code == NEVER_FITS:
        return Verdict(state=OperationState.FAILED, step=step, error=trouble)
    failing = vm.status.phase is VMPhase.FAILED
    return Verdict(
        step=step,
        progress=progress,
        waiting_for=trouble.message if trouble else (report.step if report else ""),
        error=trouble if failing else None,
        failing_since=vm.status.since if failing else None,
    )


def _stop(op: Operation, vm: VM) -> Verdict:
    if vm.spec.running:
        return _superseded("it was asked to run again")
    if vm.status.phase is VMPhase.STOPPED:
        return DONE
    report = vm.report
    if vm.status.phase is VMPhase.PENDING or (report and report.state is DomainState.ABSENT):
        return DONE
    return Verdict(
        step="stop", progress=0.5, waiting_for=vm.status.trouble.message if vm.status.trouble else "the guest"
    )


def _migrate(op: Operation, vm: VM) -> Verdict:
    last, migration = vm.status.last_migration, vm.status.migration
    if last and last.wish == op.id:
        result = _migrated(last)
        match last.state:
            case "done":
                return Verdict(state=OperationState.SUCCEEDED, progress=1.0, result=result)
            case "cancelled":
                return CANCELLED
        return Verdict(state=OperationState.FAILED, error=last.trouble, result=result)
    if vm.spec.migration is None or vm.spec.migration.id != op.id:
        return _superseded("another migration was asked for")
    if migration is None or migration.wish != op.id:
        return Verdict(step="choose the target", progress=0.02)
    if migration.stage == "preparing":
        return Verdict(step="prepare the target", progress=0.05)
    said = vm.status.reports.get(migration.source)
    if said is None or said.migration is None or said.migration.wish != op.id:
        return Verdict(step="copy", progress=0.1)
    figures = said.migration.figures
    if said.lost:
        progress = 0.1 + 0.85 * said.migration.progress
        return Verdict(
            step="go on with post-copy", progress=progress, waiting_for="the link between its nodes"
        )
    step = "copy memory" if figures.rounds else "copy disks" if migration.volumes else "copy memory"
    if figures.post_copy:
        step = "fetch the rest by post-copy"
    return Verdict(step=step, progress=0.1 + 0.85 * said.migration.progress, waiting_for=_round(figures))


def _migrated(last: MigrationResult) -> dict[str, str | int | float]:
    """How it went, beside how it was foreseen. What is not known is left out."""
    figures, forecast = last.figures, last.forecast
    known: dict[str, str | int | float | None] = {
        "source": last.source or "",
        "target": last.target or "",
        "downtime_ms": last.downtime_ms,
        "total_s": last.total_s,
        "rounds": figures.rounds if figures else None,
        "method": forecast.method if forecast else None,
        "why": forecast.why if forecast else None,
        "forecast_total_s": forecast.total_s if forecast else None,
        "forecast_downtime_ms": forecast.downtime_ms if forecast else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _round(figures: MigrationFigures) -> str:
    parts = [
        f"round {figures.rounds}" if figures.rounds else "",
        f"{format_size(figures.remaining_bytes)} left" if figures.remaining_bytes else "",
        f"the guest writes {format_size(int(figures.dirty_bytes_s))}/s" if figures.dirty_bytes_s else "",
        f"slowed by {figures.throttle} %" if figures.throttle else "",
    ]
    return ", ".join(part for part in parts if part)


def _revert(op: Operation, vm: VM) -> Verdict:
    """Ends when the disks are back, and the guest runs again if it is to."""
    wish, last = vm.spec.revert, vm.status.last_revert
    if last is None or last.wish != op.id:
        if wish is None or wish.id != op.id:
            return _superseded("another revert was asked for")
        return Verdict(step="put the disks back", progress=0.2, waiting_for=_in_the_way(vm))
    if last.state != "done":
        return Verdict(state=OperationState.FAILED, error=last.trouble)
    if not vm.spec.running or _is_up(vm):
        return DONE
    return Verdict(step="start", progress=0.8, waiting_for=_in_the_way(vm))


def _in_the_way(vm: VM) -> str:
    report = vm.report
    return vm.status.trouble.message if vm.status.trouble else (report.step if report else "")


def _update(op: Operation, vm: VM) -> Verdict:
    """Ends when the running domain has all that it can have while it runs; what comes later is in the result."""
    back, report, undo = vm.status.taken_back, vm.report, vm.spec.undo
    if back and back.operation == op.id:
        return Verdict(state=OperationState.FAILED, step="take it back", error=back.trouble)
    if vm.status.node is None:
        return DONE
    if report is None or report.stint != vm.status.stint or report.generation < op.spec.generation:
        return _not_defined(vm)
    if report.state not in (DomainState.RUNNING, DomainState.PAUSED):
        return DONE
    if report.applied < op.spec.generation:
        return Verdict(step="change the running VM", progress=0.5, waiting_for=report.step)
    if report.refusal and undo and undo.operation == op.id:
        return Verdict(step="take it back", progress=0.8)
    if waiting := [p.text for p in report.pending if p.guest]:
        return Verdict(step="wait for the guest", progress=0.7, waiting_for=waiting[0])
    if any(entry.generation == op.spec.generation for entry in vm.spec.leaving):
        return Verdict(step="let go", progress=0.9)  # what it had is about to be free for others
    later = "; ".join(p.text for p in report.pending)
    result: dict[str, str | int | float] = {"pending": later} if later else {}
    return Verdict(state=OperationState.SUCCEEDED, progress=1.0, result=result)


def _not_defined(vm: VM) -> Verdict:
    trouble, report = vm.status.trouble, vm.report
    return Verdict(
        step="define",
        progress=0.2,
        waiting_for=trouble.message if trouble else (report.step if report else "its node"),
    )


def _pause(op: Operation, vm: VM) -> Verdict:
    """Pause and resume end when the node has carried out this turn."""
    paused, report = op.spec.verb is Verb.PAUSE, vm.report
    if vm.spec.paused != paused:
        return _superseded("the opposite was asked for")
    if not vm.spec.running:
        return _superseded("it was asked to stop")
    there = DomainState.PAUSED if paused else DomainState.RUNNING
    if report and report.stint == vm.status.stint and report.turn >= vm.spec.turn and report.state is there:
        return DONE
    return Verdict(step=op.spec.verb.value, progress=0.5, waiting_for=report.step if report else "its node")


def _suspend(op: Operation, vm: VM) -> Verdict:
    if vm.spec.running or not vm.spec.saved:
        return _superseded("something else was asked for")
    report = vm.report
    if report and report.saved and report.state is DomainState.STOPPED:
        return DONE
    if report and report.state is DomainState.STOPPED and report.generation >= op.spec.generation:
        error = Trouble(code="vm.not_suspended", message="the VM stopped before its memory was on disk")
        return Verdict(state=OperationState.FAILED, step="suspend", error=error)
    trouble = vm.status.trouble
    return Verdict(
        step="write memory to disk",
        progress=0.5,
        waiting_for=trouble.message if trouble else (report.step if report else "its node"),
        error=trouble,
        failing_since=vm.status.since if trouble else None,
    )


def _delete(op: Operation, vm: VM) -> Verdict:
    trouble = vm.status.trouble
    step = "remove the domain" if vm.status.traces else "delete volumes"
    return Verdict(
        step=step, progress=0.3 if vm.status.traces else 0.7, waiting_for=trouble.message if trouble else ""
    )


def _adopt(op: Operation, vm: VM) -> Verdict:
    """Ends when the domain carries the VM's mark."""
    report = vm.report
    if report is not None and report.generation > 0:
        return DONE
    trouble = report.trouble if report else None
    if trouble is not None and trouble.code == "adoption.failed":  # it does not pass by itself
        return Verdict(state=OperationState.FAILED, step="take the domain over", error=trouble)
    return Verdict(
        step="take the domain over",
        progress=0.3,
        waiting_for=vm.status.trouble.message if vm.status.trouble else "its node",
        error=trouble,
        failing_since=trouble.since if trouble else None,
    )


def _settle(op: Operation, vm: VM) -> Verdict:
    """Ends when the definition in place is the VM's, and no drift of it is told any more."""
    report = vm.report
    if report is not None and report.generation >= op.spec.generation and report.drift is None:
        return DONE
    if report is not None and report.drift is not None and report.drift.digest != vm.spec.settles:
        return _superseded("the definition was changed once more meanwhile")
    trouble = report.trouble if report else None
    return Verdict(
        step="define", progress=0.5, waiting_for=trouble.message if trouble else "its node",
        error=trouble, failing_since=trouble.since if trouble else None,
    )  # fmt: skip


def _release(op: Operation, vm: VM) -> Verdict:
    if not vm.spec.released:
        return _superseded("it was deleted")
    trouble = vm.status.trouble
    return Verdict(
        step="hand the domain back", progress=0.3, waiting_for=trouble.message if trouble else "its node"
    )


_VM_VERBS: dict[Verb, Callable[[Operation, VM], Verdict]] = {
    Verb.CREATE: _start,
    Verb.START: _start,
    Verb.RESTART: _start,
    Verb.STOP: _stop,
    Verb.MIGRATE: _migrate,
    Verb.REVERT: _revert,
    Verb.UPDATE: _update,
    Verb.PAUSE: _pause,
    Verb.RESUME: _pause,
    Verb.SUSPEND: _suspend,
    Verb.DELETE: _delete,
    Verb.ADOPT: _adopt,
    Verb.RELEASE: _release,
    Verb.SETTLE: _settle,
}


def _volume(op: Operation, volume: Volume) -> Verdict:
    trouble, report = volume.status.trouble, volume.status.report
    if op.spec.verb is Verb.DELETE:
        step = "wipe the file" if volume.spec.wipe else "delete the file"
        progress = 0.05 + 0.9 * (
            report.progress if volume.spec.wipe and report and not report.wanted else 0.5
        )
        return Verdict(step=step, progress=progress, waiting_for=trouble.message if trouble else "")
    if op.spec.verb is Verb.UPDATE and (volume.moves or op.spec.cancel):
        return _volume_moves(op, volume)
    if volume.status.phase is VolumePhase.READY:
        return _grown(op, volume)
    failing = volume.status.phase is VolumePhase.FAILED
    return Verdict(
        step="copy the volume" if volume.spec.source else "make the volume",
        progress=0.1 + 0.85 * (report.progress if report else 0.0),
        waiting_for=trouble.message if trouble else ("" if volume.status.node else "a node with its pool"),
        error=trouble if failing else None,
        failing_since=volume.status.since if failing else None,
    )


def _volume_moves(op: Operation, volume: Volume) -> Verdict:
    """A move ends when the volume is in its new pool, and nothing of it in the old one."""
    if not volume.moves:
        return CANCELLED
    report, trouble = volume.status.report, volume.status.trouble
    return Verdict(
        step="undo" if op.spec.cancel else "move the volume",
        progress=0.05 + 0.9 * (report.progress if report and report.generation else 0.0),
        waiting_for=trouble.message if trouble else "",
        error=trouble,
        failing_since=trouble.since if trouble else None,
    )


def _snapshot(op: Operation, snapshot: Snapshot) -> Verdict:
    status = snapshot.status
    if op.spec.verb is Verb.DELETE:
        waiting = status.trouble.message if status.trouble else "the VM's node"
        return Verdict(step="take it off the disks", progress=0.5, waiting_for=waiting)
    if status.phase is SnapshotPhase.FAILED:
        return Verdict(state=OperationState.FAILED, error=status.trouble)
    if op.spec.verb is not Verb.CREATE or status.phase is SnapshotPhase.READY:
        return DONE
    return Verdict(step="take it", progress=0.3, waiting_for="the VM's node")


def _image(image: Image) -> Verdict:
    """An import ends when the image can be used; one that is only to be uploaded has ended before."""
    status = image.status
    match status.phase:
        case ImagePhase.READY:
            return DONE
        case ImagePhase.FAILED:
            return Verdict(state=OperationState.FAILED, step=status.step, error=status.trouble)
    return Verdict(step=status.step, progress=status.progress, waiting_for=status.waiting_for)


def _grown(op: Operation, volume: Volume) -> Verdict:
    report = volume.status.report
    if op.spec.verb is Verb.UPDATE and report and 0 < report.size_bytes < volume.spec.size_bytes:
        return Verdict(step="grow it", progress=0.5, waiting_for="the node that has it in use")
    return DONE


def _on_nodes(op: Operation, seen: list[tuple[Node, PoolOnNode | NetworkOnNode | None]]) -> Verdict:
    """A pool or network is there when every node that is reachable has it ready; a change, when they have it in place."""
    if op.spec.verb not in (Verb.CREATE, Verb.UPDATE):
        return DONE
    waiting = [(node, on) for node, on in seen if not _in_place(op, on)]
    if not waiting:
        return DONE
    troubled = [(node, on.trouble) for node, on in waiting if on and on.trouble]
    progress = 1 - len(waiting) / len(seen)
    names = ", ".join(node.name for node, _ in waiting[:5])
    if not troubled:
        return Verdict(step="open on nodes", progress=progress, waiting_for=names)
    node, trouble = troubled[0]
    error = msgspec.structs.replace(trouble, message=f"node {node.name}: {trouble.message}")
    return Verdict(
        step="open on nodes",
        progress=progress,
        waiting_for=error.message,
        error=error,
        failing_since=op.created_at,
    )


def _in_place(op: Operation, on: PoolOnNode | NetworkOnNode | None) -> bool:
    if on is None or not on.ready:
        return False
    if op.spec.verb is Verb.CREATE or not isinstance(on, NetworkOnNode):
        return True
    return on.generation >= op.spec.generation and on.trouble is None


def _late(op: Operation, verdict: Verdict, now_s: float) -> Trouble:
    what = f"{op.spec.verb} of {op.spec.target.name}"
    return Trouble.of(
        DeadlinePassed(what, seconds=op.spec.deadline_s, waiting_for=verdict.waiting_for or verdict.step),
        now_s,
    )


def _status(old: OperationStatus, verdict: Verdict, now_s: float) -> OperationStatus:
    ended = verdict.state is not OperationState.RUNNING
    progress = verdict.progress if ended else max(old.progress, verdict.progress)
    return OperationStatus(
        state=verdict.state,
        progress=old.progress if ended and not progress else round(progress, 2),
        steps=_steps(old.steps, verdict.step, now_s, ended),
        waiting_for="" if ended else verdict.waiting_for,
        error=verdict.error,
        ended_at=now_s if ended else None,
        result=verdict.result,
    )


def _steps(old: tuple[Step, ...], name: str, now_s: float, ended: bool) -> tuple[Step, ...]:
    """The steps so far: a new one begins when its name changes, which ends the one before."""
    begun = bool(old) and old[-1].name == name
    steps = old
    if old and old[-1].ended_at is None and (ended or not begun):
        steps = (*old[:-1], msgspec.structs.replace(old[-1], ended_at=now_s))
    if name and not begun and not ended:
        steps = (*steps, Step(name=name, started_at=now_s))
    return steps
