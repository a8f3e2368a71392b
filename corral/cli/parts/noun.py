"""Noun: how a file of commands begins."""

from typing import Any

import typer

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def noun(help: str) -> typer.Typer:
    """A group of verbs. Plain help without markup: it is read in pipes and by people with slow machines too."""
    commands = typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
    )
    commands.callback()(_group)
    return commands


def _group() -> None:
    """Makes it a group, even with one verb only."""
