"""Words: times, sizes and phases as people read them."""

from collections.abc import Mapping
from typing import Final

GREEN, YELLOW, RED, DIM = "32", "33", "31", "2"  # SGR codes
COLOUR: Final = {
    **dict.fromkeys(("ready", "running", "succeeded"), GREEN),
    **dict.fromkeys(
        (
            "pending",
            "preparing",
            "starting",
            "migrating",
            "stopping",
            "creating",
            "joining",
            "importing",
            "cordoned",
            "warning",
        ),
        YELLOW,
    ),
    **dict.fromkeys(("failed", "lost", "unknown", "error"), RED),
    **dict.fromkeys(("stopped", "deleting", "cancelled", "paused", "trashed"), DIM),
}


def age(since: float, now_s: float | None = None) -> str:
    """How long ago, in the largest unit that makes sense: 45s, 12m, 5h, 30d."""
    if not since:
        return "-"
    if now_s is None:
        from corral.clock import SystemClock

        now_s = SystemClock().now_s()
    seconds = max(0.0, now_s - since)
    for unit, factor, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < until:
            return f"{int(seconds / factor)}{unit}"
    return f"{int(seconds / 86400)}d"


def moment(at: float | None) -> str:
    """A Unix time as a local one, to the second."""
    if not at:
        return "-"
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "-"


def yes(value: bool) -> str:
    return "yes" if value else "no"


def coloured(word: str, colour: str) -> str:
    return f"\033[{colour}m{word}\033[0m" if colour else word
