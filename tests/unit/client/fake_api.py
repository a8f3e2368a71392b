"""A tiny server that speaks the API's language, with faults on request. In one thread of the test's process."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from corral.model.resource import Resource

Reply = tuple[int, bytes]


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class FakeApi:
    """Resources by plural and name; the rest by hand."""

    resources: dict[str, dict[str, Resource]] = field(default_factory=dict)
    replies: dict[tuple[str, str], Callable[[Seen], Reply]] = field(
        default_factory=dict
    )  # by method and path
    streams: dict[str, deque[list[str]]] = field(
        default_factory=dict
    )  # by path: what each connection says, then ends
    hang_up: deque[str] = field(default_factory=deque)  # "before" or "after" carrying out the next requests
    unavailable: int = 0  # the next so many requests get 503
    seen: list[Seen] = field(default_factory=list)
    done: list[Seen] = field(default_factory=list)  # mutations carried out
    revision: int = 100
    page_size: int = 1000
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, *resources: Resource) -> "FakeApi":
        for resource in resources:
            self.resources.setdefault(type(resource).PLURAL, {})[resource.name] = resource
        return self

    def on(self, method: str, path: str, reply: Callable[[Seen], Reply] | Resource) -> None:
        """Answer like this; a resource: with 202 and itself."""
        answer = reply if callable(reply) else (lambda _: (202, msgspec.json.encode(reply)))
        self.replies[method, f"/api/v1{path}"] = answer

    def says(self, plural: str, *connections: list[str]) -> None:
        """What watchers of a kind get, connection by connection."""
        self.streams[f"/api/v1/{plural}"] = deque(connections)

    def find(self, plural: str, name: str) -> Resource | None:
        kind = self.resources.get(plural, {})
        return kind.get(name) or next((r for r in kind.values() if r.id == name), None)


def event(name: str, resource: Resource) -> str:
    data = msgspec.json.encode(resource).decode()
    return f"event: {name}\nid: {resource.revision}\ndata: {data}\n\n"


def problem(status: int, code: str, detail: str, hint: str = "", **context: str | int | float) -> Reply:
    body = {
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
        "context": context,
        "request_id": "req-7",
    }
    return status, json.dumps({**body, "title": "x", "type": "about:blank"}).encode()


@contextmanager
def serving(api: FakeApi) -> Iterator[FakeApi]:
    server = ThreadingHTTPServer(("127.0.0.1", api.port), _handler(api))
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._handle()

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            return

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            headers = {k.lower(): v for k, v in self.headers.items()}
            query = parse_qs(parts.query, keep_blank_values=True)
            seen = Seen(self.command, unquote(parts.path), query, headers, self.rfile.read(length))
            api.seen.append(seen)
            hang_up = api.hang_up.popleft() if api.hang_up else ""
            if hang_up == "before":
                return self._drop()
            if api.unavailable > 0:
                api.unavailable -= 1
                return self._send(*problem(503, "server.unavailable", "starting"))
            if "watch" in query:
                return self._stream(seen)
            reply = self._answer(seen)
            if hang_up == "after":
                return self._drop()
            return self._send(*reply)

        def _answer(self, seen: Seen) -> Reply:
            if seen.method != "GET":
                key = seen.headers.get("idempotency-key")
                if not any(d.headers.get("idempotency-key") == key for d in api.done):
                    api.done.append(seen)
            if made := api.replies.get((seen.method, seen.path)):
                return made(seen)
            _, _, _, plural, *rest = seen.path.split("/")
            if seen.method == "GET" and rest:
                found = api.find(plural, rest[0])
                return (
                    (200, msgspec.json.encode(found))
                    if found
                    else problem(
                        404,
                        "resource.not_found",
                        f"no {plural} is called {rest[0]}",
                        "Look at the list.",
                        name=rest[0],
                    )
                )
            if seen.method == "GET":
                return self._list(plural, seen)
            return problem(405, "request.wrong_method", "not here")

        def _list(self, plural: str, seen: Seen) -> Reply:
            items = list(api.resources.get(plural, {}).values())
            start = int(seen.query.get("cursor", ["0"])[0])
            size = min(api.page_size, int(seen.query["limit"][0]))
            after = start + size
            page = {
                "items": items[start:after],
                "next": str(after) if after < len(items) else None,
                "revision": api.revision,
                "total": len(items),
            }
            return 200, msgspec.json.encode(page)

        def _stream(self, seen: Seen) -> None:
            waiting = api.streams.get(seen.path)
            if not waiting:
                self._drop()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            with suppress(ConnectionError):  # the watcher left: it has seen enough
                for text in waiting.popleft():
                    if text.startswith("problem "):
                        text = f"event: error\ndata: {text[8:]}\n\n"
                    self.wfile.write(text.encode())
                    self.wfile.flush()

        def _drop(self) -> None:
            """As if the process had been killed."""
            self.close_connection = True
            self.connection.close()

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
