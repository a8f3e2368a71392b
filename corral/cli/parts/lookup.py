"""Lookup: names for the ids that resources point with. Tables show names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corral.client.client import Client


class Names:
    """Names by id, one request a kind, made when the first one is asked for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, str]] = {}

    def of(self, noun: str, id: str | None) -> str:
        """The name, or the id where nothing has it any more; "-" for none."""
        if not id:
            return "-"
        if noun not in self._known:
            self._known[noun] = getattr(self._client, noun).names()
        return self._known[noun].get(id, id)

    def all(self, noun: str, ids: Sequence[str]) -> str:
        return ",".join(self.of(noun, id) for id in ids)
