"""SchedulingPolicy: by what a VM's node is chosen, under a name.

In this room   Score, the kinds of score; Weights of the balance equation; the policy that holds them; BUILT_IN ones
Comes in       -
Goes out       parts of the bodies of POST /policies; SchedulingPolicy
Always true    a VM keeps the name of its policy, not what that says: changing a policy counts from the next placement
               on and moves nothing. A policy called `default` counts for VMs that name none.
Next door      scheduler/judging.py has what each score is, term by term
Start here     SchedulingPolicy
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.rebalance import Goal
from corral.model.resource import Resource


class Score(StrEnum):
    """How nodes that could take a VM are ranked."""

    BALANCE = "balance"  # the balance equation: fullest where what is left fits together
    PACK = "pack"  # fullest first
    SPREAD = "spread"  # emptiest first
    POWER = "power"  # fewest watts more


class Spare(StrEnum):
    """What must be able to fail, with room elsewhere for all that it runs."""

    NONE = "none"
    NODE = "node"  # any one node
    RACK = "rack"  # any one rack; nodes without a rack are one each


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of the balance equation R = (cpu + memory + gpu) / (io + power), and of two terms beside it. No unit; 0 or more."""

    cpu: float = 0.42
    memory: float = 0.35
    gpu: float = 0.23
    io: float = 0.28
    power: float = 0.11
    stranding: float = 1.0  # beside R: for vCPUs and memory running out together
    bonus: float = 1.0  # beside R: of what is known of a node besides, see scheduler/columns.py


class Rebalancing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When VMs are moved without being asked; counts in the policy called `default` only.

    Balancing begins above one score and has to promise a part of it. Consolidation empties nodes whenever it may: moves
    are earned by VMs that run, and what is not spent is saved for six hours. Both pause afterwards, so as not to swing.
    """

    automatic: bool = False
    goal: Goal = Goal.BALANCE  # or consolidate
    start_above: float = 0.2  # score: standard deviations of the nodes' shares of CPU and memory, added
    gain: float = 0.25  # share of the score that the moves have to take away
    moves_per_100_vm_hours: float = 1.0  # consolidate: migrations earned when 100 VMs run for an hour
    moves_max: int = 20  # at a time
    parallel: int = 2  # migrations side by side
    pause_s: float = 900.0  # after the last one


class SchedulingPolicySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    summary: str = ""  # what it is for, in a line
    score: Score = Score.BALANCE
    weights: Weights = Weights()  # for score balance; stranding and bonus for pack too
    spare: Spare = Spare.NONE
    rebalance: Rebalancing = Rebalancing()


class SchedulingPolicy(Resource, frozen=True, kw_only=True, tag="SchedulingPolicy"):
    """How nodes are chosen."""

    PREFIX: ClassVar = "policy"
    PLURAL: ClassVar = "policies"
    SUMMARY: ClassVar = "how nodes are chosen"

    spec: SchedulingPolicySpec = SchedulingPolicySpec()


DEFAULT: Final = "default"  # name of the policy that counts where none is named
BUILT_IN: Final[Mapping[str, SchedulingPolicySpec]] = {
    "balance": SchedulingPolicySpec(summary="the balance equation: full nodes whose parts fill up together"),
    "pack": SchedulingPolicySpec(
        summary="fullest node first, of those where vCPUs and memory run out together",
        score=Score.PACK,
        weights=Weights(stranding=600, bonus=20),  # found with bench/packing.py
    ),
    "spread": SchedulingPolicySpec(summary="emptiest node first", score=Score.SPREAD),
    "power": SchedulingPolicySpec(summary="the node that then draws fewest watts more", score=Score.POWER),
}
