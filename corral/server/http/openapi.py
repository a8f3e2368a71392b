"""OpenAPI: the API's description for programs and for people, made from the routes themselves.

In this room   describe(), the OpenAPI 3.1 document
Comes in       the application's routes with what they say of themselves (about.py); the structs' JSON schemas
Goes out       paths, schemas, examples, problems, security
Always true    a route that exists is described, and nothing else is
Next door      routes/docs.py serves it and a page to read it with
Start here     describe()
source         spec.openapis.org/oas/v3.1.0
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

import msgspec
from litestar import Litestar
from litestar.handlers import BaseRouteHandler, WebsocketRouteHandler
from litestar.routes import HTTPRoute, WebSocketRoute
from msgspec import Struct

from corral import __version__
from corral.errors import CorralError, Forbidden, Invalid, Unauthenticated
from corral.model.resource import KINDS, Resource
from corral.model.token import Role
from corral.server.http.about import About, Parameter
from corral.server.http.answers import JSON
from corral.server.http.bodies import BODY_BYTES_MAX
from corral.server.http.pages import Page
from corral.server.http.problems import PROBLEM_JSON, Malformed, Problem, TooLarge, problem_of, title_of
from corral.server.http.watching import HEARTBEAT_S

Document = dict[str, Any]  # JSON, as the specification has it
REF: Final = "#/components/schemas/{name}"
OMITS_DEFAULTS: Final = "x-omits-defaults"  # a field that is as its default says is left out of answers
INTRODUCTION: Final = f"""One API over all nodes, VMs, images, volumes, pools and networks.

- **Tokens.** Send `Authorization: Bearer corral_…`. Viewers read, operators change, admins also manage tokens and nodes.
- **Sessions.** `POST /api/v1/session` changes a token into a cookie, for browsers. With it, changes come from the
  server's own pages only.
- **Changes** are answered with 202 and an *Operation*: follow it with `GET /api/v1/operations/{{op}}` or a watch. Send
  `dry_run=true` to try, `If-Match` to refuse a race, `Idempotency-Key` to repeat safely.
- **Lists** come in pages, in order of creation: `limit`, `cursor` (or `offset`), `sort`, `fields`, `label`, `filter`, `phase=running`.
- **Watches** (`watch=true`, `/api/v1/watch`) are server-sent events `put`, `remove`, `bookmark`; the id of each is a
  revision. `Last-Event-ID` or `since` goes on from there. Something is sent at least every {HEARTBEAT_S:g} s.
