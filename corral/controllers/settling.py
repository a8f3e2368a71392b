"""Settling: what follows from a report at once, so that it is committed with the report.

In this room   the same plans that the controllers make, made as soon as a report is merged
Comes in       resources as a report changes them, not committed yet
Goes out       the same with their phase, and what to tell people
Always true    nothing that only a leader decides happens here (placements, targets, removals); what is settled
               leaves the controllers nothing to do, and what is not, they do
Next door      vm_plan.py and volume.py think; server/hub.py commits
Start here     settled()
"""

from collections.abc import Iterable

from corral.clock import Clock
from corral.controllers.desk import new_event
from corral.controllers.moving import with_migration
from corral.controllers.snapshot import snapshots_as_reported
from corral.controllers.vm_plan import plan_vm, seen_of
from corral.controllers.volume import plan_volume
from corral.model.found import FoundDomain
from corral.model.resource import Resource
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.store.mirror import Mirror


def settled(mirror: Mirror, changed: Iterable[Resource], clock: Clock) -> list[Resource]:
    """Each resource with the status that follows from what is now known of it; what changes with it; events last."""
    after = {resource.id: resource for resource in changed}
    news: list[Resource] = []
    for resource in list(after.values()):
        if isinstance(resource, Volume):
            plan = plan_volume(resource, node=None, now_s=clock.now_s())
            after[resource.id] = resource.having(status=plan.status)
    for resource in list(after.values()):
        if isinstance(resource, FoundDomain) and not resource.revision:
            after[resource.id] = resource.having(created_at=clock.now_s())
        if isinstance(resource, VM):
            news += _vm(mirror, resource, after, clock)
            news += snapshots_as_reported(mirror, resource, clock.now_s())
    return [*after.values(), *news]


def _vm(mirror: Mirror, vm: VM, after: dict[str, Resource], clock: Clock) -> list[Resource]:
    """Settle the VM in `after`, and what changes together with it; events."""
    plan = plan_vm(vm, seen_of(mirror, vm, clock.now_s()))
    if plan.place:
        return []
    new = vm.having(status=plan.status)
    also = with_migration(lambda id: after.get(id) or mirror.get(id), vm, new)
    after |= {resource.id: resource for resource in (new, *also)}
    return [new_event(clock, vm, reason, f"{vm.name}: {text}", level) for reason, text, level in plan.news]
