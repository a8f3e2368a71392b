"""Exports of volumes, with the real qemu-img: one file that stands alone, and gone when nobody reads it."""

import subprocess
from pathlib import Path

import pytest

from corral.model.ids import VmId
from corral.model.link import SendDisk
from corral.storage.interface import StorageFailed
from tests.unit.storage.test_copying import SIZE, written
from tests.unit.storage.test_directory import Server, content, info, names, nothing, source, storage, volume

__all__ = ["content"]  # a fixture


@pytest.mark.parametrize("format", ["qcow2", "vmdk"])
async def test_export(tmp_path: Path, content: bytes, format: str) -> None:
    driver, pool = storage(tmp_path), tmp_path / "pool"
    origin = volume(pool, source(content), size=SIZE)
    made = await driver.make_volume(origin, Server(content), nothing)
    written(made.path, b"then" * 1024, at=8 << 20)
    subprocess.run(["qemu-img", "snapshot", "-c", "snap-1", made.path], check=True)
    written(made.path, b"now!" * 1024, at=8 << 20)
    asked = SendDisk(
        session="",
        vm=VmId("vm-1"),
        volume=origin.volume,
        pool_path=str(pool),
        snapshot="snap-1",
        format=format,
    )
    progress: list[float] = []
    out = tmp_path / f"out.{format}"
    async with driver.exported(asked, progress.append) as file:
        with out.open("wb") as target:
            async for chunk in file.chunks():
                target.write(chunk)
        assert out.stat().st_size == file.size_bytes and len(file.sha256) == 64
    assert names(pool / "volumes") == ["vol-1.qcow2"]
    seen = info(str(out))
    assert seen["format"] == format and "backing-filename" not in seen and not seen.get("snapshots")
    raw = tmp_path / "out.raw"
    subprocess.run(["qemu-img", "convert", "-f", format, "-O", "raw", out, raw], check=True)
    with raw.open("rb") as file_:
        file_.seek(8 << 20)
        assert file_.read(8) == b"thenthen", "of the moment of the snapshot"
    with pytest.raises(StorageFailed):
        async with driver.exported(SendDisk(session="", vm=VmId("vm-1"), volume=origin.volume, pool_path=str(pool), snapshot="snap-9", format=format), nothing):  # fmt: skip
            pass
    assert names(pool / "volumes") == ["vol-1.qcow2"]
