"""Filters: which resources a caller wants to see.

In this room   Filter: conditions that all have to hold; how texts become conditions
Comes in       query parameters: phase=running, label=env=prod, filter=spec.cpus>=4,name~web
Goes out       Filter.matches(resource), Filter.token (equal filters have equal ones, for cursors)
Always true    a value that can't be compared with the field is refused, with what would be right
Next door      paths.py finds the fields; pages.py and watching.py ask matches()
Start here     parse_filter()
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, inspect

from corral.errors import CorralError, Invalid
from corral.model.resource import KINDS, Resource
from corral.model.units import parse_size
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.http.paths import FIXED, Path, find_path
from corral.server.http.shapes import options, say
from corral.store.mirror import Mirror

Test = Callable[[Resource], bool]
_CONDITION: Final = re.compile(
    r'\s*([A-Za-z_][A-Za-z0-9_./@-]*?)\s*(!=|>=|<=|=|<|>|~)\s*("(?:[^"\\]|\\.)*"|[^,]*?)\s*(?:,|$)'
)
_LABEL: Final = re.compile(r"([^=!]+?)(?:(!=|=)(.*))?", re.DOTALL)
_REFERS: Final = {"node": "Node", "vm": "VM", "pool": "StoragePool", "image": "Image", "network": "Network"}
_INDEXED: Final = {  # index of the mirror by path: whatever has the value there is found under it
    ("status", "phase"): "phase",
    ("status", "state"): "phase",
    ("status", "node"): "node",
    ("project",): "project",
}


class Condition(Struct, frozen=True, kw_only=True):
    """One thing that has to hold."""

    text: str
    fixed: bool  # whether it can't change for a resource: looks at its id, name, … only
    holds: Test
    index: tuple[str, str] | None = None  # of the mirror, with the value under which all that match are found


class Filter(Struct, frozen=True, kw_only=True):
    """All of these have to hold. Without conditions it lets everything pass."""

    conditions: tuple[Condition, ...] = ()

    @property
    def matches(self) -> Test:
        tests = [condition.holds for condition in self.conditions]
        return _all(tests) if tests else _anything

    @property
    def index(self) -> tuple[str, str] | None:
        """An index of the mirror that holds all that match, and perhaps more."""
        return next((c.index for c in self.conditions if c.index), None)

    @property
    def token(self) -> str:
        return "&".join(c.text for c in self.conditions)

    @property
    def fixed(self) -> bool:
        """Whether a resource that does not match now never did and never will."""
        return all(c.fixed for c in self.conditions)


def parse_filter(
    kind: type[Resource],
    mirror: Mirror,
    *,
    expression: str = "",
    labels: Sequence[str] = (),
    fields: Mapping[str, Sequence[str]] | None = None,
) -> Filter:
    """Raises Invalid: no such field, or a value that the field can't have

    expression   conditions between commas: `status.phase=running,spec.cpus>=4,name~web`
    labels       `env=prod`, `env!=prod`, or `env` (has the label)
    fields       values of each field; any one of the values will do
    """
    conditions = [_equals(kind, mirror, name, values) for name, values in (fields or {}).items()]
    conditions += [_label(text) for text in labels]
    conditions += _expression(kind, mirror, expression)
    return Filter(conditions=tuple(conditions))


def _equals(kind: type[Resource], mirror: Mirror, name: str, values: Sequence[str]) -> Condition:
    tests = [test for value in values for test in _tests(kind, mirror, name, "=", value, name)]
    return Condition(
        text=f"{name}={','.join(values)}",
        fixed=find_path(kind, name, name).steps[0] in FIXED,
        holds=_any(tests),
        index=_index(kind, mirror, name, values),
    )


def _index(kind: type[Resource], mirror: Mirror, name: str, values: Sequence[str]) -> tuple[str, str] | None:
    """The mirror's index for a field that equals one value, where there is one."""
    if len(values) != 1 or not values[0]:
        return None
    path = find_path(kind, name, name)
    index = _INDEXED.get(path.steps)
    if index is None or (index == "node" and kind not in (VM, Volume)):
        return None
    return index, _resolved(path, values[0], mirror)


