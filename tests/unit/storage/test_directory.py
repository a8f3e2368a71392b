"""Directory pools, on a real directory with the real qemu-img."""

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest

from corral.agent.ports import LinkDown
from corral.clock import SystemClock
from corral.errors import Invalid
from corral.model.ids import ImageId, PoolId, VolumeId
from corral.model.link import ImageSource, PoolAssignment, VolumeAssignment
from corral.model.units import MiB
from corral.model.volume import ObjectState
from corral.storage.directory import DirectoryStorage
from corral.storage.interface import BadImage, PoolFull, StorageFailed

VIRTUAL = 64 * MiB


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real qcow2 with some data in it."""
    raw, made = (tmp_path_factory.mktemp("image") / name for name in ("a.raw", "a.qcow2"))
    raw.write_bytes(os.urandom(MiB))
    os.truncate(raw, VIRTUAL)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


class Server:
    """Where images come from; counts how often."""

    def __init__(
        self, content: bytes, *, breaks_after: int | None = None, pause: asyncio.Event | None = None
    ) -> None:
        self.content, self.breaks_after, self.pause = content, breaks_after, pause
        self.fetches = 0

    async def __call__(self, image: ImageSource) -> AsyncIterator[bytes]:
        self.fetches += 1
        for start in range(0, len(self.content), 64 * 1024):
            if self.breaks_after is not None and start >= self.breaks_after:
                raise LinkDown("the link broke")
            yield self.content[start : start + 64 * 1024]
            if self.pause:
                await self.pause.wait()


def source(content: bytes, **changes: str | int) -> ImageSource:
    known = {"sha256": sha256(content).hexdigest(), "format": "qcow2", "size_bytes": len(content)}
    return ImageSource(image=ImageId("img-1"), **(known | changes))  # type: ignore[arg-type]


def volume(
    pool: Path, image: ImageSource | None = None, *, id: str = "vol-1", size: int = 0
) -> VolumeAssignment:
    return VolumeAssignment(
        volume=VolumeId(id), pool=PoolId("pool-1"), pool_path=str(pool), size_bytes=size, image=image
    )


def storage(tmp_path: Path, node: str = "node-1", qemu_img: str = "qemu-img") -> DirectoryStorage:
    return DirectoryStorage(
        node=node, seeds_path=str(tmp_path / "seeds"), clock=SystemClock(), qemu_img=qemu_img
    )


def nothing(_: float) -> None: ...


def info(path: str, *words: str) -> dict[str, object]:
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", *words, path], check=True, capture_output=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_volume_on_an_image(tmp_path: Path, content: bytes) -> None:
    pool, server, progress = tmp_path / "pool", Server(content), []
    made = await storage(tmp_path).make_volume(volume(pool, source(content)), server, progress.append)
    assert made.state is ObjectState.READY
    assert made.path == f"{pool}/volumes/vol-1.qcow2"
    seen = info(made.path)
    assert (seen["virtual-size"], seen["backing-filename"]) == (VIRTUAL, "../images/img-1")
    assert seen["full-backing-filename"] == f"{pool}/volumes/../images/img-1"
    assert (pool / "images/img-1").read_bytes() == content
    assert names(pool / "images") + names(pool / "volumes") == ["img-1", "vol-1.qcow2"]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert (
        subprocess.run(["qemu-img", "compare", made.path, pool / "images/img-1"], check=False).returncode == 0
    )


async def test_second_volume_fetches_nothing(tmp_path: Path, content: bytes) -> None:
    pool, server, driver = tmp_path / "pool", Server(content), storage(tmp_path)
    for id in ("vol-1", "vol-2"):
        await driver.make_volume(volume(pool, source(content), id=id), server, nothing)
    assert server.fetches == 1


async def test_ten_at_once_share_one_fetch(tmp_path: Path, content: bytes) -> None:
    pool, server, driver = tmp_path / "pool", Server(content), storage(tmp_path)
    wanted = [volume(pool, source(content), id=f"vol-{i}") for i in range(10)]
    made = await asyncio.gather(*(driver.make_volume(v, server, nothing) for v in wanted))
    assert [m.state for m in made] == [ObjectState.READY] * 10
    assert server.fetches == 1


async def test_fetch_outlives_the_one_who_asked_first(tmp_path: Path, content: bytes) -> None:
    pool, server, driver = tmp_path / "pool", Server(content, pause=asyncio.Event()), storage(tmp_path)
    one, two = (
        asyncio.create_task(driver.make_volume(volume(pool, source(content), id=id), server, nothing))
        for id in ("vol-1", "vol-2")
    )
    while not server.fetches:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # both wait for the same fetch now
    one.cancel()
    assert server.pause
    server.pause.set()
    assert (await two).state is ObjectState.READY
    assert server.fetches == 1


async def test_fetch_ends_with_the_last_who_waits(tmp_path: Path, content: bytes) -> None:
    pool, server, driver = tmp_path / "pool", Server(content, pause=asyncio.Event()), storage(tmp_path)
    asked = asyncio.create_task(driver.make_volume(volume(pool, source(content)), server, nothing))
    while not (pool / "images").exists() or not names(pool / "images"):
        await asyncio.sleep(0.005)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0.05)
    assert names(pool / "images") == []


async def test_two_nodes_fetch_into_one_shared_pool(tmp_path: Path, content: bytes) -> None:
    pool, server = tmp_path / "pool", Server(content)
    nodes = [storage(tmp_path, node) for node in ("node-1", "node-2")]
    wanted = [volume(pool, source(content), id=f"vol-{i}") for i in range(2)]
    await asyncio.gather(*(n.make_volume(v, server, nothing) for n, v in zip(nodes, wanted, strict=True)))
    assert names(pool / "images") == ["img-1"]
    assert (pool / "images/img-1").read_bytes() == content


async def test_making_it_twice_keeps_what_is_in_it(tmp_path: Path) -> None:
    pool, driver = tmp_path / "pool", storage(tmp_path)
    made = await driver.make_volume(volume(pool, size=4 * MiB), Server(b""), nothing)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", made.path], check=True, capture_output=True
    )
    before = Path(made.path).read_bytes()
    again = await storage(tmp_path).make_volume(volume(pool, size=4 * MiB), Server(b""), nothing)
    assert again.state is ObjectState.READY
    assert Path(made.path).read_bytes() == before


async def test_two_nodes_make_one_volume(tmp_path: Path) -> None:
    """Late assignments may overlap: whoever comes second must not replace the first one's file."""
    pool = tmp_path / "pool"
    nodes = [storage(tmp_path, f"node-{i}") for i in range(4)]
    made = await asyncio.gather(
        *(n.make_volume(volume(pool, size=4 * MiB), Server(b""), nothing) for n in nodes)
    )
    assert {m.path for m in made} == {f"{pool}/volumes/vol-1.qcow2"}
    assert names(pool / "volumes") == ["vol-1.qcow2"]


