"""Images by URL, from a web server that breaks off, lies, stalls and redirects."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio

from corral.errors import Invalid
from corral.model.image import ImagePhase
from corral.model.units import KiB, MiB
from corral.server import fetching, importing
from corral.server.fetching import SourceRefused, Whereabouts, check_url, open_source
from corral.server.importing import Imports
from tests.unit.images.house import Asked, House, Web, says, sends


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    raw, made = (tmp_path_factory.mktemp("image") / name for name in ("a.raw", "a.qcow2"))
    raw.write_bytes(os.urandom(MiB))
    os.truncate(raw, 8 * MiB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "images")
    following = asyncio.create_task(house.mirror.follow(house.store))
    await house.mirror.wait_loaded()
    yield house
    await house.imports.close()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def kept(house: House) -> bytes:
    return b"".join([chunk async for chunk in house.images.chunks("debian")])


async def test_import(house: House, content: bytes) -> None:
    async with Web(sends(content)) as web:
        image = await house.imported(url=web.url, sha256=sha256(content).hexdigest())
    status = image.status
    assert (status.phase, status.format, status.virtual_bytes) == (ImagePhase.READY, "qcow2", 8 * MiB)
    assert (await kept(house), house.files) == (content, [image.id])


async def test_goes_on_where_it_broke_off(house: House, content: bytes) -> None:
    async with Web(sends(content, until=300_000), sends(content, until=700_000), sends(content)) as web:
        image = await house.imported(url=web.url)
    assert image.status.phase is ImagePhase.READY
    assert [asked.start for asked in web.asked] == [0, 300_000, 700_000]
    assert await kept(house) == content


async def test_source_without_ranges_begins_anew(house: House, content: bytes) -> None:
    async with Web(sends(content, until=300_000), sends(content, ranges=False)) as web:
        await house.imported(url=web.url)
    assert await kept(house) == content


async def test_source_that_changed_meanwhile(house: House, content: bytes) -> None:
    """Never half of the one and half of the other."""
    other = bytes(510) + b"\x55\xaa" + bytes(MiB)
    async with Web(sends(content, until=300_000), sends(other, tag='"2"')) as web:
        await house.imported(url=web.url)
    assert await kept(house) == other


async def test_server_that_restarts_goes_on(house: House, content: bytes) -> None:
    stopped = asyncio.Event()

    async def half(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await sends(content, until=500_000)(asked, writer)
        await writer.drain()
        await stopped.wait()

    async with Web(half, sends(content)) as web:
        image = await house.add(url=web.url)
        house.imports.begin(image.id)
        part = house.images.part(image.id)
        async with asyncio.timeout(10):
            while not part.exists() or part.stat().st_size < 400_000:
                await asyncio.sleep(0.01)
        await house.imports.close()
        stopped.set()
        house.imports = Imports(house.images, Whereabouts.of(["127.0.0.0/8"]))
        house.imports.begin(image.id)
        await house.ended()
    assert web.asked[1].start >= 400_000
    assert await kept(house) == content


REFUSED = [  # name, answers, promised, code, in the message
    ("not there", [says("404 Not Found")], {}, "image.source_refused", "404"),
    ("error page", [says("200 OK", body=b"<html>sorry</html>")], {}, "image.bad", "a web page"),
    ("redirect to a file", [says("302 Found", "Location: file:///etc/passwd")], {}, "image.source_refused", "file:///etc/passwd"),
    ("redirects without end", [says("302 Found", "Location: /again")], {}, "image.source_refused", "5 redirects"),
    ("compressed", [says("200 OK", "Content-Encoding: gzip", body=b"x")], {}, "image.source_refused", "encoding"),
    ("out of order for good", [says("503 Busy")], {}, "image.source_failed", "503"),
    ("other checksum", None, {"sha256": "0" * 64}, "image.bad", "another checksum"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "promised", "code", "words"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED]
)
async def test_refused(
    house: House,
    content: bytes,
    answers: list[object] | None,
    promised: dict[str, str],
    code: str,
    words: str,
) -> None:
    async with Web(*(answers or [sends(content)])) as web:  # type: ignore[arg-type]
        image = await house.imported(url=web.url, **promised)
    assert image.status.phase is ImagePhase.FAILED
    assert image.status.trouble
    assert image.status.trouble.code == code
    assert words in image.status.trouble.message
    assert house.files == []


async def test_length_that_is_a_lie(house: House, content: bytes) -> None:
    """It always ends too early: never taken for whole."""
    async with Web(sends(content, claims=len(content) + 5000)) as web:
        image = await house.imported(url=web.url)
    assert image.status.trouble
    assert f"after {len(content)} of {len(content) + 5000} bytes" in image.status.trouble.message
    assert house.files == []


async def test_truncated_at_the_source(house: House, content: bytes) -> None:
    """Its length is right, and half of the image is missing."""
    async with Web(sends(content[: len(content) // 2])) as web:
        image = await house.imported(url=web.url)
    assert image.status.trouble
    assert "truncated" in image.status.trouble.message


async def test_source_that_stalls(house: House, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "STALL_S", 0.2)
    over = asyncio.Event()

    async def stalls(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await sends(content, until=200_000)(asked, writer)
        await writer.drain()
        await over.wait()

    async with Web(stalls, sends(content)) as web:
        image = await house.imported(url=web.url)
        over.set()
    assert (image.status.phase, web.asked[1].start) == (ImagePhase.READY, 200_000)


async def test_source_that_trickles(house: House, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no progress."""
    monkeypatch.setattr(importing, "RATE_S", 0.3)
    monkeypatch.setattr(importing, "ATTEMPTS", 1)

    async def trickles(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with Web(trickles) as web:
        image = await house.imported(url=web.url)
    assert image.status.trouble
    assert "stalls" in image.status.trouble.message


async def test_no_room_is_said_before(house: House, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.storage.files.free_bytes", lambda _: 64 * MiB + 100 * KiB)
    async with Web(sends(content)) as web:
        image = await house.imported(url=web.url)
    assert image.status.trouble
    assert image.status.trouble.code == "storage.full"
    assert house.files == []


async def test_deleted_meanwhile(house: House, content: bytes) -> None:
    over = asyncio.Event()

    async def half(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await sends(content, until=200_000)(asked, writer)
        await writer.drain()
        await over.wait()

    async with Web(half) as web:
        image = await house.add(url=web.url)
        house.imports.begin(image.id)
        async with asyncio.timeout(10):
            while not web.asked:
                await asyncio.sleep(0.01)
        await house.imports.forget(image.id)
        over.set()
    assert house.files == []


WHERE = [  # address, networks that are allowed besides, whether it may be asked
    ("93.184.216.34", [], True),
    ("127.0.0.1", [], False),
    ("::1", [], False),
    ("::ffff:127.0.0.1", [], False),
    ("169.254.169.254", [], False),
    ("10.1.2.3", [], False),
    ("10.1.2.3", ["10.0.0.0/8"], True),
    ("192.168.1.1", ["10.0.0.0/8"], False),
    ("fd00::1", [], False),
    ("2002:7f00:1::", [], False),
    ("64:ff9b::7f00:1", [], False),
]


@pytest.mark.parametrize(("address", "networks", "allowed"), WHERE)
def test_where_urls_may_lead(address: str, networks: list[str], allowed: bool) -> None:
    assert Whereabouts.of(networks).allow(address) is allowed


def test_private_address_is_refused_whatever_its_name() -> None:
    with pytest.raises(SourceRefused, match="not imported from") as refusal:
        open_source("http://localhost:1/x", Whereabouts())
    assert "--image-network" in refusal.value.hint


async def test_redirect_to_a_private_address_is_refused(house: House) -> None:
    house.imports = Imports(house.images, Whereabouts.of(["127.0.0.1/32"]))
    async with Web(says("302 Found", "Location: http://127.0.0.2:80/secret")) as web:
        image = await house.imported(url=web.url)
    assert image.status.trouble
    assert "127.0.0.2" in image.status.trouble.message


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "http://", "http://u:p@x/y", "http://x:port/y"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)
