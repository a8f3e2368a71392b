"""Errors: one family, the same in REST, gRPC, CLI and logs.

In this room   CorralError and the errors that more than one layer raises
Comes in       what went wrong, with the values that show it
Goes out       code (for programs), message and hint (for people), context (values)
Always true    a code is never renamed and never reused; docs/reference/errors.md lists all
Next door      each layer's own errors stand beside the code that raises them
Start here     CorralError
"""

from typing import ClassVar, Final

ERRORS: Final[dict[str, type["CorralError"]]] = {}  # by code, filled as classes are defined


class CorralError(Exception):
    """A failure that the caller can act on.

    status     the HTTP status that REST answers with
    retryable  the same request may succeed later without being changed
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **context: str | int | float) -> None:
        super().__init__(message)
        self.message, self.hint, self.context = message, hint, context

    def __init_subclass__(cls) -> None:
        """Two errors must not share a code: programs tell them apart by it."""
        known = ERRORS.setdefault(cls.code, cls)
        assert known.__qualname__ == cls.__qualname__ or issubclass(cls, known), f"code {cls.code} is taken"


class Invalid(CorralError):
    """A field of the input is not acceptable."""

    code = "request.invalid"
    status = 400

    def __init__(self, field: str, value: object, expected: str, *, hint: str = "") -> None:
        super().__init__(
            f"{field}: {str(value)[:200]!r} is not {expected}",
            hint=hint,
            field=field,
            value=str(value)[:200],
            expected=expected,
        )


class NotFound(CorralError):
    """No resource of that kind has this id or name."""

    code = "resource.not_found"
    status = 404

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"no {kind} is called {name}",
            hint=f"`corral {kind.lower()} list` shows what there is.",
            kind=kind,
            name=name,
        )


class NameTaken(CorralError):
    """Another resource of this kind in this project has the name."""

    code = "resource.name_taken"
    status = 409

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"a {kind} called {name} exists already",
            hint="Choose another name, or delete that one first.",
            kind=kind,
            name=name,
        )


class Conflict(CorralError):
    """The resource was changed by someone else since it was read."""

    code = "resource.conflict"
    status = 409
    retryable = True

    def __init__(self, id: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"{id} is at revision {actual}, not {expected}",
            hint="Read it again and repeat the change on what you see.",
            id=id,
            expected=expected,
            actual=actual,
        )


class PreconditionFailed(CorralError):
    """If-Match names another revision than the resource has."""

    code = "resource.precondition_failed"
    status = 412

    def __init__(self, id: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"If-Match asks for revision {expected} of {id}, which is at {actual}",
            hint="Read it again and repeat the change on what you see.",
            id=id,
            expected=expected,
            actual=actual,
        )


class InUse(CorralError):
    """Something else still needs the resource."""

    code = "resource.in_use"
    status = 409

    def __init__(self, kind: str, name: str, by: str) -> None:
        super().__init__(
            f"{kind} {name} is used by {by}", hint=f"Delete {by} first.", kind=kind, name=name, by=by
        )


class Protected(CorralError):
    """The VM is protected from deletion."""

    code = "vm.protected"
    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f"VM {name} is protected",
            hint=f"`corral vm set {name} --no-protected` lifts the protection.",
            name=name,
        )


class Unauthenticated(CorralError):
    """The request carries no valid token."""

    code = "auth.unauthenticated"
    status = 401


class Forbidden(CorralError):
    """The token is valid and does not allow this."""

    code = "auth.forbidden"
    status = 403


class Unavailable(CorralError):
    """The server can't do this at the moment; later it may."""

    code = "server.unavailable"
    status = 503
    retryable = True


class LinkDown(Unavailable):
    """The stream between a server and an agent broke; the agent dials again."""

    code = "link.down"


class DeadlinePassed(CorralError):
    """It did not end in the time it had."""

    code = "operation.deadline"
    status = 504

    def __init__(self, what: str, *, seconds: float, waiting_for: str = "") -> None:
        super().__init__(
            f"{what} did not end within {seconds:g} s"
            + (f"; it waits for {waiting_for}" if waiting_for else ""),
            hint="The resource keeps its spec: Corral goes on trying. Look at its status.",
            seconds=seconds,
        )


class Cancelled(CorralError):
    """The user asked to stop it."""

    code = "operation.cancelled"
    status = 409