SIZES = [  # name, asked, got
    ("none asked: as large as the image", 0, VIRTUAL),
    ("as large as the image", VIRTUAL, VIRTUAL),
    ("larger", 3 * VIRTUAL, 3 * VIRTUAL),
]


@pytest.mark.parametrize(("asked", "got"), [pytest.param(*s[1:], id=s[0]) for s in SIZES])
async def test_size(tmp_path: Path, content: bytes, asked: int, got: int) -> None:
    wanted = volume(tmp_path / "pool", source(content), size=asked)
    made = await storage(tmp_path).make_volume(wanted, Server(content), nothing)
    assert info(made.path)["virtual-size"] == got


async def test_smaller_than_its_image_is_refused(tmp_path: Path, content: bytes) -> None:
    wanted = volume(tmp_path / "pool", source(content), size=VIRTUAL - 512)
    with pytest.raises(Invalid, match="at least the image's") as refusal:
        await storage(tmp_path).make_volume(wanted, Server(content), nothing)
    assert refusal.value.context["field"] == "size_bytes"
    assert names(tmp_path / "pool/volumes") == []


async def test_raw_image_keeps_its_holes(tmp_path: Path) -> None:
    raw = bytes(510) + b"\x55\xaa" + bytes(8 * MiB - 512)
    wanted = volume(tmp_path / "pool", source(raw, format="raw"))
    made = await storage(tmp_path).make_volume(wanted, Server(raw), nothing)
    copy = tmp_path / "pool/images/img-1"
    assert copy.read_bytes() == raw
    assert copy.stat().st_blocks * 512 < MiB
    assert info(made.path)["backing-filename-format"] == "raw"


