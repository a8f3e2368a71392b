"""Copies of volumes, with the real qemu-img: whole or not there, and of nothing that changes."""

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.errors import Invalid
from corral.model.ids import VolumeId
from corral.model.link import CopySource, VolumeAssignment
from corral.model.units import MiB
from corral.model.volume import ObjectState
from corral.storage import files
from corral.storage.convert import SourceBusy
from corral.storage.interface import PoolFull, StorageFailed
from tests.unit.storage.test_directory import Server, content, info, names, nothing, source, storage, volume

__all__ = ["content"]  # a fixture
SIZE = 64 * MiB


def written(path: str, data: bytes, at: int = 0) -> None:
    """Write into a volume as a guest would."""
    part = Path(path).with_suffix(".in")
    part.write_bytes(data)
    words = f"write -s {part} {at} {len(data)}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", words, path], check=True, capture_output=True)
    part.unlink()


def same(one: str, other: str) -> bool:
    done = subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", one, other], check=False)
    return done.returncode == 0


def copy_of(origin: VolumeAssignment, pool: Path, **changes: object) -> VolumeAssignment:
    copied = CopySource(volume=origin.volume, pool_path=origin.pool_path)
    wish = replace(origin, volume=VolumeId("vol-2"), pool_path=str(pool), source=copied, image=None)
    return replace(wish, **changes)


@pytest.mark.parametrize("linked", [False, True], ids=["in full", "linked"])
async def test_copy(tmp_path: Path, content: bytes, linked: bool) -> None:
    """In another pool, larger than what it copies, with what was written over the image."""
    one, two, driver, server = tmp_path / "one", tmp_path / "two", storage(tmp_path), Server(content)
    origin = volume(one, source(content))
    first = await driver.make_volume(origin, server, nothing)
    written(first.path, os.urandom(MiB), at=8 * MiB)
    progress: list[float] = []
    wish = copy_of(origin, two, size_bytes=2 * SIZE, image=origin.image if linked else None)
    made = await driver.make_volume(wish, server, progress.append)
    assert made.state is ObjectState.READY
    seen = info(made.path)
    assert seen["virtual-size"] == 2 * SIZE
    assert seen.get("backing-filename") == ("../images/img-1" if linked else None)
    subprocess.run(["qemu-img", "resize", "-q", first.path, str(2 * SIZE)], check=True)
    assert same(first.path, made.path)
    assert (progress, progress[-1]) == (sorted(progress), 1.0)
    assert names(two / "volumes") == ["vol-2.qcow2"]
    assert made.allocated_bytes < 3 * MiB


async def test_what_is_written_to_is_not_copied(tmp_path: Path) -> None:
    driver, pool = storage(tmp_path), tmp_path / "pool"
    origin = volume(pool, size=SIZE)
    first = await driver.make_volume(origin, Server(b""), nothing)
    words = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-machine",
        "none",
        "-nodefaults",
        "-display",
        "none",
        "-S",
    ]
    drive = f"driver=qcow2,node-name=d,file.driver=file,file.filename={first.path}"
    qemu = subprocess.Popen([*words, "-blockdev", drive, "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert qemu.stdin and qemu.stdout
        qemu.stdin.write(b"info version\n")
        qemu.stdin.flush()
        while b"(qemu)" not in qemu.stdout.readline():
            pass  # it has opened the file
        with pytest.raises(SourceBusy) as refusal:
            await driver.make_volume(copy_of(origin, pool), Server(b""), nothing)
    finally:
        qemu.kill()
        qemu.wait()
    assert "Stop the VM" in refusal.value.hint
    assert names(pool / "volumes") == ["vol-1.qcow2"]


async def test_pool_that_would_fill_up_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, pool = storage(tmp_path), tmp_path / "pool"
    origin = volume(pool, size=SIZE)
    first = await driver.make_volume(origin, Server(b""), nothing)
    written(first.path, os.urandom(4 * MiB))
    monkeypatch.setattr(files, "free_bytes", lambda path: 3 * MiB)
    with pytest.raises(PoolFull) as refusal:
        await driver.make_volume(copy_of(origin, pool), Server(b""), nothing)
    assert int(refusal.value.context["needs_bytes"]) > 4 * MiB
    assert names(pool / "volumes") == ["vol-1.qcow2"]


async def test_source_that_is_not_there(tmp_path: Path) -> None:
    """No empty volume begins in its place."""
    wish = copy_of(volume(tmp_path / "gone", size=SIZE), tmp_path / "pool")
    with pytest.raises(StorageFailed, match="is not in"):
        await storage(tmp_path).make_volume(wish, Server(b""), nothing)
    assert names(tmp_path / "pool/volumes") == []


async def test_linked_copy_of_what_has_snapshots_is_refused(tmp_path: Path, content: bytes) -> None:
    """Only the top layer would be copied, and the layers between be lost."""
    driver, pool, server = storage(tmp_path), tmp_path / "pool", Server(content)
    origin = volume(pool, source(content))
    first = Path((await driver.make_volume(origin, server, nothing)).path)
    first.rename(first.with_name("layer.qcow2"))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "layer.qcow2", "-F", "qcow2", first], check=True
    )
    with pytest.raises(Invalid, match="img-1 directly"):
        await driver.make_volume(copy_of(origin, pool, image=origin.image), server, nothing)


