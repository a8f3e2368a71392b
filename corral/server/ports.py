"""Ports of the server core: what the hub needs of a stream from an agent, and what others need of the hub.

Next door      grpc_link.py is the real transport; the simulation has its own
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from corral.model.ids import NodeId, VmId
from corral.model.link import AgentMessage, ServerMessage

FactListener = Callable[[NodeId, Sequence[VmId]], None]  # whose figures have come


class FigureSource(Protocol):
    """The latest figures of nodes."""

    def facts_of(self, node: NodeId) -> dict[str, float] | None: ...

    @property
    def on_facts(self) -> dict[object, FactListener]:
        """Who is told after each message of figures, by whom."""


class AgentStream(Protocol):
    """A stream from an agent whose certificate was checked."""

    node: NodeId

    async def send(self, message: ServerMessage) -> None:
        """Raises LinkDown-like CorralError with code link.down when the stream broke"""

    async def receive(self) -> AgentMessage: ...

    async def close(self, reason: str = "") -> None: ...
