"""A small VNC viewer for tests: RFB 3.8 without a password, raw rectangles, keys.

source   RFC 6143
"""

import struct
from collections.abc import Callable
from typing import Final

RAW, SIZE = 0, -223  # encodings: pixels; the screen has another size now
RETURN: Final = 0xFF0D  # X11 keysym


class Viewer:
    """`read` gives the next bytes, b"" at the end; `write` takes some."""

    def __init__(self, read: Callable[[], bytes], write: Callable[[bytes], None]) -> None:
        self._read, self._write, self._buffer = read, write, b""
        assert self._take(12) == b"RFB 003.008\n"
        write(b"RFB 003.008\n")
        assert 1 in self._take(self._take(1)[0]), "a password is asked for"
        write(b"\x01")
        assert self._take(4) == bytes(4)
        write(b"\x01")  # others may look, too
        self.width, self.height = struct.unpack(">HH", self._take(4))
        self._take(16)
        self.name = self._take(struct.unpack(">I", self._take(4))[0]).decode()
        form = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        write(b"\x00\x00\x00\x00" + form)
        write(struct.pack(">BxHii", 2, 2, RAW, SIZE))
        self.pixels: dict[tuple[int, int], bytes] = {}  # rows of pieces, by (x, y) of their left end

    def update(self, *, whole: bool = True) -> int:
        """Ask for the screen, or for what changed, and wait for it; the number of bytes of pixels."""
        self._write(struct.pack(">BBHHHH", 3, 0 if whole else 1, 0, 0, self.width, self.height))
        while (kind := self._take(1)[0]) != 0:
            self._other(kind)
        (count,) = struct.unpack(">xH", self._take(3))
        return sum(self._rectangle() for _ in range(count))

    def press(self, *keys: int) -> None:
        for key in keys:
            for down in (1, 0):
                self._write(struct.pack(">BBxxI", 4, down, key))

    def type(self, text: str) -> None:
        self.press(*(RETURN if letter == "\n" else ord(letter) for letter in text))

    @property
    def colours(self) -> int:
        """How many different pixels were seen; 1: nothing but one even area."""
        return len({piece[n : n + 3] for piece in self.pixels.values() for n in range(0, len(piece), 4)})

    def _rectangle(self) -> int:
        x, y, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
        if encoding == SIZE:
            self.width, self.height, self.pixels = width, height, {}
            return 0
        assert encoding == RAW, encoding
        for row in range(height):
            self.pixels[x, y + row] = self._take(4 * width)
        return 4 * int(width) * int(height)

    def _other(self, kind: int) -> None:
        match kind:
            case 2:
                pass  # bell
            case 3:
                self._take(struct.unpack(">3xI", self._take(7))[0])
            case _:
                raise AssertionError(f"message {kind}")

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._read()
            assert data, f"the screen ended {size - len(self._buffer)} bytes early"
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
