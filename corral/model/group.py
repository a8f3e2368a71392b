"""PlacementGroup: VMs that are to be together or apart, or near certain nodes.

In this room   GroupRule, the group that holds rules; contradictory(), rules that no node could keep together
Comes in       -
Goes out       parts of the bodies of POST /groups; PlacementGroup
Always true    a VM names its groups; a group does not list its VMs. A rule counts when a VM is placed or moved.
Next door      controllers/rules.py makes scheduler rules of them; server/services/groups.py refuses contradictions
Start here     PlacementGroup
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.resource import Resource

NODE: Final = "node"


class RuleKind(StrEnum):
    AFFINITY = "affinity"  # together
    ANTI_AFFINITY = "anti-affinity"  # apart


class GroupRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of a group's VMs towards each other or, where `nodes` says some, towards those nodes."""

    kind: RuleKind
    domain: str = NODE  # what they share or do not: node, rack, or the key of a label of nodes
    nodes: tuple[str, ...] = ()  # labels like disk=fast, rack=r1, or names of nodes; any of them counts
    required: bool = True  # False: kept where it costs no more than `weight`
    weight: float = 0.5  # what a node's score gains; the balance equation goes from 0 to about 2.5

    def __str__(self) -> str:
        words = f"{self.kind} to {' or '.join(self.nodes)}" if self.nodes else f"{self.kind} by {self.domain}"
        return words if self.required else f"{words} (weight {self.weight:g})"


class PlacementGroupSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    summary: str = ""  # what it is for, in a line
    rules: tuple[GroupRule, ...] = ()
    whole: bool = False  # those of its VMs that wait get their nodes together, or none does


class PlacementGroup(Resource, frozen=True, kw_only=True, tag="PlacementGroup"):
    """VMs that belong together, or apart."""

    PREFIX: ClassVar = "group"
    PLURAL: ClassVar = "groups"
    SUMMARY: ClassVar = "VMs that belong together, or apart"

    spec: PlacementGroupSpec = PlacementGroupSpec()


def contradictory(rules: Sequence[tuple[str, GroupRule]]) -> tuple[tuple[str, GroupRule], ...]:
    """The first two required rules, each with its group's name, that no node could keep together; (): there are none.

    Rules about VMs are compared where they come from one group: two groups may have no VM but this one in common.
    """
    required = [(group, rule) for group, rule in rules if rule.required]
    for one, other in combinations(required, 2):
        if bool(one[1].nodes) != bool(other[1].nodes):
            continue
        clash = _on_nodes if one[1].nodes else _between_vms
        if (one[1].nodes or one[0] == other[0]) and clash(one[1], other[1]):
            return one, other
    return ()


def _between_vms(one: GroupRule, other: GroupRule) -> bool:
    """On one node is in one rack too; so who has to share a node can't be apart by anything."""
    if one.kind is other.kind:
        return False
    together, apart = (one, other) if one.kind is RuleKind.AFFINITY else (other, one)
    return together.domain in (NODE, apart.domain)


def _on_nodes(one: GroupRule, other: GroupRule) -> bool:
    if one.kind is not other.kind:
        near, far = (one, other) if one.kind is RuleKind.AFFINITY else (other, one)
        return set(near.nodes) <= set(far.nodes)
    if one.kind is RuleKind.ANTI_AFFINITY:
        return False
    keys = {word.partition("=")[0] if "=" in word else NODE for word in (*one.nodes, *other.nodes)}
    return len(keys) == 1 and not set(one.nodes) & set(other.nodes)  # a node has one value of a key
