"""Lists: paging, filters, sorting, fields; and single resources with their ETags."""

from typing import Any

import httpx
import pytest

from corral.model.operation import Operation, OperationSpec, Verb
from corral.model.resource import Ref
from corral.model.vm import VM, VMPhase
from corral.server.http.orders import ORDERS_MAX, Order, Orders
from corral.server.http.paths import find_path
from corral.store.interface import Put, Remove
from tests.unit.http.world import World, a_node, a_vm


async def names(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/api/v1/vms?{query}")
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def fleet(world: World) -> None:
    """web-1 to web-10: odd and even, the last three stopped, 1 to 5 on node1 and the others on node2."""
    phases = {8: VMPhase.STOPPED, 9: VMPhase.STOPPED, 10: VMPhase.STOPPED}
    vms = [a_vm(n, phase=phases.get(n, VMPhase.RUNNING), node=1 if n <= 5 else 2) for n in range(1, 11)]
    await world.core.add(a_node(1), a_node(2), *vms)


QUERIES = [  # name, query, names by number
    ("everything, in order of creation", "", range(1, 11)),
    ("by phase", "phase=stopped", (8, 9, 10)),
    ("by the whole path", "status.phase=stopped", (8, 9, 10)),
    ("any of two values", "phase=stopped&phase=running&limit=2", (1, 2)),
    ("by node's id", "node=node-0001", (1, 2, 3, 4, 5)),
    ("by node's name", "node=node2", (6, 7, 8, 9, 10)),
    ("by a node that does not exist", "node=node9", ()),
    ("by label", "label=parity=odd", (1, 3, 5, 7, 9)),
    ("by label, not", "label=parity!=odd", (2, 4, 6, 8, 10)),
    ("has a label", "label=parity", range(1, 11)),
    ("has not a label", "label=nothing", ()),
    ("two labels", "label=parity=odd&label=nothing=1", ()),
    ("two conditions", "phase=stopped&label=parity=odd", (9,)),
    ("by name", "name=web-7", (7,)),
    ("by id", "id=vm-000007", (7,)),
    ("an expression", "filter=status.phase=running,spec.cpus>=4", (3, 7)),
    ("an expression with not", "filter=phase!=running", (8, 9, 10)),
    ("contains", "filter=name~WEB-1", (1, 10)),
    ("quoted", 'filter=name="web-4"', (4,)),
    ("bytes as people write them", "filter=spec.memory_bytes>=1GiB,cpus<2", (4, 8)),
    ("a truth value", "spec.running=false", ()),
    ("labels as a path", "labels.parity=even&limit=1", (2,)),
    ("what is not there", "filter=deleted_at=", range(1, 11)),
    ("project", "project=other", ()),
    ("sorted by name", "sort=name", (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)),
    ("sorted backwards", "sort=-created_at&limit=3", (10, 9, 8)),
    ("ties by id", "sort=cpus&limit=4", (4, 8, 1, 5)),
    ("sorted and filtered", "sort=-name&phase=running&limit=3", (7, 6, 5)),
    ("from a row on", "offset=7", (8, 9, 10)),
    ("a window", "offset=4&limit=2", (5, 6)),
    ("a window, backwards", "sort=-id&offset=4&limit=2", (6, 5)),
    ("a window of what matches", "phase=running&offset=2&limit=3", (3, 4, 5)),
    ("a window of what matches, sorted backwards", "sort=-name&phase=running&offset=3&limit=2", (4, 3)),
    ("the last row, backwards", "sort=-id&offset=9&limit=5", (1,)),
    ("behind the end", "offset=10", ()),
    ("behind the end, backwards", "sort=-id&offset=11", ()),
    ("behind the end of what matches", "phase=running&offset=7&sort=-id", ()),
]


@pytest.mark.parametrize(("query", "numbers"), [pytest.param(*row[1:], id=row[0]) for row in QUERIES])
async def test_queries(world: World, query: str, numbers: Any) -> None:
    await fleet(world)
    async with world.client() as client:
        assert await names(client, query) == [f"web-{n}" for n in numbers]


REFUSED = [  # name, query, field
    ("no such field", "colour=red", "colour"),
    ("no such field in an expression", "filter=spec.colour=red", "filter"),
    ("no expression", "filter=???", "filter"),
    ("not one of the phases", "phase=sleeping", "phase"),
    ("not a number", "spec.cpus=many", "spec.cpus"),
    ("not a size", "filter=spec.memory_bytes>lots", "filter"),
    ("not a truth value", "spec.protected=maybe", "spec.protected"),
    ("no limit", "limit=0", "limit"),
    ("too large a limit", "limit=1001", "limit"),
    ("a limit that is no number", "limit=ten", "limit"),
    ("sorted by nothing", "sort=colour", "sort"),
    ("sorted by an object", "sort=spec", "sort"),
    ("no such field to show", "fields=name,colour", "fields"),
    ("no cursor", "cursor=%21%21", "cursor"),
    ("cursor and offset", "cursor=bm9uZQ&offset=0", "offset"),
    ("an offset below 0", "offset=-1", "offset"),
    ("a cursor that is base64 of nothing", "cursor=bm9uZQ", "cursor"),
    ("an empty label", "label==x", "label"),
    ("since that is no revision", "watch=true&since=now", "since"),
]


@pytest.mark.parametrize(("query", "field"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
async def test_refused_queries_name_the_parameter(world: World, query: str, field: str) -> None:
    async with world.client() as client:
        answer = await client.get(f"/api/v1/vms?{query}")
        assert answer.status_code == 400, answer.text
        assert answer.json()["context"]["field"] == field


async def test_paging_shows_each_once_while_others_come_and_go(world: World) -> None:
    await fleet(world)
    for sort in ("", "&sort=name", "&sort=-name", "&sort=-created_at", "&sort=cpus"):
        async with world.client() as client:
            seen: list[str] = []
            cursor, round_ = "", 0
            while True:
                query = f"limit=3{sort}" + (f"&cursor={cursor}" if cursor else "")
                page = (await client.get(f"/api/v1/vms?{query}")).json()
                seen += [item["name"] for item in page["items"]]
                round_ += 1
                guest = a_vm(100 + round_).having(
                    id=f"vm-guest-{sort[-3:]}-{round_}", name=f"aa-{sort[-3:]}-{round_}"
                )
                await world.core.add(guest)
                if round_ > 1:
                    await world.core.put(Remove(f"vm-guest-{sort[-3:]}-{round_ - 1}"))
                cursor = page["next"]
                if not cursor:
                    break
            await world.core.put(Remove(f"vm-guest-{sort[-3:]}-{round_}"))
        mine = [name for name in seen if name.startswith("web-")]
        assert sorted(mine) == sorted(f"web-{n}" for n in range(1, 11)), sort
        assert len(mine) == 10


async def test_the_place_of_a_cursor_may_be_gone(world: World) -> None:
    await fleet(world)
    async with world.client() as client:
        page = (await client.get("/api/v1/vms?limit=3")).json()
        await world.core.put(Remove("vm-000003"), Remove("vm-000004"))
        assert await names(client, f"limit=2&cursor={page['next']}") == ["web-5", "web-6"]


async def test_a_cursor_belongs_to_its_list(world: World) -> None:
    await fleet(world)
    async with world.client() as client:
        cursor = (await client.get("/api/v1/vms?limit=3")).json()["next"]
        for other in ("sort=name", "phase=running", "sort=-id"):
            answer = await client.get(f"/api/v1/vms?{other}&cursor={cursor}")
            assert answer.json()["context"]["field"] == "cursor"


async def test_a_page_says_how_many_there_are_and_from_where_to_watch(world: World) -> None:
    await fleet(world)
    async with world.client() as client:
        page = (await client.get("/api/v1/vms?limit=2&phase=stopped")).json()
        assert (page["total"], page["revision"]) == (3, world.core.mirror.revision)
        assert page["next"]
        last = (await client.get(f"/api/v1/vms?limit=2&phase=stopped&cursor={page['next']}")).json()
        assert (last["total"], last["next"], len(last["items"])) == (3, None, 1)
        assert (await client.get("/api/v1/volumes")).json()["items"] == []


async def test_a_jump_goes_on_by_cursor(world: World) -> None:
    await fleet(world)
    for query, then in (
        ("offset=3", ["web-6", "web-7"]),
        ("offset=3&sort=-id&phase=running", ["web-2", "web-1"]),
    ):
        async with world.client() as client:
            page = (await client.get(f"/api/v1/vms?limit=2&{query}")).json()
            rest = query.partition("&")[2]
            assert await names(client, f"limit=2&cursor={page['next']}&{rest}") == then


async def test_fields(world: World) -> None:
    await fleet(world)
    async with world.client() as client:
        page = (
            await client.get("/api/v1/vms?limit=1&fields=name,status.phase,phase,labels,spec.cpus,node")
        ).json()
        assert page["items"] == [
            {
                "id": "vm-000001",
                "name": "web-1",
                "status": {"phase": "running", "node": "node-0001"},
                "labels": {"parity": "odd"},
                "spec": {"cpus": 2},
            }
        ]
        one = await client.get("/api/v1/vms/web-1?fields=kind,status.migration.target")
        assert one.json() == {"id": "vm-000001", "kind": "VM", "status": {"migration": {"target": None}}}


async def test_operations_by_target(world: World) -> None:
    spec = OperationSpec(verb=Verb.START, target=Ref(kind="VM", id="vm-1", name="web-1"), generation=1)
    await world.core.add(Operation(id="op-1", name="op-1", spec=spec))
    async with world.client() as client:
        for target, found in (("vm-1", 1), ("web-1", 1), ("web-2", 0)):
            page = (await client.get(f"/api/v1/operations?target={target}&state=running")).json()
            assert page["total"] == found


async def test_etag_and_not_modified(world: World) -> None:
    vm = a_vm(1)
    await world.core.add(vm)
    async with world.client() as client:
        first = await client.get("/api/v1/vms/web-1")
        assert first.headers["etag"] == f'"{first.json()["revision"]}"'
        again = await client.get("/api/v1/vms/web-1", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        await world.core.change(vm, labels={"new": "yes"})
        changed = await client.get("/api/v1/vms/web-1", headers={"If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200


async def test_by_id_name_and_project(world: World) -> None:
    await world.core.add(a_vm(1), a_vm(2, name="web-1", project="other"))
    async with world.client() as client:
        assert (await client.get("/api/v1/vms/vm-000002")).json()["project"] == "other"
        assert (await client.get("/api/v1/vms/web-1")).json()["id"] == "vm-000001"
        assert (await client.get("/api/v1/vms/web-1?project=other")).json()["id"] == "vm-000002"
        assert (await client.get("/api/v1/vms/web-1?colour=red")).status_code == 400


async def test_consistent_reads_wait_for_the_store(world: World) -> None:
    async with world.client() as client:
        assert (await client.get("/api/v1/vms?consistent=true")).status_code == 200
        world.core.broken = True
        answer = await client.get("/api/v1/vms?consistent=true")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.get("/api/v1/vms")).status_code == 200


async def test_orders_follow_changes(world: World) -> None:
    """Kept up bit by bit, an order is the same as made anew."""
    orders = Orders(world.core.mirror)
    await fleet(world)
    for field in ("id", "name", "status.phase", "status.node", "deleted_at"):
        orders.by(VM, field)
    await world.core.put(Put(a_vm(3, phase=VMPhase.FAILED)), Remove("vm-000005"), Put(a_vm(11, node=None)))
    await world.core.put(Put(a_vm(11, deleted_at=5.0)))
    for field in ("id", "name", "status.phase", "status.node", "deleted_at"):
        kept, anew = orders.by(VM, field), Order(find_path(VM, field), world.core.mirror.list(VM))
        assert kept.after(None, descending=False) == anew.after(None, descending=False)
        assert list(kept.after(None, descending=True)) == list(anew.after(None, descending=False))[::-1]
    orders.stop()


async def test_only_so_many_orders_are_kept(world: World) -> None:
    orders = Orders(world.core.mirror)
    for number in range(ORDERS_MAX + 5):
        orders.by(VM, f"labels.l{number}")
    assert len(orders._orders) == ORDERS_MAX
    orders.stop()
