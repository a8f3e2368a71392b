"""A fleet that is rebalanced, and nodes that are drained, by production code on virtual time: with and without faults."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from corral.errors import CorralError
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.policy import Rebalancing, SchedulingPolicy, SchedulingPolicySpec, Score
from corral.model.rebalance import Goal, Rebalance, RebalancePhase
from corral.model.vm import VM, VMPhase
from corral.server.core import ServerCore
from corral.server.services.asking import Asking
from corral.server.services.rebalancing import Rebalancing as RunsAlready
from corral.server.services.requests import (
    AskRebalance,
    CreatePolicy,
    CreateVM,
    NewDisk,
    UpdateNode,
    UpdatePolicy,
)
from tests.sim.chaos import CALM, Faults
from tests.sim.history import Sim
from tests.sim.process import bury

ASKING = Asking(by="test")
VMS = 6
SHAKY = Faults(
    lose_message=0.01,
    double_message=0.02,
    late_message=0.01,
    call_fails=0.05,
    call_hangs=0.0,
    store_fails=0.01,
    answer_lost=0.01,
    blow_every_s=float("inf"),
)
Scene = Callable[[Sim, ServerCore], Awaitable[None]]


async def crowded(sim: Sim) -> ServerCore:
    """All VMs on the first node."""
    await sim.begin()
    await sim.clock.sleep(5.0)
    server = sim.server()
    assert server
    core = server[1]
    for node in sim.nodes[1:]:
        await core.services.nodes.update(node.name, UpdateNode(cordoned=True), ASKING)
    for number in range(VMS):
        disk = NewDisk(image="image", pool="shared")
        ask = CreateVM(name=f"vm{number}", memory="512MiB", disks=(disk,))
        await core.services.vms.create(ask, ASKING)
    await until(sim, lambda: all(vm.status.phase is VMPhase.RUNNING for vm in mine(core)))
    for node in sim.nodes[1:]:
        await core.services.nodes.update(node.name, UpdateNode(cordoned=False), ASKING)
    await until(sim, lambda: all(n.takes_vms for n in core.mirror.list(Node)))
    return core


async def until(sim: Sim, done: Callable[[], bool], most_s: float = 600.0) -> None:
    end_s = sim.loop.now_s + most_s
    while not done():
        assert sim.loop.now_s < end_s, list(sim.lines)[-30:]
        await sim.clock.sleep(0.5)


def mine(core: ServerCore) -> list[VM]:
    return [vm for vm in core.mirror.list(VM) if vm.name.startswith("vm")]


def spread(core: ServerCore) -> list[int]:
    """VMs by node, the fullest first."""
    return sorted(Counter(vm.status.node for vm in mine(core)).values(), reverse=True)


async def ended(sim: Sim, core: ServerCore, operation: Operation) -> Operation:
    def now() -> Operation:
        found = core.mirror.get(operation.id)
        assert isinstance(found, Operation)
        return found

    await until(sim, lambda: now().ended, 4000.0)
    return now()


def play(scene: Scene, faults: Faults = CALM, seed: int = 1) -> None:
    sim = Sim(seed, CALM)

    async def all_of_it() -> None:
        core = await crowded(sim)
        sim.faults = faults
        await scene(sim, core)
        sim.faults = CALM
        await sim.end()

    asyncio.set_event_loop(None)
    try:
        sim.loop.run_until_complete(all_of_it())
    finally:
        sim.loop.close()
        bury()
    assert sim.violations == []


def test_plan_then_apply() -> None:
    async def scene(sim: Sim, core: ServerCore) -> None:
        ask = AskRebalance(parallel=2)
        shown = await core.services.rebalancing.plan(ask)
        assert shown.moves and shown.score_after < shown.score_before and shown.forecast_s > 0
        assert spread(core) == [VMS], "a plan moves nothing"
        operation = await core.services.rebalancing.apply(ask, ASKING)
        with pytest.raises(RunsAlready):
            await core.services.rebalancing.apply(ask, ASKING)
        most = 0

        def watch() -> bool:
            nonlocal most
            most = max(most, sum(vm.status.migration is not None for vm in mine(core)))
            found = core.mirror.get(operation.id)
            return isinstance(found, Operation) and found.ended

        await until(sim, watch)
        done = await ended(sim, core, operation)
        assert done.status.state == "succeeded", done.status.error
        assert done.status.result["moves"] == len(shown.moves)
        assert spread(core)[0] <= 2 and 1 <= most <= 2

    play(scene)


def test_drain_cordons_and_empties() -> None:
    async def scene(sim: Sim, core: ServerCore) -> None:
        first = mine(core)[0].status.node
        ask = AskRebalance(goal=Goal.DRAIN, nodes=(first or "",), parallel=3)
        done = await ended(sim, core, await core.services.rebalancing.apply(ask, ASKING))
        node = core.mirror.get(first or "")
        old = [o for o in core.mirror.select(VM, "claimed", first or "") if o.name.startswith("vm")]
        assert isinstance(node, Node) and node.spec.cordoned and old == []
        assert done.spec.verb == "drain"

    play(scene)


def test_cancel_stops_what_has_not_begun() -> None:
    async def scene(sim: Sim, core: ServerCore) -> None:
        operation = await core.services.rebalancing.apply(AskRebalance(parallel=1), ASKING)
        await until(sim, lambda: any(vm.status.migration for vm in mine(core)))
        await core.services.operations.cancel(operation.id, ASKING)
        done = await ended(sim, core, operation)
        assert done.status.state == "cancelled"
        assert core.mirror.list(Rebalance)[0].status.phase is RebalancePhase.CANCELLED
        before = spread(core)
        await sim.clock.sleep(60.0)
        assert spread(core) == before and before[0] > 2

    play(scene)


def test_a_changed_fleet_is_planned_anew() -> None:
    """A target is cordoned half-way: no VM goes there any more, and the rest is planned without it."""

    async def scene(sim: Sim, core: ServerCore) -> None:
        operation = await core.services.rebalancing.apply(AskRebalance(parallel=1), ASKING)
        await until(sim, lambda: any(vm.status.migration for vm in mine(core)))
        there = next(vm.status.migration.target for vm in mine(core) if vm.status.migration)
        closed = next(n for n in sim.nodes if n.id not in (there, mine(core)[0].status.node))
        await core.services.nodes.update(closed.name, UpdateNode(cordoned=True), ASKING)
        done = await ended(sim, core, operation)
        assert done.status.state == "succeeded", done.status.error
        assert core.mirror.list(Rebalance)[0].status.plans >= 2
        assert closed.id not in {vm.status.node for vm in mine(core)}

    play(scene)


def test_automatic_begins_pauses_and_is_off_by_default() -> None:
    async def scene(sim: Sim, core: ServerCore) -> None:
        await sim.clock.sleep(300.0)
        assert core.mirror.list(Rebalance) == []
        wanted = Rebalancing(automatic=True, start_above=0.01, pause_s=60.0)
        spec = SchedulingPolicySpec(rebalance=wanted)
        await core.services.policies.create(CreatePolicy(name="default", spec=spec), ASKING)
        await until(sim, lambda: spread(core)[0] <= 2, 2000.0)
        await until(sim, lambda: all(r.ended for r in core.mirror.list(Rebalance)))
        count = len(core.mirror.list(Rebalance))
        await sim.clock.sleep(1000.0)
        assert len(core.mirror.list(Rebalance)) == count, "a balanced fleet is left in peace"

    play(scene)


def test_automatic_consolidation_spends_what_was_earned_and_no_more() -> None:
    async def scene(sim: Sim, core: ServerCore) -> None:
        await ended(sim, core, await core.services.rebalancing.apply(AskRebalance(), ASKING))
        made, nodes = VMS - spread(core)[0], len(spread(core))
        await automatic(core, earning(made))
        await sim.clock.sleep(1000.0)
        assert len(spread(core)) == nodes == 4, "what is earned has been spent"
        await automatic(core, earning(made + 1))
        await until(sim, lambda: len(spread(core)) == 3)
        await sim.clock.sleep(1000.0)
        assert len(spread(core)) == 3, "one move was earned, which has emptied a node with one VM"
        await until(sim, lambda: len(spread(core)) == 1, 13 * 3600.0)

    async def automatic(core: ServerCore, moves_per_100_vm_hours: float) -> None:
        wanted = Rebalancing(
            automatic=True,
            goal=Goal.CONSOLIDATE,
            pause_s=60.0,
            moves_per_100_vm_hours=moves_per_100_vm_hours,
        )
        spec = SchedulingPolicySpec(score=Score.PACK, rebalance=wanted)
        if core.mirror.list(SchedulingPolicy):
            await core.services.policies.update("default", UpdatePolicy(spec=spec), ASKING)
        else:
            await core.services.policies.create(CreatePolicy(name="default", spec=spec), ASKING)

    play(scene)


def earning(moves: int) -> float:
    """As many per 100 VM hours as are `moves` in the six hours for which they are saved."""
    return (moves + 0.1) * 100 / VMS / 6


@pytest.mark.parametrize("seed", range(6))
def test_ends_with_faults(seed: int) -> None:
    """Lost messages, failing calls and a server that dies: the operation ends, and no VM is lost or runs twice."""

    async def scene(sim: Sim, core: ServerCore) -> None:
        operation: Operation | None = None
        while operation is None:
            with contextlib.suppress(CorralError):
                operation = await core.services.rebalancing.apply(AskRebalance(parallel=2), ASKING)
            await sim.clock.sleep(0.5)
        await sim.clock.sleep(1.0 + seed)
        if seed % 2:
            sim.kill_server()
            await sim.clock.sleep(1.0)
            sim.start_server()
            await sim.clock.sleep(30.0)
        server = sim.server()
        assert server
        sim.faults = CALM
        done = await ended(sim, server[1], operation)
        assert done.status.state in ("succeeded", "failed")
        await until(sim, lambda: all(vm.status.phase is VMPhase.RUNNING for vm in mine(server[1])))
        assert len(mine(server[1])) == VMS

    play(scene, SHAKY, seed)
