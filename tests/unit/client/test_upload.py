"""Images, byte for byte."""

from hashlib import sha256
from pathlib import Path

import pytest

from corral.client.client import Client
from corral.client.upload import PIECE_BYTES
from corral.errors import CorralError, Invalid
from tests.unit.client.fake_api import FakeApi, problem
from tests.unit.client.samples import FAILED, IMAGE, SUCCEEDED

CONTENT = b"QFI\xfb" + bytes(range(256)) * (PIECE_BYTES // 200)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "debian.qcow2"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def taking(api: FakeApi) -> FakeApi:
    api.add(IMAGE)
    api.on("POST", "/images", SUCCEEDED)
    api.on("PUT", "/images/debian/content", SUCCEEDED)
    api.on("DELETE", "/images/debian", SUCCEEDED)
    return api


def test_upload(taking: FakeApi, client: Client, file: Path) -> None:
    progress: list[tuple[str, int, int]] = []
    image = client.images.upload("debian", file, os="Debian 12", progress=lambda *p: progress.append(p))
    assert image == IMAGE
    create, put, _ = taking.seen
    assert create.json["sha256"] == sha256(CONTENT).hexdigest()
    assert put.body == CONTENT
    assert put.headers["content-length"] == str(len(CONTENT))
    assert progress[-1] == ("upload", len(CONTENT), len(CONTENT))
    assert {what for what, _, _ in progress} == {"checksum", "upload"}


def test_upload_is_sent_again_when_the_connection_breaks(taking: FakeApi, client: Client, file: Path) -> None:
    taking.hang_up.extend(["", "after"])
    client.images.upload("debian", file)
    puts = [s for s in taking.seen if s.method == "PUT"]
    assert [p.body == CONTENT for p in puts] == [True, True]
    assert puts[0].headers["idempotency-key"] == puts[1].headers["idempotency-key"]


def test_a_wrong_promise_is_noticed_before_anything_is_sent(
    taking: FakeApi, client: Client, file: Path
) -> None:
    with pytest.raises(Invalid, match="promised"):
        client.images.upload("debian", file, sha256="0" * 64)
    assert not taking.seen


@pytest.mark.parametrize("content", [None, b""], ids=["no file", "empty file"])
def test_files_that_can_not_be_images(client: Client, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid):
        client.images.upload("debian", path)


def test_a_refused_upload_leaves_no_image(taking: FakeApi, client: Client, file: Path) -> None:
    taking.replies["PUT", "/api/v1/images/debian/content"] = lambda _: problem(
        422, "image.backing_file", "foreign"
    )
    with pytest.raises(CorralError) as caught:
        client.images.upload("debian", file)
    assert caught.value.code == "image.backing_file"
    assert taking.seen[-1].method == "DELETE"


def test_an_upload_whose_operation_fails_leaves_no_image(taking: FakeApi, client: Client, file: Path) -> None:
    taking.on("PUT", "/images/debian/content", FAILED)
    with pytest.raises(CorralError):
        client.images.upload("debian", file)
    assert taking.seen[-1].method == "DELETE"


def test_a_name_that_is_taken_deletes_nothing(taking: FakeApi, client: Client, file: Path) -> None:
    """The image that has the name is somebody's."""
    taking.replies["POST", "/api/v1/images"] = lambda _: problem(409, "resource.name_taken", "taken")
    with pytest.raises(CorralError):
        client.images.upload("debian", file)
    assert [s.method for s in taking.seen] == ["POST"]


def test_a_file_that_shrinks_while_it_is_sent(taking: FakeApi, client: Client, file: Path) -> None:
    def shrink(what: str, done: int, size: int) -> None:
        if what == "upload" and done == PIECE_BYTES:
            file.write_bytes(CONTENT[:PIECE_BYTES])

    with pytest.raises(Invalid, match="ends after"):
        client.images.upload("debian", file, progress=shrink)
