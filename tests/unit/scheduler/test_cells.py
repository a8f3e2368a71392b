import numpy as np
import pytest

from corral.scheduler.cells import Costs, Demand, Kind, choose, slots, unusable
from corral.scheduler.homes import Homes

SMALL, LARGE, SPLIT = Kind(4, 8, 1), Kind(16, 64, 1), Kind(32, 64, 2)


def demand(*kinds: Kind) -> Demand:
    seen = Demand()
    for kind in kinds:
        seen.see(kind)
    return seen


def test_a_cell_without_memory_is_unusable() -> None:
    free = np.array([[[16.0, 0.0], [16.0, 32.0]]])
    assert unusable(free, demand(SMALL)).tolist() == [16]


def test_two_cells_are_used_as_far_as_the_smaller_one_goes() -> None:
    free = np.array([[[40.0, 128.0], [16.0, 128.0]]])
    assert unusable(free, demand(SPLIT)).tolist() == [40 + 16 - 32]


SLOTS = [  # name, parts that fit into each cell, cells that a VM needs, VMs
    ("one cell each", [2, 1], 1, 3),
    ("both cells", [2, 1], 2, 1),
    ("two of four", [3, 1, 1, 1], 2, 3),
    ("two of four, one is far larger", [9, 1, 1, 1], 2, 3),
    ("more than there are", [2, 1], 3, 0),
]


@pytest.mark.parametrize(("parts", "cells", "vms"), [pytest.param(*row[1:], id=row[0]) for row in SLOTS])
def test_slots(parts: list[int], cells: int, vms: int) -> None:
    free = np.array([[[2.0 * n, 4.0 * n] for n in parts]])
    assert slots(free, Kind(2 * cells, 4 * cells, cells)).tolist() == [vms]


def test_the_cell_is_chosen_that_leaves_the_pair_even() -> None:
    """Those who ask for two cells need both alike, so one cell's VM goes to the larger cell."""
    free = np.array([[[16.0, 64.0], [20.0, 72.0]]])
    assert choose(free, SMALL, demand(SPLIT, SMALL)).cells.tolist() == [[1]]


def test_what_does_not_fit_costs_without_end() -> None:
    free = np.array([[[16.0, 8.0], [16.0, 8.0]], [[16.0, 64.0], [0.0, 0.0]]])
    choice = choose(free, LARGE, demand(LARGE))
    assert choice.cost[0] == np.inf
    assert choice.cost[1] == 0


@pytest.mark.parametrize("seed", range(20))
def test_costs_remembered_are_those_found_anew(seed: int) -> None:
    chance = np.random.default_rng(seed)
    free = chance.integers(0, 40, (8, 2, 2)).astype(float) * (1, 3)
    seen = Demand()
    costs = Costs(free, seen)
    for _ in range(60):
        kind = (SMALL, LARGE, SPLIT)[int(chance.integers(3))]
        seen.see(kind)
        choice, fresh = costs.of(kind), choose(free, kind, seen)
        assert np.array_equal(choice.cost, fresh.cost)
        assert np.array_equal(choice.cells, fresh.cells)
        node = int(np.argmin(choice.cost))
        if np.isfinite(choice.cost[node]):
            free[node, choice.cells[node]] -= kind.part
            assert (free >= 0).all()
            costs.touch(node)


def test_a_group_begins_where_most_room_is_and_stays() -> None:
    homes = Homes(np.array([0, 0, 1, 1, 1]))
    free = np.full((5, 2, 2), 64.0)
    assert int(np.argmax(homes.bonus(free, SPLIT, "a", grows=True))) == 2
    homes.see("a", 2, SPLIT, grows=True)
    assert np.flatnonzero(homes.bonus(free, SPLIT, "a", grows=True) > 0).tolist() == [2, 3, 4]


def test_a_second_group_begins_where_nothing_is_promised() -> None:
    homes = Homes(np.array([0, 0, 1, 1, 1]))
    free = np.full((5, 2, 2), 64.0)
    homes.see("a", 2, SPLIT, grows=True)
    assert int(np.argmax(homes.bonus(free, SPLIT, "b", grows=True))) == 0


def test_vms_without_ties_keep_off_promised_room() -> None:
    homes = Homes(np.array([0, 1]))
    free = np.full((2, 2, 2), 64.0)
    homes.see("a", 1, SPLIT, grows=True)
    found = homes.bonus(free, SMALL, None)
    assert found[0] > found[1]
