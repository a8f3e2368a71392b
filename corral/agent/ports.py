"""Ports of the agent: the stream to a server, and its memory on disk.

In this room   Link and Memory: the two things an agent needs besides its drivers
Next door      grpc_link.py and disk.py are the real ones; the simulation has its own
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from msgspec import Struct

from corral.errors import CorralError
from corral.errors import LinkDown as LinkDown
from corral.model.link import AgentMessage, Assignment, ImageSource, ServerMessage
from corral.model.resource import Trouble
from corral.model.vm import Refusal, StopReason


class Stream(Protocol):
    """One connection to a server: messages arrive in order or not at all."""

    async def send(self, message: AgentMessage) -> None:
        """Raises LinkDown"""

    async def receive(self) -> ServerMessage:
        """The next message. raises LinkDown"""

    async def close(self) -> None: ...


class Link(Protocol):
    """The way to a server."""

    async def dial(self) -> Stream:
        """Raises LinkDown: no server answers"""

    def fetch(self, image: ImageSource) -> AsyncIterator[bytes]:
        """The bytes of an image, from the server. raises LinkDown"""

    async def console(self, session: str) -> "ConsoleStream":
        """Bring a console session to the server that asked for it. raises LinkDown"""

    async def no_console(self, session: str, why: CorralError) -> None:
        """Tell the server that asked why it can't be brought. raises LinkDown"""


class ConsoleStream(Protocol):
    async def read(self) -> bytes:
        """Bytes typed by the user; b"" at the end."""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class LocalVm(Struct, frozen=True, kw_only=True):
    """What the agent must not forget about a VM, whatever happens to the domain."""

    boot: int = 0  # last VMSpec.boot carried out
    stopped: StopReason = StopReason.NONE  # why it is not running, once that was seen
    sent_away: str = (
        ""  # wish of a migration that was begun here: never start it by itself until told so anew
    )
    restarts: int = 0  # by restart policy, since the last boot
    ran: bool = False  # since it was last started, it was seen to run; False: start it (again)
    started_at: float = 0.0  # Unix time, seconds; of the last start
    reverted: str = ""  # wish of the last revert that was carried out, or given up as its trouble says
    revert_trouble: Trouble | None = None
    load: str = ""  # snapshot whose memory the next start begins with
    prepared: str = ""  # wish of the migration that this node was last made ready to receive
    applied: int = 0  # generation that the running domain was brought to, as far as that goes while it runs
    refusal: Refusal | None = None  # of that generation
    waits: bool = False  # the guest was asked to let a device go, and has not yet
    turn: int = 0  # last VMSpec.turn carried out


class Memory(Protocol):
    """What the agent keeps on disk. Each save is durable when it returns."""

    async def load(self) -> tuple[Mapping[str, Assignment], Mapping[str, LocalVm]]:
        """All assignments by key, and local notes by VmId."""

    async def save_assignments(self, changed: Mapping[str, Assignment | None]) -> None:
        """Keep these; None: forget."""

    async def save_vm(self, vm: str, note: LocalVm | None) -> None:
        """Keep the note about a VM; None: forget."""
