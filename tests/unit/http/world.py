"""A server core to test the API on: real store (memory), mirror and services; small fakes for what is linked to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any

import httpx

from corral.clock import SystemClock, new_id, new_secret
from corral.errors import CorralError
from corral.model.console import Console, ConsoleKind
from corral.model.ids import NodeId, VmId
from corral.model.image import Image
from corral.model.node import Node, NodePhase, NodeSpec, NodeStatus
from corral.model.operation import Operation, Verb
from corral.model.resource import Resource
from corral.model.token import JoinToken, JoinTokenSpec, Role, Token, TokenSpec
from corral.model.vm import VM, VMPhase, VMSpec, VMStatus
from corral.server.consoles import NoSession, Opener
from corral.server.facts import Series
from corral.server.http.app import HttpApi, build
from corral.server.ports import FactListener
from corral.server.services import Services
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.server.tickets import Tickets
from corral.store.interface import Put, Write
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror


class Clock(SystemClock):
    """The machine's, but that tests may move its wall clock."""

    ahead_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.ahead_s


class Hub:
    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, float]] = {}
        self.vms: dict[str, dict[str, float]] = {}
        self.on_facts: dict[object, FactListener] = {}
        self.rings: dict[str, Series] = {}

    def say(self, node: str, figures: dict[str, float], vms: Sequence[str] = ()) -> None:
        """As if an agent had sent figures."""
        self.nodes[node] = figures
        for tell in tuple(self.on_facts.values()):
            tell(NodeId(node), [VmId(vm) for vm in vms])

    def series_of(self, node: NodeId) -> Series:
        return self.rings.get(node, Series())

    def vm_series(self, vm: VmId) -> Series:
        return self.rings.get(vm, Series())

    def linked(self, node: NodeId) -> bool:
        return node in self.nodes

    def facts_of(self, node: NodeId) -> dict[str, float] | None:
        return self.nodes.get(node)

    def vm_facts(self, vm: VmId) -> dict[str, float] | None:
        return self.vms.get(vm)


class EchoSession:
    """A guest that answers in capitals, and whose console the test can end or break."""

    def __init__(self) -> None:
        self.out: asyncio.Queue[bytes | CorralError] = asyncio.Queue()
        self.closed: str | None = None
        self.moved, self.over = False, ""

    async def read(self) -> bytes:
        item = await self.out.get()
        if isinstance(item, CorralError):
            raise item
        return item

    async def write(self, data: bytes) -> None:
        await self.out.put(data.upper())

    async def close(self, reason: str = "") -> None:
        self.closed = reason


class Consoles:
    def __init__(self, core: "Core") -> None:
        self.core, self.tickets = core, Tickets(core.mirror, core.clock)
        self.sessions: list[EchoSession] = []
        self.asked: list[tuple[ConsoleKind, Opener, int]] = []
        self.error: CorralError | None = None

    async def open(self, vm: VmId, kind: ConsoleKind, opener: Opener, replay_bytes: int = 0) -> EchoSession:
        if self.error:
            raise self.error
        self.asked.append((kind, opener, replay_bytes))
        self.sessions.append(EchoSession())
        return self.sessions[-1]

    async def screenshot(self, vm: VmId) -> bytes:
        if self.error:
            raise self.error
        return b"\x89PNG and so on"

    def list(self) -> list[Console]:
        return [self._shown(n) for n, session in enumerate(self.sessions) if session.closed is None]

    def end(self, id: str, by: str) -> Console:
        number = int(id.removeprefix("con-")) if id.startswith("con-") else len(self.sessions)
        if number >= len(self.sessions):
            raise NoSession(id)
        self.sessions[number].over = f"ended by {by}"
        self.sessions[number].out.put_nowait(b"")
        return self._shown(number)

    def _shown(self, number: int) -> Console:
        kind, opener, _ = self.asked[number]
        return Console(
            id=f"con-{number}",
            vm=VmId("vm-000001"),
            vm_name="web-1",
            node=NodeId("node-0001"),
            kind=kind,
            by=opener.name,
            client=opener.client,
            since=1000.0,
        )


