"""SDK and command line against the real server: what one says, the other understands."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corral.cli.main import main
from corral.client.client import Client
from corral.client.errors import StillRunning
from corral.errors import Cancelled, CorralError, Invalid, NameTaken, NotFound, Protected
from corral.model.image import ImagePhase
from corral.server.config import ServerConfig
from corral.server.main import serving

RAW = bytes(510) + b"\x55\xaa" + bytes((1 << 20) - 512)  # an empty disk with a boot sector's mark


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[tuple[str, str]]:
    """URL and admin token ("" when it is not the first start) of a server in a thread of its own."""
    config = ServerConfig(
        data_dir=folder,
        http=f"127.0.0.1:{port}",
        link="127.0.0.1:0",
        join="127.0.0.1:0",
        context="",
        stop_timeout_s=0.5,
    )
    ready: threading.Event = threading.Event()
    said: list[str] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving(config) as server:
            said.extend([f"http://{server.http[0]}:{server.http[1]}", server.admin_token])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(20), "the server did not start"
    try:
        yield said[0], said[1]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with running(tmp_path_factory.mktemp("server") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def client(server: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server that has a pool, a network and an image."""
    file = tmp_path_factory.mktemp("image") / "empty.raw"
    file.write_bytes(RAW)
    with Client(*server) as client:
        client.operations.wait(client.pools.create(name="default", path="/srv/pool"), 20)
        client.operations.wait(client.networks.create(name="lan", bridge="br0"), 20)
        client.images.upload("empty", file, format="raw")
        yield client


def test_upload_arrived(client: Client) -> None:
    image = client.images.get("empty")
    assert (image.status.phase, image.status.size_bytes) == (ImagePhase.READY, len(RAW))


