"""Answers: what goes back over the wire, as bytes that are ready to send."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final

import msgspec
from litestar.types import Receive, Scope, Send

JSON: Final = "application/json"
SQUEEZE_BYTES: Final = 1024  # less does not get shorter by much
SQUEEZE_LEVEL: Final = 1  # 1,000 VMs: 1.7 MB to 77 kB in 4 ms; level 6 makes 68 kB in 9 ms
GZIP: Final = 31  # zlib's word for 32 kB of window and a gzip header
ASIDE_BYTES: Final = 64 * 1024  # 0.5 ms
_ENCODER: Final = msgspec.json.Encoder()


class Answer:
    """A complete response. An ASGI application, so that the framework sends it as it is."""

    __slots__ = ("body", "headers", "squeezes", "status")

    def __init__(
        self, status: int, body: bytes = b"", media_type: str = JSON, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.status, self.body = status, body
        self.headers = [(b"content-length", str(len(body)).encode())] if status not in (204, 304) else []
        if body:
            self.headers.append((b"content-type", media_type.encode()))
        self.headers.extend((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        tagged = any(name in (b"etag", b"content-encoding") for name, _ in self.headers)
        self.squeezes = media_type == JSON and len(body) >= SQUEEZE_BYTES and not tagged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, body = self.headers, self.body
        if self.squeezes and scope.get("method") == "GET":
            headers = [*headers, (b"vary", b"accept-encoding")]
            if any(
                name == b"accept-encoding" and takes(value.decode("latin-1"), "gzip")
                for name, value in scope["headers"]
            ):
                body = await _squeezed(body)
                length = (b"content-length", str(len(body)).encode())
                headers = [
                    length,
                    *(h for h in headers if h[0] != b"content-length"),
                    (b"content-encoding", b"gzip"),
                ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Flow(Answer):
    """A response that goes on: pieces as they come, until there are no more or the client leaves."""

    __slots__ = ("pieces",)

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        length: int | None = None,
    ) -> None:
        """`length` of all pieces together, where it is known: who gets fewer bytes knows that it broke off."""
        super().__init__(200, headers=[("content-type", media_type), *headers])
        self.headers = [(name, value) for name, value in self.headers if name != b"content-length"]
        if length is not None:
            self.headers.append((b"content-length", str(length).encode()))
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        pouring = asyncio.create_task(self._pour(send), name="pour")
        leaving = asyncio.create_task(_left(receive), name="until the client leaves")
        try:
            await asyncio.wait((pouring, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pouring, leaving):
                task.cancel()
            ends = await asyncio.gather(pouring, leaving, return_exceptions=True)
        if isinstance(ends[0], Exception):
            raise ends[0]

    async def _pour(self, send: Send) -> None:
        async with aclosing(self.pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _squeezed(body: bytes) -> bytes:
    """As gzip. Large bodies in a thread: zlib lets others run meanwhile."""
    if len(body) < ASIDE_BYTES:
        return zlib.compress(body, SQUEEZE_LEVEL, GZIP)
    return await asyncio.to_thread(zlib.compress, body, SQUEEZE_LEVEL, GZIP)


def takes(accepted: str, coding: str) -> bool:
    """Whether an Accept-Encoding header names the coding, and not as one that is unwelcome."""
    for word in accepted.lower().split(","):
        name, _, weight = word.partition(";")
        if name.strip() == coding:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def to_json(document: object) -> bytes:
    return _ENCODER.encode(document)


def answer_json(document: object, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    return Answer(status, _ENCODER.encode(document), JSON, headers)
