"""Consoles: from a user at the server to a VM on its node, without an open port there.

In this room   Consoles, the sessions of this server; ConsoleSession, the user's end; Leg, the way to one node
Comes in       open(vm) from a user; arrive(leg, node) from the agent that was told to call back
Goes out       bytes both ways, with backpressure: a slow end slows the other one down, nothing piles up
Always true    a leg's id is used once, by the node that was asked, within ANSWER_S; a session is listed from
               then until it has ended. A serial session follows its VM when that migrates; VNC and SPICE, whose
               two ends know each other, end with `moved`, and the viewer connects again.
Next door      hub.py carries OpenConsole; grpc_link.py brings the agent's call; tickets.py lets browsers in
Start here     Consoles.open()
"""

import asyncio
import logging
from typing import Final

from msgspec import Struct, structs

from corral.clock import Clock, new_id, new_secret
from corral.errors import CorralError, NotFound, Unavailable
from corral.model.console import Console, ConsoleKind
from corral.model.ids import NodeId, VmId
from corral.model.link import OpenConsole, SendDisk, ServerMessage, TakeScreenshot
from corral.model.vm import VM, VMPhase
from corral.proto.channel import CONSOLE_BYTES
from corral.proto.failures import NodeRefused
from corral.proto.lanes import Ended, Lane
from corral.server.hub import Hub
from corral.server.tickets import Tickets
from corral.store.mirror import Mirror

log = logging.getLogger("corral.consoles")
ANSWER_S: Final = 5.0  # within which the agent has to call back
MOVE_S: Final = 60.0  # how long a session waits for the end of a migration that cut it off
PICTURE_S: Final = 10.0
PICTURE_BYTES_MAX: Final = 32 * 1024**2
PICTURE_BEGINS, PICTURE_ENDS = b"\x89PNG", b"IEND\xaeB`\x82"
ROOM: Final = 16  # pieces of CONSOLE_BYTES each way
SESSIONS_MAX: Final = 1000  # of this server
SESSIONS_OF_VM_MAX: Final = 64  # SPICE takes one a channel and viewer
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


class TooManyConsoles(CorralError):
    """So many consoles are open that no more are."""

    code = "console.too_many"
    status = 429
    retryable = True


class NoSession(NotFound):
    """No console session that is open has this id."""

    code = "console.no_session"

    def __init__(self, id: str) -> None:
        CorralError.__init__(
            self, f"no open console has the id {id}", hint="`corral console list` shows them.", id=id
        )


class Opener(Struct, frozen=True, kw_only=True):
    """Who opens a console."""

    name: str = "corral"  # of the token
    client: str = ""  # address


class Leg:
    """The way to one node and back. The agent's call uses the lanes."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.to_node: Lane[bytes] = Lane(ROOM)
        self.from_node: Lane[bytes] = Lane(ROOM)
        self.arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        self.to_node.end(reason)
        self.from_node.end(reason)


class ConsoleSession:
    """An open console. `read`, `write` and `close` are the user's."""

    def __init__(
        self, consoles: "Consoles", id: str, vm: VM, kind: ConsoleKind, opener: Opener, leg: Leg
    ) -> None:
        self.id, self.vm, self.kind, self.opener = id, VmId(vm.id), kind, opener
        self.vm_name, self.since = vm.name, consoles.clock.now_s()
        self.to_guest_bytes = self.from_guest_bytes = 0
        self.moved = False  # the VM went to another node: the viewer has to connect anew
        self.over = ""  # why it was ended from this side; empty: it was not
        self._consoles, self._leg = consoles, leg
        self._following: asyncio.Task[Leg | None] | None = None

    async def read(self) -> bytes:
        """Bytes from the guest; b"" when the session has ended."""
        while True:
            leg = self._leg
            try:
                data = await leg.from_node.take()
            except Ended:
                if not await self._again(leg):
                    return b""
                continue
            self.from_guest_bytes += len(data)
            return data

    async def write(self, data: bytes) -> None:
        """Bytes for the guest. raises ConsoleClosed"""
        for start in range(0, len(data), CONSOLE_BYTES):
            await self._write(data[start : start + CONSOLE_BYTES])

    async def _write(self, piece: bytes) -> None:
        while True:
            leg = self._leg
            try:
                await leg.to_node.put(piece)
            except Ended as ended:
                if not await self._again(leg):
                    raise ConsoleClosed(
                        f"the console of {self.vm_name} has ended: {ended}", vm=self.vm
                    ) from None
                continue
            self.to_guest_bytes += len(piece)
            return

    async def close(self, reason: str = "") -> None:
        """End it. May be repeated."""
        self.end(reason or "closed by the user")

    def end(self, reason: str) -> None:
        if self.over:
            return
        self.over = reason
        self._leg.end(reason)
        if self._following:
            self._following.cancel()
        self._consoles.ended(self)

    @property
    def shown(self) -> Console:
        """As lists show it."""
        return Console(
            id=self.id,
            vm=self.vm,
            vm_name=self.vm_name,
            node=self._leg.node,
            kind=self.kind,
            by=self.opener.name,
            client=self.opener.client,
            since=self.since,
            to_guest_bytes=self.to_guest_bytes,
            from_guest_bytes=self.from_guest_bytes,
        )

    async def _again(self, broken: Leg) -> bool:
        """After a leg has ended: whether there is another one. Reader and writer may both ask."""
        if self.over:
            return False
        if self._leg is not broken:
            return True
        if self._following is None:
            self._following = asyncio.create_task(
                self._consoles.follow(self, broken.node), name="console moves"
            )
        following = self._following
        await asyncio.wait({following})
        if self._following is following:
            self._following = None
            leg = None if following.cancelled() else following.result()
            if leg is not None and not self.over:
                self._leg = leg
        return self._leg is not broken


