"""A server's node link on loopback, with a real hub on a store in memory; and hosts that join it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from corral.agent import identity
from corral.agent.grpc_link import GrpcLink
from corral.agent.identity import Identity
from corral.clock import SystemClock
from corral.errors import CorralError
from corral.model.ids import ImageId, NodeId, VmId
from corral.model.node import Node
from corral.model.vm import VM, VMPhase, VMSpec, VMStatus
from corral.proto.channel import CHUNK_BYTES
from corral.server.admission import Admission
from corral.server.consoles import Consoles
from corral.server.grpc_link import LinkServer, NodeLink
from corral.server.hub import Hub
from corral.server.joining import JoinTokens
from corral.server.pki import Authority
from corral.server.services.asking import Asking
from corral.server.services.base import Desk
from corral.store.interface import Put, Remove
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror

DAY_S = 86_400.0


class ShiftedClock(SystemClock):
    """The machine's clock, wrong by so many seconds."""

    def __init__(self, by_s: float = 0.0) -> None:
        super().__init__()
        self.by_s = by_s

    def now_s(self) -> float:
        return super().now_s() + self.by_s


class NoImage(CorralError):
    code = "test.no_image"
    status = 404


@dataclass
class Images:
    """Images in memory; `broken_after` bytes the reading fails."""

    by_id: dict[str, bytes] = field(default_factory=dict)
    broken_after: int | None = None

    async def chunks(self, image: ImageId) -> AsyncIterator[bytes]:
        if image not in self.by_id:
            raise NoImage(f"no image {image}")
        data = self.by_id[image]
        for start in range(0, len(data), CHUNK_BYTES):
            if self.broken_after is not None and start >= self.broken_after:
                raise OSError(5, "Input/output error")
            yield data[start : start + CHUNK_BYTES]


class LinkWorld:
    """One server as far as nodes see it."""

    def __init__(self, directory: Path, clock: ShiftedClock, life_s: float = 30 * DAY_S) -> None:
        self.directory, self.clock = directory, clock
        self.store = MemoryStore(clock)
        self.mirror = Mirror()
        self.hub = Hub(self.store, self.mirror, clock)
        self.authority = Authority.open(directory / "ca", clock)
        self.images = Images()
        self.tokens = JoinTokens(
            Desk(self.store, self.mirror, clock, secret_key=self.authority.secret_for("issuing")),
            self.authority,
            address=lambda: ("127.0.0.1", self.server.join_port),
            life_s=life_s,
        )
        self.admission = Admission(self.store, self.mirror, clock, self.authority, life_s=life_s)
        self.consoles = Consoles(self.mirror, self.hub, clock)
        self.ports = (0, 0)

    async def start(self) -> None:
        self.following = asyncio.create_task(self.mirror.follow(self.store))
        await self.mirror.wait_loaded()
        await self.listen()

    async def listen(self) -> None:
        link = NodeLink(self.hub, self.mirror, self.admission, self.consoles, self.images, self.authority.pem)
        identity = self.authority.server_identity(["127.0.0.1"])
        self.server = LinkServer(link, self.tokens, identity, self.authority.pem)
        await self.server.start(f"127.0.0.1:{self.ports[0]}", f"127.0.0.1:{self.ports[1]}")
        self.ports = (self.server.link_port, self.server.join_port)

    async def stop(self) -> None:
        await self.server.stop()
        self.following.cancel()
        await asyncio.gather(self.following, return_exceptions=True)

    async def token(self, ttl_s: float = 600.0) -> str:
        return (await self.tokens.mint(ttl_s, Asking()))[1]

    async def host(self, name: str) -> GrpcLink:
        """A host that has joined."""
        await identity.join(self.directory / name, await self.token(), name=name)
        return GrpcLink(Identity(self.directory / name))

    def node(self, id: str) -> Node:
        node = self.mirror.get(id)
        assert isinstance(node, Node)
        return node

    async def remove(self, id: str) -> None:
        (removed,) = await self.store.commit([Remove(id)], expect={id: self.node(id).revision})
        await self.mirror.wait_for(removed.revision)

    async def vm_on(self, node: NodeId, phase: VMPhase = VMPhase.RUNNING) -> VmId:
        vm = VM(
            id="vm-1",
            name="web",
            spec=VMSpec(cpus=1, memory_bytes=2**20),
            status=VMStatus(phase=phase, node=node, traces=(node,)),
        )
        (stored,) = await self.store.commit([Put(vm)])
        await self.mirror.wait_for(stored.revision)
        return VmId(vm.id)
