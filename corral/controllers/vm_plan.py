"""VM planning: from what is wanted and what nodes report, the VM's next status.

In this room   pure functions; the phase, migrations, deletion, and which traces may be dropped
Comes in       a VM, what is known of its nodes and volumes, the time
Goes out       VmPlan: the next status, or that it may go; what to tell people
Always true    node changes only when the old one gave the VM up, or libvirt handed it over. A node leaves
               traces only after it said, about this very stint, that nothing is left.
Next door      migration_plan.py plans migrations; vm.py carries plans out; placement.py finds nodes
Start here     plan_vm()
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from corral.controllers.migration_plan import Target, plan_migration
from corral.model.ids import NodeId
from corral.model.link import VmRole
from corral.model.migration import MigrationLink, MigrationStage
from corral.model.node import Node
from corral.model.resource import Trouble
from corral.model.vm import VM, DomainState, Guest, StopReason, VMPhase, VMReport, VMStatus
from corral.model.volume import ObjectState, Volume
from corral.store.mirror import Mirror


class NodeSeen(Struct, frozen=True, kw_only=True):
    """What matters of a node for its VMs."""

    name: str
    reachable: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the plan is made from, besides the VM."""

    nodes: Mapping[str, NodeSeen]  # a node that is not in it was removed
    now_s: float
    target: Target | None = None  # where the scheduler would migrate it, when that was asked
    volumes_left: int = 0  # of a VM that is being deleted
    links: Mapping[str, MigrationLink] = field(default_factory=dict)  # from its node, by target
    tls: bool = False  # its node and its target can migrate by TLS
    disk_bytes: int = 0  # of its volumes in local pools that go along
    volume_trouble: Trouble | None = None  # of a volume that its target can't make


def seen_of(mirror: Mirror, vm: VM, now_s: float, target: Target | None = None) -> Seen:
    """What the mirror knows that the VM's plan is made from."""
    wish = vm.spec.migration.target if vm.spec.migration else None
    ids = dict.fromkeys((*vm.status.traces, *vm.claimed_on, *((wish,) if wish else ())))
    nodes = {
        id: NodeSeen(name=node.name, reachable=node.reachable)
        for id in ids
        if isinstance(node := mirror.get(id), Node)
    }
    left = len(mirror.select(Volume, "vm", vm.id)) if vm.deleting else 0
    return Seen(
        nodes=nodes,
        now_s=now_s,
        target=target,
        volumes_left=left,
        **(_of_migration(mirror, vm, target) if target or vm.status.migration else {}),
    )


def _of_migration(mirror: Mirror, vm: VM, target: Target | None) -> dict[str, Any]:
    """What its source, its target and its moving volumes have to say."""
    migration = vm.status.migration
    to = migration.target if migration else target.node if target else None
    both = [n for id in (vm.status.node, to) if isinstance(n := mirror.get(id or ""), Node)]
    moving = migration.volumes if migration else ()
    volumes = [v for id in moving if isinstance(v := mirror.get(id), Volume)]
    there = [
        report
        for v in volumes
        if (report := v.status.elsewhere.get(to or "")) and report.stint == v.status.stint
    ]
    source = both[0] if both else None
    return {
        "links": source.status.links if source else {},
        "tls": len(both) == 2 and all(n.status.inventory.migration_tls for n in both),
        "disk_bytes": sum(disk_bytes(v) for v in volumes),
        "volume_trouble": next(
            (r.trouble for r in there if r.state is ObjectState.FAILED and r.trouble), None
        ),
    }


def disk_bytes(volume: Volume) -> int:
    """What a migration has to copy of it, about: it is thin, and its guest has written to it since it was made."""
    report = volume.status.report
    return min(volume.spec.size_bytes, report.allocated_bytes if report else 0)


class VmPlan(Struct, frozen=True, kw_only=True):
    status: VMStatus
    place: bool = False  # it needs a node
    delete_volumes: bool = False  # its domain is gone: now its volumes may go
    remove: bool = False  # nothing is left: the record may go
    wait_s: float | None = None  # look again after so long, even if nothing changes
    news: tuple[tuple[str, str, str], ...] = ()  # (reason, message, level)


