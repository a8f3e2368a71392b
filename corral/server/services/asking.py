"""Asking: who asks for a change, and how it is to be done. Every service method takes one."""

from msgspec import Struct

from corral.model.token import Role


class Asking(Struct, frozen=True, kw_only=True):
    """The circumstances of one request."""

    by: str = "corral"  # the token's name
    role: Role = Role.ADMIN
    request_id: str = ""
    dry_run: bool = False  # check everything, change nothing
    if_match: int | None = None  # revision that the target must be at
    idempotency_key: str = ""  # a repeat with the same key gets the first answer again
    fingerprint: str = ""  # sha256 of method, path and body: tells a repeat from a reused key
