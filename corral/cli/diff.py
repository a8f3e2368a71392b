"""Diff: what applying manifests would change."""

import typer

from corral.cli.parts.manifests import FilesOption, change_lines, documents_in
from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.options import Output, OutputOption
from corral.cli.parts.session import connect

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)
DIFFERENT = 1  # as diff(1) says it


@commands.command("diff")
def diff(file: FilesOption, output: OutputOption = Output.TABLE) -> None:
    """Show what `corral apply` would change. Exit code 0: nothing; 1: something.

    Example: corral diff -f site.yaml
    """
    from corral.cli.parts.present import show_document

    with connect() as client:
        results = client.manifests.apply(documents_in(file), dry_run=True)
    different = [applied for applied in results if applied.action != "unchanged"]
    if output in (Output.JSON, Output.YAML):
        show_document(different, output)
    else:
        for line in (line for applied in different for line in change_lines(applied)):
            typer.echo(line)
    if different:
        raise typer.Exit(DIFFERENT)
