"""Problems: how an error looks to a caller (RFC 9457).

In this room   errors that only HTTP has; Problem, and how any exception becomes one
Comes in       CorralError, the framework's exceptions, and bugs
Goes out       application/problem+json: type, title, status, detail, code, hint, context, request_id
Always true    a bug shows nothing but its request id; its stack trace is in the log
Next door      corral/errors.py has the family; docs/reference/errors.md lists the codes
Start here     problem_of()
"""

import inspect
from typing import Final

import msgspec
from litestar.exceptions import HTTPException
from msgspec import Struct

from corral.errors import CorralError
from corral.server.http.answers import Answer
from corral.server.log import REQUEST_ID

PROBLEM_JSON: Final = "application/problem+json"
TYPE_BASE: Final = "https://corral.dev/errors/"


class NoRoute(CorralError):
    """There is nothing at this path."""

    code = "request.no_route"
    status = 404


class WrongMethod(CorralError):
    """The path exists, and does not take this method."""

    code = "request.wrong_method"
    status = 405


class TooLarge(CorralError):
    """The body is larger than this route takes."""

    code = "request.too_large"
    status = 413


class Malformed(CorralError):
    """The request could not be read."""

    code = "request.malformed"
    status = 400


class ClientGone(CorralError):
    """The client went away before it had sent all of the body."""

    code = "request.cut_off"
    status = 400


class Problem(Struct, frozen=True, kw_only=True):
    """Problem details, RFC 9457. `code` is for programs and never changes; `detail` and `hint` are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    context: dict[str, str | int | float] = {}
    retryable: bool = False
    request_id: str = ""


def title_of(error: type[CorralError]) -> str:
    """What its docstring says, without the full stop."""
    return (inspect.getdoc(error) or error.__name__).partition("\n")[0].rstrip(".")


def problem_of(error: Exception) -> Problem:
    """The problem that a caller sees. Anything that is not meant for callers becomes `internal`."""
    known = error if isinstance(error, CorralError) else _framework(error)
    request_id = REQUEST_ID.get()
    if known is None or known.code == CorralError.code:
        return Problem(
            type=TYPE_BASE + CorralError.code,
            title="The server made a mistake",
            status=500,
            detail="The request ended in an error that is not the caller's fault.",
            code=CorralError.code,
            hint=f"The server's log has the reason, under request id {request_id}." if request_id else "",
            request_id=request_id,
        )
    return Problem(
        type=TYPE_BASE + known.code,
        title=title_of(type(known)),
        status=known.status,
        detail=known.message,
        code=known.code,
        hint=known.hint,
        context=dict(known.context),
        retryable=known.retryable,
        request_id=request_id,
    )


def _framework(error: Exception) -> CorralError | None:
    """What the framework refuses by itself, in our words."""
    if not isinstance(error, HTTPException):
        return None
    match error.status_code:
        case 404:
            return NoRoute("there is nothing at this path", hint="/api/v1/openapi.json lists all paths.")
        case 405:
            allowed = (error.headers or {}).get("allow", "")
            return WrongMethod(
                "this path does not take this method", hint=f"It takes {allowed}." if allowed else ""
            )
        case 413:
            return TooLarge("the body is too large", hint="JSON bodies may have 1 MiB.")
        case 500 if "prematurely" in error.detail:
            return ClientGone("the body ended before it was complete")
        case status if status < 500:
            return Malformed(error.detail or "the request could not be read")
    return None


def answer_problem(error: Exception) -> Answer:
    """The answer that tells a caller about `error`."""
    problem = problem_of(error)
    headers: list[tuple[str, str]] = []
    if problem.status == 401:
        headers.append(("www-authenticate", 'Bearer realm="corral"'))
    if problem.status == 503:
        headers.append(("retry-after", "1"))
    if isinstance(error, HTTPException) and error.headers and "allow" in error.headers:
        headers.append(("allow", error.headers["allow"]))
    return Answer(problem.status, msgspec.json.encode(problem), PROBLEM_JSON, headers)
