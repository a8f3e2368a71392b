import numpy as np
import pytest

from corral.scheduler.consolidation import Budget, empty_nodes
from corral.scheduler.packing import EMPTY, bonus, order


def test_nodes_with_old_vms_are_kept_full() -> None:
    found = bonus(
        np.array([0.0, 0.0, 36_000.0]), np.array([40.0, 8.0, 0.0]), np.zeros(3, dtype=bool), 40_000.0
    )
    assert found[0] > found[1] > found[2]


def test_an_empty_node_comes_last() -> None:
    found = bonus(np.zeros(2), np.array([0.0, 64.0]), np.array([False, True]), 0.0)
    assert found[1] == EMPTY < found[0] - 2


def test_a_node_is_not_older_than_now() -> None:
    assert np.isfinite(bonus(np.array([50.0]), np.zeros(1), np.zeros(1, dtype=bool), 10.0)).all()


ORDERS = [  # name, cpus, memory, batch, order
    ("one VM", [2], [4], [7], [0]),
    ("small batches before large ones", [2, 2, 2, 1], [4, 4, 4, 2], [0, 0, 0, 1], [3, 0, 1, 2]),
    ("in a batch large VMs before small ones", [1, 4, 2], [2, 8, 4], [5, 5, 5], [1, 2, 0]),
    ("what is heavy in memory before all", [1, 8, 2], [2, 56, 4], [0, 1, 2], [1, 0, 2]),
    ("batches of a size stay together", [2, 2, 2, 2], [4, 4, 4, 4], [0, 1, 0, 1], [0, 2, 1, 3]),
]


@pytest.mark.parametrize(
    ("cpus", "memory", "batch", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ORDERS]
)
def test_order(cpus: list[float], memory: list[float], batch: list[int], expected: list[int]) -> None:
    found = order(np.array(cpus, float), np.array(memory, float), np.array(batch), 64, 256)
    assert found.tolist() == expected


@pytest.mark.parametrize("seed", range(50))
def test_every_vm_is_in_the_order_once(seed: int) -> None:
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 60))
    found = order(
        chance.choice([1.0, 2, 4, 8], count),
        chance.choice([2.0, 7, 56], count),
        chance.integers(0, 9, count),
        64,
        256,
    )
    assert sorted(found.tolist()) == list(range(count))


def a_fleet(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Capacity, free, where, need: nodes of 16 vCPUs and 64 GiB, about half full."""
    chance = np.random.default_rng(seed)
    capacity = np.tile([16.0, 64.0], (12, 1))
    free, where, need = capacity.copy(), [], []
    for _ in range(60):
        node, cpus = int(chance.integers(12)), float(chance.choice([1, 2, 4]))
        asked = np.array([cpus, cpus * chance.choice([2.0, 4, 7])])
        if (free[node] >= asked).all() and chance.random() < 0.6:
            free[node] -= asked
            where.append(node)
            need.append(asked)
    return capacity, free, np.array(where), np.array(need)


@pytest.mark.parametrize("seed", range(60))
def test_moves_empty_whole_nodes_and_overfill_none_on_the_way(seed: int) -> None:
    capacity, free, where, need = a_fleet(seed)
    budget = Budget(per_100_vm_hours=1.0, moves=15, most=15)
    given = free.copy()
    moves = empty_nodes(capacity, free, np.zeros(12), where, need, budget)
    assert (free == given).all(), "what it was given is not its own"
    assert len(moves.vms) <= 15
    now = where.copy()
    for vm, source, target in zip(*moves, strict=True):
        assert now[vm] == source != target
        assert (now == target).any(), "an empty node was begun"
        now[vm] = target
        free[source] += need[vm]
        free[target] -= need[vm]
        assert (free >= 0).all()
    for source in set(moves.sources.tolist()):
        assert not (now == source).any(), "a node was emptied in part"


def test_a_half_empty_fleet_is_worth_moves() -> None:
    capacity, free, where, need = a_fleet(3)
    assert len(empty_nodes(capacity, free, np.zeros(12), where, need, Budget(1.0, moves=15, most=15)).vms) > 0


def test_a_full_fleet_is_not() -> None:
    capacity = np.tile([16.0, 64.0], (3, 1))
    where, need = np.array([0, 0, 1, 1, 2]), np.tile([8.0, 32.0], (5, 1))
    free = capacity - np.array([[16, 64], [16, 64], [8, 32]])
    assert len(empty_nodes(capacity, free, np.zeros(3), where, need, Budget(1.0, moves=9, most=9)).vms) == 0


def test_no_moves_without_a_budget() -> None:
    capacity, free, where, need = a_fleet(3)
    assert len(empty_nodes(capacity, free, np.zeros(12), where, need, Budget(0.0)).vms) == 0


def test_the_bucket_saves_six_hours_and_no_more() -> None:
    budget = Budget(per_100_vm_hours=2.0)
    budget.fill(running=1000, hours=1.0)
    assert budget.moves == 20
    budget.fill(running=1000, hours=50.0)
    assert budget.moves == 120
    assert budget.full == 1.0
