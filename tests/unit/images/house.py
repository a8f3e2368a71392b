"""A store, its mirror, an image store in a directory, and imports; and a web server that misbehaves as told."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from corral.clock import SystemClock, new_id
from corral.model.image import Image, ImagePhase, ImageSpec
from corral.server.fetching import Whereabouts
from corral.server.images import ImageStore
from corral.server.importing import Imports
from corral.server.services.base import Desk
from corral.store.interface import Put
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror

Answer = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]
LOCAL = Whereabouts.of(["127.0.0.0/8"])


class QuickClock(SystemClock):
    """Pauses between attempts are short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.02))


class House:
    def __init__(self, directory: Path, where: Whereabouts = LOCAL) -> None:
        self.clock = QuickClock()
        self.store, self.mirror = MemoryStore(self.clock), Mirror()
        self.desk = Desk(self.store, self.mirror, self.clock)
        self.directory = directory
        self.images = ImageStore(directory, self.desk)
        self.imports = Imports(self.images, where)

    async def add(self, name: str = "debian", **spec: str) -> Image:
        image = Image(id=new_id("img", self.clock), name=name, spec=ImageSpec(**spec))
        await self.put(image)
        return image

    async def put(self, image: Image) -> None:
        stored = await self.store.commit([Put(image)])
        await self.mirror.wait_for(stored[0].revision)

    def now(self, name: str = "debian") -> Image:
        return self.mirror.find(Image, name)

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.directory.iterdir()) if self.directory.exists() else []

    async def imported(self, name: str = "debian", **spec: str) -> Image:
        """An image with this spec, when its import has ended."""
        image = await self.add(name, **spec)
        self.imports.begin(image.id)
        return await self.ended(name)

    async def ended(self, name: str = "debian") -> Image:
        async with asyncio.timeout(20):
            while self.now(name).status.phase in (ImagePhase.PENDING, ImagePhase.IMPORTING):
                await asyncio.sleep(0.01)
        return self.now(name)


class Asked:
    """A request, as far as it matters."""

    def __init__(self, head: str) -> None:
        self.path = head.split(" ")[1]
        found = re.search(r"^Range: bytes=(\d+)-", head, re.MULTILINE | re.IGNORECASE)
        self.start = int(found[1]) if found else 0
        self.ranged = found is not None
        if_range = re.search(r"^If-Range: (.*?)\r?$", head, re.MULTILINE | re.IGNORECASE)
        self.if_range = if_range[1] if if_range else ""


class Web:
    """Answers the first request with the first answer, and so on; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers
        self.asked: list[Asked] = []

    async def __aenter__(self) -> "Web":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/image"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = Asked((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
            self.asked.append(asked)
            await answer(asked, writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def sends(
    content: bytes,
    *,
    until: int | None = None,
    claims: int | None = None,
    tag: str = '"1"',
    ranges: bool = True,
) -> Answer:
    """The content, by range if asked; `until`: breaks off there; `claims`: lies about its length."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        part = ranges and asked.ranged and asked.if_range == tag
        start = asked.start if part else 0
        length = (claims if claims is not None else len(content)) - start
        status = "206 Partial Content" if part else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: {tag}\r\n".encode())
        if part:
            writer.write(f"Content-Range: bytes {start}-{len(content) - 1}/{start + length}\r\n".encode())
        writer.write(b"\r\n" + content[start:until])

    return answer


def says(status: str, *headers: str, body: bytes = b"") -> Answer:
    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer
