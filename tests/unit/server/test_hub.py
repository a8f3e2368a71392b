"""The hub: only differences travel, and nothing is done about what a node was not told."""

import msgspec

from corral.model.link import VmAssignment, VmRole, digest
from corral.model.migration import MigrationFigures
from corral.model.node import Node, NodePhase
from corral.model.vm import VM, DomainState, MigrationReport, VMPhase, VMReport
from corral.server.services.requests import MigrateVM
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig


@in_rig
async def test_an_agent_that_comes_back_is_not_told_what_it_knows(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await rig.vm()
    await agent.assigned()
    known = {key: digest(item) for key, item in agent.held.items()}
    again = PlayedAgent(rig, agent.node)
    await again.link(known)
    assert await again.assigned() == []
    older = PlayedAgent(rig, agent.node)
    await older.link(dict.fromkeys(known, "0"))
    await older.assigned()
    assert older.held.keys() == known.keys()


@in_rig
async def test_welcome_tells_what_was_reported(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    node = rig.mirror.find(Node, "n1")
    welcome = await PlayedAgent(rig, agent.node).link()
    assert welcome.reported["inventory/"] == digest(node.status.inventory)
    assert [k for k in welcome.reported if k.startswith("pools/")]


@in_rig
async def test_a_silent_node_is_lost_and_its_vms_unknown_until_it_is_back(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    await rig.vm()
    vm = rig.mirror.find(VM, "web")
    await agent.report(
        vms={vm.id: VMReport(state=DomainState.RUNNING, stint=1, role="owner", generation=1, boot=1)}
    )
    await rig.clock.sleep(8)
    assert rig.mirror.find(Node, "n1").status.phase is NodePhase.LOST
    assert rig.mirror.find(VM, "web").status.phase is VMPhase.UNKNOWN
    assert rig.mirror.find(VM, "web").status.node == agent.node, "it may still run there"
    await agent.report()
    await rig.clock.sleep(2)
    assert rig.mirror.find(Node, "n1").status.phase is NodePhase.READY
    assert rig.mirror.find(VM, "web").status.phase is VMPhase.RUNNING


@in_rig
async def test_a_node_with_a_vm_that_is_not_its_own_is_told_to_let_go(rig: Rig) -> None:
    await rig.shared_pool()
    owner = await rig.node("n1")
    await rig.vm()
    await rig.clock.sleep(0.1)
    vm = rig.mirror.find(VM, "web")
    other = await rig.node("n2")
    await other.report(vms={vm.id: VMReport(state=DomainState.STOPPED)})
    await other.assigned()
    assert rig.mirror.find(VM, "web").status.node == owner.node
    told = other.held[vm.id]
    assert isinstance(told, VmAssignment)
    assert told.role is VmRole.NONE
    await other.report(vms={vm.id: VMReport(state=DomainState.ABSENT, stint=told.stint, role="none")})
    await other.assigned()
    assert vm.id not in other.held


@in_rig
async def test_at_most_one_node_may_run_a_vm_during_a_migration(rig: Rig) -> None:
    await rig.shared_pool()
    agents = {a.node: a for a in (await rig.node("n1"), await rig.node("n2"))}
    await rig.vm()
    await rig.clock.sleep(0.1)
    vm = rig.mirror.find(VM, "web")
    assert vm.status.node is not None
    source = agents[vm.status.node]
    target = next(a for a in agents.values() if a is not source)
    runs = VMReport(state=DomainState.RUNNING, stint=1, role="owner", generation=1, boot=1)
    await source.report(vms={vm.id: runs})
    op = await rig.services.vms.migrate("web", MigrateVM(), ASKING)
    await source.assigned(), await target.assigned()
    assert (source.held[vm.id].role, target.held[vm.id].role) == ("owner", "target")
    stint = target.held[vm.id].stint
    ready = VMReport(state=DomainState.INCOMING, stint=stint, role="target", migration=_moved(op.id, "ready"))
    await target.report(vms={vm.id: ready})
    measured = msgspec.structs.replace(runs, stint=stint, migration=_moved(op.id, "measured"))
    await source.report(vms={vm.id: measured})
    await source.assigned()
    assert source.held[vm.id].role == "source"
    assert source.held[vm.id].migrate.peer_address.startswith("10.0.0.")
    done = msgspec.structs.replace(
        runs, state=DomainState.ABSENT, stint=stint, role="source", migration=_moved(op.id, "done")
    )
    await source.report(vms={vm.id: done})
    await source.assigned(), await target.assigned()
    assert (source.held[vm.id].role, target.held[vm.id].role) == ("none", "owner")
    assert rig.mirror.find(VM, "web").status.node == target.node


def _moved(wish: str, state: str) -> MigrationReport:
    return MigrationReport(wish=wish, state=state, figures=MigrationFigures(downtime_ms=12.0))
