"""Console: a way for a person into a VM, and who is on it.

In this room   the kinds of consoles; Console, a session that is open; ConsoleTicket, a right to open one
Next door      server/consoles.py has the sessions, server/tickets.py the tickets; neither is kept in the store
"""

from enum import StrEnum

from msgspec import Struct

from corral.model.ids import NodeId, VmId


class ConsoleKind(StrEnum):
    SERIAL = "serial"  # the bytes of the serial line; one session a VM, a new one ends the older
    VNC = "vnc"  # RFB as QEMU speaks it, for noVNC and other viewers
    SPICE = "spice"  # one channel of SPICE: a viewer opens several (display, inputs, cursor, sound)


class Console(Struct, frozen=True, kw_only=True):
    """An open console session."""

    id: str
    vm: VmId
    vm_name: str
    node: NodeId  # on which the VM is
    kind: ConsoleKind
    by: str  # the token's name
    client: str  # address that the user came from
    since: float  # Unix time, seconds
    to_guest_bytes: int = 0
    from_guest_bytes: int = 0

    @property
    def name(self) -> str:
        """A session is known by its id."""
        return self.id


class ConsoleTicket(Struct, frozen=True, kw_only=True):
    """The right to open one console, once, soon. For browsers, whose WebSockets can't carry a header."""

    ticket: str
    vm: VmId
    kind: ConsoleKind
    expires_at: float  # Unix time, seconds
    path: str  # of the WebSocket on this server, with the ticket in it
