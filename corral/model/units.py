"""Units: `4GiB` for people, integers in bytes for everything else."""

import re
from collections.abc import Iterable
from typing import Final

from corral.errors import Invalid

KiB: Final = 1024
MiB: Final = 1024**2
GiB: Final = 1024**3
TiB: Final = 1024**4
FACTORS: Final = {
    "": 1, "B": 1, "K": KiB, "KiB": KiB, "M": MiB, "MiB": MiB, "G": GiB, "GiB": GiB, "T": TiB, "TiB": TiB,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def parse_size(text: str | int, field: str = "size") -> int:
    """Bytes in `text`: an integer, or a number with K, M, G, T, KiB … TiB (1024) or kB … TB (1000).

    raises  Invalid: not a size, or not a whole number of bytes above 0
    """
    match = SIZE.fullmatch(str(text))
    factor = FACTORS.get(match[2]) if match else None
    if match is None or factor is None:
        raise Invalid(field, text, "a size", hint="Write it like 4GiB, 512MiB or 1073741824.")
    size = float(match[1]) * factor if "." in match[1] else int(match[1]) * factor
    if size <= 0 or size != int(size):
        raise Invalid(field, text, "a whole number of bytes above 0")
    return int(size)


def format_size(size_bytes: float) -> str:
    """`size_bytes` for people, in the largest unit that keeps it at 1 or more: 1.5 GiB."""
    for unit, factor in (("TiB", TiB), ("GiB", GiB), ("MiB", MiB), ("KiB", KiB)):
        if abs(size_bytes) >= factor:
            return f"{size_bytes / factor:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size_bytes:.0f} B"


def exact_size(size_bytes: int) -> str:
    """A size as people write it, without rounding: 4GiB, 1536MiB, 5000B."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % FACTORS[unit] == 0:
            return f"{size_bytes // FACTORS[unit]}{unit}"
    return f"{size_bytes}B"


def members(text: str) -> frozenset[int]:
    """Numbers in a set written like 0-3,8; nothing in an empty text."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def cpu_set(numbers: Iterable[int]) -> str:
    """Numbers as members() reads them: 0-3,8."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)
