"""Errors of the client's side, and the server's errors as it told them.

In this room   Unreachable and its kin; refused(), which turns a problem document into the error that it was
Comes in       OSErrors with where they struck; bodies of failed requests (RFC 9457)
Goes out       CorralErrors: NotFound from the server is a NotFound here, codes unknown here are Refused
Next door      connection.py raises them; corral/cli/parts/exits.py turns codes into exit codes
Start here     refused()
"""

import json
import socket
import ssl
from typing import Final

from corral.errors import ERRORS, CorralError, Unauthenticated

TEXT_MAX: Final = 300  # characters quoted of an answer that is no problem document


class Unreachable(CorralError):
    """The server could not be reached, or went away and did not come back in time."""

    code = "client.unreachable"
    status = 503
    retryable = True


class Untrusted(CorralError):
    """The server's certificate is not the one that was promised."""

    code = "client.untrusted"
    status = 502


class BadAnswer(CorralError):
    """What answered is no Corral server, or a version that says things this one does not know."""

    code = "client.bad_answer"
    status = 502


class StillRunning(CorralError):
    """The operation goes on; only the waiting for it has ended."""

    code = "client.still_running"
    status = 504
    retryable = True

    def __init__(self, operation: str, *, seconds: float, waiting_for: str = "") -> None:
        super().__init__(
            f"{operation} has not ended after {seconds:g} s"
            + (f"; it waits for {waiting_for}" if waiting_for else ""),
            hint=f"It goes on. `corral operation wait {operation}` follows it, "
            f"`corral operation cancel {operation}` stops it.",
            operation=operation,
            seconds=seconds,
        )


class OperationFailed(CorralError):
    """The operation ended, and not well; its own code and hint stand in `context` and `hint`."""

    code = "operation.failed"
    status = 409


class Refused(CorralError):
    """The server refused, with a code that this version does not know."""

    code = "client.refused"


def refused(status: int, reason: str, body: bytes) -> CorralError:
    """The error that the server raised, made again from its answer."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return _no_problem(status, reason, body)
    error = told(
        problem["code"],
        str(problem.get("detail") or problem.get("title") or reason),
        str(problem.get("hint") or ""),
        status,
        {k: v for k, v in (problem.get("context") or {}).items() if isinstance(v, (str, int, float))},
    )
    if problem.get("request_id"):
        error.context.setdefault("request_id", str(problem["request_id"]))
    return error


def told(
    code: str, message: str, hint: str, status: int, context: dict[str, str | int | float]
) -> CorralError:
    """An error of the class that has this code; made without its own constructor, whose words are said already."""
    kind = ERRORS.get(code, Refused)
    error = kind.__new__(kind)
    CorralError.__init__(error, message, hint=hint)
    error.context = context
    if kind is Refused:  # the class can't know the code, the instance does
        vars(error).update(code=code, status=status, retryable=status in (429, 503))
    return error


def unreachable(url: str, error: Exception, *, gave_up_s: float = 0.0) -> CorralError:
    """What to tell a person when no answer came."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(
            f"the certificate of {url} is not trusted: {error.verify_message}",
            hint="Name the server's CA: `corral context add NAME --url URL --ca FILE-OR-FINGERPRINT`.",
            url=url,
        )
    if isinstance(error, ssl.SSLError):
        return Unreachable(
            f"{url} does not speak TLS as expected: {error.reason or error}",
            hint="Is it http:// instead of https://, or another program on that port?",
            url=url,
        )
    after = f" (tried for {gave_up_s:.0f} s)" if gave_up_s >= 1 else ""
    return Unreachable(f"no server answers at {url}: {_words(error)}{after}", hint=_hint(error), url=url)


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).lower() or type(error).__name__


def _hint(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "Is the server running? `corral server run` starts one; `corral context show` says where this looks."
    return "`corral context show` says where this looks; CORRAL_URL overrides it."


def _no_problem(status: int, reason: str, body: bytes) -> CorralError:
    text = " ".join(body.decode("utf-8", "replace").split())[:TEXT_MAX]
    if status == 401:
        return Unauthenticated(
            "the server wants a token", hint="`corral context add NAME --url URL --token TOKEN`."
        )
    if status in (502, 503, 504):
        return Unreachable(
            f"the server is not available: {status} {reason}", hint="Try again soon.", http_status=status
        )
    return BadAnswer(
        f"the server answered {status} {reason}" + (f": {text}" if text else ""),
        hint="Is that URL a Corral server? `corral context show` says where this looks.",
        http_status=status,
    )
