"""Table: rows for people. Written by hand: importing rich costs more than the whole request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.cli.parts.words import COLOUR, coloured

GAP: Final = "  "


@dataclass(frozen=True)
class Column:
    header: str
    text: Callable[[Any], str]
    wide: bool = False  # with -o wide only
    right: bool = False  # numbers
    phase: bool = False  # coloured by its word


def render(columns: Sequence[Column], items: Sequence[object], *, colour: bool) -> str:
    """Lines of equal columns; the last one is not padded."""
    rows = [[c.header for c in columns], *([_one_line(c.text(item)) for c in columns] for item in items)]
    widths = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(_line(columns, row, widths, colour and number > 0) for number, row in enumerate(rows))


def render_pairs(pairs: Sequence[tuple[str, str]], *, colour: bool) -> str:
    """Names and values, one a line; the value's further lines stand below its first."""
    widest = max((len(name) for name, _ in pairs), default=0) + 1
    lines = []
    for name, value in pairs:
        shown = coloured(value, COLOUR.get(value, "")) if colour else value
        first, *more = shown.splitlines() or [""]
        lines.append(f"{name + ':':<{widest}}  {first}".rstrip())
        lines.extend(" " * (widest + 2) + line for line in more)
    return "\n".join(lines)


def width(text: str) -> int:
    """Cells on a terminal: Chinese characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], colour: bool) -> str:
    cells = []
    for column, text, wide in zip(columns, row, widths, strict=True):
        padding = " " * (wide - width(text))
        shown = coloured(text, COLOUR.get(text, "")) if colour and column.phase else text
        cells.append(padding + shown if column.right else shown + padding)
    return GAP.join(cells).rstrip()


def _one_line(text: str) -> str:
    """Without what could break the row or steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
