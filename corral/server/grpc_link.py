"""gRPC link: the server's end of what agents and joining machines call.

In this room   NodeLink and Joining, the two services of proto/link.proto; LinkServer, the ports they are on
Comes in       calls, each with a certificate that TLS has verified (NodeLink) or none (Joining)
Goes out       an AgentStream a linked node to the hub; consoles, images and certificates to agents
Always true    each call is admitted anew (admission.py); a node that is removed is cut off at once, stream,
               consoles and downloads. Joining is on a port of its own, since a machine that joins has no
               certificate yet and the other port takes nobody without one.
Next door      hub.py talks over the streams; joining.py, consoles.py
Start here     LinkServer.start()
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import grpc
from grpc.aio import ServicerContext as Context

from corral.errors import CorralError, LinkDown
from corral.model.ids import ImageId, NodeId
from corral.model.link import AgentMessage, ServerMessage
from corral.model.node import Node
from corral.proto import link_pb2, link_pb2_grpc
from corral.proto.channel import READY_KEY, SERVER_OPTIONS, SESSION_KEY
from corral.proto.envelopes import pack_server, unpack_agent
from corral.proto.failures import NodeRefused, refuse, told_by
from corral.proto.lanes import Ended, Pump
from corral.server.admission import Admission, admitted, shown_by
from corral.server.consoles import Consoles, Leg
from corral.server.hub import Hub
from corral.server.joining import JoinTokens
from corral.server.pki import Identity
from corral.store.interface import Change, ChangeVerb
from corral.store.mirror import Mirror

log = logging.getLogger("corral.link")
SEND_ROOM: Final = 64  # messages that wait for an agent before the hub has to


class AddressTaken(CorralError):
    """Another program listens at the address."""

    code = "server.address_taken"


class ImageBytes(Protocol):
    """Where the bytes of images are."""

    def chunks(self, image: ImageId) -> AsyncIterator[bytes]:
        """Raises CorralError: there is no such image, or its bytes are not here"""


class GrpcAgentStream:
    """An AgentStream (server/ports.py) on a Connect call."""

    def __init__(self, node: NodeId, context: Context) -> None:
        self.node = node
        self.pump: Pump[link_pb2.AgentEnvelope, link_pb2.ServerEnvelope] = Pump(
            lambda: read(context), context.write, SEND_ROOM
        )

    async def send(self, message: ServerMessage) -> None:
        try:
            await self.pump.outbox.put(pack_server(message))
        except Ended as ended:
            raise LinkDown(f"the stream of {self.node} ended: {ended}", node=self.node) from None

    async def receive(self) -> AgentMessage:
        try:
            return unpack_agent(await self.pump.inbox.take())
        except Ended as ended:
            raise LinkDown(f"the stream of {self.node} ended: {ended}", node=self.node) from None

    async def close(self, reason: str = "") -> None:
        self.pump.end(reason or "closed by the server")


class NodeLink:
    """What linked nodes call."""

    def __init__(
        self,
        hub: Hub,
        mirror: Mirror,
        admission: Admission,
        consoles: Consoles,
        images: ImageBytes,
        ca: bytes,
    ) -> None:
        self.hub, self.mirror, self.admission = hub, mirror, admission
        self.consoles, self.images, self.ca = consoles, images, ca
        self.calls: dict[
            NodeId, dict[asyncio.Task[object], None]
        ] = {}  # by node: what to cut when it is removed
        mirror.on_change(self._cut_removed)

    async def Connect(self, _: object, context: Context) -> None:  # noqa: N802
        """The one stream of a node, until it breaks or is replaced."""
        async with self._admitted(context) as node:
            stream = GrpcAgentStream(node, context)
            await context.send_initial_metadata(((READY_KEY, "1"),))
            reason = await self._talk(stream)
            raise LinkDown(reason, node=node)

    async def _talk(self, stream: GrpcAgentStream) -> str:
        """Let hub and agent talk; returns why it ended."""
        hub = asyncio.create_task(self._serve(stream), name=f"hub {stream.node}")
        pump = asyncio.create_task(stream.pump.run(), name=f"pump {stream.node}")
        try:
            await asyncio.wait({hub, pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.cancel()
            pump.cancel()
            await asyncio.gather(hub, pump, return_exceptions=True)
        log.info("node unlinked", extra={"node": stream.node, "reason": stream.pump.inbox.reason})
        return stream.pump.inbox.reason

    async def _serve(self, stream: GrpcAgentStream) -> None:
        """Let the hub talk over the stream; what it fails with ends the stream."""
        try:
            await self.hub.serve(stream)
        except CorralError as error:
            await stream.close(error.message)
        except Exception:
            log.exception("the hub failed", extra={"node": stream.node})
            await stream.close("the server has a fault; its log says more")

    async def Console(self, _: object, context: Context) -> None:  # noqa: N802
        """A console that the agent brings to whoever asked for it; or its word why it can't."""
        async with self._admitted(context) as node:
            said = tuple(context.invocation_metadata() or ())
            id = next((str(value) for key, value in said if key == SESSION_KEY), "")
            trouble = told_by(said)
            leg = self.consoles.arrive(id, node, trouble)
            try:
                await context.send_initial_metadata(((READY_KEY, "1"),))
                if trouble is None:
                    await relay(leg, context)
            finally:
                leg.end("the node ended the console")

    async def FetchImage(self, request: link_pb2.ImageRequest, context: Context) -> None:  # noqa: N802
        """The bytes of an image, in order; flow control keeps a slow node from filling our memory."""
        async with self._admitted(context):
            async for chunk in self.images.chunks(ImageId(request.image)):
                await context.write(link_pb2.Bytes(data=chunk))

    async def Renew(self, request: link_pb2.RenewRequest, context: Context) -> link_pb2.Certificate:  # noqa: N802
        """A new certificate for the node that asks."""
        async with self._admitted(context) as node:
            issued = await self.admission.renew(certificate_of(context), request.csr)
            log.info("certificate renewed", extra={"node": node, "serial": issued.serial})
            return link_pb2.Certificate(certificate=issued.pem, ca=self.ca)

    @asynccontextmanager
    async def _admitted(self, context: Context) -> AsyncIterator[NodeId]:
        """The calling node, for the time of its call; errors end the call in words that it understands."""
        task = asyncio.current_task()
        assert task is not None
        try:
            node = await self.admission.admit(certificate_of(context))
            calls = self.calls.setdefault(node, {})
            calls[task] = None
            try:
                yield node
            finally:
                del calls[task]
                if not calls:
                    self.calls.pop(node, None)
        except CorralError as error:
            await refuse(context, error)
        except asyncio.CancelledError:  # by the caller, by the end of the server, or by _cut_removed()
            try:
                shown = shown_by(certificate_of(context))
                admitted(self.mirror, shown)
            except NodeRefused as error:
                await refuse(context, error)
            raise

    def _cut_removed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.verb is ChangeVerb.REMOVE and isinstance(change.resource, Node):
                for task in tuple(self.calls.get(NodeId(change.resource.id), ())):
                    task.cancel(f"{change.resource.name} was removed")


