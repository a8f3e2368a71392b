"""Which server, and as whom."""

import json
import stat
from pathlib import Path

import pytest

from corral.client.contexts import DEFAULT_URL, Context, Contexts, NoContext, config_path
from corral.errors import Invalid

FILE = {
    "current": "home",
    "contexts": {
        "home": {"url": "http://home:1", "token": "home-token"},
        "work": {"url": "https://work:2", "token": "work-token", "ca": "/ca.pem"},
    },
}
HOME = Context("http://home:1", "home-token")
WORK = Context("https://work:2", "work-token", "/ca.pem")

CHOSEN = [  # name, asked for, environment, chosen
    ("the current one", "", {}, HOME),
    ("the one asked for", "work", {}, WORK),
    ("CORRAL_CONTEXT", "", {"CORRAL_CONTEXT": "work"}, WORK),
    ("asked for beats CORRAL_CONTEXT", "home", {"CORRAL_CONTEXT": "work"}, HOME),
    ("CORRAL_URL is not shown the file's token", "", {"CORRAL_URL": "http://x"}, Context("http://x")),
    (
        "CORRAL_URL and CORRAL_TOKEN",
        "",
        {"CORRAL_URL": "http://x", "CORRAL_TOKEN": "t"},
        Context("http://x", "t"),
    ),
    ("CORRAL_TOKEN alone", "", {"CORRAL_TOKEN": "t"}, Context("http://home:1", "t")),
    ("a name beats CORRAL_URL", "work", {"CORRAL_URL": "http://x"}, WORK),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "corral" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(FILE))
    return path


@pytest.mark.parametrize(("name", "env", "chosen"), [pytest.param(*row[1:], id=row[0]) for row in CHOSEN])
def test_chosen(path: Path, name: str, env: dict[str, str], chosen: Context) -> None:
    assert Contexts.load(path).chosen(name, env) == chosen


def test_without_a_file_the_local_server(tmp_path: Path) -> None:
    assert Contexts.load(tmp_path / "none").chosen("", {}) == Context(DEFAULT_URL)


def test_a_name_that_is_none(path: Path) -> None:
    with pytest.raises(NoContext, match="nowhere") as caught:
        Contexts.load(path).chosen("nowhere", {})
    assert "home, work" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{", '{"contexts": {"a": {}}}', '{"contexts": []}'])
def test_files_that_are_none(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(Invalid):
        Contexts.load(path)


def test_saved_is_loaded_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    contexts = Contexts.load(path).having("home", HOME).having("work", WORK, current=True)
    contexts.save()
    contexts.save()
    assert Contexts.load(path) == contexts
    assert contexts.current == "work"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["config.json"], "a draft was left"


def test_the_first_one_is_the_current_one(tmp_path: Path) -> None:
    assert Contexts.load(tmp_path / "none").having("home", HOME).current == "home"


def test_without_the_current_one_there_is_none(path: Path) -> None:
    assert Contexts.load(path).without("home").current == ""
    assert Contexts.load(path).without("work").current == "home"


def test_a_token_is_not_in_the_repr() -> None:
    assert "home-token" not in repr(HOME)


PATHS = [  # name, environment, where
    ("CORRAL_CONFIG", {"CORRAL_CONFIG": "/x/y.json", "XDG_CONFIG_HOME": "/z"}, Path("/x/y.json")),
    ("XDG_CONFIG_HOME", {"XDG_CONFIG_HOME": "/z"}, Path("/z/corral/config.json")),
    ("home", {}, Path.home() / ".config/corral/config.json"),
]


@pytest.mark.parametrize(("env", "where"), [pytest.param(*row[1:], id=row[0]) for row in PATHS])
def test_config_path(env: dict[str, str], where: Path) -> None:
    assert config_path(env) == where
