"""Pages: lists in portions, each found without looking at what comes before it.

In this room   ListAsk, what a caller wants of a list; page(), one portion
Comes in       the mirror, its orders, a filter
Goes out       Page: items, cursor of the next, revision to watch from, number of all that match
Always true    resources that exist while all pages are read by cursor appear exactly once, whatever else comes and goes
               (by offset they may not: it is for jumps); a long search lets others run in between
Next door      filters.py, orders.py; queries.py reads ListAsk from a query
Start here     page()
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from corral.clock import Clock
from corral.errors import Invalid
from corral.model.resource import Resource
from corral.server.http.filters import Filter
from corral.server.http.orders import Key, Order, Orders
from corral.server.http.paths import Path, select_fields
from corral.store.mirror import Mirror

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
OFFSET_MAX: Final = 10**9
LOOK_AT_ONCE: Final = 500  # resources between two pauses of a search


class ListAsk(Struct, frozen=True, kw_only=True):
    """What a caller wants of a list."""

    filter: Filter = Filter()
    sort: str = "id"  # path; ids are in order of creation
    descending: bool = False
    fields: tuple[Path, ...] = ()  # empty: everything
    limit: int = LIMIT_DEFAULT
    cursor: str = ""
    offset: int = 0  # rows to leave out at the beginning; not together with a cursor


class Page(Struct, frozen=True, kw_only=True):
    items: Sequence[object]
    next: str | None
    revision: int
    total: int


class Cursor(Struct, frozen=True, array_like=True):
    """A place in one list: behind this key."""

    of: str  # digest of the list's order and filter
    absent: bool
    value: str | int | float | bool
    id: str


async def page(
    kind: type[Resource],
    ask: ListAsk,
    mirror: Mirror,
    orders: Orders,
    clock: Clock,
    show: Callable[[Resource], Resource],
) -> Page:
    """One portion of a list. raises Invalid: a cursor of another list, or a field that can't be sorted by"""
    order = orders.by(kind, ask.sort)
    start = read_cursor(ask, order) if ask.cursor else None
    revision = mirror.revision  # what is read later than this is told again to who watches from here
    if ask.filter.conditions:
        found, more, total = await _search(kind, ask, order, start, mirror, clock)
    else:
        keys = (
            order.after(start, descending=ask.descending, most=ask.limit + 1)
            if start
            else order.window(ask.offset, ask.limit + 1, descending=ask.descending)
        )
        found = [r for key in keys[: ask.limit] if (r := mirror.get(key[2])) is not None]
        more, total = len(keys) > ask.limit, len(order)
    items = [show(resource) for resource in found]
    return Page(
        items=[select_fields(item, ask.fields) for item in items] if ask.fields else items,
        next=write_cursor(ask, order.key(found[-1])) if more and found else None,
        revision=revision,
        total=total,
    )


async def _search(
    kind: type[Resource], ask: ListAsk, order: Order, start: Key | None, mirror: Mirror, clock: Clock
) -> tuple[Sequence[Resource], bool, int]:
    """The first that match behind `start`, whether there are more, and how many match in all."""
    rows, matches, matching = _in_order(kind, ask, order, mirror), ask.filter.matches, list[Resource]()
    for first in range(0, len(rows), LOOK_AT_ONCE):
        matching += [resource for resource in rows[first : first + LOOK_AT_ONCE] if matches(resource)]
        if first + LOOK_AT_ONCE < len(rows):
            await clock.sleep(0)
    if ask.descending:
        end = (
            max(0, len(matching) - ask.offset)
            if start is None
            else bisect_left(matching, start, key=order.key)
        )
        return matching[max(0, end - ask.limit) : end][::-1], end > ask.limit, len(matching)
    begin = ask.offset if start is None else bisect_right(matching, start, key=order.key)
    return matching[begin : begin + ask.limit], begin + ask.limit < len(matching), len(matching)


def _in_order(kind: type[Resource], ask: ListAsk, order: Order, mirror: Mirror) -> list[Resource]:
    """All that may match, as they are at this moment, in ascending order."""
    if ask.filter.index is not None:
        found = mirror.select(kind, *ask.filter.index)
        if ask.sort != "id":
            found.sort(key=order.key)
        return found
    if ask.sort == "id":
        return mirror.list(kind)
    return [r for key in order.after(None, descending=False) if (r := mirror.get(key[2])) is not None]


def write_cursor(ask: ListAsk, key: Key) -> str:
    cursor = Cursor(_list_digest(ask), *key)
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read_cursor(ask: ListAsk, order: Order) -> Key:
    """Raises Invalid"""
    try:
        padded = ask.cursor + "=" * (-len(ask.cursor) % 4)
        cursor = msgspec.json.decode(urlsafe_b64decode(padded.encode("ascii")), type=Cursor)
    except (msgspec.DecodeError, binascii.Error, UnicodeError):
        raise Invalid("cursor", ask.cursor, "a cursor that a list gave") from None
    if cursor.of != _list_digest(ask):
        raise Invalid(
            "cursor", ask.cursor, "a cursor of this list", hint="Keep sort and filters while paging."
        )
    return (cursor.absent, cursor.value, cursor.id)


def _list_digest(ask: ListAsk) -> str:
    return sha256(f"{ask.sort}\n{ask.descending}\n{ask.filter.token}".encode()).hexdigest()[:12]
