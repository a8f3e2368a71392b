"""Apply: make what manifests say."""

import typer

from corral.cli.parts.manifests import FilesOption, change_lines, documents_in
from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.options import DryRunOption, Output, OutputOption, TimeoutOption, WaitOption
from corral.cli.parts.session import connect

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)


@commands.command("apply")
def apply(
    file: FilesOption,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Create what manifests say and is missing, change what is different, leave the rest as it is.

    Example: corral apply -f site.yaml
    """
    from corral.cli.parts.following import follow
    from corral.cli.parts.options import on_terminal
    from corral.cli.parts.present import show_document
    from corral.client.errors import told

    with connect() as client:
        results = client.manifests.apply(documents_in(file), dry_run=dry_run)
        if output in (Output.JSON, Output.YAML):
            show_document(list(results), output)
        else:
            for line in (line for applied in results for line in change_lines(applied)):
                typer.echo(line)
        if on_terminal() if wait is None else wait:
            for id in (id for applied in results for id in applied.operations):
                follow(client, client.operations.get(id), timeout)
    if refused := next((a.trouble for a in results if a.trouble), None):
        raise told(refused.code, refused.message, refused.hint, 409, refused.context)
