"""Ports of the HTTP API: what it needs of the server core.

Next door      server/core.py is the real one
"""

from collections.abc import AsyncIterator
from typing import Protocol

from corral.clock import Clock
from corral.model.console import Console, ConsoleKind
from corral.model.ids import NodeId, VmId
from corral.model.link import SendDisk
from corral.model.operation import Operation
from corral.model.token import JoinToken
from corral.server.consoles import Leg, Opener
from corral.server.facts import Series
from corral.server.ports import FigureSource
from corral.server.services import Services
from corral.server.services.asking import Asking
from corral.server.tickets import Tickets
from corral.store.interface import Store
from corral.store.mirror import Mirror


class ConsoleSession(Protocol):
    """An open console."""

    moved: bool  # the VM went to another node: the viewer has to connect anew
    over: str  # why it was ended from the server's side; empty: it was not

    async def read(self) -> bytes:
        """Bytes from the guest; b"" when the session has ended. raises CorralError: it broke"""

    async def write(self, data: bytes) -> None:
        """Bytes to the guest. raises CorralError"""

    async def close(self, reason: str = "") -> None: ...


class Consoles(Protocol):
    @property
    def tickets(self) -> Tickets: ...

    async def open(
        self, vm: VmId, kind: ConsoleKind, opener: Opener, replay_bytes: int = 0
    ) -> ConsoleSession:
        """Raises CorralError: the VM does not run, its node is not linked, it has no such console"""

    async def leg(self, node: NodeId, asked: SendDisk) -> Leg:
        """A way to the node, which then sends a disk. raises NodeNotLinked, ConsoleUnanswered"""

    async def screenshot(self, vm: VmId) -> bytes:
        """PNG. raises CorralError, as open() does"""

    def list(self) -> list[Console]: ...

    def end(self, id: str, by: str) -> Console:
        """Raises NoSession"""


class JoinTokens(Protocol):
    async def mint(self, ttl_s: float, asking: Asking) -> tuple[JoinToken, str]: ...


class ImageStore(Protocol):
    async def receive(self, image: str, chunks: AsyncIterator[bytes], asking: Asking) -> Operation: ...


class FactSource(FigureSource, Protocol):
    """The live figures of what is linked to this server."""

    def linked(self, node: NodeId) -> bool: ...

    def vm_facts(self, vm: VmId) -> dict[str, float] | None: ...

    def series_of(self, node: NodeId) -> Series: ...

    def vm_series(self, vm: VmId) -> Series: ...


class ApiCore(Protocol):
    """The server core, as far as the API can see it."""

    @property
    def mirror(self) -> Mirror: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def services(self) -> Services: ...
    @property
    def hub(self) -> FactSource: ...
    @property
    def consoles(self) -> Consoles: ...
    @property
    def join_tokens(self) -> JoinTokens: ...
    @property
    def image_store(self) -> ImageStore: ...

    @property
    def ready(self) -> bool:
        """Whether the mirror is loaded and followed."""

    @property
    def leading(self) -> bool:
        """Whether this server's controllers run."""

    @property
    def store(self) -> Store: ...

    async def read_barrier(self) -> None:
        """Returns when the mirror shows all that was committed before the call."""
