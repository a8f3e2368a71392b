"""Answers: what goes back over the wire, as bytes that are ready to send."""

from collections.abc import Iterable
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send
from msgspec import Struct

JSON: Final = "application/json"
_ENCODER: Final = msgspec.json.Encoder()


class Answer:
    """A complete response. An ASGI application, so that the framework sends it as it is."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int, body: bytes = b"", media_type: str = JSON, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.status, self.body = status, body
        self.headers = [(b"content-length", str(len(body)).encode())] if status not in (204, 304) else []
        if body:
            self.headers.append((b"content-type", media_type.encode()))
        self.headers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def to_json(document: object) -> bytes:
    return _ENCODER.encode(document)


def answer_json(document: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    return Answer(status, _ENCODER.encode(document), JSON, headers)


class Secret(Struct, frozen=True, kw_only=True):
    """Something new with a secret, which is shown in this answer and never again."""

    resource: msgspec.Raw
    secret: str
