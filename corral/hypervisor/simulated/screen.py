"""Screen of a simulated guest: a picture with the VM's name, by VNC and as PNG.

In this room   Screen, the pixels; ScreenConsole, one viewer's RFB connection to it
Comes in       what a viewer sends, in pieces of any size
Goes out       RFB 3.8 without a password: raw rectangles of 32-bit pixels; each key that is pressed is shown
Always true    a viewer gets an update when it asks for one: at once when it wants all, else after a change
source         RFC 6143
Start here     ScreenConsole
"""

import asyncio
import re
import struct
from collections.abc import Generator
from typing import Final

from corral.hypervisor.interface import HypervisorFailed
from corral.hypervisor.pictures import Picture, png

WIDTH, HEIGHT, SCALE = 320, 200, 4
BACKGROUND, INK = (0x12, 0x32, 0x4E), (0xE8, 0xF1, 0xF7)
KEYS_SHOWN: Final = 16
UNREAD_MAX: Final = 4  # updates on their way to a viewer; one that does not read gets the next one later
MESSAGE_BYTES_MAX: Final = 1024 * 1024  # of text that a viewer cuts
LETTERS: Final = """\
 00000  -00700  .00002  075557  126227  271747  371717  455711  574717  674757  771111  875757  975717
a25755  b65656  c34443  d65556  e74647  f74644  g34553  h55755  i72227  j11153  k55655  l44447  m57755
n65555  o25552  p65644  q25563  r65655  s34216  t72222  u55557  v55552  w55775  x55255  y55222  z71247
"""  # 3 x 5 pixels each: a letter, and a digit a row from the top, whose bits are the pixels from left to right
FONT: Final[dict[str, str]] = dict(re.findall(r"(.)(\d{5})(?:  |\n)", LETTERS))
UNKNOWN: Final = "22022"


class Screen:
    """What the guest shows. Viewers come and go; the screen stays with the guest."""

    def __init__(self, name: str) -> None:
        self.name, self.keys, self.changes = name, "", 0
        self.viewers: list[ScreenConsole] = []

    def press(self, key: int) -> None:
        """A key goes down; `key` is an X11 keysym, which for Latin letters is their code."""
        self.keys = (self.keys + (chr(key) if 0x20 < key < 0x7F else " "))[-KEYS_SHOWN:]
        self.changes += 1
        for viewer in tuple(self.viewers):
            viewer.changed()

    def picture(self) -> Picture:
        pixels = bytearray(bytes(BACKGROUND) * (WIDTH * HEIGHT))
        _write(pixels, self.name[:KEYS_SHOWN], 16, 32)
        _write(pixels, "simulated", 16, 72)
        _write(pixels, self.keys, 16, 136)
        return Picture(WIDTH, HEIGHT, bytes(pixels))

    def png(self) -> bytes:
        return png(self.picture())

    def end(self) -> None:
        """The guest stops."""
        for viewer in tuple(self.viewers):
            viewer.end()


def _write(pixels: bytearray, text: str, left: int, top: int) -> None:
    for place, letter in enumerate(text.lower()):
        for row, bits in enumerate(FONT.get(letter, UNKNOWN)):
            for column in range(3):
                if int(bits) & 4 >> column:
                    _dot(pixels, left + SCALE * (4 * place + column), top + SCALE * row)


def _dot(pixels: bytearray, left: int, top: int) -> None:
    for y in range(top, top + SCALE):
        start = 3 * (y * WIDTH + left)
        pixels[start : start + 3 * SCALE] = bytes(INK) * SCALE


class ScreenConsole:
    """A viewer's connection, as RFB."""

    def __init__(self, screen: Screen) -> None:
        self.screen, self._ended = screen, False
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._waits = False  # for a change
        self._seen = -1  # Screen.changes that it was shown
        self._in = bytearray()
        self._talk = self._talking()
        self._needed = next(self._talk)
        screen.viewers.append(self)

    async def read(self) -> bytes:
        if self._ended and self._out.empty():
            return b""
        data = await self._out.get()
        self._offer()
        return data

    async def write(self, data: bytes) -> None:
        if self._ended:
            raise HypervisorFailed("the console has ended")
        self._in += data
        while not self._ended and len(self._in) >= self._needed:
            piece = bytes(self._in[: self._needed])
            del self._in[: self._needed]
            try:
                self._needed = self._talk.send(piece)
            except StopIteration:
                self.end()

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.screen.viewers.remove(self)
            self._out.put_nowait(b"")

    def changed(self) -> None:
        self._offer()

    def _offer(self) -> None:
        """Show what the viewer waits for, if there is something new and it reads."""
        fresh = self._seen != self.screen.changes
        if self._waits and fresh and not self._ended and self._out.qsize() < UNREAD_MAX:
            self._show()

    def _show(self) -> None:
        """One update of the whole screen."""
        picture = self.screen.picture()
        pixels = bytearray(4 * WIDTH * HEIGHT)  # little-endian 0x00RRGGBB
        for channel in range(3):
            pixels[2 - channel :: 4] = picture.rgb[channel::3]
        self._out.put_nowait(struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0) + bytes(pixels))
        self._waits, self._seen = False, self.screen.changes

    def _talking(self) -> Generator[int, bytes, None]:
        """Says how many bytes it needs next, and gets them. Its end is the end of the connection."""
        self._out.put_nowait(b"RFB 003.008\n")
        if not (yield 12).startswith(b"RFB 003.00"):
            return
        self._out.put_nowait(b"\x01\x01")  # one way to prove oneself: none
        if (yield 1) != b"\x01":
            return
        self._out.put_nowait(bytes(4))  # fine
        yield 1
        name = self.screen.name.encode()
        form = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self._out.put_nowait(struct.pack(">HH", WIDTH, HEIGHT) + form + struct.pack(">I", len(name)) + name)
        while True:
            yield from self._message((yield 1)[0])

    def _message(self, kind: int) -> Generator[int, bytes, None]:
        match kind:
            case 0:  # pixel format: all viewers take 32 bits
                yield 19
            case 2:  # encodings: raw is always taken
                count = struct.unpack(">xH", (yield 3))[0]
                if count:
                    yield 4 * count
            case 3:
                if not (yield 9)[0]:  # not only what changed
                    self._seen = -1
                self._waits = True
                self._offer()
            case 4:
                down, key = struct.unpack(">BxxI", (yield 7))
                if down:
                    self.screen.press(key)
            case 5:
                yield 5
            case 6:
                length = struct.unpack(">xxxI", (yield 7))[0]
                if not 0 < length <= MESSAGE_BYTES_MAX:
                    return
                yield length
