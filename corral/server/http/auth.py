"""Auth: who asks, and whether they may.

In this room   Caller; the guard in front of every route
Comes in       `Authorization: Bearer corral_tok-01J…_secret`; or the cookie of a session; consoles may put the token
               in Sec-WebSocket-Protocol, or come with a ticket
Goes out       request.user; or auth.unauthenticated (401), auth.forbidden (403)
Always true    a route without a word about it asks for a token: viewers read, operators change. Secrets are
               compared by their hashes, in constant time. A WebSocket from another site's page is refused, and so is a
               change that a cookie alone vouches for.
Next door      about.py has what routes say; services/tokens.py makes tokens, server/tickets.py tickets; sessions.py has
               cookies, origins.py pages
Start here     guard()
"""

from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from corral.clock import Clock
from corral.errors import Forbidden, Unauthenticated
from corral.model.console import ConsoleKind
from corral.model.ids import VmId
from corral.model.token import Role, Token
from corral.model.vm import VM
from corral.server.http.about import About
from corral.server.http.origins import check_origin, check_page
from corral.server.http.ports import ApiCore
from corral.server.http.present import RANK
from corral.server.http.sessions import COOKIE, Sessions
from corral.server.tickets import TicketRefused
from corral.store.mirror import Mirror

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PROTOCOL: Final = "corral.console.v1"  # WebSocket subprotocol; the token goes as another one, bearer.TOKEN
_HINT: Final = "Send `Authorization: Bearer corral_…`. `corral token create NAME` makes a token."


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks."""

    token: str  # its id
    name: str
    role: Role
    expires_at: float | None = None  # when its right to ask ends: that of the token, or of the session
    token_expires_at: float | None = None
    session_ends_at: float | None = None  # of a browser's session; None: it showed a token
    session: str = ""  # number of the session


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before every route. raises Unauthenticated, Forbidden"""
    if handler.opt.get("public") is True:
        return
    about: About = handler.opt.get("about") or About()
    core: ApiCore = connection.app.state.core
    if connection.scope["type"] == ScopeType.WEBSOCKET:
        check_origin(connection.headers, connection.app.state.origins)
    if about.ticket and "ticket" in connection.query_params:
        caller = _with_ticket(connection, core)
    elif presented := _presented(connection):
        caller = authenticate(presented, core.mirror, core.clock)
    else:
        caller = _with_cookie(connection, core)
    connection.scope["user"] = caller
    method = connection.scope.get("method", "WEBSOCKET")
    needed = about.role or (Role.VIEWER if method in READING else Role.OPERATOR)
    if RANK[caller.role] < RANK[needed]:
        raise Forbidden(
            f"token {caller.name} is for the role {caller.role}; this needs {needed}",
            hint=f"Ask an admin for a token with the role {needed}.",
            role=caller.role,
            needed=needed,
        )


def authenticate(presented: str, mirror: Mirror, clock: Clock) -> Caller:
    """The caller behind a token string. raises Unauthenticated"""
    if not presented:
        raise Unauthenticated("the request carries no token", hint=_HINT)
    scheme, _, rest = presented.partition("_")
    id, _, secret = rest.partition("_")
    token = mirror.get(id) if scheme == "corral" else None
    digest = sha256(secret.encode("utf-8", "replace")).hexdigest()
    known = token.spec.sha256 if isinstance(token, Token) else "0" * 64
    if not compare_digest(digest, known) or not isinstance(token, Token):
        raise Unauthenticated("the token is not valid", hint="It may be mistyped, or revoked. " + _HINT)
    return holder_of(token, clock)


def holder_of(token: Token, clock: Clock) -> Caller:
    """Who has the token. raises Unauthenticated: it is not valid any more"""
    if token.deleting:
        raise Unauthenticated("the token is not valid", hint="It was revoked. " + _HINT)
    if token.spec.expires_at is not None and clock.now_s() >= token.spec.expires_at:
        raise Unauthenticated(
            f"token {token.name} has expired", hint="`corral token create NAME` makes another."
        )
    ends_at = token.spec.expires_at
    return Caller(
        token=token.id, name=token.name, role=token.spec.role, expires_at=ends_at, token_expires_at=ends_at
    )


def still_valid(caller: Caller, mirror: Mirror, sessions: Sessions) -> bool:
    """Whether the token or session of a long stream is good still."""
    expired = caller.expires_at is not None and sessions.clock.now_s() >= caller.expires_at
    return mirror.get(caller.token) is not None and not expired and not sessions.ended(caller.session)


def _with_cookie(connection: ASGIConnection[Any, Any, Any, Any], core: ApiCore) -> Caller:
    """The holder of the token that the session stands for. raises Unauthenticated, BadOrigin"""
    cookie = connection.cookies.get(COOKIE, "")
    if not cookie:
        raise Unauthenticated("the request carries no token", hint=_HINT)
    if connection.scope.get("method", "GET") not in READING:
        check_page(connection.headers, connection.app.state.origins, cookie=True)
    sessions: Sessions = connection.app.state.api.sessions
    session = sessions.read(cookie)
    token = core.mirror.get(session.token)
    if not isinstance(token, Token):
        raise Unauthenticated("the session has ended", hint="Its token was revoked. Sign in with another.")
    caller = holder_of(token, core.clock)
    return msgspec.structs.replace(
        caller, expires_at=session.ends_at, session_ends_at=session.ends_at, session=session.number
    )


def _with_ticket(connection: ASGIConnection[Any, Any, Any, Any], core: ApiCore) -> Caller:
    """The holder of the token that the ticket stands for. raises Unauthenticated, NotFound"""
    query = connection.query_params
    vm = core.mirror.find(VM, connection.path_params["vm"])
    id = core.consoles.tickets.redeem(query["ticket"], VmId(vm.id), query.get("kind", ConsoleKind.SERIAL))
    token = core.mirror.get(id)
    assert isinstance(token, Token)
    caller = holder_of(token, core.clock)
    presented = _presented(connection)
    if presented and authenticate(presented, core.mirror, core.clock).token != caller.token:
        raise TicketRefused("the ticket is of another token than the one beside it")
    return caller


def _presented(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if connection.scope["type"] == ScopeType.WEBSOCKET:  # a browser can't set headers there
        for word in connection.headers.get("sec-websocket-protocol", "").split(","):
            if word.strip().startswith("bearer."):
                return word.strip().removeprefix("bearer.")
    return ""
