"""SPICE of a simulated guest: each channel's greeting, and a main channel that has no others.

In this room   SpiceConsole, one channel of a viewer
Comes in       a viewer's link message and ticket
Goes out       the link's answer, "fine", and on the main channel SPICE_MSG_MAIN_INIT
source         spice-space.org/spice-protocol.html
"""

import asyncio
import struct
from base64 import b64decode
from collections.abc import Generator
from typing import Final

from corral.hypervisor.interface import HypervisorFailed

MAGIC: Final = b"REDQ"
VERSION: Final = (2, 2)
KEY: Final = b64decode(  # RSA, 1024 bits; nobody has the other half: no ticket is looked at
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCcRCzGfqs4xa5chwIMJp6q7JaDKhpWVCH1D+zSIO4kljVwrwIYXs42qffppSBElQ6cEIdJGIqN"
    "bKzhAxyAwHLWb/xW2N7vnH4b0pqWjKID7e4bZ8LMONaE3o22C3aNWh/IrFajRIwGMTg8d4/8KJeIYFDiyRdMgJfXLdXxE1K7IQIDAQAB"
)
TICKET_BYTES: Final = 128
MAIN: Final = 1  # type of the channel
MAIN_INIT: Final = 103
MESSAGE_BYTES_MAX: Final = 64 * 1024


class SpiceConsole:
    """A channel."""

    def __init__(self) -> None:
        self.ended = False
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._in = bytearray()
        self._talk = self._talking()
        self._needed = next(self._talk)

    async def read(self) -> bytes:
        if self.ended and self._out.empty():
            return b""
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        if self.ended:
            raise HypervisorFailed("the console has ended")
        self._in += data
        while not self.ended and len(self._in) >= self._needed:
            piece = bytes(self._in[: self._needed])
            del self._in[: self._needed]
            try:
                self._needed = self._talk.send(piece)
            except StopIteration:
                self.end()

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self._out.put_nowait(b"")

    def _talking(self) -> Generator[int, bytes, None]:
        """Says how many bytes it needs next, and gets them. Its end is the end of the connection."""
        magic, major, _, size = struct.unpack("<4sIII", (yield 16))
        if magic != MAGIC or major != VERSION[0] or not 18 <= size <= MESSAGE_BYTES_MAX:
            return
        channel = (yield size)[4]
        reply = struct.pack("<I", 0) + KEY + struct.pack("<III", 0, 0, 4 + len(KEY) + 12)
        self._out.put_nowait(struct.pack("<4sIII", MAGIC, *VERSION, len(reply)) + reply)
        yield TICKET_BYTES
        self._out.put_nowait(struct.pack("<I", 0))
        if channel == MAIN:
            init = struct.pack("<8I", 1, 1, 3, 2, 0, 0, 0, 0)
            self._out.put_nowait(struct.pack("<QHII", 1, MAIN_INIT, len(init), 0) + init)
        while True:
            yield 1
