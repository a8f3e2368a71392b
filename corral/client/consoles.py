"""Consoles: who is on which VM's console, and ending somebody's session."""

from urllib.parse import quote

from msgspec import Struct

from corral.client.connection import Connection, Request
from corral.client.nouns import decoded
from corral.model.console import Console


class _Consoles(Struct):
    items: list[Console]


class Consoles:
    """Console sessions that are open on the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[Console]:
        """All, the oldest first."""
        return decoded(self._connection.send(Request("GET", "/api/v1/consoles")), _Consoles).items

    def end(self, id: str) -> Console:
        """End one; as it was then. raises console.no_session"""
        path = f"/api/v1/consoles/{quote(id, safe='')}"
        return decoded(self._connection.send(Request("DELETE", path)), Console)
