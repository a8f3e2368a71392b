"""Routes of the API's description: the OpenAPI document, and a page to read it with that needs no network."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

from litestar import Request, get

from corral.server.http.about import about
from corral.server.http.answers import Answer, to_json
from corral.server.http.openapi import describe

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
HEADERS = (
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)


@get("/api/v1/openapi.json", public=True, **about("Documentation", answers=dict[str, Any]))
async def openapi(request: Request[Any, Any, Any]) -> Answer:
    """Show this description of the API as OpenAPI 3.1."""
    state = request.app.state
    if "openapi" not in state:
        state["openapi"] = to_json(describe(request.app))
    return Answer(200, state["openapi"], headers=(("cache-control", "no-cache"),))


@get("/api/docs", public=True, **about("Documentation", hidden=True))
async def docs_page() -> Answer:
    """Show the page that presents the description."""
    return _asset("docs.html")


@get("/api/docs/docs.js", public=True, **about("Documentation", hidden=True))
async def docs_script() -> Answer:
    """Its program."""
    return _asset("docs.js")


@get("/api/docs/docs.css", public=True, **about("Documentation", hidden=True))
async def docs_style() -> Answer:
    """Its looks."""
    return _asset("docs.css")


@lru_cache(maxsize=8)
def _asset(name: str) -> Answer:
    body = files("corral.server.http").joinpath("assets", name).read_bytes()
    return Answer(200, body, TYPES[name.rpartition(".")[2]], HEADERS)


ROUTES_AT_ROOT = [openapi, docs_page, docs_script, docs_style]
