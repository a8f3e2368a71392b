"""Tickets: the right to open one console, once, within seconds.

In this room   Tickets, those that were issued and not used yet
Comes in       a token's holder who may open a console of a VM; later the ticket, from a browser's WebSocket
Goes out       the id of the token that the ticket stands for
Always true    a ticket that was shown is gone, whether it fitted or not. Only hashes are kept, in the memory of
               this server; a ticket is worth nothing once its token is.
Next door      http/auth.py redeems; consoles.py opens
Start here     Tickets.issue()
"""

from hashlib import sha256
from typing import Final

from msgspec import Struct

from corral.clock import Clock, new_secret
from corral.errors import CorralError, Unauthenticated
from corral.model.console import ConsoleKind
from corral.model.ids import VmId
from corral.store.mirror import Mirror

LIFE_S: Final = 30.0
TICKETS_MAX: Final = 100  # of one token that wait to be used


class TicketRefused(Unauthenticated):
    """The console ticket is not valid: used, expired, or for something else."""

    code = "console.ticket_refused"


class TooManyTickets(CorralError):
    """So many console tickets wait to be used that there is no other."""

    code = "console.too_many_tickets"
    status = 429
    retryable = True


class Issued(Struct, frozen=True, kw_only=True):
    token: str  # id of the token that it stands for
    vm: VmId
    kind: ConsoleKind
    expires_s: float  # monotonic


class Tickets:
    """Tickets of this server."""

    def __init__(self, mirror: Mirror, clock: Clock) -> None:
        self.mirror, self.clock = mirror, clock
        self.issued: dict[str, Issued] = {}  # by the ticket's hash, the oldest first

    def issue(self, token: str, vm: VmId, kind: ConsoleKind) -> str:
        """A new ticket. raises TooManyTickets"""
        self._forget_expired()
        if sum(1 for ticket in self.issued.values() if ticket.token == token) >= TICKETS_MAX:
            raise TooManyTickets(
                f"{TICKETS_MAX} tickets of this token wait to be used", hint=f"Each goes after {LIFE_S:g} s."
            )
        ticket = new_secret(self.clock)
        expires_s = self.clock.monotonic_s() + LIFE_S
        self.issued[_hash(ticket)] = Issued(token=token, vm=vm, kind=kind, expires_s=expires_s)
        return ticket

    def redeem(self, ticket: str, vm: VmId, kind: str) -> str:
        """The id of the token that it stands for. raises TicketRefused"""
        self._forget_expired()
        found = self.issued.pop(_hash(ticket), None)
        if found is None:
            raise _refused("is unknown: it was used before, or its time is over")
        if found.vm != vm or found.kind != kind:
            raise _refused("is for another console")
        if self.mirror.get(found.token) is None:
            raise _refused("is of a token that is not valid any more")
        return found.token

    def _forget_expired(self) -> None:
        now_s = self.clock.monotonic_s()
        while self.issued and (first := next(iter(self.issued.items())))[1].expires_s <= now_s:
            del self.issued[first[0]]


def _refused(why: str) -> TicketRefused:
    return TicketRefused(
        f"the ticket {why}",
        hint="POST /api/v1/vms/VM/console-tickets gives another; use it at once, and once.",
    )


def _hash(ticket: str) -> str:
    return sha256(ticket.encode("utf-8", "replace")).hexdigest()
