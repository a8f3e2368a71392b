"""The rebalance planner: what it finds, and that no step of it does harm."""

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral.errors import Invalid
from corral.model.rebalance import Goal
from corral.scheduler.rebalance.arena import Arena, arena_of, put
from corral.scheduler.rebalance.plan import plan_moves
from corral.scheduler.rebalance.planned import MovePlan
from corral.scheduler.rebalance.problem import Problem, Rule
from corral.scheduler.rebalance.scores import total
from corral.scheduler.rebalance.settle import settle
from corral.scheduler.rebalance.spares import unabsorbed
from corral.scheduler.rebalance.wanted import Limits
from tests.unit.scheduler.fleets import a_fleet, absorbs, broken_rules, wrong_steps

ROOMY = [(16.0, 64.0)] * 4
CROWDED = [(0, 2.0, 8.0)] * 6 + [(1, 2.0, 8.0)]


def ends(problem: Problem, plan: MovePlan) -> list[int]:
    """Where each VM is at the end."""
    node = problem.node.copy()
    for move in plan.moves:
        node[move.vm] = move.target
    return node.tolist()


def test_balance_evens_out() -> None:
    problem = a_fleet(ROOMY, CROWDED)
    plan = plan_moves(problem, Goal.BALANCE)
    assert sorted(np.bincount(ends(problem, plan), minlength=4)) == [1, 2, 2, 2]
    assert len(plan.moves) == 4, "a move more than is needed costs somebody's guest a pause"
    assert plan.after < plan.before / 3


def test_what_is_balanced_stays() -> None:
    problem = a_fleet(ROOMY, [(n, 2.0, 8.0) for n in range(4)])
    assert plan_moves(problem, Goal.BALANCE).moves == ()


def test_settle_uses_a_third_node() -> None:
    problem = a_fleet([(8, 8), (8, 8), (8, 8)], [(0, 1, 8), (1, 1, 8)])
    vms, to, wave, stone = settle(arena_of(problem), np.array([0, 1]), np.array([1, 0]), 10, 4, 2, -1)
    assert list(zip(vms, to, stone, strict=True)) == [(0, 2, True), (1, 0, False), (0, 1, False)]
    assert list(wave) == [0, 1, 2], "room is free when the migration before is done, not sooner"


def test_drain_empties_the_node_largest_first() -> None:
    problem = a_fleet(ROOMY, CROWDED, leaving=np.array([True, False, False, False]))
    plan = plan_moves(problem, Goal.DRAIN)
    assert plan.emptied == (0,) and plan.behind == ()
    assert wrong_steps(problem, plan) == []


def test_drain_makes_way_where_room_is_in_pieces() -> None:
    """The large VM fits nowhere until a small one has gone elsewhere."""
    problem = a_fleet(
        [(8, 32), (8, 32), (8, 32)],
        [(0, 1, 24), (1, 1, 12), (2, 1, 12)],
        leaving=np.array([True, False, False]),
    )
    plan = plan_moves(problem, Goal.DRAIN)
    assert plan.emptied == (0,) and len(plan.moves) == 2
    assert wrong_steps(problem, plan) == []


def test_drain_says_who_is_left_behind() -> None:
    problem = a_fleet([(8, 32), (8, 32)], [(0, 1, 24), (1, 1, 24)], leaving=np.array([True, False]))
    plan = plan_moves(problem, Goal.DRAIN)
    assert plan.behind == (0,) and plan.moves == ()


def test_consolidate_empties_nodes_and_keeps_room_for_a_loss() -> None:
    vms = [(n, 1.0, 8.0) for n in range(4)]
    every = plan_moves(a_fleet(ROOMY, vms), Goal.CONSOLIDATE)
    assert len(every.emptied) == 3
    careful = plan_moves(a_fleet(ROOMY, vms, spare=True), Goal.CONSOLIDATE)
    assert len(careful.emptied) == 2, "the last two absorb each other's loss"


def test_repair_moves_nobody_else() -> None:
    apart = Rule(vms=(0, 1), domain=np.arange(4))
    problem = a_fleet(ROOMY, CROWDED, [apart])
    plan = plan_moves(problem, Goal.REPAIR)
    assert len(plan.moves) == 1 and plan.moves[0].vm in (0, 1)
    assert broken_rules(problem, np.array(ends(problem, plan))) == [0]


def test_vms_that_belong_together_come_together() -> None:
    together = Rule(vms=(0, 1, 2), domain=np.arange(4), together=True)
    problem = a_fleet(ROOMY, [(0, 1, 4), (0, 1, 4), (1, 1, 4)], [together])
    assert ends(problem, plan_moves(problem, Goal.REPAIR)) == [0, 0, 0]


BUDGETS = [
    ("three moves at most", Limits(moves_max=3), 3, 1e9),
    ("no move", Limits(moves_max=0), 0, 0.0),
    ("two VMs' memory at most", Limits(bytes_max=16.0), 9, 16.0),
]


