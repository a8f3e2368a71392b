"""Secrets: answers that show one, once."""

from msgspec import Struct

from corral.model.resource import Resource


class NewToken(Struct, frozen=True, kw_only=True):
    """A new API token. `secret` is what goes behind `Authorization: Bearer `."""

    token: Resource
    secret: str


class NewJoinToken(Struct, frozen=True, kw_only=True):
    """A new join token. `secret` is what `corral agent join` takes."""

    join_token: Resource
    secret: str
