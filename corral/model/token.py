"""Token: what a request proves itself with; and JoinToken, the same for a new node."""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from corral.model.resource import Resource


class Role(StrEnum):
    ADMIN = "admin"  # everything, tokens and nodes included
    OPERATOR = "operator"  # everything but tokens and joining or removing nodes
    VIEWER = "viewer"  # reads only


class TokenSpec(Struct, frozen=True, kw_only=True):
    role: Role = Role.VIEWER
    sha256: str = ""  # of the secret, which is shown once and kept nowhere
    expires_at: float | None = None  # Unix time, seconds


class Token(Resource, frozen=True, kw_only=True, tag="Token"):
    """An API token."""

    PREFIX: ClassVar = "tok"
    PLURAL: ClassVar = "tokens"
    SUMMARY: ClassVar = "a key to the API"

    spec: TokenSpec


class JoinTokenSpec(Struct, frozen=True, kw_only=True):
    sha256: str
    expires_at: float  # Unix time, seconds
    used_by: str = ""  # NodeId that joined with it
    key_sha256: str = ""  # of that node's public key: it may ask again when the answer was lost


class JoinToken(Resource, frozen=True, kw_only=True, tag="JoinToken"):
    """Lets one node join, once, until it expires."""

    PREFIX: ClassVar = "join"
    PLURAL: ClassVar = "join-tokens"
    SUMMARY: ClassVar = "lets one node join, once"

    spec: JoinTokenSpec