@pytest.mark.parametrize(("limits", "moves", "sent"), [pytest.param(*b[1:], id=b[0]) for b in BUDGETS])
@pytest.mark.parametrize("goal", [Goal.BALANCE, Goal.CONSOLIDATE, Goal.DRAIN])
def test_budget(goal: Goal, limits: Limits, moves: int, sent: float) -> None:
    leaving = np.array([goal is Goal.DRAIN, False, False, False])
    plan = plan_moves(a_fleet(ROOMY, CROWDED, leaving=leaving), goal, limits)
    assert len(plan.moves) <= moves and plan.bytes <= sent


def test_few_moves_to_a_score() -> None:
    problem = a_fleet(ROOMY, CROWDED)
    half = plan_moves(problem, Goal.BALANCE, Limits(moves_max=2)).after
    assert len(plan_moves(problem, Goal.BALANCE, Limits(score=half)).moves) == 2


NONSENSE = [
    ("NaN", {"capacity": np.full((4, 2), np.nan)}),
    ("negative claims", {"claims": np.full((7, 2), -1.0)}),
    ("a node that there is not", {"node": np.full(7, 9)}),
    ("another shape", {"seconds": np.zeros(3)}),
]


@pytest.mark.parametrize("changed", [pytest.param(c, id=n) for n, c in NONSENSE])
def test_nonsense_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        plan_moves(msgspec.structs.replace(a_fleet(ROOMY, CROWDED), **changed), Goal.BALANCE)


def test_no_node_and_no_vm() -> None:
    assert plan_moves(a_fleet([], []), Goal.BALANCE).moves == ()
    assert plan_moves(a_fleet(ROOMY, []), Goal.CONSOLIDATE).moves == ()


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    nodes = draw(st.integers(2, 6))
    capacity = [(draw(st.integers(4, 16)), draw(st.integers(8, 32))) for _ in range(nodes)]
    free = [list(c) for c in capacity]
    vms = []
    for _ in range(draw(st.integers(0, 10))):
        at, cpus, memory = draw(st.integers(0, nodes - 1)), draw(st.integers(0, 4)), draw(st.integers(1, 12))
        if free[at][0] >= cpus and free[at][1] >= memory:
            free[at][0] -= cpus
            free[at][1] -= memory
            vms.append((at, cpus, memory))
    flags = st.lists(st.booleans(), min_size=nodes, max_size=nodes)
    rows = st.lists(st.integers(0, max(len(vms) - 1, 0)), min_size=2, max_size=4, unique=True)
    rules = [
        Rule(
            vms=tuple(draw(rows)),
            domain=np.arange(nodes) // draw(st.integers(1, 2)),
            together=draw(st.booleans()),
            required=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 2)))
        if len(vms) >= 4
    ]
    return a_fleet(
        capacity,
        vms,
        rules,
        takes_vms=np.array(draw(flags)) | (np.arange(nodes) == 0),
        leaving=np.arange(nodes) == draw(st.integers(1, nodes)),
        movable=np.array([draw(st.integers(0, 9)) > 0 for _ in vms], dtype=bool),
        spare=draw(st.booleans()),
        group=np.arange(nodes) // draw(st.integers(2, 6)),
    )


SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SLOW
@given(problems(), st.sampled_from(Goal), st.integers(0, 6), st.integers(1, 3), st.floats(0, 60))
def test_no_step_does_harm(problem: Problem, goal: Goal, moves: int, parallel: int, sent: float) -> None:
    limits = Limits(moves_max=moves, parallel=parallel, per_node=2, bytes_max=sent)
    plan = plan_moves(problem, goal, limits)
    assert wrong_steps(problem, plan) == []
    assert len(plan.moves) <= moves and plan.bytes <= sent
    assert all(sum(m.wave == w for m in plan.moves) <= parallel for w in {m.wave for m in plan.moves})
    assert plan_moves(problem, goal, limits) == plan, "equal problems give equal plans"
    if goal is Goal.BALANCE and not problem.rules:
        assert plan.after <= plan.before + 1e-9


@SLOW
@given(problems(), st.data())
def test_an_arena_is_what_a_rebuild_is(problem: Problem, data: st.DataObject) -> None:
    arena = arena_of(problem)
    if not problem.vms:
        return
    for _ in range(data.draw(st.integers(0, 12))):
        put(arena, data.draw(st.integers(0, problem.vms - 1)), data.draw(st.integers(0, problem.nodes - 1)))
    again = arena_of(msgspec.structs.replace(problem, node=arena.node.copy()))
    for name in ("used", "share", "sums", "tally"):
        np.testing.assert_allclose(getattr(arena, name), getattr(again, name), atol=1e-9)
    assert lists(arena) == lists(again)
    assert total(arena) == pytest.approx(total(again))


def lists(arena: Arena) -> list[list[int]]:
    found = []
    for at in arena.first:
        vms = []
        while at >= 0:
            vms.append(int(at))
            at = arena.after[at]
        found.append(vms)
    return found


@SLOW
@given(problems())
def test_absorbed_is_a_proof(problem: Problem) -> None:
    used = problem.base.copy()
    np.add.at(used, problem.node, problem.claims)
    if unabsorbed(arena_of(problem), problem.vms) == 0:
        assert absorbs(problem, problem.node, used)
