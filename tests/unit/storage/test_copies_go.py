"""Copies of images that are tidied up: never from below a volume, whatever races or dies."""

from pathlib import Path

import pytest

from corral.model.ids import PoolId
from corral.model.link import PoolAssignment
from corral.storage import copies
from corral.storage.copies import ImageInUse
from tests.unit.storage.test_directory import Server, content, names, nothing, source, storage, volume

__all__ = ["content"]  # a fixture


async def test_what_a_volume_stands_on_stays(tmp_path: Path, content: bytes) -> None:
    pool, driver = tmp_path / "pool", storage(tmp_path)
    wish = volume(pool, source(content))
    await driver.make_volume(wish, Server(content), nothing)
    with pytest.raises(ImageInUse, match="vol-1"):
        await driver.delete_image(str(pool), "img-1")
    assert names(pool / "images") == ["img-1"]
    await driver.delete_volume(wish)
    for _ in range(2):
        await driver.delete_image(str(pool), "img-1")
    assert names(pool / "images") == []


async def test_volume_that_is_made_meanwhile(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the second: the copy gets its name back."""
    pool, driver = tmp_path / "pool", storage(tmp_path)
    wish = volume(pool, source(content))
    made = Path((await driver.make_volume(wish, Server(content), nothing)).path)
    hidden = made.with_suffix(".hidden")
    made.rename(hidden)
    looks: list[int] = []
    real = copies._refuse_used

    def appears(path: Path) -> None:
        looks.append(1)
        if len(looks) == 2:
            hidden.rename(made)
        real(path)

    monkeypatch.setattr(copies, "_refuse_used", appears)
    with pytest.raises(ImageInUse):
        await driver.delete_image(str(pool), "img-1")
    assert names(pool / "images") == ["img-1"]


async def test_copy_that_went_while_its_volume_was_made_is_fetched_again(
    tmp_path: Path, content: bytes
) -> None:
    pool, server, driver = tmp_path / "pool", Server(content), storage(tmp_path)
    create = driver._create

    async def slowly(*asked: object) -> None:
        (pool / "images/img-1").unlink()  # tidied up at this very moment
        await create(*asked)  # type: ignore[arg-type]

    driver._create = slowly  # type: ignore[method-assign]
    await driver.make_volume(volume(pool, source(content)), server, nothing)
    assert (server.fetches, names(pool / "images")) == (2, ["img-1"])


@pytest.mark.parametrize("used", [True, False], ids=["a volume stands on it", "nothing does"])
async def test_crash_in_the_middle(tmp_path: Path, content: bytes, used: bool) -> None:
    """The next agent puts it back, or removes it."""
    pool, driver = tmp_path / "pool", storage(tmp_path)
    wish = volume(pool, source(content))
    await driver.make_volume(wish, Server(content), nothing)
    if not used:
        await driver.delete_volume(wish)
    (pool / "images/img-1").rename(pool / "images/.img-1.going")
    await storage(tmp_path).open_pool(PoolAssignment(pool=PoolId("pool-1"), path=str(pool)))
    assert names(pool / "images") == (["img-1"] if used else [])
