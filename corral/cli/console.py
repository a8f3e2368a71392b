"""Console: who is on which VM's console; end a session."""

from typing import Annotated

import typer

from corral.cli.parts.noun import noun
from corral.cli.parts.options import Output, OutputOption
from corral.cli.parts.present import show_list
from corral.cli.parts.session import connect

commands = noun("Consoles that are open: who is on which VM. `corral vm console` opens one.")


@commands.command("list")
def list_consoles(output: OutputOption = Output.TABLE) -> None:
    """List the console sessions that are open on the server.

    Example: corral console list
    """
    from corral.cli.parts.columns import console_columns

    with connect() as client:
        show_list(client.consoles.list(), console_columns(), output, empty="Nobody is on a console.")


@commands.command()
def end(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `corral console list` shows them.")],
) -> None:
    """End console sessions; their users are told by whom.

    Example: corral console end con-01JD5Y3W8Q6T0V9K2M4N7P1R3S
    """
    with connect() as client:
        for id in ids:
            ended = client.consoles.end(id)
            typer.echo(f"Ended the {ended.kind} console of {ended.vm_name}, which {ended.by} had.", err=True)
