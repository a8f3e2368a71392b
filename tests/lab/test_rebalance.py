"""Rebalancing with real guests: what was planned is what moves, and guests go on meanwhile."""

from collections.abc import Iterator

import pytest

from corral.lab.counting import ran_through
from corral.model.vm import VMPhase
from tests.lab.world import World

VMS = ("moved-a", "moved-b")


@pytest.fixture
def crowded(world: World) -> Iterator[str]:
    """A node that has two VMs, while the others have none of these."""
    first, *others = world.nodes
    for node in others:
        world.client.nodes.cordon(node)
    try:
        for name in VMS:
            world.make_up(name)
        for node in others:
            world.client.nodes.uncordon(node)
        yield first
    finally:
        for node in world.nodes:
            world.client.nodes.uncordon(node)
        for name in VMS:
            world.remove(name)


def test_plan_balance_and_drain(world: World, crowded: str) -> None:
    plan = world.client.rebalances.plan(goal="balance", moves_max=1)
    (move,) = plan["moves"]
    assert move["source"]["name"] == crowded and plan["score_after"] < plan["score_before"]
    assert move["forecast_s"] > 0 and move["forecast_downtime_ms"] > 0
    done = world.wait(world.client.rebalances.apply(goal="balance", moves_max=1))
    assert done.status.result["moves"] == 1
    went = next(name for name in VMS if world.node_of(name) != crowded)
    stayed = next(name for name in VMS if name != went)
    (rebalance,) = [r for r in world.client.rebalances.list() if r.spec.goal == "balance"]
    (made,) = [
        m for m in rebalance.status.moves if m.state == "done"
    ]  # planned anew: two nodes are equally good
    assert world.client.nodes.get(made.target).name == world.node_of(went) and world.runs_on(went) == [
        world.node_of(went)
    ]

    with world.listening(stayed) as listener:
        listener.wait_for(10, 20)
        world.wait(world.client.rebalances.apply(goal="drain", nodes=[crowded]))
        listener.wait_for(10, 20)
    assert ran_through(listener.counts), "the guest was stopped, or started anew"
    assert world.node_of(stayed) != crowded
    assert all(world.vm(name).status.phase is VMPhase.RUNNING for name in VMS)
    assert world.client.nodes.get(crowded).spec.cordoned
