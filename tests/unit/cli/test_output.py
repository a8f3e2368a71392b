"""What commands print, for people and for programs."""

import json
import sys
from typing import Any

import pytest
import yaml

from corral.cli.parts.options import changed_labels, duration_s
from corral.cli.parts.table import Column, render, render_pairs
from corral.cli.parts.words import age
from corral.errors import Invalid
from corral.model.network import Network
from corral.model.operation import OperationState, Verb
from corral.model.vm import VMPhase
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi
from tests.unit.client.samples import (
    EVENT,
    IMAGE,
    NETWORK,
    NODE,
    POOL,
    SUCCEEDED,
    TOKEN,
    VOLUME,
    a_vm,
    an_operation,
)

KINDS = {
    "vm": a_vm("web"),
    "node": NODE,
    "image": IMAGE,
    "volume": VOLUME,
    "pool": POOL,
    "network": NETWORK,
    "operation": SUCCEEDED,
    "event": EVENT,
    "token": TOKEN,
}


@pytest.fixture
def full(api: FakeApi) -> FakeApi:
    return api.add(*KINDS.values())


def test_vm_table(full: FakeApi, corral: Corral) -> None:
    full.add(a_vm("db-primary", phase=VMPhase.STOPPED))
    head, web, db = corral("vm", "list").out.splitlines()
    assert head.split() == ["NAME", "PHASE", "NODE", "CPUS", "MEMORY", "ADDRESS", "AGE"]
    assert web.split()[:7] == ["web", "running", "node1", "2", "512", "MiB", "10.0.0.10"]
    assert db.split()[:2] == ["db-primary", "stopped"]
    assert head.index("PHASE") == web.index("running") == db.index("stopped"), "columns do not line up"
    assert "\033" not in web, "colour in a pipe"


@pytest.mark.parametrize("noun", KINDS)
def test_lists_in_every_form(full: FakeApi, corral: Corral, noun: str) -> None:
    name = KINDS[noun].name
    assert name in corral(noun, "list").out or noun == "event"
    assert KINDS[noun].name in corral(noun, "list", "-o", "wide").out or noun == "event"
    assert corral(noun, "list", "-o", "name").out == f"{name}\n"
    (from_json,) = json.loads(corral(noun, "list", "-o", "json").out)
    (from_yaml,) = yaml.safe_load(corral(noun, "list", "-o", "yaml").out)
    assert from_json == from_yaml
    assert (from_json["id"], from_json["kind"]) == (KINDS[noun].id, type(KINDS[noun]).__name__)


@pytest.mark.parametrize("noun", [n for n in KINDS if n not in ("event", "token")])
def test_shows_in_every_form(full: FakeApi, corral: Corral, noun: str) -> None:
    name = KINDS[noun].name
    shown = corral(noun, "show", name)
    assert shown.code == 0
    assert KINDS[noun].id in shown.out
    assert json.loads(corral(noun, "show", name, "-o", "json").out)["id"] == KINDS[noun].id
    assert yaml.safe_load(corral(noun, "show", name, "-o", "yaml").out)["id"] == KINDS[noun].id
    assert corral(noun, "show", name, "-o", "name").out == f"{name}\n"


def test_vm_details_use_names(full: FakeApi, corral: Corral) -> None:
    lines = dict(line.split(":", 1) for line in corral("vm", "show", "web").out.splitlines())
    assert lines["Node"].strip() == "node1"
    assert lines["Disks"].strip() == "web-0 (virtio)"
    assert lines["NICs"].split() == ["default", "52:54:00:00:00:01", "10.0.0.10"]


def test_filters_go_to_the_server(full: FakeApi, corral: Corral) -> None:
    corral(
        "vm", "list", "-l", "a=b", "-l", "c", "--phase", "running", "--node", "node1", "--sort", "-created_at"
    )
    query = full.seen[0].query
    assert (query["label"], query["phase"], query["node"]) == (["a=b", "c"], ["running"], ["node1"])
    assert query["sort"] == ["-created_at"]


