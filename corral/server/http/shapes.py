"""Shapes: what is at a place in a document, by the types that it is made of.

In this room   shape_at(), the type at a path; fields_of(), the names there; how types are said to people
Comes in       msgspec structs, inspected once
Goes out       answers for error messages (bodies.py) and for filters and sorting (paths.py)
Start here     step_into()
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import inspect

Shape = inspect.Type
_WORDS: Final[dict[type[Shape], str]] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "a text",
    inspect.NoneType: "null",
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.VarTupleType: "a list",
    inspect.ListType: "a list",
}


@lru_cache(maxsize=256)
def shape_of(kind: type) -> Shape:
    return inspect.type_info(kind)


def options(shape: Shape) -> Sequence[Shape]:
    """What it can be, apart from null and from not given."""
    if isinstance(shape, inspect.UnionType):
        return [s for s in shape.types if not isinstance(s, (inspect.NoneType,))]
    return [shape]


def step_into(shape: Shape, step: str | int) -> Shape | None:
    """The type of a field, of an entry or of an item; None: there is no such thing."""
    for option in options(shape):
        if isinstance(option, inspect.StructType) and isinstance(step, str):
            for field in option.fields:
                if field.encode_name == step:
                    return field.type
        elif isinstance(option, inspect.DictType) and isinstance(step, str):
            return option.value_type
        elif isinstance(option, (inspect.VarTupleType, inspect.ListType)) and isinstance(step, int):
            return option.item_type
    return None


def shape_at(kind: type, steps: Sequence[str | int]) -> Shape | None:
    shape: Shape | None = shape_of(kind)
    for step in steps:
        if shape is None:
            return None
        shape = step_into(shape, step)
    return shape


def names_in(shape: Shape | None) -> list[str]:
    """Fields that an object of this type has."""
    if shape is None:
        return []
    return [f.encode_name for o in options(shape) if isinstance(o, inspect.StructType) for f in o.fields]


def say(shape: Shape | None) -> str:
    """The type in words: "a whole number or a text", "one of admin, operator, viewer"."""
    if shape is None:
        return "something else"
    words: dict[str, None] = {}
    for option in options(shape):
        if isinstance(option, inspect.EnumType):
            words["one of " + ", ".join(str(member.value) for member in option.cls)] = None
        else:
            words[_WORDS.get(type(option), "something else")] = None
    return " or ".join(words)


def value_at(document: object, steps: Sequence[str | int]) -> object:
    """What stands there in decoded JSON; UNSET: nothing."""
    for step in steps:
        match document, step:
            case dict(), str() if step in document:
                document = document[step]
            case list(), int() if step < len(document):
                document = document[step]
            case _:
                return msgspec.UNSET
    return document
