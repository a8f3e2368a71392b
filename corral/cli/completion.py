"""Completion: let bash, zsh or fish complete commands and names."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from corral.cli.parts.noun import noun
from corral.errors import Invalid

commands = noun("Completion: commands, options, and the names of what the server has.")

VARIABLE = "_CORRAL_COMPLETE"


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ShellArgument = Annotated[Shell | None, typer.Argument(help="Default: the shell of $SHELL.")]


@commands.command()
def show(shell: ShellArgument = None) -> None:
    """Print the script, to put where your shell looks for it.

    Example: corral completion show bash > /etc/bash_completion.d/corral
    """
    typer.echo(script(shell or _mine()))


@commands.command()
def install(shell: ShellArgument = None) -> None:
    """Install the script for yourself.

    Example: corral completion install zsh
    """
    import typer.completion

    found, path = typer.completion.install(  # type: ignore[attr-defined]
        shell=shell or _mine(), prog_name="corral", complete_var=VARIABLE
    )
    typer.echo(f"Completion for {found} is in {path}; start a new shell.")


def script(shell: Shell) -> str:
    import typer.completion

    return typer.completion.get_completion_script(  # type: ignore[attr-defined]
        prog_name="corral", complete_var=VARIABLE, shell=shell.value
    )


def _mine() -> Shell:
    name = os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119
    try:
        return Shell(name)
    except ValueError:
        raise Invalid(
            "shell", name, "bash, zsh or fish", hint="Name one: `corral completion show bash`."
        ) from None