def test_colours_on_a_terminal_only(full: FakeApi, corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True)
    assert "\033[32mrunning\033[0m" in corral("vm", "list").out
    assert "\033" not in corral("vm", "list", "-o", "json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in corral("vm", "list").out


COLUMNS = (
    Column("NAME", lambda r: r[0]),
    Column("N", lambda r: r[1], right=True),
    Column("END", lambda r: r[2]),
)
TABLES = [  # name, rows, lines
    ("no rows: the head alone", [], ["NAME  N  END"]),
    (
        "columns line up",
        [("a", "1", "x"), ("long-name", "10", "y")],
        ["NAME        N  END", "a           1  x", "long-name  10  y"],
    ),
    (
        "Chinese takes two cells",
        [("中文", "1", "x"), ("abcd", "2", "y")],
        ["NAME  N  END", "中文  1  x", "abcd  2  y"],
    ),
    ("nothing steers the terminal", [("a\x1b[2J\nb", "1", "x")], ["NAME      N  END", "a [2J b   1  x"]),
]


@pytest.mark.parametrize(("rows", "lines"), [pytest.param(*row[1:], id=row[0]) for row in TABLES])
def test_render(rows: list[Any], lines: list[str]) -> None:
    assert render(COLUMNS, rows, colour=False).splitlines()[-len(lines) :] == lines or [
        line.split() for line in render(COLUMNS, rows, colour=False).splitlines()
    ] == [line.split() for line in lines]


def test_render_pairs_indents_further_lines() -> None:
    text = render_pairs([("A", "1"), ("Long", "x\ny"), ("Empty", "")], colour=False)
    assert text.splitlines() == ["A:      1", "Long:   x", "        y", "Empty:"]


AGES = [
    (0.4, "0s"),
    (119, "119s"),
    (120, "2m"),
    (7199, "119m"),
    (7200, "2h"),
    (172799, "47h"),
    (172800, "2d"),
    (-5, "0s"),
]


@pytest.mark.parametrize(("seconds", "text"), AGES)
def test_age(seconds: float, text: str) -> None:
    assert age(1000.0, 1000.0 + seconds) == text


def test_no_age_without_a_time() -> None:
    assert age(0.0) == "-"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("", None)]
)
def test_duration(text: str, seconds: float | None) -> None:
    assert duration_s(text, "timeout") == seconds


@pytest.mark.parametrize("text", ["x", "-1", "1w", "1 m 2 s", "s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(Invalid):
        duration_s(text, "timeout")


LABELS = [  # name, before, changes, after
    ("set", {}, ["a=b"], {"a": "b"}),
    ("replace", {"a": "x", "c": "d"}, ["a=b"], {"a": "b", "c": "d"}),
    ("take away", {"a": "x", "c": "d"}, ["a-"], {"c": "d"}),
    ("take away what is not there", {}, ["a-"], {}),
    ("a value may end in -", {}, ["a=b-"], {"a": "b-"}),
    ("a value may be empty", {}, ["a="], {"a": ""}),
    ("a value may have =", {}, ["a=b=c"], {"a": "b=c"}),
]


@pytest.mark.parametrize(
    ("before", "changes", "after"), [pytest.param(*row[1:], id=row[0]) for row in LABELS]
)
def test_labels(before: dict[str, str], changes: list[str], after: dict[str, str]) -> None:
    assert changed_labels(before, changes) == after


def test_event_watch_prints_a_line_each(api: FakeApi, corral: Corral) -> None:
    from tests.unit.client.fake_api import event

    api.says("events", [event("put", EVENT), event("remove", EVENT), event("put", EVENT)])
    watched = corral("event", "watch", "--since", "3", "--count", "2", "-o", "json")
    assert [json.loads(line)["id"] for line in watched.out.splitlines()] == ["ev-1", "ev-1"]
    assert api.seen[0].query["since"] == ["3"]


RESULTS = [  # name, result, what is said of it
    ("none", {}, ""),
    ("a migration, with names", {"source": "node-1", "target": "node-2", "downtime_ms": 12.4, "total_s": 1.0},
     " (from node1 to node-2 in 1.0 s, down for 12 ms)"),
    ("a migration whose downtime nobody saw", {"source": "node-1", "target": "node-2", "total_s": 2.5, "forecast_total_s": 2.0},
     " (from node1 to node-2 in 2.5 s (foreseen 2.0 s), downtime not known)"),
    ("something new", {"bytes": 3, "ratio": 0.5}, " (bytes 3, ratio 0.5)"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "said"), [pytest.param(*row[1:], id=row[0]) for row in RESULTS])
def test_operations_say_how_they_ended(
    api: FakeApi, corral: Corral, result: dict[str, Any], said: str
) -> None:
    moved = an_operation(OperationState.SUCCEEDED, verb=Verb.MIGRATE, result=result)
    api.add(NODE)
    api.on("POST", "/vms/web/migrate", moved)
    out = corral("vm", "migrate", "web", "--to", "node2").out
    assert out == f"VM web: migrate succeeded in 3.2 s{said}\n"


def test_network_without_a_subnet(api: FakeApi, corral: Corral) -> None:
    bare: Network = NETWORK.having(spec=NETWORK.spec.__class__(bridge="br7"))
    api.add(bare)
    assert corral("network", "list").code == 0
    assert "br7" in corral("network", "show", "default").out
