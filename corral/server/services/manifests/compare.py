"""Compare: what a manifest would change.

In this room   changes(), pure
Comes in       the form of a resource that is there, and what a manifest says
Goes out       FieldChange: the field, what it is, what it shall be
Always true    a field that the manifest leaves out is no change; sizes are equal if they are as many bytes, and a
               reference is equal by name or by id
Start here     changes()
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from corral.errors import CorralError
from corral.model.units import parse_size
from corral.server.services.manifests.forms import Form

SIZES: Final = frozenset({"memory", "size", "reserve_memory"})
REFERENCES: Final = frozenset({"volume", "image", "pool", "network", "node", "nodes"})
WHOLE: Final = frozenset({"labels"})  # said as a whole: what is not in it goes
MISSING: Final = None


class FieldChange(Struct, frozen=True, kw_only=True):
    """A field that is not as the manifest says."""

    field: str  # memory, disks[1].size
    was: Any = None  # None: it is not there
    becomes: Any = None  # None: it goes


Named = Callable[[str], str]  # the name behind an id or a name


def changes(now: Form, said: Form, named: Named) -> tuple[FieldChange, ...]:
    """Fields of `said` that are different in `now`."""
    return tuple(_fields("", now, said, named))


def _fields(path: str, now: Form, said: Form, named: Named) -> Iterator[FieldChange]:
    for key, value in said.items():
        field = f"{path}.{key}" if path else key
        yield from _value(field, key, now.get(key, MISSING), value, named)


def _value(field: str, key: str, now: Any, said: Any, named: Named) -> Iterator[FieldChange]:
    if isinstance(now, dict) and isinstance(said, dict) and key not in WHOLE:
        yield from _fields(field, now, said, named)
    elif isinstance(now, list | tuple) and isinstance(said, list | tuple):
        yield from _items(field, key, now, said, named)
    elif _plain(key, now, named) != _plain(key, said, named):
        yield FieldChange(field=field, was=now, becomes=said)


def _items(field: str, key: str, now: Any, said: Any, named: Named) -> Iterator[FieldChange]:
    for place in range(max(len(now), len(said))):
        here = f"{field}[{place}]"
        if place >= len(said):
            yield FieldChange(field=here, was=now[place])
        elif place >= len(now):
            yield FieldChange(field=here, becomes=said[place])
        else:
            yield from _value(here, key, now[place], said[place], named)


def _plain(key: str, value: Any, named: Named) -> Any:
    """A value in the one way in which it is compared."""
    if key in SIZES and isinstance(value, int | str) and value:
        try:
            return parse_size(value)
        except CorralError:
            return value  # refused where it is carried out
    if key in REFERENCES and isinstance(value, str):
        return named(value)
    return value