class JoinTokens:
    def __init__(self, core: "Core") -> None:
        self.core = core

    async def mint(self, ttl_s: float, asking: Asking) -> tuple[JoinToken, str]:
        id = new_id("join", self.core.clock)
        now_s = self.core.clock.now_s()
        token = JoinToken(id=id, name=id, spec=JoinTokenSpec(sha256="5ec7e7", expires_at=now_s + ttl_s))
        (stored,) = await self.core.add(token)
        assert isinstance(stored, JoinToken)
        return stored, "127.0.0.1:8442/secret/finger"


class ImageStore:
    def __init__(self, core: "Core") -> None:
        self.core = core
        self.received: dict[str, bytes] = {}
        self.largest_chunk = 0

    async def receive(self, image: str, chunks: AsyncIterator[bytes], asking: Asking) -> Operation:
        found = self.core.mirror.find(Image, image)
        body = b""
        async for chunk in chunks:
            self.largest_chunk = max(self.largest_chunk, len(chunk))
            body += chunk
        self.received[found.id] = body
        return await self.core.services.desk.submit(
            asking, lambda: Change(target=found, writes=(), verb=Verb.UPDATE, done=True)
        )


class Core:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.mirror = Mirror(recent=50)
        self.services = Services(Desk(self.store, self.mirror, self.clock))
        self.hub, self.consoles = Hub(), Consoles(self)
        self.join_tokens, self.image_store = JoinTokens(self), ImageStore(self)
        self.ready = self.leading = True
        self.broken = False
        self.following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.following = asyncio.create_task(self.mirror.follow(self.store))
        await self.mirror.wait_loaded()

    async def stop(self) -> None:
        if self.following:
            self.following.cancel()
            await asyncio.gather(self.following, return_exceptions=True)

    async def read_barrier(self) -> None:
        if self.broken:
            raise StoreBroken("the disk is gone")

    async def put(self, *writes: Write, expect: dict[str, int] | None = None) -> tuple[Resource, ...]:
        stored = await self.store.commit(writes, expect=expect)
        await self.mirror.wait_for(max(r.revision for r in stored))
        return stored

    async def add(self, *resources: Resource) -> tuple[Resource, ...]:
        return await self.put(*(Put(r) for r in resources))

    async def change(self, resource: Resource, **fields: Any) -> Resource:
        current = self.mirror.get(resource.id)
        assert current is not None
        (stored,) = await self.add(current.having(**fields))
        return stored


class StoreBroken(CorralError):
    """The store of these tests is broken."""

    code = "test.store_broken"
    status = 503
    retryable = True


class World:
    """A core with an API on it, and a token for each role."""

    def __init__(self) -> None:
        self.core = Core()
        self.api: HttpApi = build(self.core, origins=("https://ui.example",))
        self.tokens: dict[Role, str] = {}

    async def start(self) -> None:
        await self.core.start()
        for role in Role:
            self.tokens[role] = await self.token(role)

    async def token(self, role: Role, expires_at: float | None = None, name: str = "") -> str:
        id, secret = new_id("tok", self.core.clock), new_secret(self.core.clock)
        spec = TokenSpec(role=role, sha256=sha256(secret.encode()).hexdigest(), expires_at=expires_at)
        await self.core.add(Token(id=id, name=name or f"the-{role}-{id[-6:].lower()}", spec=spec))
        return f"corral_{id}_{secret}"

    def client(self, role: Role | None = Role.ADMIN) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        transport = httpx.ASGITransport(app=self.api, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://corral", headers=headers)

    async def stop(self) -> None:
        self.api.close()
        await self.core.stop()


def a_node(number: int, **changes: Any) -> Node:
    return Node(
        id=f"node-{number:04}",
        name=f"node{number}",
        spec=NodeSpec(),
        status=NodeStatus(phase=NodePhase.READY),
    ).having(**changes)


def a_vm(number: int, *, phase: VMPhase = VMPhase.RUNNING, node: int | None = 1, **changes: Any) -> VM:
    """cpus is 1 to 4 by number; the label `parity` says even or odd."""
    return VM(
        id=f"vm-{number:06}",
        name=f"web-{number}",
        created_at=1000.0 + number,
        labels={"parity": "odd" if number % 2 else "even"},
        spec=VMSpec(cpus=1 + number % 4, memory_bytes=1 << 30),
        status=VMStatus(phase=phase, node=NodeId(f"node-{node:04}") if node else None),
    ).having(**changes)
