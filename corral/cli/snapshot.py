"""Snapshot: keep a VM as it is, and go back to that."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    FilterOption,
    How,
    LabelFilter,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    following,
    labels_of,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect

commands = noun("Snapshots: a VM's disks, and memory, as they were at one moment.")

SnapshotName = Annotated[
    str,
    typer.Argument(metavar="SNAPSHOT", help="VM.NAME, or its id.", autocompletion=names_of("snapshots")),
]


@commands.command("list")
def list_snapshots(
    label: LabelFilter = None,
    vm: Annotated[
        str, typer.Option("--vm", help="Only those of this VM.", autocompletion=names_of("vms"))
    ] = "",
    filter: FilterOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List snapshots as trees: what stands on what. `*` is where the VM's disks stand.

    Example: corral snapshot list --vm web
    """
    from corral.cli.parts.trees import snapshot_columns, snapshot_trees

    with connect() as client:
        snapshots = client.snapshots.list(label=label or [], vm=vm, filter=filter)
        vms = {found.id: found for found in client.vms.list()} if snapshots else {}
        shown = snapshot_trees(snapshots)
        columns = snapshot_columns(shown, vms)
        show_list([row.snapshot for row in shown], columns, output, empty="No snapshot yet.")


@commands.command()
def show(snapshot: SnapshotName, output: OutputOption = Output.TABLE) -> None:
    """Show a snapshot in detail.

    Example: corral snapshot show web.before-upgrade
    """
    from corral.cli.parts.trees import snapshot_details

    with connect() as client:
        found = client.snapshots.get(snapshot)
        show_one(found, lambda: snapshot_details(found, Names(client)), output)


@commands.command()
@grouped(how=following)
def create(
    vm: Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))],
    name: Annotated[str, typer.Argument(help="Of the snapshot; it is called VM.NAME then.")],
    memory: Annotated[
        bool, typer.Option("--memory", help="With the memory of the running VM: it goes on from there.")
    ] = False,
    freeze: Annotated[
        bool,
        typer.Option("--freeze/--no-freeze", help="Have the guest's agent put file systems to rest."),
    ] = True,
    description: Annotated[str, typer.Option("--description", help="What it is kept for.")] = "",
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Take a snapshot of a VM's disks, running or not.

    Example: corral snapshot create web before-upgrade
    """
    with connect() as client:
        operation = client.snapshots.having(dry_run=how.dry_run).take(
            vm, name, memory=memory, freeze=freeze, description=description, labels=labels_of(label)
        )
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def revert(
    snapshot: SnapshotName,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Put a VM back to a snapshot. What was written since is lost; a running guest loses its power for it.

    Example: corral snapshot revert web.before-upgrade
    """
    sure(f"Put the VM back to {snapshot}, and lose what was written since?", yes or how.dry_run)
    with connect() as client:
        operation = client.snapshots.having(dry_run=how.dry_run).revert(snapshot)
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def delete(
    snapshot: SnapshotName,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Delete a snapshot. The VM, and the snapshots that stand on it, lose nothing.

    Example: corral snapshot delete web.before-upgrade
    """
    sure(f"Delete snapshot {snapshot}?", yes or how.dry_run)
    with connect() as client:
        operation = client.snapshots.having(dry_run=how.dry_run).delete(snapshot)
        finish(client, [operation], how)
