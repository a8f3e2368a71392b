"""Settling: what follows from a report at once, so that it is committed with the report.

In this room   the same plans that the controllers make, made as soon as a report is merged
Comes in       resources as a report changes them, not committed yet
Goes out       the same with their phase, and what to tell people
Always true    nothing that only a leader decides happens here (placements, targets, removals); what is settled
               leaves the controllers nothing to do, and what is not, they do
Next door      vm_plan.py and volume.py think; server/hub.py commits
Start here     settled()
"""

from collections.abc import Iterable, Iterator

from corral.clock import Clock
from corral.controllers.desk import new_event
from corral.controllers.snapshot import snapshots_as_reported
from corral.controllers.vm_plan import plan_vm, seen_of
from corral.controllers.volume import plan_volume
from corral.model.found import FoundDomain
from corral.model.resource import Resource
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.store.mirror import Mirror


def settled(mirror: Mirror, changed: Iterable[Resource], clock: Clock) -> Iterator[Resource]:
    """Each resource with the status that follows from what is now known of it; events behind theirs."""
    for resource in changed:
        match resource:
            case VM() as vm:
                yield from _vm(mirror, vm, clock)
                yield from snapshots_as_reported(mirror, vm, clock.now_s())
            case Volume() as volume:
                plan = plan_volume(volume, node=None, node_gone=False, now_s=clock.now_s())
                yield volume.having(status=plan.status)
            case FoundDomain() as found if not found.revision:
                yield found.having(created_at=clock.now_s())
            case _:
                yield resource


def _vm(mirror: Mirror, vm: VM, clock: Clock) -> Iterator[Resource]:
    plan = plan_vm(vm, seen_of(mirror, vm, clock.now_s()))
    if plan.place:
        yield vm
        return
    yield vm.having(status=plan.status)
    for reason, text, level in plan.news:
        yield new_event(clock, vm, reason, f"{vm.name}: {text}", level)
