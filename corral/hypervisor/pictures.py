"""Pictures: PNG out of pixels.

In this room   png(), which writes one; from_ppm(), which reads what QEMU's screendump writes
Always true    pure; a picture is never larger than PIXELS_MAX, whatever its header says
source         w3.org/TR/png; netpbm.sourceforge.net/doc/ppm.html
Start here     png()
"""

import re
import struct
import zlib
from typing import Final

from msgspec import Struct

PIXELS_MAX: Final = 16384 * 8192  # more than QEMU's largest screen
PNG_BEGINS: Final = b"\x89PNG\r\n\x1a\n"
LEVEL: Final = 1  # of compression: screens are mostly even areas, which all levels shrink well
_PPM: Final = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*(\d{1,5})\s+(\d{1,5})\s+255\s")


class Picture(Struct, frozen=True):
    width: int
    height: int
    rgb: bytes  # 3 bytes a pixel, row by row from the top


def png(picture: Picture) -> bytes:
    """The picture as PNG: 8 bits a channel, no filter."""
    row = 3 * picture.width
    assert len(picture.rgb) == row * picture.height, "pixels and size differ"
    pixels = memoryview(picture.rgb)
    press = zlib.compressobj(LEVEL)
    packed = [
        press.compress(b"\0" + pixels[start : start + row]) for start in range(0, len(picture.rgb), row)
    ]
    head = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            PNG_BEGINS,
            _chunk(b"IHDR", head),
            _chunk(b"IDAT", b"".join(packed) + press.flush()),
            _chunk(b"IEND"),
        )
    )


def from_ppm(data: bytes) -> Picture:
    """Raises  ValueError: that is no PPM (P6, 8 bits), or it is cut off"""
    begins = _PPM.match(data)
    if begins is None:
        raise ValueError("no PPM of 8 bits a channel")
    width, height = int(begins[1]), int(begins[2])
    size = 3 * width * height
    if not 0 < width * height <= PIXELS_MAX:
        raise ValueError(f"a picture of {width} x {height}")
    rgb = data[begins.end() : begins.end() + size]
    if len(rgb) != size:
        raise ValueError(f"{len(rgb)} of {size} bytes")
    return Picture(width, height, rgb)


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
