"""Rules of a VM: its policy and its groups, as the scheduler takes them.

In this room   policy_of() and rules_of() a VM
Comes in       the mirror
Goes out       SchedulingPolicySpec; scheduler rules, with the VMs and nodes that they are about
Always true    a policy that is gone counts as none; a VM that is being deleted counts in no rule
Next door      placement.py puts them into the Ask; scheduler/rules.py keeps them
Start here     rules_of()
"""

from collections.abc import Iterator

from corral.errors import NotFound
from corral.model.group import GroupRule, PlacementGroup, RuleKind
from corral.model.ids import NodeId, VmId
from corral.model.node import Node
from corral.model.policy import BUILT_IN, DEFAULT, SchedulingPolicy, SchedulingPolicySpec
from corral.model.vm import VM
from corral.scheduler.rules import Rule
from corral.store.mirror import Mirror


def policy_of(mirror: Mirror, vm: VM) -> SchedulingPolicySpec:
    """The one that it names; else the one called `default`; else the balance equation."""
    for name in (vm.spec.policy, DEFAULT):
        if name in BUILT_IN:
            return BUILT_IN[name]
        if name:
            try:
                return mirror.find(SchedulingPolicy, name).spec
            except NotFound:
                continue
    return BUILT_IN["balance"]


def rules_of(mirror: Mirror, vm: VM) -> tuple[Rule, ...]:
    return tuple(_rules(mirror, vm))


def _rules(mirror: Mirror, vm: VM) -> Iterator[Rule]:
    for id in vm.spec.groups:
        group = mirror.get(id)
        if not isinstance(group, PlacementGroup):
            continue
        others = frozenset(
            VmId(other.id)
            for other in mirror.select(VM, "group", id)
            if other.id != vm.id and not other.deleting
        )
        for rule in group.spec.rules:
            yield _rule(mirror, group, rule, others)


def _rule(mirror: Mirror, group: PlacementGroup, rule: GroupRule, others: frozenset[VmId]) -> Rule:
    return Rule(
        name=f"group {group.name}",
        apart=rule.kind is RuleKind.ANTI_AFFINITY,
        domain=rule.domain,
        vms=frozenset() if rule.nodes else others,
        sites=tuple(rule.nodes),
        nodes=frozenset(_named(mirror, rule.nodes)),
        required=rule.required,
        weight=rule.weight,
    )


def _named(mirror: Mirror, names: tuple[str, ...]) -> Iterator[NodeId]:
    """Nodes by name or id, among words that may be labels."""
    for name in names:
        if "=" in name:
            continue
        try:
            yield NodeId(mirror.find(Node, name).id)
        except NotFound:
            continue  # it was removed: nothing is there any more
