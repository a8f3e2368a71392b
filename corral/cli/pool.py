"""Pool: where volumes live."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    following,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect

commands = noun("Storage pools: directories in which volumes live, on one node or shared between nodes.")

PoolName = Annotated[
    str, typer.Argument(metavar="POOL", help="Name or id.", autocompletion=names_of("pools"))
]


@commands.command("list")
@grouped(query=listing)
def list_pools(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List storage pools.

    Example: corral pool list
    """
    from corral.cli.parts.columns import pool_columns

    with connect() as client:
        pools = client.pools.list(**query)
        show_list(
            pools, pool_columns(Names(client)), output, empty="No pool yet. `corral pool create` makes one."
        )


@commands.command()
def show(pool: PoolName, output: OutputOption = Output.TABLE) -> None:
    """Show a pool in detail, with the space that each node sees.

    Example: corral pool show shared
    """
    from corral.cli.parts.details import pool_details

    with connect() as client:
        found = client.pools.get(pool)
        show_one(
            found,
            lambda: pool_details(
                found, client.nodes.list(sort="name"), client.volumes.list(pool=found.id, phase="trashed")
            ),
            output,
        )


@commands.command()
@grouped(how=following)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new pool.")],
    path: Annotated[str, typer.Option("--path", help="Directory, the same on each node.")],
    shared: Annotated[
        bool, typer.Option("--shared", help="The nodes see the same files there (NFS).")
    ] = False,
    node: Annotated[
        list[str] | None,
        typer.Option(
            "--node", help="Where it is. Default: everywhere. Repeatable.", autocompletion=names_of("nodes")
        ),
    ] = None,
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Create a pool from a directory that exists on the nodes.

    Example: corral pool create shared --path /srv/corral --shared
    """
    with connect() as client:
        pools = client.pools.having(dry_run=how.dry_run)
        operation = pools.create(
            name=name, path=path, shared=shared, nodes=node or [], labels=labels_of(label)
        )
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def delete(
    pool: PoolName,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Forget a pool without volumes; its directory stays.

    Example: corral pool delete shared
    """
    sure(f"Delete pool {pool}?", yes or how.dry_run)
    with connect() as client:
        operation = client.pools.having(dry_run=how.dry_run).delete(pool)
        finish(client, [operation], how)
