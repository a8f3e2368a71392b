"""Findings: what needs attention, as `corral doctor cluster` shows it."""

from msgspec import Struct

from corral.model.resource import Ref


class Finding(Struct, frozen=True, kw_only=True):
    """What is wrong, with what, and the next step."""

    level: str  # error, warning, info
    code: str
    message: str
    about: Ref | None = None
    hint: str = ""


class Findings(Struct, frozen=True, kw_only=True):
    """The worst first; none: all is well."""

    items: tuple[Finding, ...]
