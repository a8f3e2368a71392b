"""Version: of this program."""

import platform

import typer

from corral import __version__
from corral.cli.parts.noun import SETTINGS

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)


@commands.command("version")
def version() -> None:
    """Show the version of this program.

    Example: corral version
    """
    typer.echo(f"corral {__version__} (Python {platform.python_version()})")
