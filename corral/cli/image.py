"""Image: import disk images, to make volumes from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    LabelsOption,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    YesOption,
    following,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.progress import progress_bars
from corral.cli.parts.session import connect

commands = noun("Images: what the disks of new VMs are made from.")

ImageName = Annotated[
    str, typer.Argument(metavar="IMAGE", help="Name or id.", autocompletion=names_of("images"))
]


@commands.command("list")
@grouped(query=listing)
def list_images(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List images.

    Example: corral image list -o wide
    """
    from corral.cli.parts.columns import image_columns

    with connect() as client:
        images = client.images.list(**query)
        show_list(
            images, image_columns(), output, empty="No image yet. `corral image import FILE` makes one."
        )


@commands.command()
def show(image: ImageName, output: OutputOption = Output.TABLE) -> None:
    """Show an image in detail.

    Example: corral image show debian
    """
    from corral.cli.parts.details import image_details

    with connect() as client:
        found = client.images.get(image)
        show_one(found, lambda: image_details(found), output)


@commands.command("import")
def import_(
    first: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Of the image; the same as --name. May be left out.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A disk image: a file here, or an http or https URL.")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Also FAMILY:VERSION. Default: the file's name without its ending.")
    ] = "",
    sha256: Annotated[
        str, typer.Option("--sha256", help="Refuse the file if this is not its checksum.")
    ] = "",
    format: Annotated[
        str, typer.Option("--format", help="qcow2, raw, vmdk, vhdx, vdi, vpc. Default: what it looks like.")
    ] = "",
    os: Annotated[str, typer.Option("--os", help="For people: what is installed in it.")] = "",
    label: LabelsOption = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Import an image from a file, or have the server fetch it from a URL; checksums are compared.

    vmdk, vhdx, vdi and vpc disks become qcow2. FAMILY:VERSION makes a version: `--image FAMILY` takes the newest.

    Example: corral image import debian:12.5 https://cloud.debian.org/image.qcow2 --sha256 9f86d081…
    """
    source, name = (second, first) if second else (first, name)
    fields = {"sha256": sha256, "format": format, "os": os}
    if source.startswith(("http://", "https://")):
        with connect() as client:
            name = name or _name_of(Path(urlsplit(source).path))
            operation = client.images.create(name=name, url=source, labels=labels_of(label), **fields)
            finish(client, [operation], How(output, wait=wait, timeout=timeout))
    else:
        _upload(name or _name_of(Path(source)), Path(source), labels_of(label), fields, output)


@commands.command()
def build(
    name: Annotated[str, typer.Option("--name", help="Of the image.")] = "guest",
    file: Annotated[
        str, typer.Option("--file", metavar="FILE", help="Only write it here; no server is asked.")
    ] = "",
    label: LabelsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Build the small test guest from this machine's packages, and import it: 17 MB, boots in seconds.

    It has a guest agent, SSH, cloud-init's seed and a shell on the serial console. Needs root on Debian 12.

    Example: corral image build --name guest
    """
    from tempfile import TemporaryDirectory

    from corral.lab.guest import build as make

    if file:
        typer.echo(make(Path(file)))
        return
    with TemporaryDirectory(prefix="corral-guest-") as directory:
        made = make(Path(directory, "guest.qcow2"))
        fields = {"sha256": "", "format": "qcow2", "os": "Corral test guest"}
        _upload(name, made, labels_of(label), fields, output)


def _upload(name: str, file: Path, labels: dict[str, str], fields: dict[str, str], output: Output) -> None:
    from corral.model.units import format_size

    with connect() as client, progress_bars() as progress:
        image = client.images.upload(name, file, labels=labels, progress=progress, **fields)
    sizes = f"{format_size(image.status.size_bytes)}, {format_size(image.status.virtual_bytes)} for a guest"
    if output in (Output.TABLE, Output.WIDE):
        typer.echo(f"Image {image.name}: {image.status.phase} ({image.status.format}, {sizes})")
    else:
        show_one(image, lambda: (), output)


@commands.command()
@grouped(how=following)
def delete(
    image: ImageName,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Delete an image that no volume is made from.

    Example: corral image delete debian
    """
    sure(f"Delete image {image}?", yes or how.dry_run)
    with connect() as client:
        operation = client.images.having(dry_run=how.dry_run).delete(image)
        finish(client, [operation], how)


def _name_of(file: Path) -> str:
    """`Debian_12.qcow2` makes debian-12."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in file.stem.lower())
    return kept.strip("-.")[:63]
