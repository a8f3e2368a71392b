"""Operation: follow, wait for or cancel what was asked for."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    FilterOption,
    How,
    Output,
    OutputOption,
    SortOption,
    TimeoutOption,
    WaitOption,
    names_of,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect

commands = noun("Operations: what was asked for, and how far it got.")

OperationId = Annotated[
    str, typer.Argument(metavar="OPERATION", help="Id.", autocompletion=names_of("operations"))
]


@commands.command("list")
def list_operations(
    state: Annotated[str, typer.Option("--state", help="running, succeeded, failed or cancelled.")] = "",
    target: Annotated[str, typer.Option("--target", help="Only about this, by name or id.")] = "",
    filter: FilterOption = "",
    sort: SortOption = "-created_at",
    limit: Annotated[int, typer.Option("--limit", help="How many at most; 0: all.")] = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List operations, newest first.

    Example: corral operation list --state running
    """
    from corral.cli.parts.columns import operation_columns

    with connect() as client:
        operations = client.operations.list(sort=sort, limit=limit, state=state, target=target, filter=filter)
        show_list(operations, operation_columns(), output, empty="No operation.")


@commands.command()
def show(operation: OperationId, output: OutputOption = Output.TABLE) -> None:
    """Show an operation with its steps.

    Example: corral operation show op-01JD5Y3W8Q6T0V9K2M4N7P1R3S
    """
    from corral.cli.parts.details import operation_details

    with connect() as client:
        found = client.operations.get(operation)
        show_one(found, lambda: operation_details(found), output)


@commands.command()
def wait(operation: OperationId, timeout: TimeoutOption = "", output: OutputOption = Output.TABLE) -> None:
    """Follow an operation until it ends; fails as it fails.

    Example: corral operation wait op-01JD5Y3W8Q6T0V9K2M4N7P1R3S --timeout 5m
    """
    with connect() as client:
        finish(client, [client.operations.get(operation)], How(output, wait=True, timeout=timeout))


@commands.command()
def cancel(
    operation: OperationId,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask an operation to stop: a create, a start or a migration on its way.

    Example: corral operation cancel op-01JD5Y3W8Q6T0V9K2M4N7P1R3S
    """
    from corral.errors import Cancelled

    with connect() as client:
        cancelled = client.operations.cancel(operation)
        try:
            finish(client, [cancelled], How(output, wait=wait, timeout=timeout))
        except Cancelled:
            return  # as asked
