"""Batching: VMs that wait for a node are decided on together.

In this room   Batching: a decision for one VM, made with all others in mind that wait at the same time
Comes in       a VM without a node
Goes out       its Ask and its Decision; what was foreseen for the others is kept until their turn comes
Always true    a decision is checked against the fleet as it is when it is given out; one that no longer holds is made
               anew. A group that wants all or none gets a node for each of its VMs, or for none.
Next door      scheduler/batches.py decides; vm.py commits
Start here     Batching.decide()
"""

from typing import Final

import msgspec

from corral.controllers.placement import FleetKeeper, ask_of
from corral.model.group import PlacementGroup
from corral.model.ids import NodeId, VmId
from corral.model.vm import VM
from corral.scheduler.batches import place_all
from corral.scheduler.placement import Ask, Decision, place

TOGETHER_MAX: Final = 128  # VMs in one batch: 10 ms at 1,000 nodes


class Batching:
    """Decisions for VMs that wait."""

    def __init__(self, keeper: FleetKeeper) -> None:
        self.keeper, self.mirror = keeper, keeper.mirror
        self._foreseen: dict[VmId, NodeId] = {}
        self._refused: dict[VmId, tuple[int, VM, Decision]] = {}  # when: Fleet.room
        self._left_over: tuple[int, frozenset[str]] = (
            -1,
            frozenset(),
        )  # VMs that the last batch had no room for

    def decide(self, vm: VM) -> tuple[Ask, Decision]:
        """Where it goes; why nowhere."""
        ask, fleet = ask_of(self.keeper, vm), self.keeper.fleet
        before = self._refused.get(VmId(vm.id))
        if before and before[0] == fleet.room and before[1].spec == vm.spec:
            return ask, before[2]  # nothing has become free since
        decision = self._as_foreseen(vm, ask) or self._together(vm, ask)
        if decision.node is None:
            self._refused[VmId(vm.id)] = (fleet.room, vm, decision)
        else:
            self._refused.pop(VmId(vm.id), None)
        return ask, decision

    def _as_foreseen(self, vm: VM, ask: Ask) -> Decision | None:
        node = self._foreseen.pop(VmId(vm.id), None)
        if node is None:
            return None
        decision = place(self.keeper.fleet, msgspec.structs.replace(ask, only=node))
        return decision if decision.node else None

    def _together(self, vm: VM, ask: Ask) -> Decision:
        fleet, whole = self.keeper.fleet, self._whole_group(vm)
        waiting = whole or self.mirror.select(VM, "unplaced", "yes")
        others = [o for o in waiting if o.id != vm.id and (whole or not self._whole_group(o))]
        others = others[: TOGETHER_MAX - 1]
        if not others or (not whole and self._left_over[0] == fleet.room and vm.id in self._left_over[1]):
            return place(fleet, ask)
        decisions = place_all(fleet, [ask, *(ask_of(self.keeper, o) for o in others)], whole=bool(whole))
        found = list(zip((vm, *others), decisions, strict=True))
        self._foreseen |= {VmId(o.id): d.node for o, d in found[1:] if d.node}
        self._left_over = fleet.room, frozenset(o.id for o, d in found if not d.node)
        return decisions[0]

    def _whole_group(self, vm: VM) -> list[VM]:
        """The VMs that wait in a group which wants all of them placed, or none."""
        groups = (self.mirror.get(id) for id in vm.spec.groups)
        whole = {g.id for g in groups if isinstance(g, PlacementGroup) and g.spec.whole}
        return [o for o in self.mirror.select(VM, "unplaced", "yes") if whole & set(o.spec.groups)]
