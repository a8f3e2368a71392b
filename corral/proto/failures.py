"""Failures: errors as they cross the node link, and those that belong to it.

In this room   the errors of joining and of the link; refusal() and told(), the two ends of the wire
Comes in       a CorralError at the server
Goes out       the same error at the agent: a class of the same code where that side knows one
Always true    code, message, hint and context survive the trip; a stack trace never makes it
Next door      server/grpc_link.py and agent/grpc_link.py
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn

import grpc
import msgspec

from corral.errors import ERRORS, CorralError
from corral.model.resource import Trouble

TROUBLE_KEY: Final = "corral-trouble-bin"  # metadata, trailing or an agent's: JSON of a Trouble
BY_STATUS: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.FAILED_PRECONDITION,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}  # gRPC status by HTTP status


class TokenUnknown(CorralError):
    """No join token has this secret."""

    code = "join.unknown"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "this server has no such join token",
            hint="Copy the whole line that `corral node join-token` prints, or make a new one there.",
        )


class TokenUsed(CorralError):
    """Another node has joined with the token."""

    code = "join.used"
    status = 409

    def __init__(self, node: str) -> None:
        super().__init__(
            f"{node} has joined with this token: each token lets one node join",
            hint="`corral node join-token` makes a new one.",
            node=node,
        )


class TokenExpired(CorralError):
    """The token's time is over."""

    code = "join.expired"
    status = 410

    def __init__(self, ago_s: float) -> None:
        super().__init__(
            f"the join token expired {ago_s:.0f} s ago",
            hint="`corral node join-token --ttl 1h` makes a new one.",
            ago_s=round(ago_s, 1),
        )


class NodeRefused(CorralError):
    """The certificate is genuine, and is not that of a node which belongs here (any more)."""

    code = "node.refused"
    status = 403


async def refuse(context: "grpc.aio.ServicerContext", error: CorralError) -> NoReturn:
    """End a call with this error."""
    abort: Callable[..., Awaitable[NoReturn]] = context.abort
    await abort(BY_STATUS.get(error.status, grpc.StatusCode.INTERNAL), error.message, (telling(error),))
    raise AssertionError("abort() raises")


def telling(error: CorralError) -> tuple[str, bytes]:
    """The metadata that carries it."""
    return TROUBLE_KEY, msgspec.json.encode(Trouble.of(error))


def told(error: "grpc.aio.AioRpcError") -> CorralError | None:
    """The error that the other side ended the call with; None: the call broke by itself."""
    return told_by(error.trailing_metadata())


def told_by(metadata: Iterable[tuple[str, str | bytes]] | None) -> CorralError | None:
    """The error in metadata."""
    document = next((value for key, value in metadata or () if key == TROUBLE_KEY), None)
    if document is None:
        return None
    try:
        trouble = msgspec.json.decode(document, type=Trouble)
    except msgspec.MsgspecError:
        return None
    kind = ERRORS.get(trouble.code, CorralError)
    known = kind.__new__(kind)  # constructors differ from class to class: the fields are what counts
    CorralError.__init__(known, trouble.message, hint=trouble.hint, **trouble.context)
    return known
