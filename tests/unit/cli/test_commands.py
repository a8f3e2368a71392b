"""All commands: that they are there, say what they do, and start quickly."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from corral.cli.main import command
from corral.cli.parts.catalogue import FOLDER, load, nouns
from tests.unit.cli.conftest import Corral, in_a_process

HEAVY = (
    "rich",
    "msgspec",
    "grpc",
    "litestar",
    "asyncio",
    "http.client",
    "websockets",
    "numpy",
    "pydantic",
    "corral.model",
)


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    verbs = getattr(command, "commands", {})
    if not verbs or command.invoke_without_command:
        yield path, command
    for name, verb in verbs.items():
        yield from walk(verb, (*path, name))


COMMANDS = [found for noun in nouns() for found in walk(load(noun), (noun,))]


@pytest.mark.parametrize(("path", "found"), [pytest.param(*c, id=" ".join(c[0])) for c in COMMANDS])
def test_every_command_has_an_example_that_it_understands(path: tuple[str, ...], found: Any) -> None:
    """The line begins with the command itself, and its options exist."""
    text = found.help or ""
    assert text.split("\n")[0].rstrip().endswith("."), "no summary"
    lines = [line for line in text.splitlines() if line.startswith("Example: ")]
    assert len(lines) == 1, "no example"
    said = lines[0].removeprefix("Example: ").split(" > ")[0].split(" -- ")[0]
    words = said.split()
    assert " ".join(["corral", *path]) in said
    known = {option for p in found.params for option in (*p.opts, *p.secondary_opts)}
    options = {w for w in words if w.startswith("-") and w not in ("-", "-o") and "$(" not in said}
    assert options <= known, f"{options - known} does not exist"


@pytest.mark.parametrize(("path", "found"), [pytest.param(*c, id=" ".join(c[0])) for c in COMMANDS])
def test_every_option_says_what_it_is_for(path: tuple[str, ...], found: Any) -> None:
    silent = [p.name for p in found.params if not getattr(p, "help", "") and p.name != "help"]
    assert not silent


def test_the_nouns_of_the_product_are_there() -> None:
    expected = (
        "agent completion context event image lab network node operation pool server token version vm volume"
    )
    assert set(nouns()) >= set(expected.split())


@pytest.mark.parametrize("noun", nouns())
def test_a_noun_has_a_summary(noun: str, corral: Corral) -> None:
    summary = nouns()[noun]
    assert 10 < len(summary) < 80
    assert summary in corral("--help").out.replace("\n              ", " ")


def test_adding_a_noun_is_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ghost.py").write_text('"""Ghost: haunt a node."""\n')
    monkeypatch.setattr("corral.cli.parts.catalogue.FOLDER", tmp_path)
    assert nouns() == {"ghost": "haunt a node"}


def test_unknown_noun_and_verb(corral: Corral) -> None:
    assert corral("unicorn", "list").code == 2
    assert corral("vm", "fly").code == 2
    assert corral("vm", "list", "--wings").code == 2


def test_version(corral: Corral) -> None:
    assert corral("--version").out.startswith("corral 0.")
    assert corral("version").out.startswith("corral 0.")


LIGHT = [
    "--help",
    "vm --help",
    "vm create --help",
    "server run --help",
    "agent --help",
    "lab --help",
    "version",
]


@pytest.mark.parametrize("line", LIGHT)
def test_help_imports_nothing_heavy(line: str) -> None:
    script = (
        "import sys\nfrom corral.cli.main import main\n"
        f"try: main({line.split()!r})\nexcept SystemExit: pass\n"
        "print('LOADED', sorted(sys.modules))"
    )
    done = in_a_process("-c", script)
    loaded = set(ast.literal_eval(done.stdout.rpartition("LOADED ")[2]))
    assert not loaded.intersection(HEAVY)
    used = {m.removeprefix("corral.cli.") for m in loaded if m.startswith("corral.cli.")} & set(nouns())
    assert used == ({line.split()[0]} - {"--help"}), "other nouns were imported"


def test_a_list_imports_no_server_and_no_rich(corral: Corral, api: Any) -> None:
    script = (
        "import sys\nfrom corral.cli.main import main\n"
        "try: main(['vm', 'list'])\nexcept SystemExit as e: assert not e.code, e.code\n"
        "print('LOADED', sorted(sys.modules))"
    )
    done = in_a_process("-c", script)
    loaded = set(ast.literal_eval(done.stdout.rpartition("LOADED ")[2]))
    heavy = set(HEAVY) - {"msgspec", "http.client", "corral.model"}
    assert "http.client" in loaded
    assert not loaded & heavy
    assert not [m for m in loaded if m.startswith(("corral.server", "corral.agent", "corral.store"))]


def cpu_s(*argv: str) -> float:
    """CPU time of a Python process; the best of some, since others use the machine too."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run(
            [sys.executable, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        after = os.times()
        times.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    return min(times)


def test_help_starts_quickly() -> None:
    """As a ratio, so that it says the same on any machine: 150 ms where `python -c pass` takes 15 ms."""
    nothing = max(cpu_s("-c", "pass"), 0.01)
    assert cpu_s("-m", "corral.cli.main", "--help") / nothing < 12
    assert cpu_s("-m", "corral.cli.main", "vm", "--help") / nothing < 14


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(corral: Corral, shell: str) -> None:
    script = corral("completion", "show", shell)
    assert script.code == 0
    assert "_CORRAL_COMPLETE" in script.out
    assert "corral" in script.out


def test_completion_scripts_are_shell(corral: Corral, tmp_path: Path) -> None:
    script = tmp_path / "corral.bash"
    script.write_text(corral("completion", "show", "bash").out)
    done = subprocess.run(
        ["bash", "-c", f"source {script} && complete -p corral"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "corral" in done.stdout


def test_completion_without_a_known_shell(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    done = corral("completion", "show")
    assert done.code == 2
    assert "bash, zsh or fish" in done.err


COMPLETED = [  # name, line so far, a proposal
    ("nouns", "corral v", "vm"),
    ("verbs", "corral vm cre", "create"),
    ("options", "corral vm create --mem", "--memory"),
    ("names, from the server", "corral vm show w", "web"),
    ("choices", "corral vm list -o y", "yaml"),
]


@pytest.mark.parametrize(("line", "proposal"), [pytest.param(*row[1:], id=row[0]) for row in COMPLETED])
def test_completion(api: Any, corral: Corral, line: str, proposal: str) -> None:
    from tests.unit.client.samples import a_vm

    api.add(a_vm("web"))
    env = {
        "_CORRAL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    done = in_a_process("-m", "corral.cli.main", env=env)
    assert proposal in done.stdout.split(), done.stderr


def test_completion_without_a_server_is_silent(corral: Corral) -> None:
    env = {
        "_CORRAL_COMPLETE": "complete_bash",
        "COMP_WORDS": "corral vm show w",
        "COMP_CWORD": "3",
        "CORRAL_URL": "http://127.0.0.1:1",
    }
    done = in_a_process("-m", "corral.cli.main", env=env)
    assert (done.stdout.strip(), done.stderr.strip()) == ("", "")


def test_the_root_is_a_group() -> None:
    assert isinstance(command(), typer.core.TyperGroup)
    assert FOLDER.name == "cli"
