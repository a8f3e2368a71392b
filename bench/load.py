"""Load: a small HTTP client that measures, on asyncio streams, so that the client costs little."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any


class Connection:
    """One keep-alive connection. No TLS: benches run on loopback."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self.host, self.port, self.token = host, port, token
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        assert self.reader is not None
        data = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}",
            f"Authorization: Bearer {self.token}",
            f"Content-Length: {len(data)}",
            "Content-Type: application/json",
            *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await self.writer.drain()
        return await self._answer(self.reader)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:]) if k}
        if fields.get("transfer-encoding") == "chunked":
            return status, await self._chunks(reader)
        return status, await reader.readexactly(int(fields.get("content-length", "0")))

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while size := int((await reader.readline()).strip() or b"0", 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body

    async def json(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The answer, decoded; an error is raised as it came."""
        status, data = await self.request(method, path, body, **headers)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {data[:500].decode(errors='replace')}")
        return json.loads(data) if data else None


async def closed_loop(call: Callable[[int], Awaitable[object]], count: int, workers: int = 1) -> list[float]:
    """Seconds that each of `count` calls took, `workers` at a time."""
    took: list[float] = []
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await call(number)
            took.append(time.perf_counter() - begin)

    await asyncio.gather(*(work() for _ in range(workers)))
    return took


async def open_loop(call: Callable[[int], Awaitable[object]], rate: float, seconds: float) -> list[float]:
    """Seconds from when each call was due to its end, at `rate` calls a second whatever the answers take."""
    took: list[float] = []
    begin = time.perf_counter()

    async def one(number: int) -> None:
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await call(number)
        took.append(time.perf_counter() - due)

    await asyncio.gather(*(one(n) for n in range(int(rate * seconds))))
    return took


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ms(values: Sequence[float], share: float) -> float:
    """A quantile in milliseconds."""
    return round(quantile(values, share) * 1000, 2)


def describe(name: str, values: Sequence[float]) -> str:
    middle = statistics.median(values) * 1000
    return f"{name:<28} n={len(values):<6} p50 {middle:8.2f} ms   p99 {ms(values, 0.99):8.2f} ms   max {max(values) * 1000:8.2f} ms"
