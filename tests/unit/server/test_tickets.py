"""Console tickets: for one console, once, soon."""

import pytest

from corral.clock import SystemClock
from corral.model.console import ConsoleKind
from corral.model.ids import VmId
from corral.model.token import Token, TokenSpec
from corral.server import tickets
from corral.server.tickets import LIFE_S, TicketRefused, Tickets, TooManyTickets
from corral.store.interface import Put, Remove
from corral.store.mirror import Mirror

VM, OTHER = VmId("vm-1"), VmId("vm-2")


class Clock(SystemClock):
    now = 1000.0

    def monotonic_s(self) -> float:
        return self.now


@pytest.fixture
def desk() -> Tickets:
    mirror = Mirror()
    mirror.suppose([Put(Token(id=f"tok-{n}", name=f"t{n}", spec=TokenSpec())) for n in range(2)])
    return Tickets(mirror, Clock())


def test_once(desk: Tickets) -> None:
    ticket = desk.issue("tok-0", VM, ConsoleKind.VNC)
    assert desk.redeem(ticket, VM, "vnc") == "tok-0"
    with pytest.raises(TicketRefused):
        desk.redeem(ticket, VM, "vnc")


SHOWN = [  # name, seconds later, VM, kind, good
    ("just in time", LIFE_S - 0.01, VM, "vnc", True),
    ("just too late", LIFE_S, VM, "vnc", False),
    ("for another VM", 0.0, OTHER, "vnc", False),
    ("for another kind", 0.0, VM, "serial", False),
    ("for a kind that is none", 0.0, VM, "telnet", False),
]


@pytest.mark.parametrize(("later_s", "vm", "kind", "good"), [pytest.param(*r[1:], id=r[0]) for r in SHOWN])
def test_shown(desk: Tickets, later_s: float, vm: VmId, kind: str, good: bool) -> None:
    ticket = desk.issue("tok-0", VM, ConsoleKind.VNC)
    desk.clock.now += later_s  # type: ignore[attr-defined]
    if good:
        assert desk.redeem(ticket, vm, kind) == "tok-0"
    else:
        with pytest.raises(TicketRefused):
            desk.redeem(ticket, vm, kind)
    with pytest.raises(TicketRefused):
        desk.redeem(ticket, VM, "vnc")
    assert not desk.issued, "what was shown is gone, whether it fitted or not"


def test_made_up(desk: Tickets) -> None:
    desk.issue("tok-0", VM, ConsoleKind.VNC)
    for made_up in ("", "x", "\udc80", next(iter(desk.issued))):
        with pytest.raises(TicketRefused):
            desk.redeem(made_up, VM, "vnc")


def test_a_revoked_token_takes_its_tickets_along(desk: Tickets) -> None:
    ticket = desk.issue("tok-0", VM, ConsoleKind.VNC)
    desk.mirror.suppose([Remove("tok-0")])
    with pytest.raises(TicketRefused):
        desk.redeem(ticket, VM, "vnc")


def test_a_token_has_only_so_many_at_a_time(desk: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "TICKETS_MAX", 3)
    for _ in range(3):
        desk.issue("tok-0", VM, ConsoleKind.VNC)
    with pytest.raises(TooManyTickets):
        desk.issue("tok-0", VM, ConsoleKind.VNC)
    desk.issue("tok-1", VM, ConsoleKind.VNC)
    desk.clock.now += LIFE_S  # type: ignore[attr-defined]
    desk.issue("tok-0", VM, ConsoleKind.VNC)
    assert len(desk.issued) == 1, "those whose time is over take no room"
