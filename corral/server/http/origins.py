"""Origins: which web pages may open a WebSocket here, or change something with a cookie alone.

Always true    browsers say where a page is from, and let any page open a WebSocket anywhere: what has an Origin that
               is neither the server's own nor allowed is refused. Other programs send none.
source         RFC 6455, section 10.2; RFC 6454; w3c.github.io/webappsec-fetch-metadata
Start here     check_origin(), check_page()
"""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from corral.errors import Forbidden

PORTS: Final = {"http": 80, "https": 443}


class BadOrigin(Forbidden):
    """A web page of another site must not do this here."""

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


def check_page(headers: Mapping[str, str], allowed: Collection[str], *, cookie: bool) -> None:
    """For requests that change something: they come from our own pages, or from what is allowed.

    A browser says so in Sec-Fetch-Site (only where the way here is safe: TLS, or loopback), and in Origin.

    cookie   whether only a cookie vouches for the request: a browser adds that by itself, so a request that says
             nothing of its page is refused
    raises   BadOrigin
    """
    site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
    if site == "same-origin" or (origin and origin in allowed):
        return
    if site and site != "none":
        raise _foreign(origin or f"another site ({site})")
    if origin:
        if not is_own(origin, headers.get("host", "")):
            raise _foreign(origin)
    elif cookie:
        raise BadOrigin(
            "the request does not say from which page it comes",
            hint="With a session, changes come from the server's own pages. Programs send a token instead: "
            "`Authorization: Bearer corral_…`.",
        )


def _foreign(origin: str) -> BadOrigin:
    return BadOrigin(
        f"a page of {origin[:100]} must not do this here",
        hint="Only the server's own pages may, under the address that the browser shows. "
        "`corral server run --origin URL` allows another.",
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
