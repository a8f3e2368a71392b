"""Main: the `corral` command line.

In this room   main(), and the one place where errors become words and exit codes
Comes in       sys.argv
Goes out       answers on stdout; progress, errors and hints on stderr; an exit code from parts/exits.py
Always true    no stack trace reaches a user, except with CORRAL_DEBUG=1
Next door      a noun is a file beside this one (vm.py: `corral vm`); parts/ has what they share
Start here     main()
"""

import os
import sys
from typing import Annotated, Any, NoReturn

import typer
import typer.main

from corral import __version__
from corral.cli.parts.catalogue import LazyGroup
from corral.cli.parts.exits import Exit, exit_code
from corral.cli.parts.noun import SETTINGS
from corral.errors import CorralError

HELP = """Central control of KVM hosts: one API, one scheduler, one place to look.

`corral NOUN --help` lists what can be done with it; `corral NOUN VERB --help` how.

Example: corral vm list"""


def command() -> Any:
    """The root of all commands."""
    root = typer.Typer(
        cls=LazyGroup,
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        subcommand_metavar="NOUN VERB [ARGS]...",
        context_settings=SETTINGS,
    )
    root.callback()(_root)
    return typer.main.get_command(root)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    if "_CORRAL_COMPLETE" in os.environ:
        import typer.completion

        typer.completion.completion_init()  # type: ignore[attr-defined]
    try:
        command().main(args=argv, prog_name="corral", complete_var="_CORRAL_COMPLETE")
    except CorralError as error:
        if os.environ.get("CORRAL_DEBUG"):
            raise
        sys.exit(tell(error))
    except Exception as error:
        if os.environ.get("CORRAL_DEBUG"):
            raise
        _bug(error)
    sys.exit(Exit.OK)


def tell(error: CorralError) -> Exit:
    """Say on stderr what went wrong and what to do; the exit code that goes with it."""
    bold = "\033[1;31m", "\033[0m"
    start, end = bold if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    typer.echo(f"{start}error:{end} {error.message} [{error.code}]", err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)
    if exit_code(error) is Exit.BUG and "request_id" in error.context:
        typer.echo(f"request: {error.context['request_id']}", err=True)
    return exit_code(error)


def _bug(error: Exception) -> NoReturn:
    typer.echo(f"error: a mistake in Corral: {type(error).__name__}: {error} [internal]", err=True)
    typer.echo("hint: CORRAL_DEBUG=1 shows where; please report it with that.", err=True)
    sys.exit(Exit.BUG)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"corral {__version__}")
        raise typer.Exit


def _root(
    context: Annotated[
        str, typer.Option("--context", metavar="NAME", help="Talk to this server, see `corral context list`.")
    ] = "",
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    if context:
        os.environ["CORRAL_CONTEXT"] = context


if __name__ == "__main__":
    main()