def plan_vm(vm: VM, seen: Seen) -> VmPlan:
    """The VM's next status. Equal inputs give equal plans; planning again on the result changes nothing."""
    status = _without_old_traces(vm, seen)
    if vm.deleting:
        return _plan_deletion(vm, status, seen)
    if status.node is None:
        return VmPlan(status=_phase(vm, status, VMPhase.PENDING, vm.status.trouble, seen), place=True)
    status, wait_s = plan_migration(vm, status, seen)
    status = _reverted(vm, status)
    phase, trouble = _look(vm, status, seen)
    guest = _guest(status) if phase in (VMPhase.RUNNING, VMPhase.MIGRATING) else Guest()
    new = _phase(vm, msgspec.structs.replace(status, guest=guest), phase, trouble, seen)
    return VmPlan(status=new, wait_s=wait_s, news=_news(vm, new, seen))


def _reverted(vm: VM, status: VMStatus) -> VMStatus:
    """The result of a revert, once its node has it."""
    report = status.reports.get(status.node or "")
    said, wish = report.revert if report else None, vm.spec.revert
    if said is None or wish is None or said.wish != wish.id or said == status.last_revert:
        return status
    return msgspec.structs.replace(status, last_revert=said)


def _without_old_traces(vm: VM, seen: Seen) -> VMStatus:
    """Drop nodes that have surely nothing of the VM any more, or were removed."""
    wanted = () if vm.deleting else vm.claimed_on
    traces = tuple(
        n
        for n in vm.status.traces
        if n in wanted or (n in seen.nodes and not _let_go(vm.status.reports.get(n), vm.status.stint))
    )
    if traces == vm.status.traces:
        return vm.status
    reports = {n: r for n, r in vm.status.reports.items() if n in traces}
    return msgspec.structs.replace(vm.status, traces=traces, reports=reports)


def _let_go(report: VMReport | None, stint: int) -> bool:
    return (
        report is not None
        and report.state is DomainState.ABSENT
        and report.role == VmRole.NONE
        and report.stint == stint
    )


def _plan_deletion(vm: VM, status: VMStatus, seen: Seen) -> VmPlan:
    trouble = next(
        (
            Trouble(
                code="node.lost",
                message=f"node {seen.nodes[n].name} holds a trace of it and is silent",
                hint="It is deleted when the node is back. `corral node remove --force` gives the node up.",
                since=vm.status.since,
            )
            for n in status.traces
            if not seen.nodes[n].reachable
        ),
        next((r.trouble for r in status.reports.values() if r.trouble), None),
    )
    new = _phase(vm, status, VMPhase.DELETING, trouble, seen)
    empty = not status.traces
    return VmPlan(status=new, delete_volumes=empty, remove=empty and not seen.volumes_left)


def _look(vm: VM, status: VMStatus, seen: Seen) -> tuple[VMPhase, Trouble | None]:
    """The phase that its node's report comes to, and what stands in the way."""
    assert status.node is not None
    node = seen.nodes.get(status.node)
    if node is None or not node.reachable:
        return VMPhase.UNKNOWN, _node_lost(vm, status.node, node)
    report = status.reports.get(status.node)
    if report is None:
        return VMPhase.PREPARING, None
    phase = _phase_of(vm, status, report)
    if status.migration and phase is VMPhase.PAUSED and status.last_migration:
        return phase, status.last_migration.trouble
    return phase, _trouble_of(vm, report)


