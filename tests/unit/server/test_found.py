"""Found domains: what agents tell of domains that are not Corral's."""

from msgspec.structs import replace

from corral.hypervisor.simulated.foreign import foreign_report
from corral.model.found import FoundAll, FoundDomain, FoundReport
from corral.model.link import digest
from corral.model.node import Node
from corral.model.vm import DomainState
from corral.server.services.asking import Asking
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

ONE, TWO = "1b000000-0000-4000-8000-0000000000a1", "1b000000-0000-4000-8000-0000000000b2"


def found_on(rig: Rig) -> dict[str, FoundReport]:
    return {f.name: f.status for f in rig.mirror.list(FoundDomain)}


@in_rig
async def test_they_come_change_and_go(rig: Rig) -> None:
    agent = await rig.node("n1")
    web, db = foreign_report("web", ONE), foreign_report("db", TWO)
    await agent.report(found={ONE: web, TWO: db}, found_all=FoundAll(uuids=(ONE, TWO)))
    assert found_on(rig) == {f"n1.{ONE}": web, f"n1.{TWO}": db}
    assert all(f.created_at for f in rig.mirror.list(FoundDomain))
    stopped = replace(web, state=DomainState.STOPPED)
    await agent.report(found={ONE: stopped})
    assert found_on(rig)[f"n1.{ONE}"] == stopped
    await agent.report(found_all=FoundAll(uuids=(TWO,)))
    assert found_on(rig) == {f"n1.{TWO}": db}


@in_rig
async def test_an_agent_that_comes_back_tells_only_what_is_new(rig: Rig) -> None:
    agent = await rig.node("n1")
    web = foreign_report("web", ONE)
    await agent.report(found={ONE: web}, found_all=FoundAll(uuids=(ONE,)))
    welcome = await PlayedAgent(rig, agent.node).link()
    assert welcome.reported[f"found/{ONE}"] == digest(web)
    assert welcome.reported["found_all/"] == digest(FoundAll(uuids=(ONE,)))


@in_rig
async def test_the_same_domain_may_be_found_on_two_nodes(rig: Rig) -> None:
    for name in ("n1", "n2"):
        agent = await rig.node(name)
        await agent.report(found={ONE: foreign_report("web", ONE)}, found_all=FoundAll(uuids=(ONE,)))
    assert sorted(found_on(rig)) == [f"n1.{ONE}", f"n2.{ONE}"]


@in_rig
async def test_they_go_with_their_node(rig: Rig) -> None:
    agent = await rig.node("n1")
    await agent.report(found={ONE: foreign_report("web", ONE)}, found_all=FoundAll(uuids=(ONE,)))
    await rig.services.nodes.remove("n1", Asking(by=ASKING.by))
    assert rig.mirror.list(FoundDomain) == [] and rig.mirror.list(Node) == []
