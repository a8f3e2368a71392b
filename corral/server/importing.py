"""Importing: images that the server fetches itself, from a URL.

In this room   Imports: a task for each image that is on its way; downloads that go on where they broke off
Comes in       images with a URL that are PENDING or IMPORTING, as the controller finds them
Goes out       the image READY, or FAILED with the reason; its operation follows
Always true    what was downloaded is judged like an upload. A server that restarts goes on from the bytes it has, if
               the source still has the same. A deleted image leaves nothing.
Next door      fetching.py speaks HTTP; images.py judges and keeps; controllers/image.py calls begin() and forget()
Start here     Imports.begin()
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from corral.clock import backoff_s
from corral.errors import CorralError
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.units import KiB, format_size
from corral.server.fetching import Opened, SourceFailed, Whereabouts, open_source
from corral.server.images import SUFFIX, ImageGone, ImageStore
from corral.storage import files
from corral.storage.incoming import measured
from corral.storage.interface import StorageFailed

log = logging.getLogger("corral.images")
T = TypeVar("T")
CHUNK_BYTES: Final = 256 * KiB
ATTEMPTS: Final = 6  # in a row that bring nothing, before the source counts as broken
FRESH_STARTS: Final = 3  # times that the source may turn out to have other bytes than before
RATE_S: Final = 60.0  # a source that brings less than RATE_BYTES in so long has stalled
RATE_BYTES: Final = 64 * KiB
NOTE_S: Final = 1.0  # between two notes of how far it is
DOWNLOAD_SHARE: Final = 0.8  # of the whole progress


class Known(Struct, frozen=True, kw_only=True):
    """What the bytes on disk are a part of; kept beside them."""

    url: str
    validator: str = ""
    total: int | None = None


class Imports:
    """Images on their way from somewhere else."""

    def __init__(self, store: ImageStore, where: Whereabouts = Whereabouts(), *, downloads: int = 4) -> None:  # noqa: B008
        self._store, self._where, self._clock = store, where, store.clock
        self._threads = ThreadPoolExecutor(downloads * 2, thread_name_prefix="fetch")
        self._turns = asyncio.Semaphore(downloads)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, image: str) -> None:
        """See that it is fetched; no more than that when it is already."""
        if image not in self._tasks:
            task = self._tasks[image] = asyncio.create_task(self._run(image), name=f"import {image}")
            task.add_done_callback(lambda _: self._tasks.pop(image, None))

    async def forget(self, image: str) -> None:
        """The image goes: stop, and remove what is there of it."""
        if task := self._tasks.get(image):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._remove(image)
        await self._store.forget(image)

    async def close(self) -> None:
        """Stop; what was downloaded stays for the next start."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, id: str) -> None:
        try:
            async with self._turns:
                await self._import(id)
        except ImageGone:
            await self._remove(id)
        except CorralError as error:
            log.warning("import of %s: %s", id, error.message, extra={"image": id, "code": error.code})
            await self._remove(id)
            with suppress(ImageGone):
                await self._store.note_failure(id, error)
        except Exception:
            log.exception("import of %s", id)  # the next look of the controller begins anew

    async def _import(self, id: str) -> None:
        await self._store.sweep()
        part = self._store.part(id)
        await self._note(id, "download", 0.0)
        await self._download(id, part)
        await self._note(id, "check", DOWNLOAD_SHARE)
        arrived = await measured(part, self._store.lane)
        notes = _Throttle(self._clock.monotonic_s, NOTE_S)

        def converting(share: float) -> None:
            if notes.due():
                self._later(self._note(id, "convert", DOWNLOAD_SHARE + share * (0.99 - DOWNLOAD_SHARE)))

        await self._store.keep(id, arrived, part, converting)
        await self._remove(id)

    # ---- download

    async def _download(self, id: str, part: Path) -> None:
        """Until all of it is there. raises SourceRefused, SourceFailed, PoolFull, StorageFailed, ImageGone"""
        attempt = fresh = 0
        while True:
            had = await self._size(part)
            try:
                await self._some(id, part)
                return
            except _OtherBytes as error:
                fresh += 1
                await self._remove(id)
                if fresh > FRESH_STARTS:
                    raise SourceFailed(
                        f"{error}, {fresh} times", hint="Try again when its server is at rest."
                    ) from None
            except SourceFailed as error:
                attempt = attempt + 1 if await self._size(part) <= had else 1
                if attempt > ATTEMPTS:
                    raise
                log.info("import of %s: %s; once more", id, error.message, extra={"image": id})
                await self._note(id, "download", None, waiting_for=error.message)
                await self._clock.sleep(backoff_s(attempt, self._clock, first_s=0.5, most_s=20.0))

    async def _some(self, id: str, part: Path) -> None:
        """From where it broke off to the end, if the source lasts so long."""
        image = self._store.image(id)
        known = await self._known(part, image.spec.url)
        size = await self._size(part) if known.validator else 0
        if known.total is not None and size == known.total:
            return
        opened: Opened = await self._thread(
            lambda: open_source(image.spec.url, self._where, start=size, validator=known.validator)
        )
        try:
            size = _begin_at(opened, size, known)
            await self._room(opened, size)
            await self._remember(
                part, Known(url=image.spec.url, validator=opened.validator, total=opened.total)
            )
            await self._take(id, part, opened, size)
        finally:
            await self._thread(opened.close)

    async def _take(self, id: str, part: Path, opened: Opened, size: int) -> None:
        lane, notes = self._store.lane, _Throttle(self._clock.monotonic_s, NOTE_S)
        rate = _Rate(self._clock.monotonic_s, size)
        file = await lane.run(lambda: _opened_at(part, size), "an image")
        try:
            while chunk := await self._thread(lambda: opened.read(CHUNK_BYTES)):
                await self._store.make_sure_of_room(len(chunk))
                await lane.run(lambda piece=chunk: file.write(piece), "an image")  # type: ignore[misc]
                size += len(chunk)
                rate.check(size)
                if notes.due():
                    await self._note(
                        id, "download", _share(size, opened.total), waiting_for=_so_far(size, opened)
                    )
        finally:
            await lane.run(file.close, "an image")
        if opened.total is not None and size != opened.total:
            raise SourceFailed(f"the source broke off after {size} of {opened.total} bytes", bytes=size)

    async def _room(self, opened: Opened, size: int) -> None:
        if opened.total is not None:
            await self._store.make_sure_of_room(opened.total - size)

    # ---- what is on disk

    async def _known(self, part: Path, url: str) -> Known:
        """What the bytes there are a part of; an empty record when that is not known."""
        try:
            text = await self._store.lane.run(lambda: _beside(part).read_bytes(), "an image")
            known = msgspec.json.decode(text, type=Known)
        except (StorageFailed, msgspec.DecodeError):
            return Known(url=url)
        return known if known.url == url else Known(url=url)

    async def _remember(self, part: Path, known: Known) -> None:
        """Who is cancelled meanwhile waits for the end of it: what is removed next would come back."""
        content = msgspec.json.encode(known)
        writing = asyncio.ensure_future(
            self._store.lane.run(lambda: files.replace_durably(_beside(part), content), "an image")
        )
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            with suppress(StorageFailed):
                await writing
            raise

    async def _size(self, part: Path) -> int:
        return await self._store.lane.run(lambda: part.stat().st_size if part.exists() else 0, "an image")

    async def _remove(self, id: str) -> None:
        part = self._store.part(id)
        with suppress(StorageFailed):
            for path in (part, _beside(part)):
                await self._store.lane.run(lambda gone=path: files.remove(gone), "an image")  # type: ignore[misc]

    # ---- telling

    async def _note(self, id: str, step: str, progress: float | None, *, waiting_for: str = "") -> None:
        """Write down how far it is. raises ImageGone"""

        def noted(image: Image) -> ImageStatus:
            share = image.status.progress if progress is None else round(progress, 2)
            return msgspec.structs.replace(
                image.status,
                phase=ImagePhase.IMPORTING,
                step=step,
                progress=share,
                waiting_for=waiting_for,
                since=image.status.since or self._clock.now_s(),
            )

        await self._store.put_status(id, noted)

    def _later(self, note: Any) -> None:
        task = asyncio.ensure_future(note)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _OtherBytes(Exception):
    """The source has other bytes than when the download began."""


