"""Policies: how nodes are chosen, by name.

In this room   Policies, the requests; check_policy_name() of a VM
Comes in       requests.py's bodies
Goes out       SchedulingPolicy resources
Always true    the names of those that are built in can't be taken; a policy that VMs name can't be deleted
Next door      model/policy.py; controllers/rules.py finds the policy of a VM
Start here     Policies
"""

import math

from msgspec import UNSET

from corral.clock import new_id
from corral.errors import InUse, Invalid, NameTaken
from corral.model.operation import Operation, Verb
from corral.model.policy import BUILT_IN, SchedulingPolicy, SchedulingPolicySpec, Score
from corral.model.rebalance import Goal
from corral.model.vm import VM
from corral.server.services.asking import Asking
from corral.server.services.base import Change
from corral.server.services.requests import CreatePolicy, UpdatePolicy
from corral.server.services.things import Things
from corral.store.mirror import Mirror

WEIGHT_MAX = 100.0


class Policies(Things):
    """Requests about scheduling policies."""

    async def create(self, ask: CreatePolicy, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, policy: str, ask: UpdatePolicy, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._update(self.mirror.find(SchedulingPolicy, policy), ask)
        )

    async def delete(self, policy: str, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._delete(self.mirror.find(SchedulingPolicy, policy))
        )

    def _create(self, ask: CreatePolicy) -> Change:
        if ask.name in BUILT_IN:
            raise NameTaken("SchedulingPolicy", ask.name)
        check_spec(ask.spec)
        policy = SchedulingPolicy(
            id=new_id("policy", self.clock),
            name=ask.name,
            labels=ask.labels,
            created_at=self.clock.now_s(),
            spec=ask.spec,
        )
        return self._new(policy, done=True)

    def _update(self, policy: SchedulingPolicy, ask: UpdatePolicy) -> Change:
        labels = policy.labels if ask.labels is UNSET else ask.labels
        spec = policy.spec if ask.spec is UNSET else ask.spec
        check_spec(spec)
        new = policy.having(labels=labels, spec=spec, generation=policy.generation + 1)
        return self._replace(policy, new, Verb.UPDATE, done=True)

    def _delete(self, policy: SchedulingPolicy) -> Change:
        if vms := self.mirror.select(VM, "policy", policy.name):
            raise InUse("SchedulingPolicy", policy.name, f"VM {vms[0].name}")
        return self._gone(policy)


def check_spec(spec: SchedulingPolicySpec) -> None:
    """Raises  Invalid: a weight that is none"""
    for name in spec.weights.__struct_fields__:
        weight = getattr(spec.weights, name)
        if not (math.isfinite(weight) and 0 <= weight <= WEIGHT_MAX):
            raise Invalid(f"spec.weights.{name}", weight, f"a weight from 0 to {WEIGHT_MAX:g}")
    wanted = spec.rebalance
    for field, value, least, most in (
        ("start_above", wanted.start_above, 0.0, 10.0),
        ("gain", wanted.gain, 0.01, 1.0),
        ("moves_per_100_vm_hours", wanted.moves_per_100_vm_hours, 0.01, 1000.0),
        ("moves_max", wanted.moves_max, 1, 1000),
        ("parallel", wanted.parallel, 1, 64),
        ("pause_s", wanted.pause_s, 60.0, 30 * 86_400.0),
    ):
        if not least <= value <= most:  # NaN is not
            raise Invalid(f"spec.rebalance.{field}", value, f"{least:g} to {most:g}")
    if wanted.goal not in (Goal.BALANCE, Goal.CONSOLIDATE):
        raise Invalid("spec.rebalance.goal", wanted.goal, "balance or consolidate")
    if wanted.automatic and wanted.goal is Goal.CONSOLIDATE and spec.score is Score.SPREAD:
        raise Invalid(
            "spec.rebalance.goal", wanted.goal, "balance: what consolidation empties, score spread would fill"
        )


def check_policy_name(name: str, mirror: Mirror) -> None:
    """Raises  Invalid: there is no such policy. Empty: the default one"""
    known = {policy.name for policy in mirror.list(SchedulingPolicy)}
    if name and name not in BUILT_IN and name not in known:
        words = ", ".join([*BUILT_IN, *sorted(known)])
        raise Invalid("policy", name, f"one of {words}")