class Consoles:
    """Console sessions of this server."""

    def __init__(self, mirror: Mirror, hub: Hub, clock: Clock) -> None:
        self.mirror, self.hub, self.clock = mirror, hub, clock
        self.tickets = Tickets(mirror, clock)
        self.waiting: dict[str, Leg] = {}  # by the secret that the agent calls back with
        self.sessions: dict[str, ConsoleSession] = {}

    async def open(
        self,
        vm: VmId,
        kind: ConsoleKind = ConsoleKind.SERIAL,
        opener: Opener = Opener(),  # noqa: B008  frozen
        replay_bytes: int = 0,
    ) -> ConsoleSession:
        """Open a console.

        raises  NotFound, NoConsole, NodeNotLinked, ConsoleUnanswered, TooManyConsoles, and what the node says:
                console.no_screen, hypervisor.failed
        """
        found, node = self._found(vm)
        self._check_room(vm)
        leg = await self.leg(node, OpenConsole(session="", vm=vm, kind=kind, replay_bytes=replay_bytes))
        session = ConsoleSession(self, new_id("con", self.clock), found, kind, opener, leg)
        if kind is ConsoleKind.SERIAL:
            self._end_serial(vm, f"{opener.name} opened the console: it is for one at a time")
        self.sessions[session.id] = session
        log.info("console opened", extra=_words(session))
        return session

    async def screenshot(self, vm: VmId) -> bytes:
        """The VM's screen as PNG. raises as open() does"""
        _, node = self._found(vm)
        leg = await self.leg(node, TakeScreenshot(session="", vm=vm))
        try:
            async with asyncio.timeout(PICTURE_S):
                return await _picture(leg, vm)
        except TimeoutError:
            raise ConsoleUnanswered(
                f"node {node} did not send the picture of {vm} within {PICTURE_S:g} s", vm=vm, node=node
            ) from None
        finally:
            leg.end("the picture is here")

    def arrive(self, id: str, node: NodeId, trouble: CorralError | None = None) -> Leg:
        """The leg that an agent's call is for; from now on it is taken. raises NodeRefused

        trouble   why the agent can't bring what it was asked for; the user gets to know it
        """
        leg = self.waiting.get(id)
        if leg is None or leg.node != node:
            raise NodeRefused("no console session of this id waits for this node", node=node)
        del self.waiting[id]
        if type(trouble) is CorralError:  # of a code that this version does not know
            trouble = ConsoleUnanswered(trouble.message, hint=trouble.hint, vm_node=node)
        if trouble:
            leg.arrived.set_exception(trouble)
        else:
            leg.arrived.set_result(None)
        return leg

    def list(self) -> list[Console]:
        """What is open, the oldest first."""
        return [session.shown for session in self.sessions.values()]

    def end(self, id: str, by: str) -> Console:
        """End somebody's session. raises NoSession"""
        session = self.sessions.get(id)
        if session is None:
            raise NoSession(id)
        session.end(f"ended by {by}")
        return session.shown

    def ended(self, session: ConsoleSession) -> None:
        if self.sessions.pop(session.id, None):
            log.info("console closed", extra=_words(session) | {"reason": session.over})

    async def follow(self, session: ConsoleSession, left: NodeId) -> Leg | None:
        """The leg to the node that the VM has migrated to; None: it has not, or this kind can't follow."""
        try:
            async with asyncio.timeout(MOVE_S):
                node = await self._moved_to(session.vm, left)
            if node is None:
                return None
            if session.kind is not ConsoleKind.SERIAL:
                session.moved = True
                return None
            return await self.leg(node, OpenConsole(session="", vm=session.vm, kind=session.kind))
        except (CorralError, TimeoutError) as error:
            log.info("console lost in a migration: %s", error, extra=_words(session))
            return None

    async def _moved_to(self, id: VmId, left: NodeId) -> NodeId | None:
        """Where the VM runs now that its migration, if there was one, is over; None: where it was, or nowhere."""
        while isinstance(vm := self.mirror.get(id), VM) and vm.status.migration is not None:
            await self.mirror.wait_for(self.mirror.revision + 1)
        if not isinstance(vm, VM) or vm.status.phase not in OPEN_PHASES or vm.status.node == left:
            return None
        return vm.status.node

    async def leg(self, node: NodeId, asked: OpenConsole | TakeScreenshot | SendDisk) -> Leg:
        """A leg that the agent has taken. raises NodeNotLinked, ConsoleUnanswered, and what the agent says"""
        leg, id = Leg(node), new_secret(self.clock)
        message: ServerMessage = structs.replace(asked, session=id)
        self.waiting[id] = leg
        try:
            async with asyncio.timeout(ANSWER_S):
                await self.hub.send(node, message)
                await leg.arrived
        except TimeoutError:
            raise ConsoleUnanswered(
                f"node {node} did not bring the console of {asked.vm} within {ANSWER_S:g} s",
                hint="Try again; the agent's log on the node says what stood in the way.",
                vm=asked.vm,
                node=node,
            ) from None
        except BaseException:
            leg.end("nobody waits for it any more")
            raise
        finally:
            self.waiting.pop(id, None)
        return leg

    def _found(self, id: VmId) -> tuple[VM, NodeId]:
        vm = self.mirror.get(id)
        if not isinstance(vm, VM):
            raise NotFound("VM", id)
        if vm.status.node is None or vm.status.phase not in OPEN_PHASES:
            raise NoConsole(vm)
        return vm, vm.status.node

    def _check_room(self, vm: VmId) -> None:
        of_vm = sum(1 for session in self.sessions.values() if session.vm == vm)
        if len(self.sessions) >= SESSIONS_MAX or of_vm >= SESSIONS_OF_VM_MAX:
            raise TooManyConsoles(
                f"{of_vm} consoles of {vm} and {len(self.sessions)} in all are open",
                hint="`corral console list` shows them, `corral console end ID` ends one.",
                vm=vm,
            )

    def _end_serial(self, vm: VmId, reason: str) -> None:
        for session in tuple(self.sessions.values()):
            if session.vm == vm and session.kind is ConsoleKind.SERIAL:
                session.end(reason)


async def _picture(leg: Leg, vm: VmId) -> bytes:
    data = bytearray()
    while not data.endswith(PICTURE_ENDS):
        try:
            data += await leg.from_node.take()
        except Ended as ended:
            raise ConsoleUnanswered(f"the picture of {vm} broke off: {ended}", vm=vm) from None
        if len(data) > PICTURE_BYTES_MAX or not data.startswith(PICTURE_BEGINS[: len(data)]):
            raise ConsoleUnanswered(f"node {leg.node} sent no picture of {vm}", vm=vm)
    return bytes(data)


def _words(session: ConsoleSession) -> dict[str, str | int]:
    """For the log: who was where."""
    return {
        "console": session.id,
        "vm": session.vm,
        "kind": session.kind,
        "by": session.opener.name,
        "client": session.opener.client,
        "to_guest_bytes": session.to_guest_bytes,
        "from_guest_bytes": session.from_guest_bytes,
    }
