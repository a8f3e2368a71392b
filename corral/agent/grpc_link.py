"""gRPC link: the agent's way to a server.

In this room   GrpcLink, a Link (agent/ports.py); its streams and consoles; keep_certificate(), which renews
Comes in       the identity (key, certificate, CA) and the servers' addresses
Goes out       a Stream to the first server that takes us; images; consoles
Always true    whatever goes wrong is LinkDown, within DIAL_S for a dial and SILENCE_S for a download. Each call has a
               connection of its own: an image never delays the stream, and a renewed certificate is used at once.
Next door      agent.py dials again and again, with back-off; server/grpc_link.py is the other end
Start here     GrpcLink.dial()
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import grpc

from corral.agent.identity import Identity, NotJoined
from corral.agent.ports import LinkDown
from corral.clock import Clock, backoff_s
from corral.errors import CorralError
from corral.model.link import AgentMessage, ImageSource, ServerMessage
from corral.proto import link_pb2, link_pb2_grpc
from corral.proto.channel import (
    CLIENT_OPTIONS,
    CONSOLE_BYTES,
    CONSOLE_ROOM,
    READY_KEY,
    SERVER_NAME,
    SESSION_KEY,
)
from corral.proto.envelopes import pack_agent, unpack_server
from corral.proto.failures import telling, told, told_by
from corral.proto.lanes import ROOM, Ended, Pump

log = logging.getLogger("corral.link")
DIAL_S: Final = 5.0  # for each address
SILENCE_S: Final = 30.0  # a download that brings nothing for so long is given up
RENEW_S: Final = 20.0
LOOK_AGAIN_S: Final = (
    3600.0  # at most so long between looks at the certificate: the clock may be set meanwhile
)
LEAST_S: Final = 60.0  # between two renewals


class Call(Protocol):
    """A streaming call of gRPC, as far as it is used here."""

    async def read(self) -> Any: ...
    async def write(self, request: Any) -> None: ...
    async def done_writing(self) -> None: ...
    async def initial_metadata(self) -> Iterable[tuple[str, str | bytes]]: ...
    async def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]]: ...
    async def code(self) -> grpc.StatusCode: ...
    async def details(self) -> str: ...
    def cancel(self) -> bool: ...


class Piped:
    """A streaming call with a lane each way, on a connection of its own."""

    def __init__(self, channel: "grpc.aio.Channel", call: Call, address: str, room: int = ROOM) -> None:
        self.address, self.channel, self.call = address, channel, call
        self.broken: LinkDown | None = None
        self.pump: Pump[Any, Any] = Pump(self._read, self._write, room)
        self.running = asyncio.create_task(self._run(), name=f"call to {address}")

    async def put(self, message: object) -> None:
        """Raises LinkDown"""
        try:
            await self.pump.outbox.put(message)
        except Ended as ended:
            raise self._down(ended) from None

    async def take(self) -> Any:
        """Raises LinkDown"""
        try:
            return await self.pump.inbox.take()
        except Ended as ended:
            raise self._down(ended) from None

    async def close(self, flush_s: float = 0.5) -> None:
        """End it; what was put before still goes out, if that takes no longer than `flush_s`."""
        self.pump.outbox.end("closed by the agent")
        await asyncio.wait({self.running}, timeout=flush_s)
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self.pump.run()
            with suppress(grpc.aio.AioRpcError):
                await self.call.done_writing()
        finally:
            self.pump.end("closed by the agent")
            self.call.cancel()
            await self.channel.close()

    async def _read(self) -> object:
        try:
            message = await self.call.read()
        except grpc.aio.AioRpcError:
            message = grpc.aio.EOF
        if message is grpc.aio.EOF:
            self.broken = await why_ended(self.call, self.address)
            raise self.broken
        return message

    async def _write(self, message: object) -> None:
        try:
            await self.call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.broken = await why_ended(self.call, self.address)
            raise self.broken from None

    def _down(self, ended: Ended) -> LinkDown:
        """What broke the call, anew: each caller raises an exception of its own."""
        if self.broken:
            return LinkDown(self.broken.message, hint=self.broken.hint, **self.broken.context)
        return LinkDown(f"the call to {self.address} ended: {ended}", server=self.address)


class GrpcStream:
    """A Stream on a Connect call."""

    def __init__(self, piped: Piped) -> None:
        self._piped = piped

    async def send(self, message: AgentMessage) -> None:
        await self._piped.put(pack_agent(message))

    async def receive(self) -> ServerMessage:
        return unpack_server(await self._piped.take())

    async def close(self) -> None:
        await self._piped.close()


class GrpcConsole:
    """A ConsoleStream on a Console call."""

    def __init__(self, piped: Piped) -> None:
        self._piped = piped

    async def read(self) -> bytes:
        with suppress(LinkDown):
            while True:
                if data := (await self._piped.take()).data:
                    return bytes(data)
        return b""

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), CONSOLE_BYTES):
            await self._piped.put(link_pb2.Bytes(data=data[start : start + CONSOLE_BYTES]))

    async def close(self) -> None:
        await self._piped.close()


class GrpcLink:
    """A Link (agent/ports.py) to whichever of the servers answers."""

    def __init__(self, identity: Identity, servers: Sequence[str] = ()) -> None:
        self.identity, self._servers = identity, tuple(servers)
        self._current = ""  # the server that took us last

    @property
    def servers(self) -> tuple[str, ...]:
        """In the order in which they are tried: the last good one first."""
        known = self._servers or self.identity.known.servers
        return tuple(sorted(known, key=lambda address: address != self._current))

    async def dial(self) -> GrpcStream:
        """Raises LinkDown: none of the servers takes us; it says what each of them said"""
        failures: list[LinkDown] = []
        for address in self.servers:
            try:
                stream = GrpcStream(await self._open(address, "Connect"))
            except LinkDown as error:
                failures.append(error)
                continue
            self._current = address
            return stream
        if len(failures) == 1:
            raise failures[0]
        raise LinkDown(
            "; ".join(f.message for f in failures) or "no server is known", hint=_first_hint(failures)
        )

    async def console(self, session: str) -> GrpcConsole:
        piped = await self._open(self._server(), "Console", ((SESSION_KEY, session),), CONSOLE_ROOM)
        return GrpcConsole(piped)

    async def no_console(self, session: str, why: CorralError) -> None:
        piped = await self._open(self._server(), "Console", ((SESSION_KEY, session), telling(why)))
        await piped.close()

    async def fetch(self, image: ImageSource) -> AsyncIterator[bytes]:
        """The bytes of an image. raises LinkDown: refused, broken, or silent for SILENCE_S"""
        async with self._channel(self._server()) as channel:
            call = link_pb2_grpc.NodeLinkStub(channel).FetchImage(link_pb2.ImageRequest(image=image.image))
            try:
                while (message := await self._next(call)) is not grpc.aio.EOF:
                    yield message.data
            except grpc.aio.AioRpcError as error:
                raise _down(self._current, told(error), error.details(), error.code()) from None
            finally:
                call.cancel()

    async def renew(self) -> None:
        """Get a new certificate and keep it. raises LinkDown"""
        async with self._channel(self._server()) as channel:
            request = link_pb2.RenewRequest(csr=self.identity.csr())
            try:
                answer = await link_pb2_grpc.NodeLinkStub(channel).Renew(request, timeout=RENEW_S)
            except grpc.aio.AioRpcError as error:
                raise _down(self._current, told(error), error.details(), error.code()) from None
        await asyncio.to_thread(self.identity.take, answer)

    async def _open(
        self, address: str, method: str, metadata: Sequence[tuple[str, str | bytes]] = (), room: int = ROOM
    ) -> Piped:
        """A streaming call that the server has accepted. raises LinkDown"""
        channel = self._channel(address)
        call: Call = getattr(link_pb2_grpc.NodeLinkStub(channel), method)(metadata=tuple(metadata))
        try:
            async with asyncio.timeout(DIAL_S):
                if any(key == READY_KEY for key, _ in await call.initial_metadata() or ()):
                    return Piped(channel, call, address, room)
                raise await why_ended(call, address)
        except (TimeoutError, grpc.aio.AioRpcError, LinkDown, asyncio.CancelledError) as error:
            call.cancel()
            await channel.close()
            if isinstance(error, TimeoutError):
                raise LinkDown(f"{address} did not answer within {DIAL_S:g} s", server=address) from None
            if isinstance(error, grpc.aio.AioRpcError):
                raise _down(address, told(error), error.details(), error.code()) from None
            raise

    async def _next(self, call: Call) -> Any:
        try:
            async with asyncio.timeout(SILENCE_S):
                return await call.read()
        except TimeoutError:
            raise LinkDown(
                f"{self._current} sent nothing for {SILENCE_S:g} s", server=self._current
            ) from None

    def _channel(self, address: str) -> "grpc.aio.Channel":
        options = (*CLIENT_OPTIONS, ("grpc.ssl_target_name_override", SERVER_NAME))
        try:
            return grpc.aio.secure_channel(address, self.identity.credentials(), options)
        except NotJoined as error:
            raise LinkDown(error.message, hint=error.hint) from None

    def _server(self) -> str:
        if not self.servers:
            raise LinkDown("no server is known", hint="Join again: `corral agent join --again`.")
        return self.servers[0]


async def keep_certificate(link: GrpcLink, clock: Clock, *, least_s: float = LEAST_S) -> None:
    """Renew the certificate whenever a third of its time is left. Never returns; failures are tried again."""
    attempt = 0
    while True:
        due_s = link.identity.renew_in_s(clock.now_s())
        if due_s > 0:
            await clock.sleep(min(due_s, LOOK_AGAIN_S))  # look again: clocks are set, machines sleep
            continue
        try:
            await link.renew()
            attempt = 0
            log.info("certificate renewed", extra={"node": link.identity.node})
            await clock.sleep(least_s)
        except (CorralError, OSError) as error:
            log.warning("the certificate could not be renewed: %s", error, extra={"attempt": attempt})
            await clock.sleep(backoff_s(attempt, clock, first_s=least_s, most_s=LOOK_AGAIN_S))
            attempt += 1


async def why_ended(call: Call, address: str) -> LinkDown:
    """What ended a call, in the server's words if it had any. The call must be over."""
    return _down(address, told_by(await call.trailing_metadata()), await call.details(), await call.code())


def _down(address: str, said: CorralError | None, details: str | None, code: object) -> LinkDown:
    if said:
        return LinkDown(
            said.message, hint=said.hint, **{**said.context, "server": address, "cause": said.code}
        )
    return LinkDown(f"{address}: {details or code}", server=address)


def _first_hint(failures: Sequence[CorralError]) -> str:
    return next((f.hint for f in failures if f.hint), "")
