"""Sending: a disk of a snapshot to the server that asked for it, as one file that stands alone.

In this room   bring_disk(): convert, then send; what goes wrong is said in the stream, and not by breaking it
Comes in       SendDisk; storage, which converts into a file of its own
Goes out       on a console stream: lines of JSON (how far it is), then one with size and checksum, then so many bytes;
               or one with an error
Always true    the file is removed whoever leaves first
Next door      server/disks_out.py is the other end
Start here     bring_disk()
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from corral.agent.ports import ConsoleStream, Link
from corral.clock import Clock
from corral.errors import CorralError
from corral.model.link import SendDisk
from corral.model.resource import Trouble
from corral.storage.interface import Storage

log = logging.getLogger("corral.agent")
WORD_S: Final = 5.0  # between two words about how far it is
TAKEN_S: Final = 60.0  # within which the server takes what was sent last


class Word(Struct, frozen=True, omit_defaults=True):
    """A line before the bytes."""

    progress: float = 0.0
    size_bytes: int | None = None  # set: so many bytes follow
    sha256: str = ""
    trouble: Trouble | None = None  # set: nothing follows


async def bring_disk(asked: SendDisk, storage: Storage, link: Link, clock: Clock) -> None:
    """Until all of it has arrived, or somebody has left."""
    try:
        stream = await link.console(asked.session)
    except CorralError as error:
        log.warning("disk %s: %s", asked.volume, error.message)
        return
    try:
        if await _send(asked, storage, stream, clock):
            with suppress(TimeoutError):
                async with asyncio.timeout(TAKEN_S):
                    await stream.read()  # the server ends the call once it has all of it
    except CorralError as error:
        log.warning("disk %s: %s", asked.volume, error.message)
    finally:
        await stream.close()


async def _send(asked: SendDisk, storage: Storage, stream: ConsoleStream, clock: Clock) -> bool:
    """Whether the server got as much as it was promised."""
    left = 0
    words = _Words(stream, clock)
    telling = asyncio.create_task(words.tell(), name=f"tell of {asked.volume}")
    try:
        async with storage.exported(asked, words.note) as file:
            telling.cancel()
            await _say(stream, Word(1.0, file.size_bytes, file.sha256))
            left = file.size_bytes
            async for chunk in file.chunks():
                await stream.write(chunk)
                left -= len(chunk)
    except CorralError as error:
        telling.cancel()
        await _say(stream, Word(trouble=Trouble.of(error, clock.now_s())))
    finally:
        telling.cancel()
    return left == 0


class _Words:
    """Says how far it is, so that the server knows that somebody works on it."""

    def __init__(self, stream: ConsoleStream, clock: Clock) -> None:
        self._stream, self._clock, self._progress = stream, clock, 0.0

    def note(self, share: float) -> None:
        self._progress = share

    async def tell(self) -> None:
        while True:
            await self._clock.sleep(WORD_S)
            with suppress(CorralError):  # who has left is noticed when the bytes are sent
                await _say(self._stream, Word(self._progress))


async def _say(stream: ConsoleStream, word: Word) -> None:
    await stream.write(msgspec.json.encode(word) + b"\n")
