"""Disks of other hypervisors: converted when they stand alone, refused when they would lead QEMU to other files."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from corral.model.image import ImagePhase
from corral.model.operation import Operation, OperationState
from corral.model.units import MiB
from corral.server.services.asking import Asking
from corral.storage.interface import BadImage
from tests.unit.images.house import House
from tests.unit.images.test_importing import house  # a fixture

__all__ = ["house"]
ASKING = Asking(by="ann")
Change = Callable[[bytes], bytes]


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest_asyncio.fixture
async def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(510) + b"\x55\xaa" + os.urandom(MiB))
    os.truncate(path, 8 * MiB)
    return path


def made(raw: Path, format: str, *options: str) -> bytes:
    path = raw.with_suffix(f".{format}")
    words = ["qemu-img", "convert", "-f", "raw", "-O", format, *options, raw, path]
    subprocess.run(words, check=True)
    return path.read_bytes()


KINDS = [
    ("vmdk", ()),
    ("vmdk", ("-o", "subformat=streamOptimized")),
    ("vhdx", ()),
    ("vdi", ()),
    ("vpc", ("-o", "force_size=on")),
]


@pytest.mark.parametrize(
    ("format", "options"), KINDS, ids=lambda v: v if isinstance(v, str) else "".join(v[1:])
)
async def test_converted_on_arrival(house: House, raw: Path, format: str, options: tuple[str, ...]) -> None:
    image = await house.add()
    await house.images.receive("debian", pieces(made(raw, format, *options)), ASKING)
    status = house.now().status
    assert (status.phase, status.format, status.converted_from) == (ImagePhase.READY, "qcow2", format)
    assert status.virtual_bytes == 8 * MiB
    compared = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, house.directory / image.id]
    subprocess.run(compared, check=True)
    assert house.files == [image.id]


def with_text(old: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new.ljust(len(old)), 1)

    return change


def flat(_: bytes) -> bytes:
    """A descriptor whose data is a file of the server."""
    return b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n'


def without_capacity(content: bytes) -> bytes:
    """QEMU takes the extents of the descriptor inside then."""
    return content[:12] + bytes(8) + content[20:]


def undo_disk(content: bytes) -> bytes:
    return content[:76] + (4).to_bytes(4, "little") + content[80:]


def differencing(content: bytes) -> bytes:
    return content[:60] + (4).to_bytes(4, "big") + content[64:]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 3]


HOSTILE = [  # name, format, what is done to it, in the message
    ("descriptor alone", "vmdk", flat, "does not stand alone"),
    ("extents inside", "vmdk", without_capacity, "in other files"),
    ("two extents", "vmdk", with_text(b"ddb.virtualHWVersion = \"4\"", b'RW 1 FLAT "/etc/passwd"'), "in other files"),
    ("parent", "vmdk", with_text(b"ddb.adapterType = \"ide\"", b'parentFileNameHint="/x"'), "over another disk"),
    ("undo disk", "vdi", undo_disk, "over another disk"),
    ("differencing", "vpc", differencing, "no dynamic disk"),
    ("truncated", "vmdk", cut, "truncated or corrupt"),
    ("truncated", "vhdx", cut, "truncated|can't be converted"),
    ("truncated", "vdi", cut, "truncated"),
    ("truncated", "vpc", cut, "truncated"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "change", "words"), [pytest.param(*h[1:], id=f"{h[1]} {h[0]}") for h in HOSTILE]
)
async def test_hostile_or_broken(house: House, raw: Path, format: str, change: Change, words: str) -> None:
    await house.add()
    with pytest.raises(BadImage, match=words):
        await house.images.receive("debian", pieces(change(made(raw, format))), ASKING)
    assert house.now().status.phase is ImagePhase.FAILED
    assert house.files == []


async def test_refused_upload_leaves_an_operation_that_failed(house: House) -> None:
    await house.add()
    with pytest.raises(BadImage) as refusal:
        await house.images.receive("debian", pieces(b"<html>no</html>"), ASKING)
    operation = house.mirror.find(Operation, str(refusal.value.context["operation"]))
    assert (operation.status.state, operation.spec.by) == (OperationState.FAILED, "ann")
    assert operation.status.error
    assert (operation.status.error.code, operation.spec.target.name) == ("image.bad", "debian")
