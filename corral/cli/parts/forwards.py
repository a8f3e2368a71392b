"""Forwards: `corral network forward`, ports of nodes that lead to VMs on NAT networks."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    Output,
    OutputOption,
    following,
    names_of,
)
from corral.cli.parts.present import colours, show_document
from corral.cli.parts.session import connect
from corral.cli.parts.table import Column, render
from corral.errors import Invalid

commands = noun("Ports of nodes that lead to VMs on a NAT network; they move along with the VM.")

NetworkName = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Name or id.", autocompletion=names_of("networks"))
]
PORT = "8080 or 53/udp"


@commands.command("list")
def list_forwards(network: NetworkName, output: OutputOption = Output.TABLE) -> None:
    """List a network's forwards.

    Example: corral network forward list inside
    """
    with connect() as client:
        ways, names = client.networks.get(network).spec.forwards, Names(client)
        if output in (Output.JSON, Output.YAML):
            show_document(ways, output)
            return
        columns = (
            Column("PORT", lambda way: f"{way.port}/{way.protocol}"),
            Column("VM", lambda way: names.of("vms", way.vm)),
            Column("TO", lambda way: str(way.to_port), right=True),
        )
        typer.echo(
            "\n".join(way.key for way in ways)
            if output is Output.NAME
            else render(columns, ways, colour=colours())
        )


@commands.command()
@grouped(how=following)
def add(
    network: NetworkName,
    port: Annotated[str, typer.Argument(metavar="PORT", help=f"Of the node that runs the VM: {PORT}.")],
    vm: Annotated[str, typer.Option("--vm", help="Where it leads.", autocompletion=names_of("vms"))],
    to: Annotated[int, typer.Option("--to", metavar="PORT", help="Of the VM. Default: the same.")] = 0,
    how: How = GIVEN,
) -> None:
    """Forward a port of whichever node runs the VM to the VM.

    Example: corral network forward add inside 8080 --vm web --to 80
    """
    number, protocol = port_of(port)
    with connect() as client:
        operation = client.networks.having(dry_run=how.dry_run).add_forward(
            network, port=number, vm=vm, to_port=to, protocol=protocol
        )
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def remove(
    network: NetworkName,
    port: Annotated[str, typer.Argument(metavar="PORT", help=f"Of the node: {PORT}.")],
    how: How = GIVEN,
) -> None:
    """End a forward; connections that use it go on.

    Example: corral network forward remove inside 8080
    """
    number, protocol = port_of(port)
    with connect() as client:
        operation = client.networks.having(dry_run=how.dry_run).remove_forward(
            network, f"{protocol}-{number}"
        )
        finish(client, [operation], how)


def port_of(text: str) -> tuple[int, str]:
    """`8080` or `53/udp`. raises Invalid"""
    number, _, protocol = text.partition("/")
    if not number.isdigit():
        raise Invalid("PORT", text, "a port", hint=f"Like {PORT}.")
    return int(number), protocol or "tcp"
