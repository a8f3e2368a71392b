"""Volume: block storage that outlives a VM."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corral.cli.parts import trash
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

commands = noun("Volumes: block storage that outlives a VM.")
commands.add_typer(trash.commands, name="trash")

VolumeName = Annotated[
    str, typer.Argument(metavar="VOLUME", help="Name or id.", autocompletion=names_of("volumes"))
]


@commands.command("list")
@grouped(query=listing)
def list_volumes(
    pool: Annotated[
        str, typer.Option("--pool", help="Only in this pool.", autocompletion=names_of("pools"))
    ] = "",
    vm: Annotated[
        str, typer.Option("--vm", help="Only those made for this VM.", autocompletion=names_of("vms"))
    ] = "",
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List volumes; those in the trash have a list of their own.

    Example: corral volume list --pool shared
    """
    from corral.cli.parts.columns import volume_columns

    with connect() as client:
        asked = {**query, "filter": query["filter"] or "phase!=trashed"}
        volumes = client.volumes.list(pool=pool, vm=vm, **asked)
        show_list(volumes, volume_columns(Names(client)), output, empty="No volume yet.")


@commands.command()
def show(volume: VolumeName, output: OutputOption = Output.TABLE) -> None:
    """Show a volume in detail.

    Example: corral volume show web-0
    """
    from corral.cli.parts.details import volume_details

    with connect() as client:
        found = client.volumes.get(volume)
        show_one(found, lambda: volume_details(found, Names(client)), output)


@commands.command()
@grouped(how=following)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new volume.")],
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Like 10GiB. Default: the image's.")
    ] = "",
    image: Annotated[
        str, typer.Option("--image", help="Thin on top of this image.", autocompletion=names_of("images"))
    ] = "",
    pool: Annotated[
        str, typer.Option("--pool", help="Where it lives.", autocompletion=names_of("pools"))
    ] = "",
    node: Annotated[
        str, typer.Option("--node", help="Of a local pool: on this node.", autocompletion=names_of("nodes"))
    ] = "",
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Create a volume.

    Example: corral volume create data --size 10GiB --pool shared
    """
    fields = {"name": name, "image": image, "pool": pool, "node": node, "labels": labels_of(label)}
    with connect() as client:
        volumes = client.volumes.having(dry_run=how.dry_run)
        operation = volumes.create(**fields, **({"size": size} if size else {}))
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def clone(
    volume: VolumeName,
    name: Annotated[str, typer.Argument(help="Name of the new volume.")],
    linked: Annotated[
        bool, typer.Option("--linked", help="Keep standing on the same image: quick and small.")
    ] = False,
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="Like 10GiB. Default: the same.")] = "",
    pool: Annotated[
        str,
        typer.Option("--pool", help="Where it lives. Default: the same.", autocompletion=names_of("pools")),
    ] = "",
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Make a new volume that begins as a copy of VOLUME, which no running VM may use.

    Example: corral volume clone data data-2
    """
    fields = {"pool": pool, "linked": linked, "labels": labels_of(label)}
    with connect() as client:
        volumes = client.volumes.having(dry_run=how.dry_run)
        operation = volumes.clone(volume, name, **fields, **({"size": size} if size else {}))
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def move(
    volume: VolumeName,
    pool: Annotated[
        str, typer.Argument(metavar="POOL", help="Where it shall be.", autocompletion=names_of("pools"))
    ],
    how: How = GIVEN,
) -> None:
    """Move a volume to another pool, while its VM runs or not.

    Example: corral volume move data fast
    """
    with connect() as client:
        operation = client.volumes.having(dry_run=how.dry_run).move(volume, pool)
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def resize(
    volume: VolumeName,
    size: Annotated[str, typer.Argument(metavar="SIZE", help="Like 40GiB; not less than it has.")],
    how: How = GIVEN,
) -> None:
    """Make a volume larger. The guest of a VM that runs sees it at once.

    Example: corral volume resize data 40GiB
    """
    with connect() as client:
        operation = client.volumes.having(dry_run=how.dry_run).resize(volume, size)
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def delete(
    volume: VolumeName,
    purge: Annotated[bool, typer.Option("--purge", help="Delete it for good, without the trash.")] = False,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Overwrite it with zeros, then delete it for good.")
    ] = False,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Put a volume that no VM uses into the trash, or delete it for good with all that is on it.

    Example: corral volume delete data
    """
    for_good = " for good, with all that is on it" if purge or wipe else ""
    sure(f"Delete volume {volume}{for_good}?", yes or how.dry_run)
    with connect() as client:
        operation = client.volumes.having(dry_run=how.dry_run).delete(volume, purge=purge, wipe=wipe)
        finish(client, [operation], how)
