"""Site: the web console's files, and which address shows them.

In this room   Site, around the API: what is no address of the API is one of the console's
Comes in       GET and HEAD; the folder that `make ui` fills: index.html, assets/NAME-HASH.*, each with .br and .gz beside
Goes out       files as they are, compressed as the browser takes them; index.html for all other addresses, whose
               meaning the page's own router knows; everything else to the API
Always true    only files that were found in the folder are sent: an address is looked up, never made a path.
               What has a hash in its name never changes, so it is kept for a year; index.html is asked for each time.
Next door      app.py puts it between edge and framework
Start here     Site.__call__()
"""

from collections.abc import Iterator
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from corral.server.http.answers import Answer, takes
from corral.server.http.problems import NoRoute, answer_problem

FOLDER: Final = Path(__file__).parent / "console"
INDEX: Final = "index.html"
API: Final = ("/api", "/metrics", "/healthz", "/readyz")
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".woff": "font/woff",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}
CODINGS: Final = {"br": ".br", "gzip": ".gz"}  # the smaller one first
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # PatternFly and ECharts place things by inline styles
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
GUARDS: Final = (
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("cross-origin-opener-policy", "same-origin"),
)
FOR_A_YEAR: Final = ("cache-control", "public, max-age=31536000, immutable")
ASK_AGAIN: Final = ("cache-control", "no-cache")
UNBUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Corral</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em }</style>
<h1>Corral</h1>
<p>The server runs; its web console is not built. <code>make ui</code> builds it: reload this page then.</p>
<p>The API is described at <a href="/api/docs">/api/docs</a>.</p>
"""


class File(Struct, frozen=True, kw_only=True):
    """A file of the console, ready to send."""

    media_type: str
    etag: str
    codings: dict[str, bytes]  # its bytes by content coding; "" as it is

    def answer(self, scope: Scope, keep: tuple[str, str]) -> Answer:
        headers = [*GUARDS, keep, ("etag", self.etag), ("vary", "accept-encoding")]
        if self.etag in _header(scope, b"if-none-match"):
            return Answer(304, headers=headers)
        accepted = _header(scope, b"accept-encoding")
        coding = next((c for c in self.codings if c and takes(accepted, c)), "")
        if coding:
            headers.append(("content-encoding", coding))
        return Answer(200, self.codings[coding], self.media_type, headers)


class Site:
    """The web console, and behind it the API."""

    def __init__(self, api: ASGIApp, folder: Path = FOLDER) -> None:
        self.api, self.folder = api, folder
        self._files: dict[str, File] = {}  # by address
        self._seen = -1  # when index.html was written that the files belong to

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")
        if scope["type"] != ScopeType.HTTP or method not in ("GET", "HEAD") or _of_api(scope["path"]):
            await self.api(scope, receive, send)
            return
        answer = self.answer(scope)
        if method == "HEAD":
            answer.body = b""
        await answer(scope, receive, send)

    def answer(self, scope: Scope) -> Answer:
        self._renew()
        path = scope["path"]
        if path.startswith("/assets/"):
            scope["path_template"] = "/assets"
            file = self._files.get(path)
            return file.answer(scope, FOR_A_YEAR) if file else answer_problem(NoRoute(_no_asset(path)))
        scope["path_template"] = "/(console)"
        file = self._files.get(path) or self._files.get(f"/{INDEX}")
        return file.answer(scope, ASK_AGAIN) if file else _unbuilt()

    def _renew(self) -> None:
        """Read the folder again when it was built anew: a look at one file's date, 3 us."""
        try:
            written = (self.folder / INDEX).stat().st_mtime_ns
        except OSError:
            written = 0
        if written != self._seen:
            self._files = dict(_read(self.folder)) if written else {}
            self._seen = written


def _read(folder: Path) -> Iterator[tuple[str, File]]:
    """All files below the folder by their addresses."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES and path.is_file() and not path.is_symlink():
            body = path.read_bytes()
            beside = {coding: path.with_name(path.name + end) for coding, end in CODINGS.items()}
            codings = {coding: other.read_bytes() for coding, other in beside.items() if other.is_file()}
            etag = f'"{sha256(body).hexdigest()[:20]}"'
            file = File(media_type=TYPES[path.suffix], etag=etag, codings={**codings, "": body})
            yield f"/{path.relative_to(folder).as_posix()}", file


def _of_api(path: str) -> bool:
    return any(path == of or path.startswith(f"{of}/") for of in API)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _no_asset(path: str) -> str:
    return f"the console has no file {escape(path[:100])}: it may have been updated; reload the page"


def _unbuilt() -> Answer:
    return Answer(200, UNBUILT.encode(), TYPES[".html"], [*GUARDS, ASK_AGAIN])
