"""What is overwritten before it goes, and a pool that is not the one it was."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.model.ids import PoolId
from corral.model.link import PoolAssignment
from corral.model.units import MiB
from corral.storage import wiping
from corral.storage.interface import NotMounted, marker_path
from tests.unit.storage.test_directory import Server, nothing, storage, volume


def pool_at(path: Path, marker: str = "") -> PoolAssignment:
    return PoolAssignment(pool=PoolId("pool-1"), path=str(path), marker=marker)


async def test_wiped_before_it_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiping, "PART_BYTES", MiB)
    pool, driver = tmp_path / "pool", storage(tmp_path)
    wish = volume(pool, size=8 * MiB)
    path = Path((await driver.make_volume(wish, Server(b""), nothing)).path)
    with path.open("r+b") as file:
        file.seek(4 * MiB)
        file.write(b"secret" * 500_000)
    size, room = path.stat().st_size, path.stat().st_blocks
    other = path.with_name("other-name")
    os.link(path, other)  # what is left on the disk when the name is gone
    progress: list[float] = []
    await driver.wipe_volume(wish, progress.append)
    assert (progress[-1], len(progress) > 2) == (1.0, True)
    await driver.delete_volume(wish)
    assert not path.exists()
    left = other.read_bytes()
    assert (len(left), left.strip(b"\0")) == (size, b"")
    assert other.stat().st_blocks <= room, "holes were filled"
    await driver.wipe_volume(wish, nothing)  # once more, when it is gone


async def test_marker_is_written_once(tmp_path: Path) -> None:
    one, two = storage(tmp_path), storage(tmp_path, node="node-2")
    first = await one.open_pool(pool_at(tmp_path / "pool"))
    second = await two.open_pool(pool_at(tmp_path / "pool"))
    assert first.marker
    assert second.marker == first.marker
    assert (await one.open_pool(pool_at(tmp_path / "pool", first.marker))).ready


@pytest.mark.parametrize("there", ["", "feedfacefeedface"], ids=["no marker", "another one"])
async def test_pool_that_is_not_mounted(tmp_path: Path, there: str) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    if there:
        Path(marker_path(str(pool))).write_text(there)
    seen = await storage(tmp_path).open_pool(pool_at(pool, "0123456789abcdef"))
    assert not seen.ready
    assert seen.trouble
    assert seen.trouble.code == "pool.not_mounted"
    assert "echo 0123456789abcdef" in seen.trouble.hint
    assert sorted(p.name for p in pool.iterdir()) == ([".corral-pool"] if there else [])


async def test_pool_that_was_unmounted_meanwhile(tmp_path: Path) -> None:
    """Nothing is made in the empty directory below, and nothing in it counts as deleted."""
    pool, driver = tmp_path / "pool", storage(tmp_path)
    await driver.open_pool(pool_at(pool))
    pool.rename(tmp_path / "elsewhere")
    pool.mkdir()
    wish = volume(pool, size=MiB)
    with pytest.raises(NotMounted):
        await driver.make_volume(wish, Server(b""), nothing)
    with pytest.raises(NotMounted):
        await driver.delete_volume(replace(wish, wanted=False))
    assert list(pool.iterdir()) == []
