"""Paths: `status.phase`, `labels.env`, `spec.target.id` into something that looks there.

In this room   Path: a place in a resource, with a function that gets what is there
Comes in       a kind and a text; short forms (`phase`, `node`, `target`) are found in status and spec
Goes out       values for filters, sorting and field selection
Always true    a path that does not exist is refused by name, not answered with nothing
Next door      shapes.py knows the types; filters.py and orders.py use paths
Start here     find_path()
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Final

from msgspec import Struct, inspect

from corral.errors import Invalid
from corral.model.resource import Resource
from corral.server.http.shapes import Shape, names_in, options, shape_of, step_into

Getter = Callable[[Resource], object]
FIXED: Final = frozenset({"id", "name", "kind", "project", "created_at"})  # never change once committed


class Path(Struct, frozen=True, kw_only=True):
    """A place in resources of one kind."""

    text: str
    steps: tuple[str, ...]
    get: Getter
    shape: Shape

    @property
    def leaf(self) -> Shape:
        return options(self.shape)[0]

    @property
    def comparable(self) -> bool:
        """Whether there is a number, a text or a truth value there: something to sort by."""
        return isinstance(
            self.leaf,
            (inspect.IntType, inspect.FloatType, inspect.StrType, inspect.BoolType, inspect.EnumType),
        )


@lru_cache(maxsize=1024)
def find_path(kind: type[Resource], text: str, field: str = "fields") -> Path:
    """The place that `text` means. raises Invalid: there is no such place in this kind"""
    for candidate in (text, f"status.{text}", f"spec.{text}"):
        if path := _exact(kind, candidate, text):
            return path
    fields = names_in(shape_of(kind))
    raise Invalid(
        field, text, f"a field of {kind.__name__}", hint=f"Fields: {', '.join(fields)}, and those in them."
    )


def _exact(kind: type[Resource], dotted: str, text: str) -> Path | None:
    shape: Shape = shape_of(kind)
    steps: list[str] = []
    plain = True  # only fields that are always there: attrgetter can do it alone
    rest = dotted
    while rest:
        if isinstance(options(shape)[0], inspect.DictType):  # its keys may have dots in them
            step, rest = _key_of(options(shape)[0], rest)
            plain = False
        else:
            step, _, rest = rest.partition(".")
        plain = plain and not isinstance(shape, inspect.UnionType)
        if dotted == "kind":
            return Path(text=text, steps=("kind",), get=attrgetter("kind"), shape=inspect.StrType())
        inner = step_into(shape, step)
        if inner is None:
            return None
        shape = inner
        steps.append(step)
    return Path(
        text=text,
        steps=tuple(steps),
        get=attrgetter(dotted) if plain else _walker(tuple(steps)),
        shape=shape,
    )


def _key_of(shape: Shape, rest: str) -> tuple[str, str]:
    """The key and what follows it. Where the values are plain, all that is left is the key."""
    if isinstance(shape, inspect.DictType) and isinstance(options(shape.value_type)[0], inspect.StructType):
        key, _, after = rest.partition(".")
        return key, after
    return rest, ""


def _walker(steps: tuple[str, ...]) -> Getter:
    """Step by step, None where the way ends."""

    def get(resource: Resource) -> object:
        value: object = resource
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
            if value is None:
                return None
        return value

    return get


def select_fields(resource: Resource, paths: tuple[Path, ...]) -> dict[str, object]:
    """A document with only these places in it, nested as in the whole one; the id is always there."""
    document: dict[str, object] = {"id": resource.id}
    for path in paths:
        inner = document
        for step in path.steps[:-1]:
            found = inner.setdefault(step, {})
            if not isinstance(found, dict):  # `spec` and `spec.cpus` were both asked for
                break
            inner = found
        else:
            inner[path.steps[-1]] = path.get(resource)
    return document
