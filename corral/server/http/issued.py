"""Issued: answers that show a secret, once."""

from msgspec import Struct

from corral.model.token import JoinToken, Token


class NewToken(Struct, frozen=True, kw_only=True):
    """A new API token. `secret` is what goes behind `Authorization: Bearer `."""

    resource: Token
    secret: str


class NewJoinToken(Struct, frozen=True, kw_only=True):
    """A new join token. `secret` is what `corral agent join` takes."""

    resource: JoinToken
    secret: str
