"""PNG out of pixels, and pixels out of what QEMU dumps."""

import struct
import zlib

import pytest

from corral.hypervisor.pictures import Picture, from_ppm, png


def unpacked(data: bytes) -> Picture:
    """A PNG of ours, read by the letter of the specification."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    assert form == [8, 2, 0, 0, 0]
    rows = zlib.decompress(chunks[1][1])
    size = 1 + 3 * width
    assert len(rows) == size * height and all(rows[n * size] == 0 for n in range(height))
    return Picture(width, height, b"".join(rows[n * size + 1 : (n + 1) * size] for n in range(height)))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (720, 400)])
def test_round_trip(width: int, height: int) -> None:
    picture = Picture(width, height, bytes(n * 7 % 256 for n in range(3 * width * height)))
    assert unpacked(png(picture)) == picture


GOOD = [
    ("as QEMU writes it", b"P6\n2 1\n255\n"),
    ("with a comment", b"P6\n# made by hand\n2 1\n255\n"),
    ("spaces", b"P6 2 1 255 "),
]


@pytest.mark.parametrize("head", [pytest.param(row[1], id=row[0]) for row in GOOD])
def test_ppm(head: bytes) -> None:
    assert from_ppm(head + b"\n23456") == Picture(2, 1, b"\n23456"), "a pixel may look like a blank"


BAD = [
    ("nothing", b""),
    ("another format", b"P5\n2 1\n255\n12"),
    ("16 bits", b"P6\n2 1\n65535\n123456123456"),
    ("cut off", b"P6\n2 1\n255\n12345"),
    ("no pixels", b"P6\n0 1\n255\n"),
    ("a bomb", b"P6\n99999 99999\n255\n123456"),
]


@pytest.mark.parametrize("data", [pytest.param(row[1], id=row[0]) for row in BAD])
def test_no_ppm(data: bytes) -> None:
    with pytest.raises(ValueError):
        from_ppm(data)