def _expression(kind: type[Resource], mirror: Mirror, text: str) -> Iterable[Condition]:
    place = 0
    while place < len(text.rstrip()):
        match = _CONDITION.match(text, place)
        if match is None:
            raise Invalid(
                "filter", text[place:], "a condition", hint="Like status.phase=running,spec.cpus>=4,name~web."
            )
        place = match.end()
        name, operator, value = match[1], match[2], match[3]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        tests = _tests(kind, mirror, name, operator, value, "filter")
        yield Condition(
            text=f"{name}{operator}{value}",
            fixed=find_path(kind, name, "filter").steps[0] in FIXED,
            holds=_all(tests) if operator == "!=" else _any(tests),
        )


def _anything(_: Resource) -> bool:
    return True


def _any(tests: Sequence[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda resource: any(test(resource) for test in tests)


def _all(tests: Sequence[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda resource: all(test(resource) for test in tests)


def _label(text: str) -> Condition:
    match = _LABEL.fullmatch(text)
    if match is None:
        raise Invalid("label", text, "a label selector", hint="Like env=prod, env!=prod or env.")
    key, operator, value = match[1].strip(), match[2], match[3]
    holds: Test
    if operator is None:
        holds = lambda resource: key in resource.labels  # noqa: E731
    elif operator == "=":
        holds = lambda resource: resource.labels.get(key) == value  # noqa: E731
    else:
        holds = lambda resource: resource.labels.get(key) != value  # noqa: E731
    index = ("label", f"{key}={value}") if operator == "=" else None
    return Condition(text=f"label:{text}", fixed=False, holds=holds, index=index)


def _tests(
    kind: type[Resource], mirror: Mirror, name: str, operator: str, value: str, field: str
) -> Sequence[Test]:
    """The test for one value; two where a pointer is meant: to that id, or to that name."""
    path = find_path(kind, name, field)
    if isinstance(path.leaf, inspect.StructType):  # a Ref: `target=web-1`
        return [
            _test(find_path(kind, f"{name}.{end}", field), operator, value, field) for end in ("id", "name")
        ]
    return [_test(path, operator, _resolved(path, value, mirror), field)]


def _resolved(path: Path, value: str, mirror: Mirror) -> str:
    """The id where the field is a pointer and the caller wrote a name."""
    kind = KINDS.get(_REFERS.get(path.steps[-1], ""))
    if kind is None or not value or path.steps[0] not in ("spec", "status"):
        return value
    try:
        return mirror.find(kind, value).id
    except CorralError:
        return value  # nothing has it: nothing matches


def _test(path: Path, operator: str, text: str, field: str) -> Test:
    get = path.get
    if operator == "~":
        needle = text.lower()
        return lambda resource: needle in str(get(resource) or "").lower()
    wanted = _value(path, text, field)
    if operator == "=":
        return (lambda r: get(r) == wanted) if text else (lambda r: get(r) in (None, ""))
    if operator == "!=":
        return (lambda r: get(r) != wanted) if text else (lambda r: get(r) not in (None, ""))
    if isinstance(wanted, bool):
        raise Invalid(field, text, f"something that can be compared by {operator}")
    return _compare(path, operator, wanted)


def _compare(path: Path, operator: str, wanted: str | int | float) -> Test:
    get = path.get

    def holds(resource: Resource) -> bool:
        value = get(resource)
        if value is None or isinstance(value, str) is not isinstance(wanted, str):
            return False
        match operator:
            case "<":
                return bool(value < wanted)  # type: ignore[operator]
            case "<=":
                return bool(value <= wanted)  # type: ignore[operator]
            case ">":
                return bool(value > wanted)  # type: ignore[operator]
        return bool(value >= wanted)  # type: ignore[operator]

    return holds


def _value(path: Path, text: str, field: str) -> str | int | float | bool:
    """The text as what the field holds. raises Invalid"""
    if not text:
        return ""
    for shape in options(path.shape):
        try:
            match shape:
                case inspect.BoolType() if text.lower() in ("true", "false"):
                    return text.lower() == "true"
                case inspect.IntType():
                    return (
                        parse_size(text, field)
                        if path.steps[-1].endswith("_bytes") and text != "0"
                        else int(text)
                    )
                case inspect.FloatType():
                    return float(text)
                case inspect.EnumType() if text in [str(member.value) for member in shape.cls]:
                    return text
                case inspect.StrType():
                    return text
        except ValueError:
            continue
    raise Invalid(field, text, say(path.shape), hint=f"{path.text} holds {say(path.shape)}.")
