"""Edge: around the application, for every request alike.

In this room   Edge: request ids, the access log, figures, and the last net under bugs
Comes in       ASGI scopes
Goes out       the same to the application; X-Request-Id in every answer; one log line a request
Always true    an exception that nobody caught becomes a problem with a request id, and a stack trace in the log
Next door      app.py puts it around the framework; problems.py
Start here     Edge.__call__()
"""

import logging
import re
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from corral.clock import Clock, new_id
from corral.server.http.metrics import Metrics
from corral.server.http.problems import answer_problem
from corral.server.log import REQUEST_ID

log = logging.getLogger("corral.http")
REQUEST_ID_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by machines


class Edge:
    """The outermost layer of the API."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: Metrics) -> None:
        self.app, self.clock, self.metrics = app, clock, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        call = _Call(scope, send, self.clock)
        reset = REQUEST_ID.set(call.request_id)
        try:
            await self.app(scope, receive, call.send)
        except Exception as error:
            if not call.gone:
                log.exception("request failed", extra={"path": scope["path"]})
                await call.fail(error, receive)
        finally:
            self._note(call)
            REQUEST_ID.reset(reset)

    def _note(self, call: "_Call") -> None:
        scope, seconds = call.scope, self.clock.monotonic_s() - call.started_s
        method = str(scope.get("method", "WEBSOCKET"))
        route = str(scope.get("path_template") or "(none)")  # a template: there are only so many
        self.metrics.note(method, route, call.status, seconds, stream=call.stream)
        user = scope.get("user")
        log.log(
            logging.DEBUG if scope["path"] in QUIET and call.status < 400 else logging.INFO,
            "%s %s %d",
            method,
            scope["path"],
            call.status,
            extra={
                "method": method,
                "path": scope["path"],
                "status": call.status,
                "ms": round(seconds * 1000, 2),
                "bytes": call.sent_bytes,
                "token": getattr(user, "name", ""),
                "client": (scope.get("client") or ("",))[0],
            },
        )


class _Call:
    """One request, as seen from outside."""

    def __init__(self, scope: Scope, send: Send, clock: Clock) -> None:
        self.scope, self._send = scope, send
        self.started_s = clock.monotonic_s()
        self.request_id = _given(scope) or new_id("req", clock)
        self.status, self.sent_bytes = 0, 0
        self.stream = scope["type"] == ScopeType.WEBSOCKET
        self.begun = False  # an answer is on its way
        self.gone = False  # the client has left

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._start(message)
            case "websocket.accept":
                self.begun, self.status = True, 101
            case "websocket.close" if not self.begun:
                await self._refuse_websocket(message)
                return
            case "http.response.body":
                self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def fail(self, error: Exception, receive: Receive) -> None:
        """Tell what can be told still. Of an answer that has begun, only its end can be cut off."""
        if self.begun:
            self.status = 500
            raise error
        if self.scope["type"] == ScopeType.WEBSOCKET:
            await self._refuse_websocket({"type": "websocket.close", "code": 1011, "reason": "internal"})
        else:
            await answer_problem(error)(self.scope, receive, self.send)

    def _start(self, message: Message) -> None:
        assert message["type"] == "http.response.start"
        self.begun, self.status = True, message["status"]
        headers = list(message.get("headers", ()))
        self.stream = any(n == b"content-type" and v.startswith(b"text/event-stream") for n, v in headers)
        message["headers"] = [*headers, (b"x-request-id", self.request_id.encode()), NO_SNIFFING]

    async def _refuse_websocket(self, message: Message) -> None:
        """Answer with a problem where the server can, so that the caller learns why."""
        error = self.scope["state"].get("corral_error") if "state" in self.scope else None
        answer = answer_problem(error or RuntimeError())
        self.begun, self.status = True, answer.status
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self._send(message)
            return
        headers = [*answer.headers, (b"x-request-id", self.request_id.encode())]
        await self._send(
            {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
        )
        await self._send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})


def _given(scope: Scope) -> str:
    """The caller's own request id, where it is one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if REQUEST_ID_FORM.fullmatch(text) else ""
    return ""