def test_a_bad_image_leaves_nothing(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<html>not found</html>" * 100)
    with pytest.raises(CorralError) as caught:
        client.images.upload("page", file)
    assert caught.value.code == "image.bad"
    assert client.images.find("page") is None


def test_a_vm_that_has_no_node_waits_and_can_be_cancelled(client: Client) -> None:
    operation = client.vms.create(name="homeless", disks=[{"image": "empty"}], nics=[{"network": "lan"}])
    with pytest.raises(StillRunning, match="no node"):
        client.operations.wait(operation, 4.0)
    cancelled = client.operations.cancel(operation.id)
    assert cancelled.id == operation.id
    with pytest.raises(Cancelled):
        client.operations.wait(cancelled, 20)
    assert client.vms.find("homeless") is None


def test_watch_sees_what_happens_from_a_revision_on(client: Client) -> None:
    revision = client.vms.page(limit=1).revision
    client.vms.create(name="seen", disks=[{"image": "empty"}])
    client.operations.wait(client.vms.delete("seen"), 20)
    seen: list[str] = []
    for change in client.vms.watch(since=revision, name="seen"):
        assert change.resource.name == "seen"
        seen.append(change.what)
        if change.what == "remove":
            break
    assert seen[0] == "put"
    assert set(seen) == {"put", "remove"}


def test_errors_are_those_that_the_server_raised(client: Client) -> None:
    with pytest.raises(NotFound):
        client.vms.get("nobody")
    client.volumes.create(name="twice", size="4KiB", pool="default")
    with pytest.raises(NameTaken):
        client.volumes.create(name="twice", size="4KiB", pool="default")
    with pytest.raises(Invalid) as caught:
        client.vms.create(name="x", cpus=0)
    assert caught.value.context["field"] == "cpus"
    client.vms.create(name="guarded", protected=True)
    with pytest.raises(Protected):
        client.vms.delete("guarded")


def test_dry_run_changes_nothing(client: Client) -> None:
    client.vms.having(dry_run=True).create(name="imagined")
    assert client.vms.find("imagined") is None


def test_if_match(client: Client) -> None:
    stale = client.images.get("empty").revision
    client.images.set_labels("empty", {"a": "1"})
    with pytest.raises(CorralError) as caught:
        client.images.having(if_match=stale).set_labels("empty", {"a": "2"})
    assert caught.value.code == "resource.precondition_failed"
    assert client.images.get("empty").labels == {"a": "1"}


def test_edits_at_once_all_count(server: tuple[str, str], client: Client) -> None:
    """Controllers change the VM's status meanwhile; neither they nor the others lose anything."""
    client.vms.create(name="contested")

    def label(number: int) -> None:
        with Client(*server) as own:
            own.vms.edit("contested", lambda vm: {"labels": {**vm.labels, f"n{number}": "x"}})

    threads = [threading.Thread(target=label, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.vms.get("contested").labels == {f"n{number}": "x" for number in range(5)}


def test_tokens_and_their_roles(server: tuple[str, str], client: Client) -> None:
    made = client.tokens.issue("looker", role="viewer", ttl_s=60.0)
    with Client(server[0], made.secret) as viewer:
        assert viewer.vms.list() is not None
        with pytest.raises(CorralError) as caught:
            viewer.vms.create(name="x")
    assert caught.value.code == "auth.forbidden"
    client.tokens.delete("looker")
    with Client(server[0], made.secret) as viewer, pytest.raises(CorralError) as gone:
        viewer.vms.list()
    assert gone.value.code == "auth.unauthenticated"


def test_names_are_short_answers(client: Client) -> None:
    assert "default" in client.pools.names().values()
    assert client.pools.names() == {p.id: p.name for p in client.pools.list()}


def test_a_restart_in_between_is_not_noticed(tmp_path: Path) -> None:
    """The server goes while an operation is followed, and comes back on the same port."""
    folder = tmp_path / "data"
    with running(folder) as (url, token):
        client = Client(url, token, retry_s=20.0)
        client.pools.create(name="default", path="/srv/pool")
        operation = client.volumes.create(name="v", size="4KiB")
    ended: list[str] = []

    def follow() -> None:
        with pytest.raises(CorralError) as caught:
            Client(url, token, retry_s=20.0).operations.wait(operation, 30)
        ended.append(caught.value.code)

    port = int(url.rpartition(":")[2])
    thread = threading.Thread(target=follow)
    with running(folder, port):
        thread.start()
        threading.Event().wait(0.5)
    threading.Event().wait(0.5)
    with running(folder, port):
        client.operations.cancel(operation.id)
        thread.join(30)
    assert ended == ["operation.cancelled"]


LISTS = [
    "vm list --label a=b --label c --phase running --node nowhere --filter spec.cpus>=2,name~w --sort -created_at",
    "vm list --sort name",
    "node list --label a --phase ready --sort name",
    "image list --filter status.phase=ready",
    "volume list --pool default --vm guarded",
    "pool list",
    "network list",
    "operation list --state running --target guarded --limit 3",
    "operation list",
    "event list --about guarded --level info",
    "event list",
    "token list",
]


@pytest.mark.parametrize("line", LISTS)
def test_what_lists_ask_for_is_understood(
    server: tuple[str, str],
    client: Client,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CORRAL_URL", server[0])
    monkeypatch.setenv("CORRAL_TOKEN", server[1])
    monkeypatch.delenv("CORRAL_CONTEXT", raising=False)
    with pytest.raises(SystemExit) as left:
        main(line.split())
    assert not left.value.code, capsys.readouterr().err


SITE = """\
kind: Network
name: site
bridge: br7
---
- {kind: Volume, name: site-data, size: 64KiB, pool: default}
- {kind: VM, name: site-vm, memory: 128MiB, disks: [{volume: site-data}], nics: [{network: site}], running: false}
"""


def test_a_site_applied_compared_read_back_and_deleted(
    server: tuple[str, str],
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CORRAL_URL", server[0])
    monkeypatch.setenv("CORRAL_TOKEN", server[1])
    (tmp_path / "site.yaml").write_text(SITE)

    def corral(*argv: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        return int(left.value.code or 0), capsys.readouterr().out

    code, out = corral("diff", "-f", str(tmp_path))
    assert (code, out.splitlines()) == (
        1,
        ["+ Network site: create", "+ Volume site-data: create", "+ VM site-vm: create"],
    )
    code, out = corral("apply", "-f", str(tmp_path / "site.yaml"))
    assert (code, out) == (0, "+ Network site: create\n+ Volume site-data: create\n+ VM site-vm: create\n")
    assert corral("diff", "-f", str(tmp_path)) == (0, "")
    code, manifest = corral("get", "vm", "site-vm")
    (tmp_path / "site.yaml").unlink()
    (tmp_path / "vm.yaml").write_text(manifest.replace("running: false", "protected: true\nrunning: false"))
    assert corral("apply", "-f", str(tmp_path)) == (0, "~ VM site-vm: update\n    protected: false → true\n")
    (tmp_path / "bad.yml").write_text("kind: VM\n  name: x\n")
    assert corral("diff", "-f", str(tmp_path))[0] == 2
    (tmp_path / "bad.yml").unlink()
    client.vms.update("site-vm", protected=False)
    assert corral("delete", "-f", str(tmp_path), "--yes", "--no-wait")[0] == 0
    left = client.vms.find("site-vm")
    assert left is None or left.deleting


def test_a_vm_explains_itself(
    server: tuple[str, str],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CORRAL_URL", server[0])
    monkeypatch.setenv("CORRAL_TOKEN", server[1])
    client.vms.create(name="puzzled", disks=[{"image": "empty"}])
    for _ in range(100):
        found = client.vms.explain("puzzled")
        if found["trouble"]:
            break
        time.sleep(0.05)
    assert found["phase"] == "pending" and "nodes takes it" in found["waits_for"][0]
    with pytest.raises(SystemExit):
        main(["explain", "vm", "puzzled"])
    out = capsys.readouterr().out
    assert out.startswith("puzzled is pending.\n") and "Waits for: none of 0 nodes takes it" in out
    with pytest.raises(NotFound):
        client.vms.explain("nobody")


def test_watch_tells_of_all_kinds_in_order(
    server: tuple[str, str],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CORRAL_URL", server[0])
    monkeypatch.setenv("CORRAL_TOKEN", server[1])
    since = client.vms.page(limit=1).revision
    client.networks.create(name="watched", bridge="br9")
    client.volumes.create(name="watched", size="4KiB", pool="default")
    with pytest.raises(SystemExit):
        main(["watch", "network", "volumes", "--since", str(since), "--count", "2"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1:3] for line in lines] == [["Network", "watched"], ["Volume", "watched"]]
    assert int(lines[0][0]) < int(lines[1][0])


def test_the_doctor_says_that_no_node_has_joined(
    server: tuple[str, str],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CORRAL_URL", server[0])
    monkeypatch.setenv("CORRAL_TOKEN", server[1])
    assert client.findings()[0].code == "node.none"
    with pytest.raises(SystemExit) as left:
        main(["doctor", "cluster"])
    assert left.value.code == 1
    assert "FAIL  node.none" in capsys.readouterr().out
