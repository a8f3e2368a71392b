"""Sizes: what people may write, and what is refused."""

import pytest

from corral.errors import Invalid
from corral.model.units import GiB, KiB, MiB, TiB, format_size, parse_size

SIZES = [  # name, text, bytes
    ("a plain integer is bytes", 1073741824, GiB),
    ("digits alone are bytes", "512", 512),
    ("B is bytes", "512B", 512),
    ("K is 1024", "4K", 4 * KiB),
    ("KiB is 1024", "4KiB", 4 * KiB),
    ("kB is 1000", "4kB", 4000),
    ("MB is 1000 squared", "4MB", 4_000_000),
    ("MiB is 1024 squared", "512MiB", 512 * MiB),
    ("G is GiB", "4G", 4 * GiB),
    ("T is TiB", "2T", 2 * TiB),
    ("space before the unit", " 4 GiB ", 4 * GiB),
    ("a fraction that is whole in bytes", "1.5GiB", 3 * GiB // 2),
    ("integers beyond 2^53 stay exact", "9007199254740993", 9007199254740993),
]


@pytest.mark.parametrize(("text", "size_bytes"), [pytest.param(*row[1:], id=row[0]) for row in SIZES])
def test_parse_size(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


REFUSED = [  # name, text
    ("nothing", ""),
    ("no number", "GiB"),
    ("unknown unit", "4XB"),
    ("unit in the wrong case", "4gib"),
    ("negative", "-4GiB"),
    ("zero", "0"),
    ("a fraction of a byte", "1.5"),
    ("a fraction of a byte, with unit", "0.0001KiB"),
    ("two numbers", "4 4GiB"),
    ("exponent", "1e9"),
    ("hexadecimal", "0x10"),
]


@pytest.mark.parametrize("text", [pytest.param(row[1], id=row[0]) for row in REFUSED])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_size(text, field="memory")
    assert caught.value.context["field"] == "memory"


FORMATTED = [  # name, bytes, text
    ("bytes below one KiB", 512, "512 B"),
    ("whole units have no fraction", 4 * GiB, "4 GiB"),
    ("one decimal", 3 * GiB // 2, "1.5 GiB"),
    ("just below the next unit", GiB - 1, "1024 MiB"),
    ("nothing", 0, "0 B"),
    ("negative", -2 * MiB, "-2 MiB"),
]


@pytest.mark.parametrize(("size_bytes", "text"), [pytest.param(*row[1:], id=row[0]) for row in FORMATTED])
def test_format_size(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize("size_bytes", [1, 1023, KiB, 512 * MiB, GiB, 10 * TiB])
def test_what_is_formatted_whole_parses_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes
