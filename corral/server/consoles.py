"""Consoles: from a user at the server to a VM on its node, without an open port there.

In this room   Consoles: sessions that wait for their agent; ConsoleSession, the user's end
Comes in       open(vm) from a user; arrive(session, node) from the agent that was told to call back
Goes out       bytes both ways, with backpressure: a slow end slows the other one down, nothing piles up
Always true    a session id is used once, by the node that was asked, within ANSWER_S
Next door      hub.py carries OpenConsole; grpc_link.py brings the agent's call
Start here     Consoles.open()
"""

import asyncio
from typing import Final

from corral.clock import Clock, new_secret
from corral.errors import CorralError, NotFound, Unavailable
from corral.model.ids import NodeId, VmId
from corral.model.link import OpenConsole
from corral.model.vm import VM, VMPhase
from corral.proto.channel import CHUNK_BYTES
from corral.proto.failures import NodeRefused
from corral.proto.lanes import Ended, Lane
from corral.server.hub import Hub
from corral.store.mirror import Mirror

ANSWER_S: Final = 5.0  # within which the agent has to call back
ROOM: Final = 16  # chunks each way
OPEN_PHASES: Final = frozenset(
    {VMPhase.RUNNING, VMPhase.MIGRATING, VMPhase.PAUSED, VMPhase.STOPPING, VMPhase.STARTING}
)


class NoConsole(CorralError):
    """A VM that does not run has no console to open."""

    code = "console.not_running"
    status = 409

    def __init__(self, vm: VM) -> None:
        super().__init__(
            f"VM {vm.name} is {vm.status.phase}: only a running VM has a console",
            hint=f"`corral vm start {vm.name}` starts it.",
            vm=vm.id,
            phase=vm.status.phase,
        )


class ConsoleUnanswered(Unavailable):
    """The VM's node was asked for the console and did not bring it."""

    code = "console.unanswered"
    status = 504


class ConsoleClosed(CorralError):
    """The session has ended."""

    code = "console.closed"
    status = 410


class ConsoleSession:
    """An open console. `read` and `write` are the user's; the agent's call uses the lanes."""

    def __init__(self, vm: VmId, node: NodeId) -> None:
        self.vm, self.node = vm, node
        self.to_node: Lane[bytes] = Lane(ROOM)
        self.from_node: Lane[bytes] = Lane(ROOM)
        self.arrived = asyncio.Event()

    async def read(self) -> bytes:
        """Bytes from the guest; b"" when the session has ended."""
        try:
            return await self.from_node.take()
        except Ended:
            return b""

    async def write(self, data: bytes) -> None:
        """Bytes for the guest. raises ConsoleClosed"""
        for start in range(0, len(data), CHUNK_BYTES):
            try:
                await self.to_node.put(data[start : start + CHUNK_BYTES])
            except Ended as ended:
                raise ConsoleClosed(f"the console of {self.vm} has ended: {ended}", vm=self.vm) from None

    async def close(self, reason: str = "") -> None:
        self.end(reason or "closed by the user")

    def end(self, reason: str) -> None:
        self.to_node.end(reason)
        self.from_node.end(reason)


class Consoles:
    """Console sessions of this server."""

    def __init__(self, mirror: Mirror, hub: Hub, clock: Clock) -> None:
        self.mirror, self.hub, self.clock = mirror, hub, clock
        self.waiting: dict[str, ConsoleSession] = {}  # by session id, until the agent calls back

    async def open(self, vm: VmId) -> ConsoleSession:
        """Raises  NotFound, NoConsole, NodeNotLinked, ConsoleUnanswered"""
        session = self._session(vm)
        id = new_secret(self.clock)
        self.waiting[id] = session
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.hub.send(session.node, OpenConsole(session=id, vm=vm))
                await session.arrived.wait()
        except TimeoutError:
            raise ConsoleUnanswered(
                f"node {session.node} did not bring the console of {vm} within {ANSWER_S:g} s",
                hint="Try again; the agent's log on the node says what stood in the way.",
                vm=vm,
                node=session.node,
            ) from None
        finally:
            self.waiting.pop(id, None)
        return session

    def arrive(self, id: str, node: NodeId) -> ConsoleSession:
        """The session that an agent's call is for; from now on it is taken. raises NodeRefused"""
        session = self.waiting.get(id)
        if session is None or session.node != node:
            raise NodeRefused("no console session of this id waits for this node", node=node)
        del self.waiting[id]
        session.arrived.set()
        return session

    def _session(self, id: VmId) -> ConsoleSession:
        vm = self.mirror.get(id)
        if not isinstance(vm, VM):
            raise NotFound("VM", id)
        if vm.status.node is None or vm.status.phase not in OPEN_PHASES:
            raise NoConsole(vm)
        return ConsoleSession(id, vm.status.node)
