"""Resources: every kind survives the way to disk and back; ids sort by age."""

import random
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import corral.model  # noqa: F401  (so that every kind is known)
from corral.clock import new_id
from corral.errors import ERRORS, NotFound
from corral.model.resource import KINDS, Resource, Trouble, decode, encode, kind_named
from corral.model.vm import VM, VMSpec


def filled(shape: inspect.Type) -> Any:
    """A value of this type in which no field is left at its default."""
    match shape:
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: filled(field.type) for field in fields})
        case inspect.UnionType(types=types):
            return filled(next(t for t in types if not isinstance(t, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return (filled(item), filled(item))
        case inspect.DictType(value_type=value):
            return {"a key": filled(value), "ключ": filled(value)}
        case inspect.EnumType(cls=cls):
            return list(cls)[-1]
        case inspect.StrType():
            return 'text "quoted" 文\n\\'
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 2**53 + 1
        case inspect.FloatType():
            return 1764000000.123456
    raise AssertionError(f"no example of {shape}")


@pytest.mark.parametrize("kind", [kind for name, kind in sorted(KINDS.items())])
def test_every_kind_survives_disk_with_every_field_set(kind: type[Resource]) -> None:
    resource = filled(inspect.type_info(kind))
    again = decode(encode(resource))
    assert again == resource
    assert type(again) is kind
    assert encode(again) == encode(resource)


@pytest.mark.parametrize("kind", [kind for name, kind in sorted(KINDS.items())])
def test_every_kind_says_what_it_is(kind: type[Resource]) -> None:
    assert kind.PREFIX and kind.PLURAL and kind.SUMMARY
    for word in (kind.__name__, kind.PREFIX, kind.PLURAL, kind.PLURAL.upper()):
        assert kind_named(word) is kind
    assert msgspec.json.decode(encode(filled(inspect.type_info(kind))))["kind"] == kind.__name__


def test_prefixes_and_plurals_are_unique() -> None:
    words = [word for kind in KINDS.values() for word in (kind.PREFIX, kind.PLURAL)]
    assert len(words) == len(set(words))


REFUSED = [  # name, document
    ("not JSON", b"{"),
    ("unknown kind", b'{"kind":"Unicorn","id":"u-1","name":"u"}'),
    ("no kind", b'{"id":"vm-1","name":"v"}'),
    ("a field is missing", b'{"kind":"VM","id":"vm-1","name":"v","spec":{"cpus":1}}'),
    (
        "a field has the wrong type",
        b'{"kind":"VM","id":"vm-1","name":"v","spec":{"cpus":"1","memory_bytes":1}}',
    ),
]


@pytest.mark.parametrize("document", [pytest.param(row[1], id=row[0]) for row in REFUSED])
def test_decode_refuses(document: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):  # of which ValidationError is one
        decode(document)


def test_having_changes_a_copy() -> None:
    vm = VM(id="vm-1", name="web", spec=VMSpec(cpus=1, memory_bytes=1))
    assert vm.having(revision=7).revision == 7
    assert vm.revision == 0
    with pytest.raises(AttributeError):
        vm.revision = 7  # type: ignore[misc]


def test_trouble_keeps_what_an_error_says() -> None:
    trouble = Trouble.of(NotFound("VM", "web"), now_s=5.0)
    assert (trouble.code, trouble.since) == ("resource.not_found", 5.0)
    assert trouble.context == {"kind": "VM", "name": "web"}
    assert ERRORS[trouble.code] is NotFound


class Ticking:
    """A clock that a test sets, with chance by seed."""

    def __init__(self, at_s: float) -> None:
        self.at_s, self.chance = at_s, random.Random(1)

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def test_ids_sort_by_age_and_never_repeat() -> None:
    clock = Ticking(1_764_000_000.0)
    ids = []
    for _ in range(2000):
        ids.append(new_id("vm", clock))
        clock.at_s += 0.0011
    assert ids == sorted(ids)
    clock.at_s = 1_900_000_000.0
    same_moment = [new_id("vm", clock) for _ in range(2000)]
    assert len(set(same_moment)) == 2000
    assert min(same_moment) > max(ids)
    assert all(len(id) == len("vm-") + 26 for id in ids + same_moment)
