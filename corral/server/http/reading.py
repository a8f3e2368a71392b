"""Reading: the routes that every kind has alike: one by id or name, a list, a stream of changes.

In this room   reading(), which makes a kind's two routes
Comes in       a kind; requests
Goes out       handlers for routes/NOUN.py; answers with ETags, pages, streams
Always true    reads are answered from the mirror; `?consistent=true` lets it catch up first
Next door      pages.py, watching.py, present.py
Start here     reading()
"""

import re
from typing import Final

from litestar import get
from litestar.handlers import HTTPRouteHandler

from corral.errors import Invalid
from corral.model.resource import Resource
from corral.model.token import Role
from corral.server.http.about import CONSISTENT, PROJECT, Parameter, about
from corral.server.http.answers import Answer, Flow, to_json
from corral.server.http.api import Api, api_of
from corral.server.http.pages import LIMIT_MAX, Page, page
from corral.server.http.paths import find_path, select_fields
from corral.server.http.present import VISIBLE, alone, in_lists
from corral.server.http.queries import ApiRequest, Query, filter_of, list_ask
from corral.server.http.watching import Watch
from corral.store.interface import Compacted

STREAM_HEADERS: Final = (("cache-control", "no-store"), ("x-accel-buffering", "no"))
LISTING: Final = (
    Parameter(name="limit", type="integer", example=100, text=f"How many at most, 1 to {LIMIT_MAX}."),
    Parameter(name="cursor", text="`next` of the page before."),
    Parameter(
        name="offset",
        type="integer",
        text="Leave out so many rows at the beginning, instead of a cursor: to jump. Reading all by offset may miss or "
        "repeat what comes and goes meanwhile; by cursor it does not.",
    ),
    Parameter(name="sort", example="-created_at", text="Field to sort by; - in front: descending."),
    Parameter(
        name="fields",
        example="name,status.phase",
        text="Only these fields, between commas; the id always comes.",
    ),
    Parameter(
        name="label",
        many=True,
        example="env=prod",
        text="`env=prod`, `env!=prod`, or `env` (has that label).",
    ),
    Parameter(
        name="filter",
        example="status.phase=running",
        text="Conditions between commas that all have to hold: = != < <= > >= and ~ (contains). "
        "Any field is also a parameter by itself: `phase=running&node=node1`.",
    ),
    CONSISTENT,
    Parameter(
        name="watch", type="boolean", text="Answer with a stream of changes instead (server-sent events)."
    ),
    Parameter(
        name="since", type="integer", text="With watch: from behind this revision. So does Last-Event-ID."
    ),
)


def reading(
    kind: type[Resource], *, tag: str, base: str = "", parameter: str = "", role: Role = Role.VIEWER
) -> list[HTTPRouteHandler]:
    """GET of a list and of one resource of this kind.

    base        path of the list; "": /PLURAL
    parameter   name of the path parameter
    role        that may see the kind
    """
    VISIBLE[kind] = role
    plural = kind.PLURAL.replace("-", " ").replace("vms", "VMs")
    base, word = base or f"/{kind.PLURAL}", parameter or kind.PREFIX

    async def list_resources(request: ApiRequest) -> Answer:
        query = Query(request, None)
        return await (
            answer_stream(request, kind, query) if query.flag("watch") else answer_list(request, kind, query)
        )

    async def get_resource(request: ApiRequest) -> Answer:
        return await answer_one(request, kind, request.path_params[word])

    list_resources.__doc__ = f"""List {plural}, or watch them change.

    In order of creation, in pages. `watch=true` answers with server-sent events instead: `put` and `remove` carry
    the resource, `bookmark` a revision to go on from; the id of each event is its revision."""
    get_resource.__doc__ = f"Show one of the {plural} by id or name.\n\nIts ETag is its revision."
    return [
        get(
            base,
            name=f"list-{kind.PLURAL}",
            **about(
                tag, role=role, answers=Page, parameters=LISTING, stream=kind, errors=(Invalid, Compacted)
            ),
        )(list_resources),
        get(
            f"{base}/{{{word}:str}}",
            name=f"get-{kind.PLURAL}",
            **about(tag, role=role, answers=kind, parameters=(CONSISTENT, PROJECT, LISTING[3])),
        )(get_resource),
    ]


async def answer_list(request: ApiRequest, kind: type[Resource], query: Query) -> Answer:
    api = api_of(request)
    if query.flag("consistent"):
        await api.core.read_barrier()
    ask = list_ask(query, kind, api.mirror)
    return Answer(200, to_json(await page(kind, ask, api.mirror, api.orders, api.clock, in_lists)))


async def answer_one(request: ApiRequest, kind: type[Resource], name: str) -> Answer:
    api, query = api_of(request), Query(request, ("consistent", "project", "fields"))
    if query.flag("consistent"):
        await api.core.read_barrier()
    resource = api.mirror.find(kind, name, query.text("project", "default"))
    etag = ("etag", f'"{resource.revision}"')
    if _unchanged(request.headers.get("if-none-match", ""), resource.revision):
        return Answer(304, headers=[etag])
    shown = alone(resource, request.user.role)
    if names := [name.strip() for name in query.text("fields").split(",") if name.strip()]:
        return Answer(
            200, to_json(select_fields(shown, tuple(find_path(kind, n) for n in names))), headers=[etag]
        )
    return Answer(200, to_json(shown), headers=[etag, ("vary", "authorization, cookie")])


async def answer_stream(request: ApiRequest, kind: type[Resource], query: Query) -> Flow:
    api = api_of(request)
    watch = Watch(kinds=(kind,), filter=filter_of(query, kind, api.mirror))
    return stream(request, api, watch, query)


def stream(request: ApiRequest, api: Api, watch: Watch, query: Query) -> Flow:
    """Raises Invalid, Compacted: before the stream begins, so as a problem"""
    since = api.watches.start(_since(request, query))
    frames = api.watches.stream(watch, since, request.user)
    return Flow(frames, "text/event-stream", STREAM_HEADERS)


def _since(request: ApiRequest, query: Query) -> int | None:
    """Last-Event-ID is the later word: a browser sends it when it connects again to the same address."""
    text = request.headers.get("last-event-id", "") or query.text("since")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,18}", text):
        raise Invalid("since", text, "a revision")
    return int(text)


def _unchanged(header: str, revision: int) -> bool:
    return any(tag.strip() in (f'"{revision}"', f'W/"{revision}"') for tag in header.split(",") if tag)