class Joining:
    """What a machine that wants to join calls."""

    def __init__(self, tokens: JoinTokens, link_port: int, servers: Sequence[str]) -> None:
        self.tokens, self.link_port, self.servers = tokens, link_port, tuple(servers)

    async def Join(self, request: link_pb2.JoinRequest, context: Context) -> link_pb2.JoinAnswer:  # noqa: N802
        try:
            node, issued = await self.tokens.join(request.secret, request.csr, request.name)
        except CorralError as error:
            log.warning(
                "joining refused: %s", error.message, extra={"peer": context.peer(), "code": error.code}
            )
            await refuse(context, error)
        return link_pb2.JoinAnswer(
            node=node.id, certificate=issued.pem, link_port=self.link_port, servers=self.servers
        )


class LinkServer:
    """Two ports: one for nodes, one for machines that want to become nodes."""

    def __init__(self, node_link: NodeLink, tokens: JoinTokens, identity: Identity, ca: bytes) -> None:
        self.node_link, self.tokens = node_link, tokens
        self.identity, self.ca = identity, ca
        self.link_port = self.join_port = 0  # once started
        self._link = grpc.aio.server(options=SERVER_OPTIONS)
        self._join = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=32)

    async def start(self, link: str, join: str, servers: Sequence[str] = ()) -> None:
        """Listen at these addresses (port 0: any). raises AddressTaken"""
        pair = ((self.identity.key, self.identity.chain),)
        mutual = grpc.ssl_server_credentials(pair, self.ca, require_client_auth=True)
        self.link_port = bind(self._link, link, mutual)
        self.join_port = bind(self._join, join, grpc.ssl_server_credentials(pair))
        link_pb2_grpc.add_NodeLinkServicer_to_server(self.node_link, self._link)
        joining = Joining(self.tokens, self.link_port, servers)
        link_pb2_grpc.add_JoiningServicer_to_server(joining, self._join)
        await self._link.start()
        await self._join.start()

    async def stop(self) -> None:
        """End all calls; agents dial again, here or elsewhere."""
        await asyncio.gather(self._link.stop(grace=0), self._join.stop(grace=0))


def bind(server: "grpc.aio.Server", address: str, credentials: grpc.ServerCredentials) -> int:
    """The port it listens on. raises AddressTaken"""
    try:
        port = int(server.add_secure_port(address, credentials))
    except RuntimeError:
        port = 0
    if not port:
        raise AddressTaken(
            f"can't listen at {address}",
            hint="Does another Corral server run here? `ss -tlnp` shows what has the port.",
            address=address,
        )
    return port


def certificate_of(context: Context) -> bytes:
    """The caller's certificate, PEM. raises NodeRefused"""
    shown = context.auth_context().get("x509_pem_cert", ())
    if not shown:
        raise NodeRefused("the call carries no certificate", hint="Use `corral agent join` first.")
    return bytes(shown[0])


async def read(context: Context) -> "link_pb2.AgentEnvelope | None":
    """The next message of a call; None at its end."""
    message = await context.read()
    return None if message is grpc.aio.EOF else message


async def relay(leg: Leg, context: Context) -> None:
    """Move a console's bytes between a leg and a call until one of them ends."""

    async def up() -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            if message.data:
                await leg.from_node.put(message.data)

    async def down() -> None:
        while True:
            await context.write(link_pb2.Bytes(data=await leg.to_node.take()))

    tasks = [asyncio.create_task(up(), name="console up"), asyncio.create_task(down(), name="console down")]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
