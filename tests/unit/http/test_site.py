"""Site: the web console's files, and which addresses are its own."""

import gzip
from pathlib import Path

import httpx
import pytest

from corral.model.token import Role
from corral.server.http.app import build
from corral.server.http.site import INDEX
from tests.unit.http.world import World, a_vm

SCRIPT = "assets/index-Ab12.js"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.js").write_text("not of the console")
    folder = tmp_path / "console"
    (folder / "assets").mkdir(parents=True)
    (folder / INDEX).write_text("<!doctype html><title>Corral</title>")
    for end, content in (("", b"let a"), (".br", b"as br"), (".gz", b"as gzip")):
        (folder / f"{SCRIPT}{end}").write_bytes(content)
    (folder / "assets" / "plain-Cd34.css").write_text("p {}")
    (folder / "assets" / "link-Ef56.js").symlink_to(tmp_path / "secret.js")
    (folder / "favicon.svg").write_text("<svg/>")
    return folder


def browser(world: World, folder: Path, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build(world.core, console=folder))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://corral", headers=headers)


ADDRESSES = [  # name, path, status, content type, what it begins with
    ("the root", "/", 200, "text/html", "<!doctype html><title>Corral"),
    ("a page of the router", "/vms/web-1.example/console", 200, "text/html", "<!doctype html><title>Corral"),
    ("like the API's, but not", "/apiary", 200, "text/html", "<!doctype html><title>Corral"),
    ("a file beside the index", "/favicon.svg", 200, "image/svg+xml", "<svg/>"),
    ("a script", f"/{SCRIPT}", 200, "text/javascript", "let a"),
    ("no such asset", "/assets/gone-Ab12.js", 404, "application/problem+json", '{"type"'),
    ("the folder of assets", "/assets/", 404, "application/problem+json", '{"type"'),
    ("a link out of the folder", "/assets/link-Ef56.js", 404, "application/problem+json", '{"type"'),
    ("up and out", "/assets/%2e%2e/%2e%2e/secret.js", 404, "application/problem+json", '{"type"'),
    ("up and out, in one", "/assets/..%2f..%2fsecret.js", 404, "application/problem+json", '{"type"'),
    ("out by a full path", "/assets//etc/passwd", 404, "application/problem+json", '{"type"'),
    ("up from the root", "/%2e%2e/secret.js", 200, "text/html", "<!doctype html><title>Corral"),
    ("a null byte", "/assets/a%00.js", 404, "application/problem+json", '{"type"'),
    ("what the API has not", "/api/v1/nothing", 404, "application/problem+json", '{"type"'),
    ("what lies above the API", "/api", 404, "application/problem+json", '{"type"'),
    ("health", "/healthz", 200, "application/json", '{"status":"ok"'),
]


@pytest.mark.parametrize(
    ("path", "status", "media_type", "begins"), [pytest.param(*row[1:], id=row[0]) for row in ADDRESSES]
)
async def test_addresses(
    world: World, folder: Path, path: str, status: int, media_type: str, begins: str
) -> None:
    async with browser(world, folder, **{"Accept-Encoding": "identity"}) as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (status, media_type)
        assert answer.text.startswith(begins)
        assert "not of the console" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


CODINGS = [
    ("gzip, deflate, br", "br", b"as br"),
    ("gzip", "gzip", b"as gzip"),
    ("br;q=0, gzip;q=0.5", "gzip", b"as gzip"),
    ("identity", "", b"let a"),
    ("", "", b"let a"),
]


@pytest.mark.parametrize(("accepted", "coding", "body"), CODINGS)
async def test_compressed_as_the_browser_takes_it(
    world: World, folder: Path, accepted: str, coding: str, body: bytes
) -> None:
    async with browser(world, folder, **{"Accept-Encoding": accepted}) as client:
        request = client.build_request("GET", f"/{SCRIPT}")
        answer = await client.send(request, stream=True)
        assert answer.headers.get("content-encoding", "") == coding
        assert b"".join([piece async for piece in answer.aiter_raw()]) == body
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "accept-encoding"


async def test_the_index_is_asked_for_again_and_guarded(world: World, folder: Path) -> None:
    async with browser(world, folder) as client:
        answer = await client.get("/")
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'" in policy
        assert "unsafe-eval" not in policy
        again = await client.get("/nodes", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await client.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.post("/", json={})).status_code == 404


async def test_a_new_build_is_seen(world: World, folder: Path) -> None:
    async with browser(world, folder) as client:
        await client.get("/")
        (folder / "assets" / "new-Gh78.js").write_text("let b")
        (folder / INDEX).write_text("<!doctype html><title>newer")
        assert "newer" in (await client.get("/")).text
        assert (await client.get("/assets/new-Gh78.js")).text == "let b"


async def test_before_it_is_built(world: World, tmp_path: Path) -> None:
    async with browser(world, tmp_path / "console") as client:
        answer = await client.get("/")
        assert (answer.status_code, "make ui" in answer.text) == (200, True)
        assert "'none'" in answer.headers["content-security-policy"]
        assert (await client.get("/assets/x.js")).status_code == 404


async def test_long_answers_are_squeezed(world: World, url: str) -> None:
    await world.core.add(*(a_vm(n) for n in range(1, 301)))
    headers = {"Authorization": f"Bearer {world.tokens[Role.VIEWER]}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        plain = await client.get("/api/v1/vms?limit=300", headers={"Accept-Encoding": "identity"})
        async with client.stream("GET", "/api/v1/vms?limit=300") as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        assert "content-encoding" not in plain.headers
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "accept-encoding")
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 5
        short = await client.get("/healthz", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in short.headers
        async with client.stream("GET", "/api/v1/vms?watch=true") as stream:
            assert "content-encoding" not in stream.headers
