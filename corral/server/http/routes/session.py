"""Routes of a browser's session: sign in with a token, see who one is, sign out."""

import contextlib

from litestar import delete, get, post
from msgspec import Struct

from corral.errors import Unauthenticated
from corral.model.token import Role
from corral.server.http.about import about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.auth import Caller, authenticate
from corral.server.http.bodies import decode_body
from corral.server.http.origins import BadOrigin, check_page
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.sessions import COOKIE, TooManyTries, cookie_header

UNSTORED = ("cache-control", "no-store")


class SignIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask for a session."""

    token: str  # corral_…


class Who(Struct, frozen=True, kw_only=True):
    """Who asks."""

    name: str  # of the token
    role: Role
    expires_at: float | None  # when the token ends, Unix time in seconds; null: never
    session_ends_at: float | None  # null: this was asked with a token, not with a session


@post("/session", public=True, status_code=200,
      **about("Session", body=SignIn, examples={"sign in": {"token": "corral_tok-01J…_…"}}, answers=Who,
              errors=(Unauthenticated, BadOrigin, TooManyTries)))  # fmt: skip
async def sign_in(request: ApiRequest) -> Answer:
    """Sign in: a token for a session, as a cookie that the page's scripts can't read.

    The session ends with the token, and after 12 hours. The cookie carries no token. Requests with the cookie that
    change something have to come from the server's own pages.
    """
    api, address = api_of(request), request.client.host if request.client else ""
    Query(request, ())
    check_page(request.headers, request.app.state.origins, cookie=False)
    api.sessions.tries.check(address)
    ask = decode_body(await request.body(), SignIn)
    try:
        caller = authenticate(ask.token.strip(), api.mirror, api.clock)
    except Unauthenticated:
        api.sessions.tries.note_failure(address)
        raise
    session, cookie = api.sessions.begin(caller.token, caller.expires_at)
    life_s = session.ends_at - api.clock.now_s()
    who = _who(caller, session.ends_at)
    return answer_json(who, headers=[cookie_header(cookie, life_s, tls=_tls(request)), UNSTORED])


@get("/session", **about("Session", answers=Who))
async def show_session(request: ApiRequest) -> Answer:
    """Show who asks, with which role, and until when."""
    Query(request, ())
    return answer_json(_who(request.user, request.user.session_ends_at), headers=[UNSTORED])


@delete("/session", public=True, status_code=200, **about("Session", status=204, errors=(BadOrigin,)))
async def sign_out(request: ApiRequest) -> Answer:
    """Sign out: the session ends, and its cookie is cleared. Without a session it does nothing."""
    Query(request, ())
    api, cookie = api_of(request), request.cookies.get(COOKIE, "")
    check_page(request.headers, request.app.state.origins, cookie=bool(cookie))
    with contextlib.suppress(Unauthenticated):  # it is over already
        api.sign_out(cookie)
    return Answer(204, headers=[cookie_header("", 0, tls=_tls(request)), UNSTORED])


def _who(caller: Caller, session_ends_at: float | None) -> Who:
    return Who(
        name=caller.name,
        role=caller.role,
        expires_at=caller.token_expires_at,
        session_ends_at=session_ends_at,
    )


def _tls(request: ApiRequest) -> bool:
    return request.scope.get("scheme") == "https"


ROUTES = [sign_in, show_session, sign_out]
