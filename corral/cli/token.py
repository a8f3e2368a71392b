"""Token: keys to the API for programs and people."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    Output,
    OutputOption,
    SortOption,
    YesOption,
    duration_s,
    names_of,
    sure,
)
from corral.cli.parts.present import show_document, show_list
from corral.cli.parts.session import connect

commands = noun("Tokens: keys to the API.")


@commands.command("list")
def list_tokens(sort: SortOption = "name", output: OutputOption = Output.TABLE) -> None:
    """List tokens; their secrets are kept nowhere.

    Example: corral token list
    """
    from corral.cli.parts.columns import token_columns

    with connect() as client:
        show_list(client.tokens.list(sort=sort), token_columns(), output)


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose or what it is for.")],
    role: Annotated[str, typer.Option("--role", help="viewer, operator or admin.")] = "viewer",
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="Valid for so long. Default: for ever.")
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token; its secret is shown this once.

    Example: corral token create ci --role operator --ttl 30d
    """
    with connect() as client:
        made = client.tokens.issue(name, role=role, ttl_s=duration_s(ttl, "ttl"))
    if output in (Output.JSON, Output.YAML):
        show_document(made, output)
        return
    typer.echo(made.secret)
    if output is not Output.NAME:
        typer.echo(f"This is the only time that the secret of {made.resource.name} is shown.", err=True)


@commands.command()
def delete(
    token: Annotated[str, typer.Argument(help="Name or id.", autocompletion=names_of("tokens"))],
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete a token; whoever has it is out at once.

    Example: corral token delete ci
    """
    sure(f"Delete token {token}?", yes)
    with connect() as client:
        finish(client, [client.tokens.delete(token)], How(output, wait=False))
