"""Exact: the cheapest way to leave nodes, proven, where the fleet is small.

In this room   fewest_moves(), a mixed integer program for HiGHS
Comes in       a Problem with nodes to be emptied, or to be chosen
Goes out       the node of each VM; None: there is no such way, or none was found within NODES_MAX branches
Always true    capacity and required rules hold in the end; how to get there is found by settle.py
Next door      plan.py asks where evacuate.py left VMs behind
Start here     fewest_moves()
"""

from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from corral.scheduler.rebalance.problem import Ints, Problem

SMALL: Final = 6_000  # VMs x nodes, up to which it is tried
NODES_MAX: Final = 2_000  # branches; a count and not a time, so that equal problems give equal answers
GAP: Final = 0.01  # of the cost, from the proven optimum


def is_small(problem: Problem) -> bool:
    return problem.vms * problem.nodes <= SMALL


def fewest_moves(problem: Problem, *, empty_worth: float = 0.0) -> Ints | None:
    """The node of each VM, with the least bytes sent and no VM on a node that is to be emptied.

    empty_worth    bytes that a node without VMs is worth; 0: nobody asks for empty nodes
    """
    vms, nodes = problem.vms, problem.nodes
    if not vms:
        return problem.node.copy()
    stays = np.arange(nodes)[None, :] == problem.node[:, None]  # (vms, nodes)
    may = (
        problem.fits[problem.kind]
        & (problem.takes_vms & ~problem.leaving)[None, :]
        & problem.movable[:, None]
    )
    may = np.where(stays, ~problem.leaving[None, :] | ~problem.movable[:, None], may)
    may &= problem.group[None, :] == problem.group[problem.node][:, None]
    cost = np.where(stays, 0.0, np.maximum(problem.bytes, 1.0)[:, None]).ravel()
    count = vms * nodes
    variables = count + nodes  # x: VM on node; y: node has VMs
    limits = [*_one_node_each(vms, nodes, variables), *_room(problem, variables), *_apart(problem, variables)]
    for rule in problem.rules:
        if rule.required and rule.together:
            return None  # domains to choose for each rule: not worth it here
    worth = np.where(problem.leaving, 0.0, empty_worth)
    answer = milp(
        np.concatenate([cost, worth]),
        constraints=limits,
        integrality=np.ones(variables),
        bounds=Bounds(0, np.concatenate([may.ravel().astype(float), np.ones(nodes)])),
        options={"node_limit": NODES_MAX, "mip_rel_gap": GAP},
    )
    if answer.x is None:
        return None
    placed: Ints = answer.x[:count].reshape(vms, nodes).argmax(axis=1).astype(np.int64)
    return placed


def _one_node_each(vms: int, nodes: int, variables: int) -> list[LinearConstraint]:
    rows, columns = np.repeat(np.arange(vms), nodes), np.arange(vms * nodes)
    return [LinearConstraint(csr_array((np.ones(vms * nodes), (rows, columns)), (vms, variables)), 1, 1)]


def _room(problem: Problem, variables: int) -> list[LinearConstraint]:
    """What VMs claim on a node is within its capacity; 0 where it is off. A node that is too full today may stay so."""
    vms, nodes = problem.vms, problem.nodes
    limits = []
    for d in range(problem.capacity.shape[1]):
        claims = problem.claims[:, d]
        now = np.bincount(problem.node, claims, nodes)
        room = np.maximum(problem.capacity[:, d] - problem.base[:, d], now)
        rows = np.concatenate([np.tile(np.arange(nodes), vms), np.arange(nodes)])
        columns = np.arange(variables)
        values = np.concatenate([np.repeat(claims, nodes), -room])
        limits.append(LinearConstraint(csr_array((values, (rows, columns)), (nodes, variables)), -np.inf, 0))
    return limits


def _apart(problem: Problem, variables: int) -> list[LinearConstraint]:
    """No domain has more members of a rule than it allows, or has already."""
    limits = []
    for rule in problem.rules:
        if not rule.required or rule.together:
            continue
        numbers = np.unique(rule.domain, return_inverse=True)[1]
        members = np.array(rule.vms, dtype=np.int64)
        now = np.bincount(numbers[problem.node[members]], minlength=numbers.max() + 1)
        columns = (members[:, None] * problem.nodes + np.arange(problem.nodes)[None, :]).ravel()
        rows = np.tile(numbers, len(members))
        matrix = csr_array((np.ones(len(rows)), (rows, columns)), (len(now), variables))
        limits.append(LinearConstraint(matrix, -np.inf, np.maximum(now, rule.most)))
    return limits
