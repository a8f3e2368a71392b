"""Snapshots inside disks, with the real qemu-img: what is refused, and what a disk is afterwards."""

import subprocess
from pathlib import Path

import pytest

from corral.hypervisor.interface import SnapshotFailed
from corral.hypervisor.libvirt import disk_snapshots as disks
from corral.model.units import MiB


def a_disk(path: Path, below: Path | None = None) -> Path:
    on = ["-b", str(below), "-F", "qcow2"] if below else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *on, path, "4M"], check=True)
    return path


async def test_a_disk_that_has_grown_keeps_its_size(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "a")
    await disks.take(path, "snap-1")
    subprocess.run(["qemu-img", "resize", "-q", path, "8M"], check=True)
    await disks.revert(path, "snap-1")
    await disks.verify(path)
    seen = await disks.look(path)
    assert seen.size_bytes == 8 * MiB and set(seen.snapshots) == {"snap-1"}


async def test_a_chain_that_is_too_deep(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "0")
    for number in range(1, disks.CHAIN_MAX):
        path = a_disk(tmp_path / str(number), path)
    assert (await disks.look(path)).layers == disks.CHAIN_MAX
    with pytest.raises(SnapshotFailed, match="layers"):
        await disks.look(a_disk(tmp_path / "top", path))


async def test_a_chain_with_a_gap(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "top", a_disk(tmp_path / "base"))
    (tmp_path / "base").unlink()
    with pytest.raises(SnapshotFailed, match="can't be opened"):
        await disks.look(path)


async def test_a_damaged_disk_is_noticed(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "a")
    subprocess.run(["qemu-io", "-c", "write -P 1 0 1M", path], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(64 * 1024)  # the table of reference counts
        file.write(b"\xff" * 4096)
    with pytest.raises(SnapshotFailed, match=r"damaged|corrupt|opened"):
        await disks.verify(path)


async def test_clusters_that_an_interrupted_snapshot_left_are_freed(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "a")
    subprocess.run(["qemu-io", "-c", "write -P 1 0 1M", path], check=True, capture_output=True)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(8 * MiB - whole % (64 * 1024)))
    await disks.verify(path)
    assert (await disks.look(path)).size_bytes == 4 * MiB
