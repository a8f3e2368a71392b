"""The server's images: what arrives, what is kept, what a user is told."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio

from corral.clock import SystemClock
from corral.errors import CorralError, NotFound
from corral.model.image import Image, ImagePhase, ImageSpec
from corral.model.operation import OperationState, Verb
from corral.model.units import MiB
from corral.server.images import ImageNotEmpty, ImageStore, UploadRunning
from corral.server.services.asking import Asking
from corral.server.services.base import Desk
from corral.storage.interface import BadImage, PoolFull, StorageFailed
from corral.store.interface import Put
from corral.store.memory import MemoryStore
from corral.store.mirror import Mirror

ASKING = Asking(by="ann", request_id="r-1")
RAW = bytes(510) + b"\x55\xaa" + bytes(3 * MiB - 512)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    raw, made = (tmp_path_factory.mktemp("image") / name for name in ("a.raw", "a.qcow2"))
    raw.write_bytes(os.urandom(MiB))
    os.truncate(raw, 8 * MiB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


class House:
    """A store, its mirror, and an image store in a directory."""

    def __init__(self, directory: Path) -> None:
        self.clock = SystemClock()
        self.store, self.mirror = MemoryStore(self.clock), Mirror()
        self.desk = Desk(self.store, self.mirror, self.clock)
        self.directory = directory
        self.images = ImageStore(directory, self.desk)

    async def add(self, name: str = "debian", **spec: str) -> Image:
        image = Image(id=f"img-{name}", name=name, spec=ImageSpec(**spec))
        await self.put(image)
        return image

    async def put(self, image: Image) -> None:
        stored = await self.store.commit([Put(image)])
        await self.mirror.wait_for(stored[0].revision)

    def now(self, name: str = "debian") -> Image:
        return self.mirror.find(Image, name)

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.directory.iterdir()) if self.directory.exists() else []


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "images")
    following = asyncio.create_task(house.mirror.follow(house.store))
    await house.mirror.wait_loaded()
    yield house
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def pieces(
    content: bytes, size: int = 100_000, meanwhile: Callable[[int], object] = lambda _: None
) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        meanwhile(start)
        yield content[start : start + size]
        await asyncio.sleep(0)


async def all_of(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_upload_then_a_node_fetches_it(house: House, content: bytes) -> None:
    await house.add(sha256=sha256(content).hexdigest(), format="qcow2")
    operation = await house.images.receive("debian", pieces(content), ASKING)
    assert (operation.spec.verb, operation.status.state, operation.spec.by) == (
        Verb.UPDATE, OperationState.SUCCEEDED, "ann",
    )  # fmt: skip
    status = house.now().status
    assert (status.phase, status.format, status.size_bytes, status.virtual_bytes, status.sha256) == (
        ImagePhase.READY, "qcow2", len(content), 8 * MiB, sha256(content).hexdigest(),
    )  # fmt: skip
    assert await all_of(house.images.chunks("img-debian")) == content
    assert house.files == ["img-debian"]


async def test_raw_is_sniffed(house: House) -> None:
    await house.add()
    await house.images.receive("img-debian", pieces(RAW), ASKING)
    assert (house.now().status.format, house.now().status.virtual_bytes) == ("raw", len(RAW))


def cut(content: bytes) -> bytes:
    """What is left of a download that broke off: the header is whole."""
    return content[: len(content) // 2]


BAD = [  # name, promised, what is uploaded, in the message
    ("empty", {}, lambda c: b"", "an empty file"),
    ("web page", {}, lambda c: b"<html>not found</html>", "a web page"),
    ("truncated qcow2", {}, cut, "truncated"),
    ("other checksum", {"sha256": "0" * 64}, lambda c: c, "checksum"),
    ("other format", {"format": "raw"}, lambda c: c, "promised was raw"),
    (
        "backing file",
        {},
        lambda c: c[:8] + (512).to_bytes(8, "big") + (11).to_bytes(4, "big") + c[20:],
        "foreign backing",
    ),
]


@pytest.mark.parametrize(("promised", "change", "says"), [pytest.param(*b[1:], id=b[0]) for b in BAD])
async def test_bad_image_fails_and_may_be_uploaded_again(
    house: House, content: bytes, promised: dict[str, str], change: Callable[[bytes], bytes], says: str
) -> None:
    image = await house.add(**promised)
    with pytest.raises(BadImage, match=says):
        await house.images.receive("debian", pieces(change(content)), ASKING)
    status = house.now().status
    assert status.phase is ImagePhase.FAILED
    assert status.trouble
    assert (status.trouble.code, says in status.trouble.message) == ("image.bad", True)
    assert house.files == []
    await house.put(house.now().having(spec=ImageSpec()))
    assert (await house.images.receive(image.id, pieces(content), ASKING)).ended
    assert house.now().status.phase is ImagePhase.READY
    assert house.now().status.trouble is None


async def test_upload_breaks_off(house: House, content: bytes) -> None:
    def break_off(start: int) -> None:
        if start > 500_000:
            raise ConnectionResetError

    await house.add()
    with pytest.raises(ConnectionResetError):
        await house.images.receive("debian", pieces(content, meanwhile=break_off), ASKING)
    assert (house.now().status.phase, house.files) == (ImagePhase.PENDING, [])


async def test_request_is_cancelled(house: House, content: bytes) -> None:
    await house.add()
    begun = asyncio.Event()
    upload = asyncio.create_task(
        house.images.receive(
            "debian", pieces(content, 1000, meanwhile=lambda n: begun.set() if n else None), ASKING
        )
    )
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert (house.now().status.phase, house.files) == (ImagePhase.PENDING, [])


async def test_disk_full(house: House, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room but the reserve is left. tests/lab/test_storage.py fills a real one."""
    await house.add()
    monkeypatch.setattr("corral.storage.files.free_bytes", lambda _: 64 * MiB + 50_000)
    with pytest.raises(PoolFull, match="no room") as refusal:
        await house.images.receive("debian", pieces(content), ASKING)
    assert refusal.value.context["free_bytes"] == 64 * MiB + 50_000
    assert (house.now().status.phase, house.files) == (ImagePhase.PENDING, [])


