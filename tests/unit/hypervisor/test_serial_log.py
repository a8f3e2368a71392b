"""The end of a log that is rotated."""

from pathlib import Path

import pytest

from corral.hypervisor.libvirt.serial_log import log_path, read_tail

CASES = [  # name, files from the newest, bytes asked for, what is read
    ("no log", [], 10, b""),
    ("short", [b"abc"], 10, b"abc"),
    ("long", [b"abcdef"], 4, b"cdef"),
    ("just rotated", [b"", b"abcdef"], 4, b"cdef"),
    ("over two files", [b"ef", b"abcd"], 5, b"bcdef"),
    ("over three", [b"e", b"d", b"abc"], 9, b"abcde"),
    ("nothing asked for", [b"abc"], 0, b""),
]


@pytest.mark.parametrize(("files", "most", "read"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_read_tail(tmp_path: Path, files: list[bytes], most: int, read: bytes) -> None:
    log = tmp_path / "vm-serial.log"
    for number, content in enumerate(files):
        (log if not number else log.with_name(f"{log.name}.{number - 1}")).write_bytes(content)
    assert read_tail(log, most) == read


def test_where_it_is() -> None:
    xml = "<domain><devices>{}<console type='pty'/></devices></domain>"
    assert log_path(xml.format("<serial type='pty'><log file='/x.log' append='on'/></serial>")) == "/x.log"
    assert log_path(xml.format("<serial type='pty'/>")) == ""
    assert log_path("<domain/>") == ""
