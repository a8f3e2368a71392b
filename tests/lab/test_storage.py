"""Storage where only root can go: file systems that fill up, or that can't be written."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from corral.clock import SystemClock
from corral.model.ids import ImageId, PoolId, VolumeId
from corral.model.link import ImageSource, PoolAssignment, VolumeAssignment
from corral.model.units import MiB
from corral.storage.directory import DirectoryStorage
from corral.storage.interface import PoolFull

POOL = PoolId("pool-1")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "small", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(node="node-1", seeds_path=str(tmp_path / "seeds"), clock=SystemClock())


def volume(pool: Path, image: ImageSource | None = None) -> VolumeAssignment:
    return VolumeAssignment(
        volume=VolumeId("vol-1"), pool=POOL, pool_path=str(pool), size_bytes=MiB, image=image
    )


def nothing(_: float) -> None: ...


def left(pool: Path) -> list[str]:
    return sorted(p.name for p in pool.rglob("*") if p.is_file())


async def test_pool_fills_up_while_an_image_arrives(tmp_path: Path, small: Path) -> None:
    """A raw image may have holes, so its size says nothing before: the disk itself says no."""
    content = bytes(510) + b"\x55\xaa" + os.urandom(8 * MiB - 512)
    image = ImageSource(
        image=ImageId("img-1"), sha256=sha256(content).hexdigest(), format="raw", size_bytes=len(content)
    )

    async def fetch(_: ImageSource) -> AsyncIterator[bytes]:
        for start in range(0, len(content), MiB):
            yield content[start : start + MiB]

    with pytest.raises(PoolFull) as refusal:
        await storage(tmp_path).make_volume(volume(small, image), fetch, nothing)
    assert refusal.value.context["needs_bytes"] == len(content)
    assert left(small) == []


async def test_pool_fills_up_while_a_volume_is_made(tmp_path: Path, small: Path) -> None:
    (small / "ballast").write_bytes(bytes(4 * MiB - 32 * 1024))

    async def no_image(_: ImageSource) -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(PoolFull, match="no room for volume vol-1") as refusal:
        await storage(tmp_path).make_volume(volume(small), no_image, nothing)
    assert int(refusal.value.context["free_bytes"]) < 64 * 1024
    assert left(small) == ["ballast"]
    (small / "ballast").unlink()
    assert (await storage(tmp_path).make_volume(volume(small), no_image, nothing)).allocated_bytes > 0


async def test_pool_that_is_read_only_is_in_trouble(tmp_path: Path, small: Path) -> None:
    driver, pool = storage(tmp_path), PoolAssignment(pool=POOL, path=str(small))
    assert (await driver.open_pool(pool)).ready
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    seen = await driver.open_pool(pool)
    assert not seen.ready
    assert seen.trouble
    assert "can't be written" in seen.trouble.message
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)
    assert (await driver.open_pool(pool)).ready
