import numpy as np
import pytest

from corral.scheduler.gpus import Gpus, Tasks, Weights, cpus_per_milli, leftover

PLAIN = Weights(0.0, 0.0, 0.0)


def tasks(*kinds: tuple[float, int, int, float], models: tuple[int, ...] = ()) -> Tasks:
    """Of CPUs, GPUs, thousandths of each, popularity; memory never matters."""
    cpus, gpus, milli, popularity = (np.array(column) for column in zip(*kinds, strict=True))
    return Tasks(
        cpus.astype(float),
        np.ones(len(kinds)),
        gpus.astype(np.int64),
        milli.astype(float),
        np.array(models or (0,) * len(kinds), dtype=np.int64),
        popularity.astype(float),
    )


def nodes(
    given: Tasks, *rows: tuple[float, int], models: tuple[int, ...] = (), weights: Weights = PLAIN
) -> Gpus:
    """Of CPUs and GPUs."""
    cpus, gpus = (np.array(column) for column in zip(*rows, strict=True))
    return Gpus(
        cpus.astype(float),
        np.full(len(rows), 1e6),
        gpus.astype(np.int64),
        np.array(models or (0,) * len(rows)),
        given,
        weights,
    )


def test_fragments_are_what_a_task_can_not_use() -> None:
    """Half of the tasks need 600: what is left of the second GPU, 500, is lost on them; the others use all."""
    cluster = nodes(tasks((1, 1, 600, 0.5), (1, 1, 100, 0.5)), (10, 2))
    cluster.free_milli[0, 1] = 500
    assert cluster.fragments(0) == pytest.approx(0.5 * 500)


def test_a_node_without_cpus_is_all_fragments() -> None:
    cluster = nodes(tasks((4, 1, 1000, 1.0)), (3, 8))
    assert cluster.fragments(0) == 8000


def test_a_share_goes_where_it_leaves_no_fragment() -> None:
    """400 fill up the GPU that has 400 left, rather than break a whole one."""
    cluster = nodes(tasks((1, 1, 400, 0.5), (1, 1, 1000, 0.5)), (10, 2))
    cluster.free_milli[0, 1] = 400
    assert cluster.place(0) == (0, 1)
    assert cluster.free_milli[0, :2].tolist() == [1000, 0]


def test_what_needs_no_gpu_keeps_off_nodes_that_have_some() -> None:
    cluster = nodes(tasks((8, 0, 0, 0.5), (1, 1, 1000, 0.5)), (100, 8), (8, 0))
    assert [cluster.place(0)[0] for _ in range(2)] == [1, 0]


def test_whole_gpus_need_to_be_whole() -> None:
    cluster = nodes(tasks((1, 2, 1000, 1.0)), (10, 3))
    cluster.free_milli[0, 0] = 900
    assert cluster.place(0) == (0, -1)
    assert cluster.free_milli[0, :3].tolist() == [900, 0, 0]
    assert cluster.place(0)[0] == -1


def test_only_models_that_will_do() -> None:
    given = tasks((1, 1, 1000, 0.5), (1, 1, 1000, 0.5), models=(0b10, 0b100))
    cluster = nodes(given, (10, 1), (10, 1), models=(0, 1))
    assert cluster.place(0)[0] == 1
    assert cluster.place(1)[0] == -1


def test_tasks_that_need_many_cpus_go_where_gpus_have_many() -> None:
    """16 CPUs a GPU starve a node with 12 of them a GPU. Fragmentation alone sees no difference yet."""
    given = tasks((16, 1, 1000, 0.5), (8, 1, 1000, 0.5))
    poor, rich = (96, 8), (416, 8)
    assert nodes(given, poor, rich).place(0)[0] == 0
    assert nodes(given, poor, rich, weights=Weights()).place(0)[0] == 1


def test_what_is_left_of_a_gpu_by_the_best_filling() -> None:
    left = leftover(tasks((1, 1, 470, 0.5), (1, 1, 300, 0.499), (1, 1, 60, 0.001)))
    assert left[1000] == 60, "470 and 470, or 300 three times and 100; 60 comes too seldom to count"
    assert left[299] == 299
    assert left[770] == 0


def test_cpus_that_a_gpu_needs_on_average() -> None:
    assert cpus_per_milli(tasks((16, 1, 1000, 0.5), (2, 1, 500, 0.5), (64, 0, 0, 9.0))) == pytest.approx(
        9 / 750
    )
    assert cpus_per_milli(tasks((64, 0, 0, 1.0))) == 0


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_overfilled_and_what_is_remembered_is_right(seed: int) -> None:
    chance = np.random.default_rng(seed)
    given = tasks((2, 1, 300, 0.3), (4, 1, 700, 0.2), (8, 1, 1000, 0.2), (16, 2, 1000, 0.1), (8, 0, 0, 0.2))
    cluster = nodes(given, (32, 4), (64, 2), (48, 0), (16, 1), weights=Weights())
    used, refused = 0.0, 0
    for kind in chance.integers(0, 5, 60).tolist():
        fresh = nodes(given, (32, 4), (64, 2), (48, 0), (16, 1), weights=Weights())
        for name in ("free_cpus", "free_memory", "free_milli"):
            getattr(fresh, name)[:] = getattr(cluster, name)
        at = cluster.place(kind)
        assert at == fresh.place(kind)
        assert (cluster.free_cpus >= 0).all() and (cluster.free_milli >= 0).all()
        refused += at[0] < 0
        used += given.gpus[kind] * given.milli[kind] if at[0] >= 0 else 0
    assert 7000 - used == cluster.free_milli.sum()
    assert refused


def test_more_gpus_than_a_node_may_have() -> None:
    with pytest.raises(ValueError, match="more than"):
        nodes(tasks((1, 1, 1000, 1.0)), (10, 17))
