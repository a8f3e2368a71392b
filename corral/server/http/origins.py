"""Origins: which web pages may open a WebSocket here.

Always true    browsers say where a page is from, and let any page open a WebSocket anywhere: what has an Origin that
               is neither the server's own nor allowed is refused. Other programs send none.
source         RFC 6455, section 10.2; RFC 6454
Start here     check_origin()
"""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from corral.errors import Forbidden

PORTS: Final = {"http": 80, "https": 443}


class BadOrigin(Forbidden):
    """A web page of another site must not open a WebSocket here."""

    code = "auth.bad_origin"


def check_origin(headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raises  BadOrigin"""
    origin = headers.get("origin", "")
    if not origin or origin in allowed or is_own(origin, headers.get("host", "")):
        return
    raise BadOrigin(
        f"a page of {origin[:100]} must not open a console here",
        hint="`corral server run --origin URL` allows it.",
        origin=origin[:100],
    )


def is_own(origin: str, host: str) -> bool:
    """Whether the page came from the host and port that the request goes to, whichever way TLS is ended before us."""
    try:
        page = urlsplit(origin)
        there = urlsplit(f"//{host}")
        port = PORTS.get(page.scheme, 0)
        return bool(page.hostname) and (page.hostname, page.port or port) == (
            there.hostname,
            there.port or port,
        )
    except ValueError:  # a port that is no number
        return False
