"""Streams of changes, on a real socket: what arrives, when, and how a stream goes on after a pause."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from corral.model.token import Role
from corral.model.vm import VM, VMPhase
from corral.server.http import watching
from corral.server.http.filters import parse_filter
from corral.server.http.watching import seen_as
from corral.store.interface import Change, ChangeVerb, Put, Remove
from tests.unit.http.world import World, a_node, a_vm

Event = tuple[str, int, dict[str, Any]]


class Reader:
    """Events of a stream, one by one."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.lines = answer.aiter_lines()
        self.comments = 0

    async def next(self, *, bookmarks: bool = False) -> Event:
        name, id, data = "", 0, ""
        async with asyncio.timeout(5):
            async for line in self.lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    field, _, value = line.partition(": ")
                    name, id, data = (
                        value if field == "event" else name,
                        int(value) if field == "id" else id,
                        value if field == "data" else data,
                    )
                elif name and (bookmarks or name != "bookmark"):
                    return name, id, json.loads(data)
        raise EOFError

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(verb, document["name"]) for verb, _, document in events]


@asynccontextmanager
async def stream(
    world: World, url: str, path: str, role: Role = Role.ADMIN, **headers: str
) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {world.tokens[role]}", **headers}
    async with (
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        if answer.status_code == 200:
            assert answer.headers["content-type"] == "text/event-stream"
        yield Reader(answer)


async def test_changes_arrive_as_they_happen(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        first = await reader.next(bookmarks=True)
        assert first[::2] == ("bookmark", {"revision": world.core.mirror.revision})
        started = world.core.clock.monotonic_s()
        (stored,) = await world.core.add(a_vm(1))
        verb, id, document = await reader.next()
        assert world.core.clock.monotonic_s() - started < 1.0  # far below the next sign of life: not polled
        assert (verb, id, document["id"]) == ("put", stored.revision, "vm-000001")
        await world.core.add(a_node(1))  # of another kind: not told
        await world.core.put(Remove("vm-000001"))
        verb, id, document = await reader.next()
        assert (verb, id, document["name"]) == ("remove", world.core.mirror.revision, "web-1")


@pytest.mark.parametrize("how", ["header", "query", "both"])
async def test_a_stream_goes_on_where_it_broke(world: World, url: str, how: str) -> None:
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        await world.core.add(a_vm(1))
        _, since, _ = await reader.next()
    await world.core.add(a_vm(2), a_vm(3))
    await world.core.put(Remove("vm-000002"))
    query = {"header": "", "query": f"&since={since}", "both": "&since=1"}[how]
    headers = {} if how == "query" else {"Last-Event-ID": str(since)}
    async with stream(world, url, "/api/v1/vms?watch=true" + query, **headers) as reader:
        assert await reader.names(3) == [("put", "web-2"), ("put", "web-3"), ("remove", "web-2")]
        await world.core.add(a_vm(4))
        assert await reader.names(1) == [("put", "web-4")]


async def test_list_then_watch_misses_nothing(world: World, url: str) -> None:
    await world.core.add(a_vm(1))
    async with world.client() as client:
        revision = (await client.get("/api/v1/vms")).json()["revision"]
    await world.core.add(a_vm(2))
    async with stream(world, url, f"/api/v1/vms?watch=true&since={revision}") as reader:
        assert await reader.names(1) == [("put", "web-2")]


@pytest.mark.parametrize(
    "path", ["/api/v1/vms?watch=true&since=1", "/api/v1/watch?since=1", "/api/v1/watch?since=999999"]
)
async def test_too_long_a_pause_is_gone(world: World, url: str, path: str) -> None:
    for number in range(150):
        await world.core.add(a_vm(number % 5))
    async with stream(world, url, path) as reader:
        assert reader.answer.status_code == 410
        problem = json.loads(await reader.answer.aread())
        assert problem["code"] == "store.compacted"
        assert problem["hint"]


async def test_a_reader_that_falls_behind_is_told(world: World) -> None:
    """The log moves on while the reader is away: it is told so, and costs nothing meanwhile."""
    watches = world.api.api.watches
    from corral.server.http.auth import authenticate

    caller = authenticate(world.tokens[Role.ADMIN], world.core.mirror, world.core.clock)
    frames = watches.stream(watching.Watch(kinds=(VM,)), world.core.mirror.revision, caller)
    assert b"bookmark" in await anext(frames)
    for number in range(150):
        await world.core.add(a_vm(number % 5))
    assert b"event: error" in (last := await anext(frames))
    assert b"store.compacted" in last
    with pytest.raises(StopAsyncIteration):
        await anext(frames)
    assert watches.open == 0


async def test_all_kinds_at_once(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/watch") as reader:
        await world.core.add(a_node(1), a_vm(1))
        assert await reader.names(2) == [("put", "node1"), ("put", "web-1")]
        await world.token(Role.VIEWER, name="another")
        assert await reader.names(1) == [("put", "another")]
    async with stream(world, url, "/api/v1/watch?kinds=vm,node&label=parity=odd") as reader:
        await world.core.add(a_vm(2), a_vm(3))
        assert await reader.names(2) == [("remove", "web-2"), ("put", "web-3")]


async def test_viewers_hear_nothing_of_tokens(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/watch", Role.VIEWER) as reader:
        await world.token(Role.ADMIN, name="secret-one")
        await world.core.add(a_vm(1))
        assert await reader.names(1) == [("put", "web-1")]
    async with stream(world, url, "/api/v1/watch?kinds=tokens", Role.VIEWER) as reader:
        assert reader.answer.status_code == 400


async def test_secrets_stay_out_of_streams(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/watch") as reader:
        await world.token(Role.ADMIN, name="new")
        _, _, document = await reader.next()
        assert document["spec"]["sha256"] == ""


async def test_what_stops_matching_is_removed_for_the_watcher(world: World, url: str) -> None:
    await world.core.add(a_vm(1), a_vm(2, phase=VMPhase.STOPPED))
    async with stream(world, url, "/api/v1/vms?watch=true&phase=running") as reader:
        await world.core.add(a_vm(1, phase=VMPhase.STOPPED))
        await world.core.add(a_vm(1, phase=VMPhase.STARTING))  # told already
        await world.core.add(a_vm(1, phase=VMPhase.RUNNING))
        assert await reader.names(2) == [("remove", "web-1"), ("put", "web-1")]


PUT, GONE = ChangeVerb.PUT, ChangeVerb.REMOVE
STORIES = [  # name, filter, changes (verb, VM's number, phase), what is told
    ("matches", {"phase": ["running"]}, [(PUT, 1, "running")], ["put"]),
    (
        "never did: told once",
        {"phase": ["running"]},
        [(PUT, 1, "stopped"), (PUT, 1, "failed")],
        ["remove", ""],
    ),
    ("comes back", {"phase": ["running"]}, [(PUT, 1, "stopped"), (PUT, 1, "running")], ["remove", "put"]),
    (
        "goes for good after that",
        {"phase": ["running"]},
        [(PUT, 1, "stopped"), (GONE, 1, "stopped")],
        ["remove", ""],
    ),
    ("goes for good", {"phase": ["running"]}, [(PUT, 1, "running"), (GONE, 1, "running")], ["put", "remove"]),
    ("made again", {"phase": ["running"]}, [(GONE, 1, "stopped"), (PUT, 1, "stopped")], ["remove", "remove"]),
    ("another by id: silence", {"id": ["vm-000002"]}, [(PUT, 1, "running"), (GONE, 1, "running")], ["", ""]),
    ("the one by id", {"id": ["vm-000001"]}, [(PUT, 1, "running"), (GONE, 1, "running")], ["put", "remove"]),
]


@pytest.mark.parametrize(
    ("fields", "changes", "told"), [pytest.param(*row[1:], id=row[0]) for row in STORIES]
)
async def test_what_a_filter_makes_of_changes(
    world: World, fields: dict[str, list[str]], changes: list[tuple[ChangeVerb, int, str]], told: list[str]
) -> None:
    wanted, gone = parse_filter(VM, world.core.mirror, fields=fields), set[str]()
    assert told == [
        seen_as(Change(n, verb, a_vm(vm, phase=VMPhase(phase))), wanted, gone)
        for n, (verb, vm, phase) in enumerate(changes, 1)
    ]


async def test_silence_is_broken_by_signs_of_life(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.05)
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        await reader.next(bookmarks=True)
        await world.core.add(a_node(1))
        name, _, data = await reader.next(bookmarks=True)
        assert (name, data) == ("bookmark", {"revision": world.core.mirror.revision})
        assert reader.comments >= 1


async def test_a_stream_ends_with_its_token(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.05)
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        await reader.next(bookmarks=True)
        await world.core.put(Remove(world.tokens[Role.ADMIN].split("_")[1]))
        with pytest.raises(EOFError):
            while True:
                await reader.next(bookmarks=True)


async def test_a_client_that_leaves_leaves_nothing_behind(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        await reader.next(bookmarks=True)
        assert world.api.api.watches.open == 1
    async with asyncio.timeout(5):
        while world.api.api.watches.open:
            await asyncio.sleep(0.01)


async def test_shutting_down_ends_streams_with_a_last_word(world: World, url: str) -> None:
    async with stream(world, url, "/api/v1/vms?watch=true") as reader:
        await reader.next(bookmarks=True)
        world.api.close()
        name, _, problem = await reader.next(bookmarks=True)
        assert (name, problem["code"], problem["retryable"]) == ("error", "server.unavailable", True)
        with pytest.raises(EOFError):
            await reader.next()


async def test_a_burst_reaches_every_watcher_in_order(world: World, url: str) -> None:
    async with (
        stream(world, url, "/api/v1/vms?watch=true") as one,
        stream(world, url, "/api/v1/watch") as two,
    ):
        await one.next(bookmarks=True)
        await two.next(bookmarks=True)
        await world.core.put(*(Put(a_vm(n)) for n in range(40)))
        expected = [("put", f"web-{n}") for n in range(40)]
        assert await one.names(40) == expected
        assert await two.names(40) == expected
