"""Catalogue: which nouns there are, without importing any.

In this room   nouns(), their names and one-line summaries; LazyGroup, which imports a noun when it is used
Comes in       the files beside corral/cli/main.py: `vm.py` makes `corral vm`
Goes out       commands
Always true    adding a noun means adding a file: its first line is `\"\"\"Name: summary.`, and it has one typer.Typer
Next door      noun.py is how a file makes that Typer
Start here     LazyGroup
"""

import importlib
from pathlib import Path
from typing import Any, Final

import typer
import typer.core
import typer.main

FOLDER: Final = Path(__file__).parent.parent
PACKAGE: Final = "corral.cli"


def nouns() -> dict[str, str]:
    """Summary by name, sorted."""
    files = sorted(f for f in FOLDER.glob("*.py") if f.stem != "main" and not f.stem.startswith("_"))
    return {f.stem.replace("_", "-"): _summary(f) for f in files}


def _summary(file: Path) -> str:
    """What the first line of its docstring says after the colon."""
    with file.open(encoding="utf-8") as lines:
        first = lines.readline().strip().strip('"')
    _, _, after = first.partition(": ")
    return (after or first).rstrip(".")


def load(noun: str) -> Any:
    """The command of a noun."""
    module = importlib.import_module(f"{PACKAGE}.{noun.replace('-', '_')}")
    found = [value for value in vars(module).values() if isinstance(value, typer.Typer)]
    assert len(found) == 1, f"{module.__name__} has {len(found)} typer.Typer; a noun has one"
    return typer.main.get_command(found[0])


class LazyGroup(typer.core.TyperGroup):
    """`corral`: knows its nouns by name, and imports the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(nouns())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in nouns():
            return None
        command = load(cmd_name)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The help, from the summaries: nothing is imported for it."""
        with formatter.section("Nouns"):
            formatter.write_dl(list(nouns().items()))
