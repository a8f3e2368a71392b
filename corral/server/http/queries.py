"""Queries: what query parameters and headers say.

In this room   Query, which knows each parameter that a route takes; list_ask(), asking_of()
Comes in       requests
Goes out       ListAsk for lists, Asking for services
Always true    a parameter that a route does not know is refused: a mistyped filter must not show everything
Next door      filters.py, pages.py; services/asking.py
Start here     asking_of(), list_ask()
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection

from corral.errors import Invalid
from corral.model.resource import Resource
from corral.server.http.auth import Caller
from corral.server.http.filters import Filter, parse_filter
from corral.server.http.pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX, ListAsk
from corral.server.http.paths import find_path
from corral.server.log import REQUEST_ID
from corral.server.services.asking import Asking
from corral.store.mirror import Mirror

ApiRequest = Request[Caller, Any, Any]
FOR_LISTS: Final = (
    "limit",
    "cursor",
    "offset",
    "sort",
    "fields",
    "filter",
    "label",
    "watch",
    "since",
    "consistent",
)
_TAG: Final = re.compile(r'(?:W/)?"?(\d+)"?')
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Query:
    """The query of a request, parameter by parameter."""

    def __init__(self, request: ASGIConnection[Any, Any, Any, Any], known: Iterable[str] | None) -> None:
        """Known   names of the parameters; None: any name may be a field"""
        self.values: dict[str, list[str]] = dict(request.query_params.dict())
        if known is None:
            return
        known = tuple(known)
        for name, values in self.values.items():
            if name not in known:
                near = get_close_matches(name, known, 1)
                raise Invalid(
                    name,
                    values[0],
                    "a parameter of this request",
                    hint=(f"Did you mean {near[0]}? " if near else "")
                    + (f"It takes {', '.join(known)}." if known else "It takes none."),
                )

    def text(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def flag(self, name: str) -> bool:
        text = self.text(name, "false").lower()
        if text in ("true", "1", "yes", ""):
            return True
        if text in ("false", "0", "no"):
            return False
        raise Invalid(name, text, "true or false")

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"\d{1,18}", text) or not least <= int(text) <= most:
            raise Invalid(name, text, f"a whole number from {least} to {most}")
        return int(text)


def filter_of(query: Query, kind: type[Resource], mirror: Mirror) -> Filter:
    """Raises Invalid"""
    return parse_filter(
        kind,
        mirror,
        expression=",".join(query.values.get("filter", ())),
        labels=query.values.get("label", ()),
        fields={name: values for name, values in query.values.items() if name not in FOR_LISTS},
    )


def list_ask(query: Query, kind: type[Resource], mirror: Mirror) -> ListAsk:
    """Raises Invalid"""
    sort = query.text("sort", "id")
    if query.text("cursor") and query.text("offset"):
        raise Invalid(
            "offset",
            query.text("offset"),
            "left out where there is a cursor",
            hint="A cursor goes on behind a page; an offset jumps to a row.",
        )
    names = [
        name.strip() for text in query.values.get("fields", ()) for name in text.split(",") if name.strip()
    ]
    return ListAsk(
        filter=filter_of(query, kind, mirror),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        fields=tuple(find_path(kind, name) for name in names),
        limit=query.whole("limit", LIMIT_DEFAULT, 1, LIMIT_MAX),
        cursor=query.text("cursor"),
        offset=query.whole("offset", 0, 0, OFFSET_MAX),
    )


def asking_of(request: ApiRequest, body: bytes, query: Query) -> Asking:
    """Who asks for a change, and how. raises Invalid"""
    caller = request.user
    key = request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise Invalid("Idempotency-Key", key, "1 to 255 printable ASCII characters without spaces")
    return Asking(
        by=caller.name,
        role=caller.role,
        request_id=REQUEST_ID.get(),
        dry_run=query.flag("dry_run"),
        if_match=if_match(request.headers.get("if-match", "")),
        idempotency_key=key,
        fingerprint=fingerprint(request, body) if key else "",
    )


def if_match(header: str) -> int | None:
    """The revision in an If-Match header; `*` and nothing ask for none. raises Invalid"""
    if header.strip() in ("", "*"):
        return None
    match = _TAG.fullmatch(header.strip())
    if match is None:
        raise Invalid("If-Match", header, "the ETag of one resource", hint='Like If-Match: "42".')
    return int(match[1])


def fingerprint(request: ApiRequest, body: bytes) -> str:
    """The same for the same request, and for no other."""
    scope = request.scope
    head = b"\n".join((scope["method"].encode(), scope["path"].encode(), scope.get("query_string", b""), b""))
    return sha256(head + body).hexdigest()