def _begin_at(opened: Opened, size: int, known: Known) -> int:
    """The place of the answer's first byte. raises _OtherBytes, SourceFailed"""
    if opened.start == size and size and known.total is not None and opened.total != known.total:
        raise _OtherBytes("the source changed while it was being downloaded")
    if opened.start not in (0, size):
        raise SourceFailed(f"the source answers from byte {opened.start} on and was asked from {size} on")
    return opened.start


def _opened_at(part: Path, size: int) -> Any:
    """Blocks. The file, ready to be written to from `size` on."""
    file = part.open("r+b" if part.exists() else "wb")
    file.truncate(size)
    file.seek(size)
    return file


def _beside(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(SUFFIX) + f".json{SUFFIX}")


def _share(size: int, total: int | None) -> float | None:
    return DOWNLOAD_SHARE * size / total if total else None


def _so_far(size: int, opened: Opened) -> str:
    return f"{format_size(size)} of {format_size(opened.total)}" if opened.total else format_size(size)


class _Throttle:
    """Says yes at most once in so many seconds."""

    def __init__(self, now_s: Callable[[], float], every_s: float) -> None:
        self._now_s, self._every_s, self._last_s = now_s, every_s, float("-inf")

    def due(self) -> bool:
        now_s = self._now_s()
        if now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True


class _Rate:
    """Ends a download that trickles."""

    def __init__(self, now_s: Callable[[], float], size: int) -> None:
        self._now_s, self._began_s, self._had = now_s, now_s(), size

    def check(self, size: int) -> None:
        """Raises SourceFailed"""
        if size - self._had >= RATE_BYTES:
            self._began_s, self._had = self._now_s(), size
        elif self._now_s() - self._began_s > RATE_S:
            raise SourceFailed(f"the source stalls: {size - self._had} bytes in {RATE_S:g} s")
