"""Exits: the exit code for every error.

In this room   Exit, the table; exit_code(), by the error's code and status
Always true    an exit code keeps its meaning; docs/reference/errors.md lists which error has which
Start here     exit_code()
"""

from enum import IntEnum
from typing import Final

from corral.errors import CorralError


class Exit(IntEnum):
    """What a script can tell apart."""

    OK = 0
    FAILED = 1  # it was tried and failed
    USAGE = 2  # the command line or a value in it is wrong
    NOT_FOUND = 3
    CONFLICT = 4  # the present state does not allow it
    NOT_ALLOWED = 5  # token missing, wrong, or without the right
    UNAVAILABLE = 6  # the server can't be reached or can't do it now: try again later
    TIMEOUT = 7
    CANCELLED = 8
    BUG = 70  # as in sysexits.h: a mistake in Corral
    INTERRUPTED = 130  # Ctrl-C


MEANING: Final = {
    Exit.OK: "done as asked",
    Exit.FAILED: "it was tried and failed",
    Exit.USAGE: "the command line, or a value in it, is wrong",
    Exit.NOT_FOUND: "nothing has that name",
    Exit.CONFLICT: "the present state does not allow it",
    Exit.NOT_ALLOWED: "the token is missing, wrong, or does not allow it",
    Exit.UNAVAILABLE: "the server can't be reached, or can't do it now: try again later",
    Exit.TIMEOUT: "the time given has passed; the operation goes on",
    Exit.CANCELLED: "the operation was cancelled",
    Exit.BUG: "a mistake in Corral",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; the operation goes on",
}
BY_CODE: Final = {
    "operation.cancelled": Exit.CANCELLED,
    "operation.failed": Exit.FAILED,
    "internal": Exit.BUG,
}
BY_STATUS: Final = {
    400: Exit.USAGE,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    410: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.TIMEOUT,
}


def exit_code(error: CorralError | type[CorralError]) -> Exit:
    """By its code; for codes without an entry of their own, by the HTTP status that goes with it."""
    return BY_CODE.get(error.code) or BY_STATUS.get(error.status, Exit.FAILED)
