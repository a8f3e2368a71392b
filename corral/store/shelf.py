"""A shelf of the mirror: all resources of one kind, in order and indexed.

In this room   Shelf
Comes in       resources as put and removed
Goes out       lists, sorted by id, which is the order of creation
Always true    what is put and removed one by one equals what is filled in at once
Next door      indexes.py says by what to index; mirror.py has one shelf a kind
Start here     Shelf.put()
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from corral.model.resource import Resource
from corral.store.indexes import Values, indexes_of

Bucket = list[str]  # ids under one value of an index, sorted


class Shelf:
    """All resources of one kind."""

    def __init__(self, kind: type[Resource]) -> None:
        self._indexes = indexes_of(kind)
        self._ids: list[str] = []  # sorted
        self._rows: list[Resource] = []  # in the same order
        self._names: dict[tuple[str, str], str] = {}  # id by project and name
        self._under: dict[str, dict[str, Bucket]] = {index: {} for index in self._indexes}  # by value
        self._own: set[tuple[str, str]] = set()  # index and value of buckets that no copy shares

    def fill(self, resources: Iterable[Resource]) -> None:
        """Take all of them at once; the shelf is empty before."""
        self._rows = sorted(resources, key=lambda resource: resource.id)
        self._ids = [resource.id for resource in self._rows]
        self._names = {(r.project, r.name): r.id for r in self._rows}
        for index, values in self._indexes.items():
            under = self._under[index] = {}
            for resource in self._rows:
                for value in dict.fromkeys(values(resource)):
                    under.setdefault(value, []).append(resource.id)
            self._own.update((index, value) for value in under)

    def release(self, id: str) -> None:
        """Free the name of a resource that is about to be put or removed: another may be about to take it."""
        _, old = self._look(id)
        if old is not None:
            del self._names[old.project, old.name]

    def put(self, resource: Resource) -> None:
        """Add or replace; release() comes before."""
        place, old = self._look(resource.id)
        if old is not None:
            self._rows[place] = resource
        else:
            self._ids.insert(place, resource.id)
            self._rows.insert(place, resource)
        self._names[resource.project, resource.name] = resource.id
        self._index(resource.id, old, resource)

    def remove(self, id: str) -> None:
        """Take away, if it is there; release() comes before."""
        place, old = self._look(id)
        if old is not None:
            del self._ids[place], self._rows[place]
            self._index(id, old, None)

    def all(self) -> list[Resource]:
        return self._rows.copy()

    def named(self, project: str, name: str) -> str | None:
        return self._names.get((project, name))

    def under(self, index: str, value: str) -> Sequence[str]:
        """Ids found under a value, sorted; not to be kept. Raises KeyError: no such index."""
        return self._under[index].get(value, ())

    def __len__(self) -> int:
        return len(self._ids)

    def counts(self, index: str) -> dict[str, int]:
        """How many are under each value. Costs as much as there are values."""
        return {value: len(bucket) for value, bucket in self._under[index].items()}

    def copy(self) -> "Shelf":
        """A shelf of its own. Buckets stay shared until either side changes one."""
        self._own = set()
        other = Shelf.__new__(Shelf)
        other._indexes = self._indexes
        other._ids, other._rows, other._names = self._ids.copy(), self._rows.copy(), self._names.copy()
        other._under = {index: under.copy() for index, under in self._under.items()}
        other._own = set()
        return other

    def _look(self, id: str) -> tuple[int, Resource | None]:
        """Where it is, or would be."""
        place = bisect_left(self._ids, id)
        here = place < len(self._ids) and self._ids[place] == id
        return place, self._rows[place] if here else None

    def _index(self, id: str, old: Resource | None, new: Resource | None) -> None:
        for index, values in self._indexes.items():
            before, after = _values(values, old), _values(values, new)
            if before == after:
                continue
            for value in before:
                if value not in after:
                    self._drop(index, value, id)
            for value in after:
                if value not in before:
                    insort(self._bucket(index, value), id)

    def _drop(self, index: str, value: str, id: str) -> None:
        bucket = self._bucket(index, value)
        del bucket[bisect_left(bucket, id)]
        if not bucket:
            del self._under[index][value]
            self._own.discard((index, value))

    def _bucket(self, index: str, value: str) -> Bucket:
        """The bucket, to be changed."""
        under = self._under[index]
        if (index, value) not in self._own:
            under[value] = under.get(value, []).copy()
            self._own.add((index, value))
        return under[value]


def _values(values: Values, resource: Resource | None) -> Sequence[str]:
    return () if resource is None else tuple(dict.fromkeys(values(resource)))
