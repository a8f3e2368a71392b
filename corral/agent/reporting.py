"""Reporting: what the server does not know yet of this node.

In this room   Reporter: the present parts of the report, and which of them the server holds
Comes in       parts from lanes (put, drop); Welcome and Ack from the server
Goes out       Reports that carry differences only
Always true    the newest part of each key is sent at some time, older ones may be left out; after a new
               Welcome only what the server does not hold is sent
Next door      session.py sends them
Start here     Reporter
"""

import asyncio
from collections.abc import Mapping
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from corral.model.found import FoundAll, FoundReport
from corral.model.link import Report, digest
from corral.model.node import Inventory, NetworkOnNode, PoolOnNode
from corral.model.resource import Trouble
from corral.model.vm import VMReport
from corral.model.volume import ObjectReport

PARTS_MAX: Final = 200  # in one report: bounds its size
WINDOW: Final = 2  # reports on their way: what changes meanwhile goes together in the next
ROOM_SHARE: Final = 0.01  # of a pool
S = TypeVar("S", bound=Struct)


class Reporter:
    """Parts by "vms/vm-01J…", like model/link.report_digests()."""

    def __init__(self) -> None:
        self.parts: dict[str, Struct] = {}
        self._told: dict[str, str] = {}  # digest by key: what was sent on this stream or held before it
        self._dirty: dict[str, None] = {}  # keys to look at, in order
        self._on_the_way: dict[int, None] = {}  # numbers of reports without an Ack
        self._seq = 0
        self.news = asyncio.Event()  # there may be something to send

    def put(self, field: str, key: str, part: Struct) -> None:
        """This is how it is now."""
        full = f"{field}/{key}"
        if self.parts.get(full) != part:
            self.parts[full] = part
            self._mark(full)

    def drop(self, field: str, key: str) -> None:
        """Say no more about it."""
        self.parts.pop(f"{field}/{key}", None)
        self._told.pop(f"{field}/{key}", None)  # said again later, it is news

    def get(self, field: str, key: str) -> Struct | None:
        return self.parts.get(f"{field}/{key}")

    def keys(self, field: str) -> set[str]:
        """Keys of the parts of this field."""
        start = f"{field}/"
        return {key.removeprefix(start) for key in self.parts if key.startswith(start)}

    def resume(self, reported: Mapping[str, str]) -> None:
        """A new stream begins; this is what the server holds."""
        self._told = dict(reported)
        self._on_the_way.clear()
        self._dirty.clear()
        for key in self.parts:
            self._mark(key)

    def next(self) -> Report | None:
        """The next report to send; None: nothing now (wait for `news`)."""
        if len(self._on_the_way) >= WINDOW:
            self.news.clear()
            return None
        fresh: dict[str, Struct] = {}
        while self._dirty and len(fresh) < PARTS_MAX:
            key = next(iter(self._dirty))
            del self._dirty[key]
            part = self.parts.get(key)
            if part is not None and self._told.get(key) != (new := digest(part)):
                self._told[key] = new
                fresh[key] = part
        if not fresh:
            self.news.clear()
            return None
        self._seq += 1
        self._on_the_way[self._seq] = None
        return _report(self._seq, fresh)

    def acked(self, seq: int) -> None:
        """The server has committed the report with this number."""
        if self._on_the_way.pop(seq, seq) is None:
            self.news.set()

    @property
    def waits_for_ack(self) -> bool:
        return bool(self._on_the_way)

    def _mark(self, key: str) -> None:
        self._dirty[key] = None
        self.news.set()


def _report(seq: int, parts: Mapping[str, Struct]) -> Report:
    return Report(
        seq=seq,
        inventory=next(iter(_of(parts, "inventory", Inventory).values()), None),
        pools=_of(parts, "pools", PoolOnNode),
        networks=_of(parts, "networks", NetworkOnNode),
        volumes=_of(parts, "volumes", ObjectReport),
        images=_of(parts, "images", ObjectReport),
        vms=_of(parts, "vms", VMReport),
        found=_of(parts, "found", FoundReport),
        found_all=next(iter(_of(parts, "found_all", FoundAll).values()), None),
    )


def _of(parts: Mapping[str, Struct], field: str, kind: type[S]) -> dict[str, S]:
    start = f"{field}/"
    return {
        key.removeprefix(start): part
        for key, part in parts.items()
        if key.startswith(start) and isinstance(part, kind)
    }


def steady(new: Trouble | None, old: Trouble | None) -> Trouble | None:
    """The new trouble; if it is the old one again, with the time since when it lasts."""
    if new and old and (new.code, new.message, new.context) == (old.code, old.message, old.context):
        return old
    return new


def steady_room(new: PoolOnNode, old: Struct | None) -> PoolOnNode:
    """What is new about a pool. Room that changed by less than a hundredth of the pool is no news: each node that
    sees a shared pool would tell it.
    """
    if not isinstance(old, PoolOnNode) or replace(new, free_bytes=old.free_bytes) != old:
        return new
    return old if abs(new.free_bytes - old.free_bytes) < ROOM_SHARE * new.total_bytes else new


def coarse(progress: float) -> float:
    """In steps of 5 %, so that progress is no flood of reports."""
    return int(min(1.0, max(0.0, progress)) * 20) / 20
