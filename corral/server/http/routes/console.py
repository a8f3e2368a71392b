"""Routes of consoles: WebSockets into VMs, tickets for them, who is on them, and pictures of screens."""

from typing import Any, Final

from litestar import WebSocket, delete, get, post, websocket
from litestar.params import FromPath
from msgspec import Struct

from corral.errors import Invalid, NotFound
from corral.hypervisor.interface import HypervisorFailed, NoScreen
from corral.model.console import Console, ConsoleKind, ConsoleTicket
from corral.model.ids import VmId
from corral.model.token import Role
from corral.model.units import MiB, parse_size
from corral.model.vm import VM
from corral.server.consoles import (
    ConsoleUnanswered,
    NoConsole,
    NoSession,
    Opener,
    TooManyConsoles,
)
from corral.server.http.about import Parameter, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.auth import PROTOCOL, Caller
from corral.server.http.changing import Nothing, hear
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.relay import relay
from corral.server.services.requests import CreateConsoleTicket
from corral.server.tickets import LIFE_S, TicketRefused, TooManyTickets

REPLAY_BYTES_MAX: Final = MiB
PROTOCOLS: Final = (PROTOCOL, "binary")  # the second is noVNC's
KIND = Parameter(name="kind", example="vnc", text="`serial` (the default), `vnc` or `spice`.")
REPLAY = Parameter(
    name="replay",
    example="16KiB",
    text="Serial: begin with so much of what was printed before; 1MiB at most.",
)
TICKET = Parameter(name="ticket", text="A console ticket instead of a token, for browsers.")
EXAMPLES = {"for a noVNC page": {"kind": "vnc"}, "for a terminal": {}}


class Consoles(Struct, frozen=True):
    """Console sessions that are open."""

    items: list[Console]


@websocket("/vms/{vm:str}/console", **about("Consoles", role=Role.OPERATOR, ticket=True,
                                            parameters=(KIND, REPLAY, TICKET),
                                            errors=(Invalid, NotFound, NoConsole, NoScreen, TicketRefused,
                                                    TooManyConsoles, ConsoleUnanswered)))  # fmt: skip
async def open_console(socket: WebSocket[Caller, Any, Any], vm: FromPath[str]) -> None:
    """Open a console of a running VM.

    A WebSocket; its binary frames are the bytes of the serial line, or of RFB (VNC) or SPICE as QEMU speaks them.
    Browsers, which can't set headers, come with a `ticket`, or ask for the subprotocols `corral.console.v1` and
    `bearer.TOKEN`; noVNC's `binary` is taken, too. Of serial consoles each VM has one: a new one ends the older. They
    follow a VM that migrates; the others are closed with 4409 then: open it again. The close reason says why it ended.
    """
    api = api_of(socket)
    kind, replay_bytes = _asked(socket)
    found = VmId(api.mirror.find(VM, vm).id)
    opener = Opener(name=socket.user.name, client=socket.client.host if socket.client else "")
    # before accepting: a refusal is a problem, with a status
    session = await api.core.consoles.open(found, kind, opener, replay_bytes)
    asked = [word.strip() for word in socket.headers.get("sec-websocket-protocol", "").split(",")]
    await socket.accept(subprotocols=next((p for p in PROTOCOLS if p in asked), None))
    await relay(socket, session, api, found)


@post("/vms/{vm:str}/console-tickets", status_code=201,
      **about("Consoles", role=Role.OPERATOR, body=CreateConsoleTicket, examples=EXAMPLES, status=201,
              answers=ConsoleTicket, errors=(Invalid, NotFound, NoConsole, TooManyTickets)))  # fmt: skip
async def create_console_ticket(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Get a ticket: the right to open one console of this VM, once, within 30 seconds, without a token.

    For a browser: its page asks for the ticket, and gives `path` to noVNC or a terminal.
    """
    ask, _, _ = await hear(request, CreateConsoleTicket)
    api = api_of(request)
    found = api.mirror.find(VM, vm)
    ticket = api.core.consoles.tickets.issue(request.user.token, VmId(found.id), ask.kind)
    made = ConsoleTicket(
        ticket=ticket,
        vm=VmId(found.id),
        kind=ask.kind,
        expires_at=api.clock.now_s() + LIFE_S,
        path=f"/api/v1/vms/{found.id}/console?kind={ask.kind}&ticket={ticket}",
    )
    return answer_json(made, 201, [("cache-control", "no-store")])


@get("/consoles", **about("Consoles", role=Role.OPERATOR, answers=Consoles))
async def list_consoles(request: ApiRequest) -> Answer:
    """List the console sessions that are open on this server: who, on which VM, since when, how much."""
    Query(request, ())
    return answer_json(Consoles(items=api_of(request).core.consoles.list()))


@delete("/consoles/{console:str}", status_code=200,
        **about("Consoles", role=Role.OPERATOR, answers=Console, errors=(NoSession,)))  # fmt: skip
async def end_console(request: ApiRequest, console: FromPath[str]) -> Answer:
    """End a console session. The answer shows it as it was at its end."""
    await hear(request, Nothing)
    return answer_json(api_of(request).core.consoles.end(console, request.user.name))


@get("/vms/{vm:str}/screenshot", **about("Consoles", role=Role.OPERATOR, media_type="image/png", answers=None,
                                         errors=(NotFound, NoConsole, NoScreen, HypervisorFailed,
                                                 ConsoleUnanswered)))  # fmt: skip
async def screenshot(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Show what is on a VM's screen now, as PNG."""
    api = api_of(request)
    Query(request, ())
    found = api.mirror.find(VM, vm)
    picture = await api.core.consoles.screenshot(VmId(found.id))
    return Answer(200, picture, "image/png", [("cache-control", "no-store")])


def _asked(socket: WebSocket[Caller, Any, Any]) -> tuple[ConsoleKind, int]:
    """Raises  Invalid"""
    query = Query(socket, ("kind", "replay", "ticket"))
    kind = query.text("kind", ConsoleKind.SERIAL)
    if kind not in list(ConsoleKind):
        raise Invalid("kind", kind, f"one of {', '.join(ConsoleKind)}")
    text = query.text("replay", "0")
    replay_bytes = 0 if text == "0" else parse_size(text, "replay")
    if replay_bytes > REPLAY_BYTES_MAX or (replay_bytes and kind != ConsoleKind.SERIAL):
        raise Invalid("replay", text, "a size up to 1MiB, of a serial console")
    return ConsoleKind(kind), replay_bytes


ROUTES = [open_console, create_console_ticket, list_consoles, end_console, screenshot]