WRONG = [  # name, what is promised otherwise, what the server sends, in the message
    ("checksum", {"sha256": "0" * 64}, lambda c: c, "checksum"),
    ("one byte changed", {}, lambda c: c[:-1] + bytes([c[-1] ^ 1]), "checksum"),
    ("too short", {}, lambda c: c[:-1], "instead of"),
    ("too long", {}, lambda c: c + b"x", "instead of"),
    ("format", {"format": "raw"}, lambda c: c, "promised was raw"),
]


@pytest.mark.parametrize(("promised", "sent", "says"), [pytest.param(*w[1:], id=w[0]) for w in WRONG])
async def test_wrong_bytes_leave_nothing(
    tmp_path: Path, content: bytes, promised: dict[str, str], sent: Callable[[bytes], bytes], says: str
) -> None:
    wanted = volume(tmp_path / "pool", source(content, **promised))
    with pytest.raises(BadImage, match=says):
        await storage(tmp_path).make_volume(wanted, Server(sent(content)), nothing)
    assert names(tmp_path / "pool/images") + names(tmp_path / "pool/volumes") == []


async def test_link_breaks_midway_then_holds(tmp_path: Path, content: bytes) -> None:
    driver, wanted = storage(tmp_path), volume(tmp_path / "pool", source(content))
    with pytest.raises(LinkDown):
        await driver.make_volume(wanted, Server(content, breaks_after=128 * 1024), nothing)
    assert names(tmp_path / "pool/images") == []
    assert (await driver.make_volume(wanted, Server(content), nothing)).state is ObjectState.READY


async def test_no_room_for_the_image_is_known_before_it_is_fetched(tmp_path: Path, content: bytes) -> None:
    server = Server(content)
    wanted = volume(tmp_path / "pool", source(content, size_bytes=2**60))
    with pytest.raises(PoolFull) as refusal:
        await storage(tmp_path).make_volume(wanted, server, nothing)
    assert refusal.value.context["needs_bytes"] == 2**60
    assert refusal.value.context["free_bytes"] > 0  # type: ignore[operator]
    assert server.fetches == 0


QEMU_IMG_FAILS = [  # name, what it does, error, in the message
    ("is not installed", "", StorageFailed, "can't be run"),
    ("finds no room", "echo 'qemu-img: x: No space left on device' >&2; exit 1", PoolFull, "no room"),
    ("fails", "echo 'qemu-img: x: Input/output error' >&2; exit 1", StorageFailed, "Input/output error"),
    ("says nothing", "exit 1", StorageFailed, "no reason"),
    ("hangs", "exec sleep 60", StorageFailed, "did not end"),
]


@pytest.mark.parametrize(("script", "error", "says"), [pytest.param(*f[1:], id=f[0]) for f in QEMU_IMG_FAILS])
async def test_qemu_img_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[StorageFailed], says: str
) -> None:
    monkeypatch.setattr("corral.storage.directory.MAKE_S", 0.3)
    program = tmp_path / "fails"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    with pytest.raises(error, match=says):
        await storage(tmp_path, qemu_img=str(program)).make_volume(
            volume(tmp_path / "pool", size=MiB), Server(b""), nothing
        )
    assert names(tmp_path / "pool/volumes") == []


