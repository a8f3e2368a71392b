import itertools
from collections.abc import Callable

import numpy as np
import pytest

from corral.scheduler import replay as module
from corral.scheduler.dimensions import CPU, MEMORY
from corral.scheduler.replay import POLICIES, Shape, Trace, replay

INF = float("inf")


def a_clock() -> Callable[[], int]:
    ticks = itertools.count(0, 1000)
    return lambda: next(ticks)


def a_trace(*vms: tuple[float, float, float, float]) -> Trace:
    """Of arrival, end, vCPUs, GiB; each a batch of its own."""
    columns = [np.array(column, dtype=float) for column in zip(*vms, strict=True)]
    return Trace("test", *columns, np.zeros(len(vms)), np.arange(len(vms)))


def a_busy_trace(seed: int, count: int = 400) -> Trace:
    chance = np.random.default_rng(seed)
    arrive_s = np.sort(300.0 * chance.integers(0, 120, count))
    cpus = chance.choice([1.0, 2, 4, 8], count)
    end_s = arrive_s + chance.exponential(7000, count)
    end_s[chance.random(count) < 0.1] = INF
    return Trace(
        "busy",
        arrive_s,
        end_s,
        cpus,
        cpus * chance.choice([1.75, 1.75, 7], count),
        np.zeros(count),
        arrive_s.astype(int),
    )


def test_density_is_used_over_nodes_in_use() -> None:
    """8 of 16 vCPUs for the first half of what counts, then 4 of 16."""
    trace = a_trace((0, 2_100, 4, 1), (0, INF, 4, 1), (3_300, INF, 0.0001, 0.0001))
    found = replay(trace, Shape(16, 64), "pack", a_clock()).figures
    assert found.density == pytest.approx((1200 * 8 + 1500 * 4) / (2700 * 16), abs=1e-4)


def test_as_many_nodes_as_it_takes() -> None:
    trace = a_trace(*((0, INF, 8, 8) for _ in range(5)))
    found = replay(trace, Shape(16, 64), "pack", a_clock()).figures
    assert (found.nodes, found.placed, found.refused) == (3, 5, 0)


def test_what_never_fits_is_refused_and_begins_no_node() -> None:
    found = replay(a_trace((0, INF, 99, 8), (300, INF, 4, 8)), Shape(16, 64), "pack", a_clock()).figures
    assert (found.nodes, found.placed, found.refused) == (1, 1, 1)


def test_a_vm_that_ends_when_another_comes_makes_room_for_it() -> None:
    found = replay(a_trace((0, 300, 16, 8), (300, INF, 16, 8)), Shape(16, 64), "pack", a_clock()).figures
    assert found.nodes == 1


def test_fixed_nodes_refuse() -> None:
    trace = a_trace(*((0, INF, 8, 8) for _ in range(5)))
    found = replay(trace, Shape(16, 64), "first-fit", a_clock(), nodes=2).figures
    assert (found.nodes, found.placed, found.refused) == (2, 4, 1)
    assert found.peak_utilisation == 1.0


def test_peers_decide_as_their_names_say() -> None:
    """Nodes with 6 and 2 vCPUs free: the first one is the first fit, the second one the best."""
    vms = ((0, INF, 10, 1), (300, INF, 14, 1), (600, INF, 1, 1))
    for policy, expected in (("first-fit", [11, 14]), ("best-fit", [10, 15])):
        shares = replay(a_trace(*vms), Shape(16, 64), policy, a_clock()).shares
        assert (shares[:, 0] * 16).tolist() == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_no_node_is_overfilled_and_every_end_gives_back(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    put = module._Run.put

    def checked(run: module._Run, vm: int, row: int) -> None:
        put(run, vm, row)
        runs[:] = [run]
        assert (run.fleet.columns.claimed[row] <= run.fleet.columns.capacity[row]).all()

    monkeypatch.setattr(module._Run, "put", checked)
    trace = a_busy_trace(1)
    found = replay(trace, Shape(16, 64), policy, a_clock(), moves_per_100_vm_hours=20)
    run = runs[0]
    here = run.where >= 0
    rebuilt = np.zeros((run.fleet.size, 2))
    np.add.at(rebuilt, run.where[here], np.stack([trace.cpus[here], trace.memory_gib[here]], axis=1))
    assert np.allclose(run.fleet.columns.claimed[: run.fleet.size][:, [CPU, MEMORY]], rebuilt)
    assert found.figures.placed == len(trace.cpus)
    assert found.figures.migrations > 0


def test_equal_arguments_give_equal_figures() -> None:
    first, second = (replay(a_busy_trace(2), Shape(16, 32), "pack", a_clock()).figures for _ in range(2))
    assert first == second


def test_ours_is_denser_than_best_fit_and_moves_make_it_denser() -> None:
    """On requests whose VMs end together; by how much on real ones, bench/packing.py says."""
    chance = np.random.default_rng(5)
    rows = []
    for request in range(1500):
        arrive_s, count = 300.0 * (request // 10), int(min(40, chance.pareto(1.1) + 1))
        life_s = 900 * (chance.pareto(0.8) + 0.5)
        rows += [
            (arrive_s, arrive_s + life_s, cpus := float(chance.choice([1, 2, 4])), 1.75 * cpus, request)
        ] * count
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    trace = Trace("batches", *columns[:4], np.zeros(len(rows)), columns[4].astype(int))
    shape = Shape(32, 128)
    best_fit, ours, moved = (
        replay(trace, shape, policy, a_clock(), moves_per_100_vm_hours=moves).figures.density
        for policy, moves in (("best-fit", 0.0), ("pack", 0.0), ("pack", 2.0))
    )
    assert best_fit + 0.005 < ours < moved


def test_migrations_keep_to_the_budget() -> None:
    trace = a_busy_trace(3, 1500)
    found = replay(trace, Shape(16, 32), "pack", a_clock(), moves_per_100_vm_hours=3.0)
    hours = np.diff([m.at_s for m in found.moments], prepend=found.moments[0].at_s) / 3600
    vm_hours = sum(h * m.running for h, m in zip(hours, found.moments, strict=True))
    assert 0 < found.figures.migrations <= 3.0 * vm_hours / 100 * 1.2 + 3
