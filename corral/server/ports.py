"""Ports of the server core: what the hub needs of a stream from an agent.

Next door      grpc_link.py is the real transport; the simulation has its own
"""

from typing import Protocol

from corral.model.ids import NodeId
from corral.model.link import AgentMessage, ServerMessage


class AgentStream(Protocol):
    """A stream from an agent whose certificate was checked."""

    node: NodeId

    async def send(self, message: ServerMessage) -> None:
        """Raises LinkDown-like CorralError with code link.down when the stream broke"""

    async def receive(self) -> AgentMessage: ...

    async def close(self, reason: str = "") -> None: ...
