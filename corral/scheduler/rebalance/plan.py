"""Plan: the moves that bring a fleet closer to a goal, in an order in which they can be made.

In this room   plan_moves(), which plans a group at a time
Comes in       Problem (problem.py), a goal and limits (wanted.py)
Goes out       MovePlan (planned.py): moves in waves, the score before and after, what was left undone
Always true    no more moves and bytes than allowed, stepping stones included; equal inputs give equal plans
Next door      goals.py finds where VMs are to be, settle.py in which order they get there
Start here     plan_moves()
"""

from typing import Final

import numpy as np

from corral.scheduler.rebalance.arena import Arena, arena_of, put
from corral.scheduler.rebalance.compiled import compiled
from corral.scheduler.rebalance.goals import Target, spare_of, targets_of
from corral.scheduler.rebalance.groups import Part, parts_of
from corral.scheduler.rebalance.planned import MovePlan, PlannedMove
from corral.scheduler.rebalance.problem import Floats, Ints, Problem, check
from corral.scheduler.rebalance.scores import total
from corral.scheduler.rebalance.settle import settle
from corral.scheduler.rebalance.wanted import Goal, Limits

NO_LIMITS: Final = Limits()


def plan_moves(problem: Problem, goal: Goal, limits: Limits = NO_LIMITS) -> MovePlan:
    """The moves that bring the fleet closer to the goal. raises Invalid

    costs    1,000 nodes with 27,000 VMs in groups of 50: about a second
    """
    check(problem)
    parts = parts_of(problem)
    targets = targets_of(parts, goal, limits)
    moves: list[PlannedMove] = []
    node, before, after = problem.node.copy(), 0.0, 0.0
    moves_left, bytes_left = limits.moves_max, limits.bytes_max
    for part, target in zip(parts, targets, strict=True):
        was, settled = _settled(part, target, limits, moves_left, bytes_left)
        before, after = before + was, after + (settled[-1].score if settled else was)
        shift = moves[-1].wave + 1 if moves else 0
        for move in settled:
            row = int(part.vms[move.vm])
            there = int(part.nodes[move.target])
            moves.append(
                PlannedMove(
                    vm=row,
                    source=int(node[row]),
                    target=there,
                    wave=move.wave + shift,
                    stepping_stone=move.stepping_stone,
                    score=move.score,
                )
            )
            node[row] = there
            bytes_left -= float(problem.bytes[row])
        moves_left -= len(settled)
    had, has = (np.bincount(of, minlength=problem.nodes) > 0 for of in (problem.node, node))
    return MovePlan(
        moves=tuple(moves),
        before=before / max(len(parts), 1),
        after=after / max(len(parts), 1),
        emptied=tuple(np.nonzero(had & ~has)[0].tolist()),
        behind=tuple(np.nonzero(problem.leaving[node])[0].tolist()),
        seconds=_seconds(problem, moves),
        bytes=float(sum(problem.bytes[m.vm] for m in moves)),
    )


def _settled(
    part: Part, target: Target, limits: Limits, moves_max: int, bytes_max: float
) -> tuple[float, list[PlannedMove]]:
    """The score before, and the part's moves in order, in its own rows."""
    problem, arena = part.problem, arena_of(part.problem)
    most = min(moves_max, 2 * len(target.order))
    vms, to, wave, stone = settle(
        arena,
        target.order,
        target.node[target.order],
        most,
        limits.parallel,
        limits.per_node,
        spare_of(problem, arena),
    )
    count = int((np.cumsum(problem.bytes[vms]) <= bytes_max).sum())
    again = arena_of(problem)
    before = float(total(again))
    scores = _replay(again, vms[:count], to[:count])
    return before, [
        PlannedMove(
            vm=int(vms[i]),
            source=-1,
            target=int(to[i]),
            wave=int(wave[i]),
            stepping_stone=bool(stone[i]),
            score=float(scores[i]),
        )
        for i in range(count)
    ]


@compiled
def _replay(arena: Arena, vms: Ints, to: Ints) -> Floats:
    """The score after each move."""
    scores = np.empty(len(vms))
    for i in range(len(vms)):
        put(arena, vms[i], to[i])
        scores[i] = total(arena)
    return scores


def _seconds(problem: Problem, moves: list[PlannedMove]) -> float:
    """Each wave takes as long as its slowest move."""
    slowest: dict[int, float] = {}
    for move in moves:
        slowest[move.wave] = max(slowest.get(move.wave, 0.0), float(problem.seconds[move.vm]))
    return sum(slowest.values())
