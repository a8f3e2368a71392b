"""Consoles on the command line."""

from pathlib import Path

import msgspec

from corral.model.console import Console, ConsoleKind
from corral.model.ids import NodeId, VmId
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi, problem

OPEN = Console(
    id="con-1",
    vm=VmId("vm-1"),
    vm_name="web",
    node=NodeId("node-1"),
    kind=ConsoleKind.VNC,
    by="ann",
    client="10.0.0.9",
    since=1_700_000_000.0,
    to_guest_bytes=100,
    from_guest_bytes=3 << 20,
)
PNG = b"\x89PNG\r\n\x1a\n\xff"


def test_list(api: FakeApi, corral: Corral) -> None:
    api.on("GET", "/consoles", lambda _: (200, msgspec.json.encode({"items": [OPEN]})))
    done = corral("console", "list")
    assert done.code == 0
    head, row = done.out.splitlines()
    assert head.split() == ["ID", "VM", "KIND", "BY", "FROM", "SINCE", "TYPED", "SHOWN"]
    assert row.startswith("con-1  web  vnc   ann  10.0.0.9") and row.rstrip().endswith("100 B  3 MiB")
    assert corral("console", "list", "-o", "name").out == "con-1\n"
    assert msgspec.json.decode(corral("console", "list", "-o", "json").out, type=list[Console]) == [OPEN]


def test_end(api: FakeApi, corral: Corral) -> None:
    api.on("DELETE", "/consoles/con-1", lambda _: (200, msgspec.json.encode(OPEN)))
    done = corral("console", "end", "con-1")
    assert (done.code, done.err) == (0, "Ended the vnc console of web, which ann had.\n")


def test_end_of_none(api: FakeApi, corral: Corral) -> None:
    api.on(
        "DELETE",
        "/consoles/con-9",
        lambda _: problem(404, "console.no_session", "no open console has the id"),
    )
    done = corral("console", "end", "con-9")
    assert done.code == 3 and "[console.no_session]" in done.err


def test_screenshot(api: FakeApi, corral: Corral, tmp_path: Path) -> None:
    api.on("GET", "/vms/web/screenshot", lambda _: (200, PNG))
    assert corral("vm", "screenshot", "web", str(tmp_path / "web.png")).code == 0
    assert (tmp_path / "web.png").read_bytes() == PNG
    missing = corral("vm", "screenshot", "web", str(tmp_path / "none/web.png"))
    assert missing.code == 2 and "No such file" in missing.err


def test_two_ways_at_once(corral: Corral) -> None:
    assert corral("vm", "console", "web", "--vnc", "--spice").code == 2
