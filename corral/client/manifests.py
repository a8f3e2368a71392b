"""Manifests: resources as people write them down; see corral/server/services/manifests.

In this room   Manifests, what client.manifests can do; the answers
Comes in       documents: `kind` and the fields of the request that creates one
Goes out       what was done about each, or would be
Start here     Manifests.apply()
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from corral.client.connection import Connection, Request
from corral.client.nouns import decoded
from corral.model.resource import Trouble


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    field: str
    was: Any = None
    becomes: Any = None


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a manifest."""

    kind: str
    name: str
    action: str  # create, update, unchanged, refused
    changes: tuple[FieldChange, ...] = ()
    operations: tuple[str, ...] = ()
    trouble: Trouble | None = None


class _AppliedAll(msgspec.Struct, frozen=True):
    results: tuple[Applied, ...]


class Manifests:
    """Reading and applying."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def apply(self, documents: Sequence[Mapping[str, Any]], *, dry_run: bool = False) -> tuple[Applied, ...]:
        """Make what they say; `dry_run`: only say what that would be."""
        query = {"dry_run": "true"} if dry_run else {}
        body = msgspec.json.encode({"documents": documents})
        return decoded(
            self._connection.send(Request("POST", "/api/v1/apply", query, body)), _AppliedAll
        ).results

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The manifest of a resource. raises NotFound, Invalid: no such kind"""
        path = f"/api/v1/manifests/{quote(kind, safe='')}/{quote(name, safe='')}"
        return decoded(self._connection.send(Request("GET", path, {})), dict[str, Any])