async def test_leftovers_of_a_crash_go_and_those_of_others_stay(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    for part in ("images", "volumes"):
        (pool / part).mkdir(parents=True)
    (pool / "images/.img-1.node-1.0000000000-3.part").write_text("mine, from an earlier run")
    (pool / "images/.img-1.node-2.0000000000-3.part").write_text("another node's")
    (pool / "volumes/.vol-9.qcow2.node-1.0000000000-3.part").write_text("mine, from an earlier run")
    (pool / "volumes/vol-8.qcow2").write_text("whole")
    assert (await storage(tmp_path).open_pool(assignment(pool))).ready
    assert names(pool / "images") == [".img-1.node-2.0000000000-3.part"]
    assert names(pool / "volumes") == ["vol-8.qcow2"]


def assignment(pool: Path) -> PoolAssignment:
    return PoolAssignment(pool=PoolId("pool-1"), path=str(pool))


async def test_open_pool_says_its_room_in_round_figures(tmp_path: Path) -> None:
    seen = await storage(tmp_path).open_pool(assignment(tmp_path / "new/pool"))
    assert seen.ready
    assert seen.total_bytes >= seen.free_bytes > 0
    assert seen.total_bytes % (64 * MiB) == seen.free_bytes % (64 * MiB) == 0


async def test_pool_that_is_no_directory_is_in_trouble(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("a file")
    seen = await storage(tmp_path).open_pool(assignment(tmp_path / "pool"))
    assert not seen.ready
    assert seen.trouble
    assert (seen.trouble.code, seen.trouble.context["path"]) == (
        "storage.failed",
        str(tmp_path / "pool"),
    )


async def test_pool_that_hangs_delays_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dead file server does: statvfs never returns."""
    stuck, release, real = asyncio.Event(), threading.Event(), os.statvfs
    loop = asyncio.get_running_loop()

    def statvfs(path: str) -> os.statvfs_result:
        if "dead" in str(path):
            loop.call_soon_threadsafe(stuck.set)
            release.wait(5)
        return real(path)

    monkeypatch.setattr("corral.storage.lane.LOOK_S", 0.5)
    monkeypatch.setattr(os, "statvfs", statvfs)
    driver = storage(tmp_path)
    looks = [asyncio.create_task(driver.open_pool(assignment(tmp_path / "dead"))) for _ in range(4)]
    async with asyncio.timeout(10):
        await stuck.wait()
    assert (await driver.open_pool(assignment(tmp_path / "alive"))).ready
    troubles = [(await look).trouble for look in looks]
    release.set()
    assert ["hangs" in t.message for t in troubles if t] == [True] * 4


async def test_absent_then_deleted_twice(tmp_path: Path) -> None:
    driver, wanted = storage(tmp_path), volume(tmp_path / "pool", size=MiB)
    assert (await driver.see_volume(wanted)).state is ObjectState.ABSENT
    await driver.make_volume(wanted, Server(b""), nothing)
    assert (await driver.see_volume(wanted)).allocated_bytes > 0
    for _ in range(2):
        await driver.delete_volume(wanted)
        assert (await driver.see_volume(wanted)).state is ObjectState.ABSENT


async def test_delete_image_twice_and_in_a_pool_that_is_gone(tmp_path: Path, content: bytes) -> None:
    driver, pool = storage(tmp_path), tmp_path / "pool"
    await driver.make_volume(volume(pool, source(content)), Server(content), nothing)
    await driver.delete_volume(volume(pool))  # it would be refused while one stands on it
    for path in (pool, pool, tmp_path / "gone"):
        await driver.delete_image(str(path), "img-1")
    assert names(pool / "images") == []


@pytest.mark.parametrize("id", ["../../etc/passwd", "", ".hidden"])
async def test_ids_do_not_lead_out_of_the_pool(tmp_path: Path, id: str) -> None:
    with pytest.raises(Invalid):
        await storage(tmp_path).delete_volume(volume(tmp_path, id=id))


async def test_seed_is_made_and_removed(tmp_path: Path) -> None:
    driver = storage(tmp_path)
    path = await driver.make_seed("vm-1", {"meta-data": "instance-id: vm-1\n"})
    assert path == str(tmp_path / "seeds/vm-1.iso")
    for _ in range(2):
        await driver.delete_seed("vm-1")
    assert not Path(path).exists()