def _phase_of(vm: VM, status: VMStatus, report: VMReport) -> VMPhase:
    starting = vm.spec.running and report.boot < vm.spec.boot
    match report.state:
        case _ if status.migration and status.migration.stage is MigrationStage.LOST:
            return VMPhase.PAUSED
        case DomainState.RUNNING if status.migration:
            return VMPhase.MIGRATING
        case DomainState.RUNNING if not vm.spec.running:
            return VMPhase.STOPPING
        case DomainState.RUNNING:
            return VMPhase.STARTING if starting else VMPhase.RUNNING
        case DomainState.PAUSED:
            return VMPhase.MIGRATING if status.migration else VMPhase.PAUSED
        case DomainState.INCOMING:
            return VMPhase.MIGRATING
        case DomainState.ABSENT if status.migration:  # it has left; the target has not reported it yet
            return VMPhase.MIGRATING
        case _ if report.trouble:
            return VMPhase.FAILED
        case DomainState.ABSENT:
            return VMPhase.PREPARING
        case _ if starting:
            return VMPhase.STARTING
        case DomainState.STOPPED if report.saved and not vm.spec.running:
            return VMPhase.SUSPENDED
    return VMPhase.STOPPED


def _trouble_of(vm: VM, report: VMReport) -> Trouble | None:
    if vm.status.migration and report.state is DomainState.ABSENT:
        return None
    if report.trouble:
        return report.trouble
    if report.state is not DomainState.STOPPED or not vm.spec.running or report.boot < vm.spec.boot:
        return None
    why = {
        StopReason.SHUTDOWN: "the guest shut itself down",
        StopReason.DESTROYED: "someone on the host ended it",
        StopReason.CRASHED: "QEMU died",
        StopReason.FAILED: "it could not be started",
        StopReason.HOST: "the host restarted",
    }.get(report.reason, "it stopped")
    return Trouble(
        code=f"vm.stopped.{report.reason or 'unknown'}",
        message=f"{why}; its restart policy is {vm.spec.restart}",
        hint=f"`corral vm start {vm.name}` starts it again.",
    )


def _node_lost(vm: VM, node: NodeId, seen: NodeSeen | None) -> Trouble:
    if seen is None:
        return Trouble(
            code="node.removed",
            message=f"its node {node} was removed by force",
            hint=f"`corral vm delete {vm.name}` forgets it; a volume in a shared pool can be kept.",
        )
    return Trouble(
        code="node.lost",
        message=f"node {seen.name} is silent; the VM may be running there",
        hint="Corral goes on when the node is back.",
    )


def _guest(status: VMStatus) -> Guest:
    report = status.reports.get(status.node or "")
    return report.guest if report else Guest()


def _phase(vm: VM, status: VMStatus, phase: VMPhase, trouble: Trouble | None, seen: Seen) -> VMStatus:
    since = vm.status.since if phase is vm.status.phase and vm.status.since else seen.now_s
    return msgspec.structs.replace(status, phase=phase, trouble=trouble, since=since)


def _news(vm: VM, new: VMStatus, seen: Seen) -> tuple[tuple[str, str, str], ...]:
    """What people want to know of this change."""
    old, news = vm.status, []
    node = seen.nodes.get(new.node or "")
    where = f" on {node.name}" if node else ""
    if new.last_migration != old.last_migration and new.last_migration:
        result = new.last_migration
        level = "info" if result.state == "done" else "warning"
        news.append(
            (f"migration-{result.state}", _migration_news(result.state, where, result.trouble), level)
        )
    if new.last_revert != old.last_revert and new.last_revert:
        done, why = new.last_revert, new.last_revert.trouble
        level = "info" if done.state == "done" else "warning"
        news.append(
            (f"revert-{done.state}", f"revert {done.state}" + (f": {why.message}" if why else ""), level)
        )
    if new.phase is not old.phase and new.phase in _TOLD:
        reason, level = _TOLD[new.phase]
        because = f": {new.trouble.message}" if new.trouble else ""
        news.append((reason, f"{reason}{where}{because}", level))
    return tuple(news)


_TOLD = {
    VMPhase.RUNNING: ("running", "info"),
    VMPhase.STOPPED: ("stopped", "info"),
    VMPhase.PAUSED: ("paused", "info"),
    VMPhase.SUSPENDED: ("suspended", "info"),
    VMPhase.FAILED: ("failed", "error"),
    VMPhase.UNKNOWN: ("unknown", "warning"),
}


def _migration_news(state: str, where: str, trouble: Trouble | None) -> str:
    because = f": {trouble.message}" if trouble else ""
    return f"live migration {state}, it is{where}{because}"
