"""Groups: VMs that are to be together or apart.

In this room   Groups, the requests; groups_for() a new VM
Comes in       requests.py's bodies
Goes out       PlacementGroup resources
Always true    no group, and no VM by its groups, has rules that no node could keep together
Next door      model/group.py has what a rule says; scheduler/rules.py keeps it
Start here     Groups
"""

import math
from collections.abc import Sequence

from msgspec import UNSET

from corral.clock import new_id
from corral.errors import CorralError, InUse, Invalid
from corral.model.group import NODE, GroupRule, PlacementGroup, PlacementGroupSpec, contradictory
from corral.model.ids import GroupId
from corral.model.operation import Operation, Verb
from corral.model.vm import VM
from corral.server.services.asking import Asking
from corral.server.services.base import LABEL, Change
from corral.server.services.requests import CreateGroup, UpdateGroup
from corral.server.services.things import Things
from corral.store.mirror import Mirror

WEIGHT_MAX = 100.0


class Contradictory(CorralError):
    """Two rules that no node could keep together."""

    code = "group.contradictory"
    status = 409

    def __init__(self, both: Sequence[tuple[str, GroupRule]]) -> None:
        words = " and ".join(f"{rule} (group {group})" for group, rule in both)
        super().__init__(
            f"these rules can't hold together: {words}",
            hint="Leave one out, or make it a preference: required false, with a weight.",
            rules=len(both),
        )


class Groups(Things):
    """Requests about placement groups."""

    async def create(self, ask: CreateGroup, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, group: str, ask: UpdateGroup, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._update(self.mirror.find(PlacementGroup, group), ask)
        )

    async def delete(self, group: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(PlacementGroup, group)))

    def _create(self, ask: CreateGroup) -> Change:
        check_rules(ask.name, ask.spec)
        group = PlacementGroup(
            id=new_id("group", self.clock),
            name=ask.name,
            labels=ask.labels,
            created_at=self.clock.now_s(),
            spec=ask.spec,
        )
        return self._new(group, done=True)

    def _update(self, group: PlacementGroup, ask: UpdateGroup) -> Change:
        labels = group.labels if ask.labels is UNSET else ask.labels
        spec = group.spec if ask.spec is UNSET else ask.spec
        check_rules(group.name, spec)
        new = group.having(labels=labels, spec=spec, generation=group.generation + 1)
        for vm in self.mirror.select(VM, "group", group.id):
            _refuse_contradictions([new if id == group.id else self.mirror.get(id) for id in vm.spec.groups])
        return self._replace(group, new, Verb.UPDATE, done=True)

    def _delete(self, group: PlacementGroup) -> Change:
        if vms := self.mirror.select(VM, "group", group.id):
            raise InUse("PlacementGroup", group.name, f"VM {vms[0].name}")
        return self._gone(group)


def check_rules(name: str, spec: PlacementGroupSpec) -> None:
    """Raises  Invalid, Contradictory"""
    for number, rule in enumerate(spec.rules):
        field = f"spec.rules[{number}]"
        if not LABEL.fullmatch(rule.domain):
            raise Invalid(f"{field}.domain", rule.domain, "node, rack, or the key of a label")
        if rule.nodes and rule.domain != NODE:
            raise Invalid(f"{field}.domain", rule.domain, "left out where nodes are named")
        if not (math.isfinite(rule.weight) and 0 <= rule.weight <= WEIGHT_MAX):
            raise Invalid(f"{field}.weight", rule.weight, f"a weight from 0 to {WEIGHT_MAX:g}")
        if not all(rule.nodes):
            raise Invalid(f"{field}.nodes", "", "labels like disk=fast, or names of nodes")
    if both := contradictory([(name, rule) for rule in spec.rules]):
        raise Contradictory(both)


def groups_for(names: Sequence[str], mirror: Mirror) -> tuple[GroupId, ...]:
    """The ids behind names. raises NotFound, Contradictory"""
    groups = [mirror.find(PlacementGroup, name) for name in dict.fromkeys(names)]
    _refuse_contradictions(groups)
    return tuple(GroupId(group.id) for group in groups)


def _refuse_contradictions(groups: Sequence[object]) -> None:
    rules = [(g.name, rule) for g in groups if isinstance(g, PlacementGroup) for rule in g.spec.rules]
    if both := contradictory(rules):
        raise Contradictory(both)
