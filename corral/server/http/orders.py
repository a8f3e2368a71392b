"""Orders: resources of a kind sorted by any field, kept sorted as they change.

In this room   Order, one kind by one path; Orders, those that were asked for lately
Comes in       changes of the mirror
Goes out       ids in order, from a place on, forwards or backwards
Always true    an order holds each resource of its kind once; ties are broken by id, so paging is stable
Next door      pages.py walks along; paths.py gets the values
Start here     Orders.by()
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from corral.errors import Invalid
from corral.model.resource import Resource
from corral.server.http.paths import Path, find_path
from corral.server.http.shapes import say
from corral.store.interface import Change, ChangeVerb
from corral.store.mirror import Mirror

ORDERS_MAX: Final = 24  # kept at a time; the one unused for longest goes
Value = str | int | float | bool
Key = tuple[bool, Value, str]  # not there (these come last), value, id


class Order:
    """All resources of one kind, sorted by what one path gets."""

    def __init__(self, path: Path, resources: Iterable[Resource]) -> None:
        self.path = path
        self._key_of = {resource.id: self.key(resource) for resource in resources}
        self._keys = sorted(self._key_of.values())

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, resource: Resource) -> Key:
        value = self.path.get(resource)
        return (True, 0, resource.id) if value is None else (False, value, resource.id)  # type: ignore[return-value]

    def put(self, resource: Resource) -> None:
        old, new = self._key_of.get(resource.id), self.key(resource)
        if old == new:
            return
        if old is not None:
            del self._keys[bisect_left(self._keys, old)]
        insort(self._keys, new)
        self._key_of[resource.id] = new

    def remove(self, id: str) -> None:
        old = self._key_of.pop(id, None)
        if old is not None:
            del self._keys[bisect_left(self._keys, old)]

    def after(self, key: Key | None, *, descending: bool, most: int | None = None) -> Sequence[Key]:
        """At most `most` keys that follow `key`, which need not be there any more; None: from the start."""
        keys = self._keys
        if descending:
            end = len(keys) if key is None else bisect_left(keys, key)
            start = 0 if most is None else max(0, end - most)
            return keys[start:end][::-1]
        start = 0 if key is None else bisect_right(keys, key)
        return keys[start:] if most is None else keys[start : start + most]

    def window(self, offset: int, most: int, *, descending: bool) -> Sequence[Key]:
        """At most `most` keys behind the first `offset`."""
        keys = self._keys
        if descending:
            end = max(0, len(keys) - offset)
            return keys[max(0, end - most) : end][::-1]
        return keys[offset : offset + most]


class Orders:
    """Orders over a mirror, made when they are first asked for and kept up to date from then on."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._orders: dict[tuple[type[Resource], tuple[str, ...]], Order] = {}  # the last used one last
        self.stop = mirror.on_change(self._changed)

    def by(self, kind: type[Resource], field: str) -> Order:
        """Raises Invalid: no such field, or nothing to sort by"""
        path = find_path(kind, field, "sort")
        if not path.comparable:
            raise Invalid("sort", field, "a field to sort by", hint=f"It holds {say(path.shape)}.")
        order = self._orders.pop((kind, path.steps), None)
        if order is None:
            order = Order(path, self.mirror.list(kind))
        self._orders[kind, path.steps] = order
        while len(self._orders) > ORDERS_MAX:
            del self._orders[next(iter(self._orders))]
        return order

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for order in self._of(type(change.resource)):
                if change.verb is ChangeVerb.PUT:
                    order.put(change.resource)
                else:
                    order.remove(change.resource.id)

    def _of(self, kind: type[Resource]) -> Iterator[Order]:
        return (order for (of, _), order in self._orders.items() if of is kind)