- **Errors** are problem details (RFC 9457): `code` for programs, `detail` and `hint` for people, `request_id` for the log.
- **Sizes** are bytes, or texts like `4GiB`; times are Unix time in seconds. JSON bodies may have {BODY_BYTES_MAX >> 20} MiB.
"""


def describe(app: Litestar) -> Document:
    """The whole API as one OpenAPI 3.1 document."""
    found = [(path, method, handler) for path, method, handler in routes_of(app)]
    schemas = _schemas([_about(handler) for _, _, handler in found])
    paths: dict[str, Document] = {}
    for path, method, handler in found:
        paths.setdefault(path, {})[method] = _operation(path, method, handler)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Corral",
            "version": __version__,
            "summary": "Central control of KVM hosts",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in _tags(_about(handler).tag for _, _, handler in found)],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token."}
            },
        },
    }


def _tags(used: Iterable[str]) -> list[str]:
    """In the order in which people meet them; those that are not listed here come after, as they come."""
    known = (
        "Session",
        "Overview",
        "VMs",
        "Nodes",
        "Images",
        "Volumes",
        "Pools",
        "Networks",
        "Profiles",
        "Policies",
        "Groups",
        "Rebalancing",
        "Operations",
        "Events",
        "Changes",
        "Tokens",
    )
    used = dict.fromkeys(used)
    return [*(tag for tag in known if tag in used), *(tag for tag in used if tag not in known)]


def routes_of(app: Litestar) -> Iterator[tuple[str, str, BaseRouteHandler]]:
    """Each path template, method in lower case and handler. A WebSocket counts as a GET, which it begins as."""
    for route in app.routes:
        path = route.path_format
        if isinstance(route, WebSocketRoute):
            yield path, "get", route.route_handler
        elif isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in sorted(handler.http_methods):
                    if method != "OPTIONS" and not _about(handler).hidden:
                        yield path, method.lower(), handler


def _about(handler: BaseRouteHandler) -> About:
    found = handler.opt.get("about")
    return found if isinstance(found, About) else About(tag="Other")


def _operation(path: str, method: str, handler: BaseRouteHandler) -> Document:
    about = _about(handler)
    summary, _, rest = (inspect.getdoc(handler.fn) or "").partition("\n")
    public = handler.opt.get("public") is True
    operation: Document = {
        "operationId": handler.name or handler.fn.__name__,
        "tags": [about.tag],
        "summary": summary,
        "description": " ".join([rest.strip(), *([] if public else [_who(about, method)])]).strip(),
        "parameters": [*_in_path(path), *map(_parameter, about.parameters)],
        "responses": {**_answers(handler, about), **_refusals(path, about, public)},
    }
    if public:
        operation["security"] = []
    if about.upload:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    elif about.body is not None:
        operation["requestBody"] = _body(about)
    return operation


def _who(about: About, method: str) -> str:
    role = about.role or (Role.VIEWER if method == "get" else Role.OPERATOR)
    return f"Needs a token with the role {role}{' or above' if role is not Role.ADMIN else ''}."


def _body(about: About) -> Document:
    assert about.body is not None
    examples = {name: {"summary": name, "value": value} for name, value in about.examples.items()}
    return {
        "required": True,
        "content": {"application/json": {"schema": _ref(about.body), "examples": examples}},
    }


def _in_path(path: str) -> Iterator[Document]:
    for part in path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}").partition(":")[0]
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": "Id or name.",
            }


def _parameter(parameter: Parameter) -> Document:
    schema: Document = {"type": parameter.type}
    document: Document = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.text,
        "schema": {"type": "array", "items": schema} if parameter.many else schema,
    }
    if parameter.example is not None:
        document["example"] = [parameter.example] if parameter.many else parameter.example
    return document


def _answers(handler: BaseRouteHandler, about: About) -> Document:
    if isinstance(handler, WebsocketRouteHandler):
        return {"101": {"description": "The WebSocket is open."}}
    content: Document = {}
    if about.answers is not None:
        content[about.media_type] = {
            "schema": _list_of(about) if about.answers is Page else _ref(about.answers)
        }
    elif about.media_type != JSON:
        content[about.media_type] = {"schema": {"type": "string", "format": "binary"}}
    if about.stream is not None:
        content["text/event-stream"] = {
            "schema": {
                "type": "string",
                "description": _events(about.stream),
            }
        }
    answer: Document = {"description": "Accepted: follow the operation." if about.status == 202 else "Done."}
    if content:
        answer["content"] = content
    return {str(about.status): answer}


def _events(kind: Any) -> str:
    if issubclass(kind, Resource):
        return "Events put and remove, each with a resource as JSON in data."
    return f"Events, each with {kind.__name__} (see the schemas) as JSON in data."


def _list_of(about: About) -> Document:
    return {
        "type": "object",
        "required": ["items", "next", "revision", "total"],
        "properties": {
            "items": {"type": "array", "items": _ref(about.stream)},
            "next": {
                "type": ["string", "null"],
                "description": "Cursor of the next page; null: there is none.",
            },
            "revision": {"type": "integer", "description": "Watch from here."},
            "total": {"type": "integer", "description": "How many match, on all pages."},
        },
    }


def _refusals(path: str, about: About, public: bool) -> Document:
    """Problems by status, each with an example."""
    errors: dict[type[CorralError], None] = dict.fromkeys(about.errors)
    if about.body is not None:
        errors |= dict.fromkeys((Malformed, Invalid, TooLarge))
    if not public:
        errors |= dict.fromkeys((Unauthenticated, Forbidden))
    by_status: dict[int, list[type[CorralError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    return {str(status): _problem(kinds) for status, kinds in sorted(by_status.items())}


def _problem(kinds: Iterable[type[CorralError]]) -> Document:
    kinds = list(kinds)
    examples = {kind.code: {"summary": title_of(kind), "value": _example(kind)} for kind in kinds}
    return {
        "description": "; ".join(f"`{kind.code}`: {title_of(kind)}" for kind in kinds),
        "content": {PROBLEM_JSON: {"schema": _ref(Problem), "examples": examples}},
    }


def _example(kind: type[CorralError]) -> Document:
    error = kind.__new__(kind)
    CorralError.__init__(error, title_of(kind))
    document: Document = msgspec.to_builtins(problem_of(error))
    return {key: value for key, value in document.items() if value not in ("", {})}


def _ref(kind: Any) -> Document:
    if kind is Resource:
        return {"oneOf": [{"$ref": REF.format(name=name)} for name in KINDS]}
    if len(kinds := _parts(kind)) > 1:
        return {"oneOf": [_ref(part) for part in kinds]}
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return schema


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types of a union, which msgspec does not describe; else the type itself."""
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _schemas(abouts: Iterable[About]) -> Mapping[str, Document]:
    """Every struct that some route takes or answers with, and what those are made of."""
    kinds: dict[Any, None] = {Problem: None}
    for about in abouts:
        for kind in (about.body, about.answers, about.stream):
            if kind is not None and kind is not Page and kind is not Resource:
                kinds |= dict.fromkeys(_parts(kind))
    schemas: dict[str, Document] = msgspec.json.schema_components(list(kinds), ref_template=REF)[1]
    for struct in _structs(kinds):
        if struct.__struct_config__.omit_defaults and struct.__name__ in schemas:
            schemas[struct.__name__][OMITS_DEFAULTS] = True
    return schemas


def _structs(kinds: Iterable[Any]) -> set[type[Struct]]:
    """These and all that they are made of."""
    found: set[type[Struct]] = set()
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, Struct) and kind not in found:
            found.add(kind)
            waiting += get_type_hints(kind).values()
    return found
