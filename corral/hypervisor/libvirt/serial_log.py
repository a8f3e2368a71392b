"""Serial log: what a guest printed on its serial line before somebody looked.

In this room   log_path(), where it is; read_tail(), the end of it
Comes in       a domain's XML; the files that virtlogd writes and rotates (LOG, LOG.0, LOG.1, …)
Always true    no more is read than was asked for, however large the files
Next door      domain_xml.py asks for the log; agent/consoles.py replays it
"""

import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

ROTATED_MAX: Final = 3  # as many as virtlogd keeps by default


def log_path(xml: str) -> str:
    """Where the first serial line of the domain is logged; "": nowhere."""
    devices = ET.fromstring(xml).find("devices")
    for found in devices.iterfind("*/log") if devices is not None else ():
        if path := found.get("file"):
            return path
    return ""


def read_tail(path: Path, most_bytes: int) -> bytes:
    """Blocking. The last bytes of the log, from files that were rotated too; b"": there is none."""
    pieces: list[bytes] = []
    left = most_bytes
    for file in (path, *(path.with_name(f"{path.name}.{n}") for n in range(ROTATED_MAX))):
        if left <= 0:
            break
        piece = _end_of(file, left)
        if piece is None:
            break
        pieces.insert(0, piece)
        left -= len(piece)
    return b"".join(pieces)


def _end_of(file: Path, most_bytes: int) -> bytes | None:
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - most_bytes))
            return opened.read(most_bytes)
    except OSError:
        return None
