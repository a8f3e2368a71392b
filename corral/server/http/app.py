"""App: the routes put together into one ASGI application.

In this room   build(): routes found, the guard put before them, errors turned into problems, the edge around it
Comes in       the server core
Goes out       HttpApi: an ASGI application, and how to end its streams
Always true    a module in routes/ is all that a new noun needs: its ROUTES are found by looking
Next door      serve.py runs it; auth.py guards; edge.py logs; site.py has the web console
Start here     build()
"""

import importlib
import logging
import pkgutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from corral.server.http import routes
from corral.server.http.answers import Answer
from corral.server.http.api import Api
from corral.server.http.auth import guard
from corral.server.http.bodies import BODY_BYTES_MAX
from corral.server.http.edge import Edge
from corral.server.http.ports import ApiCore
from corral.server.http.problems import answer_problem, problem_of
from corral.server.http.site import FOLDER, Site

log = logging.getLogger("corral.http")
BASE = "/api/v1"


class HttpApi:
    """The API as an ASGI application."""

    def __init__(self, core: ApiCore, origins: Collection[str] = (), console: Path = FOLDER) -> None:
        """`origins`   whose pages may open consoles and sign in, besides this server's own
        `console`   folder of the web console's files
        """
        self.api = Api(core)
        self.litestar = Litestar(
            route_handlers=api_routes(),
            guards=[guard],
            exception_handlers={Exception: _problem},
            after_exception=[_note_for_edge],
            request_max_body_size=BODY_BYTES_MAX,
            openapi_config=None,
            logging_config=None,
            state=State({"core": core, "api": self.api, "origins": frozenset(origins)}),
        )
        self.app: ASGIApp = Edge(Site(self.litestar, console), core.clock, self.api.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def close(self) -> None:
        """End streams and consoles; requests on their way may finish."""
        self.api.close()


def build(core: ApiCore, origins: Collection[str] = (), console: Path = FOLDER) -> HttpApi:
    return HttpApi(core, origins, console)


def api_routes() -> list[BaseRouteHandler | Router]:
    """All that can be asked for, as the framework takes it."""
    return [*find_routes("ROUTES_AT_ROOT"), Router(BASE, route_handlers=find_routes("ROUTES"))]


def find_routes(attribute: str) -> list[BaseRouteHandler]:
    """The handlers of all modules in routes/, in the order of the modules' names."""
    found: list[BaseRouteHandler] = []
    for module in sorted(pkgutil.iter_modules(routes.__path__), key=lambda m: m.name):
        handlers: Sequence[BaseRouteHandler] = getattr(
            importlib.import_module(f"{routes.__name__}.{module.name}"), attribute, ()
        )
        found.extend(handlers)
    return found


def _problem(_: Request[Any, Any, Any], error: Exception) -> Any:
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request failed", exc_info=error)
    return _Sendable(answer_problem(error))


class _Sendable:
    """What the framework takes for a response."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def to_asgi_response(self, *_: object, **__: object) -> Answer:
        return self.answer


async def _note_for_edge(error: Exception, scope: Scope) -> None:
    """The framework only closes a WebSocket; the edge tells the caller why."""
    scope.setdefault("state", {})["corral_error"] = error
