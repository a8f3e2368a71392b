"""Nft: loads Corral's tables into the kernel, and sees whether they are still as they were loaded.

In this room   Nft
Comes in       texts of tables (rules.py)
Goes out       tables in the kernel, each replaced as a whole: no packet meets half of one
Always true    a table is touched by its full name only; what differs from what was loaded (someone's `nft flush`) is
               loaded again
Next door      bridge.py says when
Start here     Nft.keep()
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from corral import command
from corral.network.interface import NetworkFailed
from corral.network.rules import PREFIX

DEADLINE_S: Final = 10.0
FAMILIES: Final = ("bridge", "ip")
VOLATILE: Final = frozenset({"handle", "packets", "bytes", "metainfo"})  # differs from look to look


class Nft:
    """The tables of one host. `directory` is where texts go on their way; it shows what was loaded last."""

    def __init__(self, directory: Path, *, program: str = "nft") -> None:
        self._directory, self._program = directory, program
        self._loaded: dict[tuple[str, str], tuple[str, Any]] = {}  # text, and as the kernel showed it then

    async def keep(self, name: str, texts: Mapping[str, str]) -> None:
        """See that these tables, one a family, are there as they are written here, and no others of this name.

        raises  NetworkFailed
        """
        if not texts and shutil.which(self._program) is None:
            return  # a host without nftables has no tables of Corral's
        stale: list[str] = []
        for family in FAMILIES:
            text, known = texts.get(family, ""), self._loaded.get((family, name))
            shown = await self.shown(family, name)
            if (shown is not None or text) and not (known and known == (text, shown)):
                stale.append(family)
        if not stale:
            return
        await self._load(name, "".join(_replacing(family, name, texts.get(family, "")) for family in stale))
        for family in stale:
            if texts.get(family):
                self._loaded[family, name] = (texts[family], await self.shown(family, name))
            else:
                self._loaded.pop((family, name), None)

    async def names(self) -> set[str]:
        """Names of all of Corral's tables in the kernel."""
        if shutil.which(self._program) is None:
            return set()
        answer = await self._run("-j", "list", "tables")
        tables = (entry.get("table", {}) for entry in json.loads(answer)["nftables"])
        return {t["name"] for t in tables if t.get("family") in FAMILIES and t["name"].startswith(PREFIX)}

    async def shown(self, family: str, name: str) -> Any:
        """The table as the kernel has it; None: it has none."""
        ran = await command.run(
            self._program, "-j", "list", "table", family, name,
            deadline_s=DEADLINE_S, failed=NetworkFailed, package="nftables",
        )  # fmt: skip
        if ran.code:
            if "No such file" in ran.errors:
                return None
            raise _failed(ran.last_words)
        return _steady(json.loads(ran.output)["nftables"])

    async def _load(self, name: str, text: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{name}.nft"
        path.write_text(text)
        await self._run("-f", str(path))

    async def _run(self, *words: str) -> str:
        ran = await command.run(
            self._program, *words, deadline_s=DEADLINE_S, failed=NetworkFailed, package="nftables"
        )
        if ran.code:
            raise _failed(ran.errors.strip().splitlines()[0] if ran.errors.strip() else ran.last_words)
        return ran.output


def _replacing(family: str, name: str, text: str) -> str:
    """Commands that leave the table as in `text`, or without it: none. Naming it first makes deleting it no error."""
    return f"table {family} {name}\ndelete table {family} {name}\n{text}"


def _steady(document: Any) -> Any:
    """The document without what changes by itself."""
    match document:
        case dict():
            return {key: _steady(value) for key, value in document.items() if key not in VOLATILE}
        case list():
            return [_steady(value) for value in document]
    return document


def _failed(why: str) -> NetworkFailed:
    return NetworkFailed(
        f"nftables refused Corral's rules: {why}",
        hint="Does the host's kernel have nf_tables, with the bridge and ip families? `nft list ruleset` shows.",
    )