def slow_qemu_img(directory: Path, last: str) -> str:
    """A qemu-img whose convert writes half a file, says so, and then does `last`."""
    program = directory / "qemu-img"
    program.write_text(
        '#!/bin/sh\nif [ $1 != convert ]; then exec /usr/bin/qemu-img "$@"; fi\n'
        f'for target; do :; done\necho half > "$target"\nprintf "    (50.00/100%%)\\r"\n{last}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


async def test_cancelled_copy_leaves_nothing(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    origin = volume(pool, size=SIZE)
    await storage(tmp_path).make_volume(origin, Server(b""), nothing)
    half = asyncio.Event()
    driver = storage(tmp_path, qemu_img=slow_qemu_img(tmp_path, "exec sleep 60"))
    making = asyncio.create_task(
        driver.make_volume(
            copy_of(origin, pool), Server(b""), lambda share: half.set() if share > 0.4 else None
        )
    )
    await asyncio.wait_for(half.wait(), 10)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert names(pool / "volumes") == ["vol-1.qcow2"]


async def test_disk_that_fills_up_midway(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    origin = volume(pool, size=SIZE)
    await storage(tmp_path).make_volume(origin, Server(b""), nothing)
    full = slow_qemu_img(
        tmp_path, 'echo "qemu-img: error while writing: No space left on device" >&2; exit 1'
    )
    with pytest.raises(PoolFull, match="no room for a copy of vol-1"):
        await storage(tmp_path, qemu_img=full).make_volume(copy_of(origin, pool), Server(b""), nothing)
    assert names(pool / "volumes") == ["vol-1.qcow2"]


@pytest.mark.parametrize("linked", [False, True], ids=["in full", "linked"])
async def test_copy_of_a_snapshot_while_somebody_writes_on(
    tmp_path: Path, content: bytes, linked: bool
) -> None:
    """Of the moment at which it was taken, although a process has the disk open and has written since."""
    driver, server = storage(tmp_path), Server(content)
    origin = volume(tmp_path / "one", source(content))
    first = await driver.make_volume(origin, server, nothing)
    written(first.path, b"then" * 1024, at=8 * MiB)
    subprocess.run(["qemu-img", "snapshot", "-c", "snap-1", first.path], check=True)
    written(first.path, b"now!" * 1024, at=8 * MiB)
    copied = CopySource(volume=origin.volume, pool_path=origin.pool_path, snapshot="snap-1")
    image = origin.image if linked else None
    wish = copy_of(origin, tmp_path / "one", source=copied, size_bytes=SIZE, image=image)
    with subprocess.Popen(
        ["qemu-io", first.path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as writer:
        made = await driver.make_volume(wish, server, nothing)
        writer.kill()
    said = subprocess.run(
        ["qemu-io", "-c", f"read -v {8 * MiB} 16", made.path], check=True, capture_output=True, text=True
    )
    assert "thenthenthenthen" in said.stdout
    assert info(made.path).get("backing-filename") == ("../images/img-1" if linked else None)
    gone = replace(copied, snapshot="snap-2")
    with pytest.raises(StorageFailed):
        await driver.make_volume(replace(wish, volume=VolumeId("vol-3"), source=gone), server, nothing)
