"""Rebalance: move VMs so that the fleet is better off."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.moves import show_plan
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    Output,
    OutputOption,
    YesOption,
    following,
    listing,
    sure,
)
from corral.cli.parts.present import show_list
from corral.cli.parts.session import connect

commands = noun("Rebalancing: VMs moved towards a better balance, or off nodes that can be powered off.")


def asked(
    goal: Annotated[
        str,
        typer.Option(
            "--goal",
            help="balance: nodes' shares closer together; consolidate: empty nodes; repair: broken group rules only.",
        ),
    ] = "balance",
    moves: Annotated[int, typer.Option("--moves", metavar="N", help="Moves at most.")] = 100,
    send: Annotated[
        str, typer.Option("--send", metavar="SIZE", help="What migrations send in all, at most.")
    ] = "",
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", help="Migrations side by side.")] = 2,
) -> dict[str, Any]:
    """The body of both requests."""
    return {"goal": goal, "moves_max": moves, "bytes_max": send or 0, "parallel": parallel}


@commands.command()
@grouped(body=asked)
def plan(body: Mapping[str, Any] = GIVEN, output: OutputOption = Output.TABLE) -> None:
    """Show what would be moved, in which order, what that takes, and the score before and after. Nothing moves.

    Example: corral rebalance plan --goal consolidate --moves 50
    """
    with connect() as client:
        show_plan(client.rebalances.plan(**body), output)


@commands.command()
@grouped(body=asked, how=following)
def apply(
    body: Mapping[str, Any] = GIVEN,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Plan and move. A changed fleet is planned anew; cancelling the operation stops what has not begun.

    Example: corral rebalance apply --moves 20 --parallel 2
    """
    with connect() as client:
        if how.dry_run:
            show_plan(client.rebalances.plan(**body), how.output)
            return
        sure(f"Move up to {body['moves_max']} running VMs?", yes)
        finish(client, [client.rebalances.apply(**body)], how)


@commands.command("list")
@grouped(query=listing)
def list_rebalances(query: Mapping[str, Any] = GIVEN, output: OutputOption = Output.TABLE) -> None:
    """List rebalances of the last week, drains and automatic ones among them.

    Example: corral rebalance list
    """
    from corral.cli.parts.columns import rebalance_columns

    with connect() as client:
        found = client.rebalances.list(**query)
        show_list(found, rebalance_columns(), output, empty="No rebalance in the last week.")
