"""Bodies: JSON of a request into a request struct, or an error that names the field.

In this room   decode_body(): one struct, strictly; refused(): what msgspec found, in words for people
Comes in       bytes
Goes out       the struct; or request.malformed, or request.invalid with field, value and what was expected
Always true    unknown fields are refused, with the nearest known name as a hint
Next door      services/requests.py has the structs
Start here     decode_body()
"""

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from corral.errors import Invalid
from corral.server.http.problems import Malformed
from corral.server.http.shapes import names_in, say, shape_at, value_at

T = TypeVar("T", bound=Struct)
BODY_BYTES_MAX: Final = 1024 * 1024  # of JSON; uploads are streams without a limit
_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key in )?(?P<path>\$[^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(\.\.\.)\]")


class UnknownField(Invalid):
    """The body has a field that does not exist."""


class MissingField(Invalid):
    """The body lacks a field that is needed."""


@lru_cache(maxsize=256)
def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode_body(body: bytes, kind: type[T]) -> T:
    """Raises  Malformed: no JSON; Invalid: not what is wanted there"""
    body = body or b"{}"
    try:
        found: T = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise refused(str(error), _document(body), kind) from None
    except _NO_JSON as error:
        raise _malformed(error) from None
    return found


def _document(body: bytes) -> object:
    """The body, whatever it says. raises Malformed: its form is broken behind the first mistake in its content"""
    try:
        return msgspec.json.decode(body)
    except _NO_JSON as error:
        raise _malformed(error) from None


def _malformed(error: Exception) -> Malformed:
    return Malformed(f"the body is no JSON: {error}", hint="Send one JSON object in UTF-8.")


def refused(message: str, document: object, kind: type) -> Invalid:
    """Msgspec's message, with the field, its value and what would be right.

    message    like "Expected `int`, got `str` - at `$.disks[0].size`"
    document   the body, decoded
    """
    found = _AT.fullmatch(message)
    what, path = (found["what"], found["path"] or "$") if found else (message, "$")
    steps = steps_of(path, document)
    if name := re.search(r"unknown field `(.*)`", what):
        return _unknown(kind, steps, name[1], document)
    if name := re.search(r"missing required field `(.*)`", what):
        return _missing(kind, steps, name[1])
    shape = shape_at(kind, steps)
    expected = say(shape) if steps else "a JSON object"
    value = value_at(document, steps)
    return Invalid(
        field_name(steps) or "body", _shown(value), expected, hint="" if "Expected" in what else what + "."
    )


def steps_of(path: str, document: object) -> list[str | int]:
    """The steps of msgspec's `$.disks[0].size`. `[...]`, an entry of an object, ends it: its key isn't told."""
    steps: list[str | int] = []
    for match in _STEP.finditer(path):
        if match[3]:
            break
        steps.append(match[1] if match[1] is not None else int(match[2]))
    return steps


def field_name(steps: list[str | int]) -> str:
    """`disks[0].size`"""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")


def _unknown(kind: type, steps: list[str | int], name: str, document: object) -> Invalid:
    known = names_in(shape_at(kind, steps))
    near = get_close_matches(name, known, 1)
    error = UnknownField(
        field_name([*steps, name]),
        _shown(value_at(document, [*steps, name])),
        "a field that exists",
        hint=(f"Did you mean {near[0]}? " if near else "") + f"Known here: {', '.join(known)}.",
    )
    error.message = f"{field_name([*steps, name])} is no field of this request"
    return error


def _missing(kind: type, steps: list[str | int], name: str) -> Invalid:
    error = MissingField(
        field_name([*steps, name]), "", say(shape_at(kind, [*steps, name])), hint="The field is required."
    )
    error.message = f"{field_name([*steps, name])} is missing"
    return error


def _shown(value: object) -> str:
    return (
        ""
        if value is msgspec.UNSET
        else value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
    )
