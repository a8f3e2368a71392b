"""Groups: a problem taken apart, since VMs move within a group only.

In this room   Part; parts_of()
Next door      plan.py plans a part at a time
Start here     parts_of()
"""

import msgspec
import numpy as np
from msgspec import Struct

from corral.scheduler.rebalance.problem import Ints, Problem, Rule


class Part(Struct, frozen=True, kw_only=True):
    problem: Problem
    vms: Ints  # rows in the whole problem
    nodes: Ints


def parts_of(problem: Problem) -> list[Part]:
    """One part a group, in the order of their numbers; groups without VMs are left out."""
    groups = np.unique(problem.group)
    if len(groups) == 1:
        return [Part(problem=problem, vms=np.arange(problem.vms), nodes=np.arange(problem.nodes))]
    of_vm = problem.group[problem.node]
    rows = [(np.nonzero(of_vm == g)[0], np.nonzero(problem.group == g)[0]) for g in groups]
    return [_part(problem, vms, nodes) for vms, nodes in rows if len(vms)]


def _part(problem: Problem, vms: Ints, nodes: Ints) -> Part:
    new_node = np.full(problem.nodes, -1, dtype=np.int64)
    new_node[nodes] = np.arange(len(nodes))
    by_vm = {
        f: getattr(problem, f)[vms] for f in ("claims", "amounts", "movable", "kind", "seconds", "bytes")
    }
    by_node = {
        f: getattr(problem, f)[nodes]
        for f in (
            "capacity",
            "base",
            "scale",
            "offset",
            "takes_vms",
            "counts",
            "leaving",
            "group",
            "failure_domain",
        )
    }
    part = msgspec.structs.replace(
        problem,
        **by_vm,
        **by_node,
        node=new_node[problem.node[vms]],
        fits=problem.fits[:, nodes],
        rules=_rules(problem, vms, nodes),
    )
    return Part(problem=part, vms=vms, nodes=nodes)


def _rules(problem: Problem, vms: Ints, nodes: Ints) -> tuple[Rule, ...]:
    """Rules with their members here. Members elsewhere stay where they are, and are in other domains or in none."""
    if not problem.rules:
        return ()
    new_vm = {int(vm): row for row, vm in enumerate(vms)}
    here = ((rule, tuple(new_vm[vm] for vm in rule.vms if vm in new_vm)) for rule in problem.rules)
    return tuple(
        msgspec.structs.replace(rule, vms=members, domain=rule.domain[nodes])
        for rule, members in here
        if members
    )