async def test_two_at_once(house: House, content: bytes) -> None:
    await house.add()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield content[:1000]
        begun.set()
        await go_on.wait()
        yield content[1000:]

    first = asyncio.create_task(house.images.receive("debian", slow(), ASKING))
    await begun.wait()
    with pytest.raises(UploadRunning):
        await house.images.receive("debian", pieces(RAW), ASKING)
    go_on.set()
    await first
    assert await all_of(house.images.chunks("debian")) == content


async def test_ready_image_keeps_its_bytes(house: House, content: bytes) -> None:
    await house.add()
    await house.images.receive("debian", pieces(content), ASKING)
    with pytest.raises(ImageNotEmpty):
        await house.images.receive("debian", pieces(RAW), ASKING)
    assert await all_of(house.images.chunks("debian")) == content


async def test_repeat_with_the_same_key_gets_the_first_answer(house: House, content: bytes) -> None:
    await house.add()
    asking = Asking(idempotency_key="k", fingerprint="f")
    first, second = [await house.images.receive("debian", pieces(content), asking) for _ in range(2)]
    assert first.id == second.id


async def test_relabelled_meanwhile_keeps_both(house: House, content: bytes) -> None:
    """Somebody else's commit comes between: the image is looked at again."""
    image = await house.add()

    async def chunks() -> AsyncIterator[bytes]:
        yield content
        await house.store.commit([Put(image.having(labels={"os": "debian"}))])

    await house.images.receive("debian", chunks(), ASKING)
    assert (house.now().labels, house.now().status.phase) == ({"os": "debian"}, ImagePhase.READY)


async def test_deleted_meanwhile(house: House, content: bytes) -> None:
    image = await house.add()

    async def chunks() -> AsyncIterator[bytes]:
        yield content
        await house.put(image.having(deleted_at=1.0, finalizers=("x",)))

    with pytest.raises(NotFound):
        await house.images.receive("debian", chunks(), ASKING)
    assert house.files == []


async def test_dry_run_checks_and_keeps_nothing(house: House, content: bytes) -> None:
    await house.add()
    operation = await house.images.receive("debian", pieces(content), Asking(dry_run=True))
    assert operation.status.state is OperationState.SUCCEEDED
    assert (house.now().status.phase, house.files) == (ImagePhase.PENDING, [])
    with pytest.raises(BadImage):
        await house.images.receive("debian", pieces(b"text"), Asking(dry_run=True))
    assert house.now().status.phase is ImagePhase.PENDING


@pytest.mark.parametrize("call", ["receive", "chunks"])
async def test_no_such_image(house: House, call: str) -> None:
    with pytest.raises(NotFound):
        if call == "receive":
            await house.images.receive("nothing", pieces(b""), ASKING)
        else:
            await all_of(house.images.chunks("nothing"))


async def test_pending_image_has_no_chunks(house: House) -> None:
    await house.add()
    with pytest.raises(NotFound):
        await all_of(house.images.chunks("debian"))


async def test_lost_file_is_said(house: House, content: bytes) -> None:
    await house.add()
    await house.images.receive("debian", pieces(content), ASKING)
    house.images.path_of(house.now()).unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        await all_of(house.images.chunks("debian"))


async def test_forget_twice(house: House, content: bytes) -> None:
    image = await house.add()
    await house.images.receive("debian", pieces(content), ASKING)
    for _ in range(2):
        await house.images.forget(image.id)
    assert house.files == []


async def test_start_after_a_crash_sweeps(house: House, content: bytes) -> None:
    await house.add("kept")
    await house.images.receive("kept", pieces(content), ASKING)
    await house.add("crashed-before-its-commit")
    for left in (".img-kept.up-1.part", "img-crashed-before-its-commit", "img-gone", "notes.txt"):
        (house.directory / left).write_text("left")
    await ImageStore(house.directory, house.desk).sweep()
    assert house.files == ["img-kept", "notes.txt"]


async def test_qemu_img_is_missing(house: House, content: bytes) -> None:
    """No verdict on the image then: it stays as it was."""
    await house.add()
    images = ImageStore(house.directory, house.desk, qemu_img="/nowhere/qemu-img")
    with pytest.raises(CorralError, match="could not check"):
        await images.receive("debian", pieces(content), ASKING)
    assert (house.now().status.phase, house.files) == (ImagePhase.PENDING, [])
