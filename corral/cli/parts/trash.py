"""Trash: volumes that were deleted and can be had back."""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    Output,
    OutputOption,
    YesOption,
    duration_s,
    following,
    sure,
)
from corral.cli.parts.present import show_list
from corral.cli.parts.session import connect

if TYPE_CHECKING:
    from corral.client.client import Client
    from corral.model.volume import Volume

commands = noun("The trash: deleted volumes, until their time is over.")

Deleted = Annotated[str, typer.Argument(metavar="VOLUME", help="The name it had, or its id.")]


@commands.command("list")
def list_trash(output: OutputOption = Output.TABLE) -> None:
    """List deleted volumes, and how much room they take.

    Example: corral volume trash list
    """
    from corral.cli.parts.columns import trash_columns
    from corral.cli.parts.details import room_bytes
    from corral.model.units import format_size

    with connect() as client:
        volumes = in_trash(client)
        show_list(volumes, trash_columns(Names(client)), output, empty="The trash is empty.")
        if volumes and output in (Output.TABLE, Output.WIDE):
            typer.echo(f"{format_size(sum(map(room_bytes, volumes)))} in {len(volumes)} volumes")


@commands.command()
@grouped(how=following)
def restore(
    volume: Deleted,
    name: Annotated[str, typer.Option("--name", help="Default: the name it had.")] = "",
    how: How = GIVEN,
) -> None:
    """Take a volume out of the trash, with all that is on it.

    Example: corral volume trash restore data
    """
    with connect() as client:
        operation = client.volumes.having(dry_run=how.dry_run).restore(the_deleted(client, volume).id, name)
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def empty(
    volumes: Annotated[
        list[str] | None, typer.Argument(metavar="[VOLUME]...", help="Only these: names they had, or ids.")
    ] = None,
    older: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Only what was deleted before: 12h, 3d.")
    ] = "",
    wipe: Annotated[bool, typer.Option("--wipe", help="Overwrite them with zeros before they go.")] = False,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Delete what is in the trash for good.

    Example: corral volume trash empty --older-than 3d
    """
    from corral.clock import SystemClock

    before_s = SystemClock().now_s() - (duration_s(older, "older-than") or 0.0)
    with connect() as client:
        found = [the_deleted(client, name) for name in volumes] if volumes else in_trash(client)
        going = [v for v in found if v.spec.trash and v.spec.trash.at <= before_s]
        if not going:
            typer.echo("Nothing to delete.", err=True)
            return
        sure(f"Delete {len(going)} volumes for good, with all that is on them?", yes or how.dry_run)
        noun_ = client.volumes.having(dry_run=how.dry_run)
        asked = [noun_.delete(volume.id, purge=True, wipe=wipe) for volume in going]
        finish(client, asked, how)


def in_trash(client: "Client") -> "list[Volume]":
    """What was deleted, oldest first."""
    found = [v for v in client.volumes.list() if v.spec.trash and not v.deleting]
    return sorted(found, key=lambda v: v.spec.trash.at if v.spec.trash else 0.0)


def the_deleted(client: "Client", name: str) -> "Volume":
    """By id, or by the name it had: of several, the one that was deleted last. raises NotFound"""
    from corral.errors import NotFound

    for volume in reversed(in_trash(client)):
        assert volume.spec.trash
        if name in (volume.id, volume.name, volume.spec.trash.name):
            return volume
    raise NotFound("Volume", name)
