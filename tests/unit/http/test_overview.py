"""The whole at a glance, the heatmap and live figures: what they say, and what their streams tell."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from corral.model.ids import PoolId
from corral.model.node import Inventory, Node, NodePhase, NodeSpec, NodeStatus, PoolOnNode
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Verb
from corral.model.policy import Weights
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Ref, Trouble
from corral.model.token import Role
from corral.model.units import GiB
from corral.model.vm import VMPhase
from corral.model.volume import Volume, VolumeSpec
from corral.scheduler.wellness import balance_of
from corral.server.facts import ROWS, FactRing, Series, VmRings, series
from corral.server.overview import POINTS_MAX, thinned
from corral.server.totals import Totals
from corral.store.interface import Remove
from tests.unit.http.test_streams import stream
from tests.unit.http.world import World, a_node, a_vm

ROOM = PoolOnNode(ready=True, total_bytes=100 * GiB, free_bytes=60 * GiB)


def a_host(number: int, phase: NodePhase = NodePhase.READY, rack: str = "", **spec: Any) -> Node:
    """8 CPUs and 16 GiB."""
    inventory = Inventory(cpus=8, memory_bytes=16 * GiB)
    pools = {"pool-own": ROOM, "pool-shared": ROOM}
    return a_node(
        number,
        spec=NodeSpec(rack=rack, cpu_overcommit=1.0, reserve_memory_bytes=0, **spec),
        status=NodeStatus(phase=phase, since=1.0, inventory=inventory, pools=pools),
    )


def a_failure(number: int, at: float) -> Operation:
    target = Ref(kind="VM", id="vm-000001", name="web-1")
    error = Trouble(code="disk.full", message="no space left", hint="Make room.")
    return Operation(
        id=f"op-{number:04}",
        name=f"op-{number:04}",
        created_at=at,
        spec=OperationSpec(verb=Verb.START, target=target, generation=1),
        status=OperationStatus(state=OperationState.FAILED, error=error, ended_at=at),
    )


async def furnish(world: World) -> None:
    """Three nodes, one of them lost; four VMs on the first one, 1 to 4 vCPUs and 1 GiB each."""
    now_s = world.core.clock.now_s()
    await world.core.add(
        StoragePool(id="pool-own", name="own", spec=StoragePoolSpec(path="/own")),
        StoragePool(id="pool-shared", name="shared", spec=StoragePoolSpec(path="/shared", shared=True)),
        a_host(1, rack="r1"),
        a_host(2, cordoned=True, phase=NodePhase.CORDONED),
        a_host(3, phase=NodePhase.LOST),
        *(a_vm(n) for n in range(1, 5)),
        a_vm(5, phase=VMPhase.FAILED, node=None),
        Volume(id="vol-1", name="v", spec=VolumeSpec(pool=PoolId("pool-own"), size_bytes=10 * GiB)),
        a_failure(1, now_s - 10 * 3600),
        a_failure(2, now_s - 60),
    )


async def overview(world: World) -> Any:
    async with world.client(Role.VIEWER) as client:
        return (await client.get("/api/v1/overview")).json()


async def test_the_whole(world: World) -> None:
    await furnish(world)
    world.core.hub.say("node-0001", {"cpu_share": 0.5, "memory_used_bytes": 4.0 * GiB})
    world.core.hub.say("node-0003", {"cpu_share": 1.0, "memory_used_bytes": 4.0 * GiB})
    whole = await overview(world)
    assert whole["revision"] == world.core.mirror.revision
    assert whole["nodes"] == {"total": 3, "phases": {"ready": 1, "cordoned": 1, "lost": 1}, "cordoned": 1}
    assert whole["vms"] == {"total": 5, "phases": {"running": 4, "failed": 1}}
    assert whole["operations"] == {"running": 0, "failed_lately": 1}
    by_name = {d.pop("name"): d for d in whole["dimensions"]}
    cpus = {"unit": "vCPUs", "capacity": 24, "claimed": 2 + 3 + 4 + 1, "installed": 24, "used": 4}
    assert by_name["cpu"] == cpus, "a lost node's last word counts no more"
    assert (by_name["memory"]["claimed"], by_name["memory"]["used"]) == (4 * GiB, 4 * GiB)
    storage = by_name["storage"]
    assert (storage["capacity"], storage["used"]) == (400 * GiB, 160 * GiB), "the shared pool counts once"
    assert storage["claimed"] == 10 * GiB
    assert by_name["iops"] == {
        "unit": "1/s",
        "capacity": None,
        "claimed": None,
        "installed": None,
        "used": None,
    }


async def test_what_needs_attention_comes_with_the_next_step(world: World) -> None:
    await furnish(world)
    whole = await overview(world)
    seen = [(a["severity"], a["code"], a["name"]) for a in whole["attention"]]
    assert seen[:2] == [("critical", "node.lost", "node3"), ("critical", "vm.trouble", "web-5")]
    assert ("warning", "operation.failed", "op-0002") in seen
    assert "op-0001" not in str(seen), "that was long ago"
    assert [s for s, _, _ in seen] == sorted((s for s, _, _ in seen), key="critical warning info".index)
    failed = next(a for a in whole["attention"] if a["code"] == "operation.failed")
    assert failed["message"] == "start of VM web-1 has failed: no space left"
    assert failed["next_step"].startswith("Make room.")
    assert failed["command"] == "corral operation show op-0002"
    assert whole["attention_total"] == len(whole["attention"])


@pytest.mark.parametrize(("role", "told"), [(Role.ADMIN, True), (Role.VIEWER, False)])
async def test_viewers_hear_nothing_of_tokens(world: World, role: Role, told: bool) -> None:
    await world.token(Role.OPERATOR, expires_at=world.core.clock.now_s() + 3600.0, name="deploy-bot")
    async with world.client(role) as client:
        whole = (await client.get("/api/v1/overview")).json()
        findings = (await client.get("/api/v1/findings")).json()
    assert ("deploy-bot" in str(whole["attention"])) is told
    assert ("deploy-bot" in str(findings)) is told
    assert whole["attention_total"] == len(whole["attention"])


async def test_of_very_many_only_some_are_listed_and_all_are_counted(world: World) -> None:
    await world.core.add(*(a_vm(n, phase=VMPhase.UNKNOWN) for n in range(1, 251)), a_host(1, NodePhase.LOST))
    whole = await overview(world)
    assert len(whole["attention"]) == 100
    assert [a["code"] for a in whole["attention"]][:3] == ["pool.none", "node.lost", "vm.trouble"]
    assert whole["attention_total"] == 252


async def test_balance_is_the_schedulers_own_and_is_kept(world: World) -> None:
    await world.core.add(a_host(1), a_host(2), a_vm(3), a_vm(4))
    kept = world.api.api.overview
    kept.sample()
    whole = await overview(world)
    weights = Weights()
    cost = weights.io + weights.power

    def r(cpu: float, memory: float) -> float:
        """No GPUs, no limits of disks and network known: those shares are 1, 0 and 0."""
        return (weights.cpu * cpu + weights.memory * memory + weights.gpu) / cost

    expected = (r((4 + 1) / 8, 2 / 16) + r(0, 0)) / 2
    assert whole["balance"]["now"] == pytest.approx(expected, abs=1e-4)
    assert [point[1] for point in whole["balance"]["history"]] == [whole["balance"]["now"]]
    assert balance_of(kept.keeper.fleet, weights) == pytest.approx(expected)


def test_long_histories_are_thinned() -> None:
    samples = [(float(n), 0.5) for n in range(8640)]
    points = thinned(samples)
    assert len(points) <= POINTS_MAX
    assert points[-1] == samples[-1]
    assert {b[0] - a[0] for a, b in pairwise(points)} == {29.0}
    assert thinned(samples[:10]) == samples[:10]
    assert thinned([]) == []


async def test_totals_equal_a_rebuild(world: World) -> None:
    await furnish(world)
    core = world.core
    kept = Totals(core.mirror, core.hub)
    core.hub.say("node-0001", {"cpu_share": 0.5, "memory_used_bytes": 4.0 * GiB})
    core.hub.say("node-0002", {"cpu_share": 0.25, "memory_used_bytes": 2.0 * GiB})
    core.hub.say("node-0001", {"cpu_share": 0.75, "memory_used_bytes": 3.0 * GiB})
    lost = a_host(2, NodePhase.LOST, rack="r2")
    smaller = a_host(1).status.pools | {"pool-own": PoolOnNode(ready=True, total_bytes=GiB, free_bytes=GiB)}
    first = core.mirror.find(Node, "node1")
    await core.add(
        lost, Volume(id="vol-2", name="w", spec=VolumeSpec(pool=PoolId("pool-own"), size_bytes=GiB))
    )
    await core.add(first.having(status=NodeStatus(
        phase=NodePhase.READY, inventory=first.status.inventory, pools=smaller)))  # fmt: skip
    await core.put(Remove("node-0003"), Remove("vol-1"))
    fresh = Totals(core.mirror, core.hub)
    names = ("cordoned", "cpus", "memory_bytes", "used_cpus", "used_memory_bytes", "pool_bytes",
             "pool_free_bytes", "volume_bytes")  # fmt: skip
    assert {n: getattr(kept, n) for n in names} == {n: getattr(fresh, n) for n in names}
    assert (kept.used_cpus, kept.volume_bytes) == (6.0, GiB)
    assert kept.pool_bytes == (1 + 100 + 100) * GiB


async def test_the_heatmap_in_columns(world: World) -> None:
    await furnish(world)
    world.core.hub.say("node-0001", {"cpu_share": 0.123456, "memory_used_bytes": 4.0 * GiB})
    async with world.client(Role.VIEWER) as client:
        columns = (await client.get("/api/v1/heatmap")).json()
    assert columns == {
        "revision": world.core.mirror.revision,
        "ids": ["node-0001", "node-0002", "node-0003"],
        "names": ["node1", "node2", "node3"],
        "phases": ["ready", "cordoned", "lost"],
        "racks": ["r1", "", ""],
        "cpu_claimed": [10 / 8, 0, 0],
        "memory_claimed": [0.25, 0, 0],
        "cpu_used": [0.12, None, None],
        "memory_used": [0.25, None, None],
        "vms": [4, 0, 0],
    }


async def test_the_heatmaps_stream_tells_what_looks_different(world: World, url: str) -> None:
    await furnish(world)
    core = world.core
    async with stream(world, url, "/api/v1/heatmap?watch=true") as reader:
        name, _, begin = await reader.next()
        assert (name, begin) == ("cells", {"revision": core.mirror.revision, "rows": [], "removed": []})
        await core.add(a_vm(6, node=2))
        _, _, news = await reader.next()
        assert [(row["name"], row["vms"]) for row in news["rows"]] == [("node2", 1)]
        core.hub.say("node-0001", {"cpu_share": 0.5})
        _, _, news = await reader.next()
        assert [(row["name"], row["cpu_used"]) for row in news["rows"]] == [("node1", 0.5)]
        core.hub.say("node-0001", {"cpu_share": 0.501})
        await core.change(a_vm(6), labels={"nothing": "of this is shown"})
        await core.put(Remove("node-0003"))
        _, _, news = await reader.next()
        assert (news["rows"], news["removed"]) == ([], ["node-0003"])
    async with asyncio.timeout(5):  # the stream hangs up; only the totals listen
        while len(core.hub.on_facts) > 1:
            await asyncio.sleep(0.01)


async def test_the_overviews_stream_tells_the_whole_again(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.server.http.pictures.WholePicture.pause_s", 0.02)
    monkeypatch.setattr("corral.server.overview.RENEW_S", 0.01)
    await furnish(world)
    async with stream(world, url, "/api/v1/overview?watch=true", Role.VIEWER) as reader:
        name, _, first = await reader.next()
        assert (name, first["vms"]["total"]) == ("overview", 5)
        await world.core.add(a_vm(6))
        _, _, then = await reader.next()
        assert then["vms"] == {"total": 6, "phases": {"running": 5, "failed": 1}}


def rows(*values: float) -> Series:
    return Series(at=[1000.0 + n for n in range(len(values))], rows={"cpu_share": list(values)})


async def test_figures_latest_series_and_live(world: World, url: str) -> None:
    await world.core.add(a_node(1), a_vm(1))
    hub = world.core.hub
    hub.say("node-0001", {"cpu_share": 0.5})
    hub.rings = {"node-0001": rows(0.25, 0.5), "vm-000001": rows(1.5)}
    async with world.client(Role.VIEWER) as client:
        latest = (await client.get("/api/v1/nodes/node1/facts")).json()
        assert latest["figures"] == {"cpu_share": 0.5}
        found = (await client.get("/api/v1/nodes/node1/facts?series=true")).json()
        assert found == {
            "about": {"kind": "Node", "id": "node-0001", "name": "node1"},
            "names": ["cpu_share"],
            "at": [1000.0, 1001.0],
            "rows": {"cpu_share": [0.25, 0.5]},
        }
        refused: httpx.Response = await client.get("/api/v1/nodes/node1/facts?series=true&watch=true")
        assert refused.status_code == 400, refused.text
    async with stream(world, url, "/api/v1/vms/web-1/facts?watch=true") as reader:
        assert await reader.next() == ("figures", 0, {"at": 1000.0, "figures": {"cpu_share": 1.5}})
        hub.say("node-0002", {}, ["vm-000002"])
        hub.rings["vm-000001"] = rows(1.5, 0.5)
        hub.say("node-0001", {}, ["vm-000001"])
        assert await reader.next() == ("figures", 0, {"at": 1001.0, "figures": {"cpu_share": 0.5}})


def test_a_ring_tells_its_newest_rows_and_no_nan() -> None:
    ring = FactRing(2)
    for n in range(ROWS + 5):
        ring.add(float(n), (n / 2,))
    found = series(ring, ("a", "b"))
    assert (found.at[0], found.at[-1], len(found.at)) == (5.0, ROWS + 4.0, ROWS)
    assert found.rows["a"][-1] == (ROWS + 4) / 2
    assert set(found.rows["b"]) == {None}, "an older agent does not know b"
    assert series(None, ("a",)) == Series(rows={"a": []})


def test_vms_have_rings_while_there_is_room_and_then_who_is_asked_for() -> None:
    rings = VmRings(most=2)
    names: Any = ("vm-1", "vm-2", "vm-3")
    for at_s in (1.0, 2.0):
        for vm in names:
            rings.note(vm, at_s, (at_s,))
    assert rings.ask(names[0]).count == 2, "it was there from the beginning"
    assert rings.ask(names[2]).count == 0, "there was no room for it; vm-2 makes some"
    for vm in names:
        rings.note(vm, 3.0, (3.0,))
    assert (rings.ask(names[2]).count, rings.ask(names[0]).count) == (1, 3)
    rings.forget(names[0])
    assert rings.ask(names[0]).count == 0
