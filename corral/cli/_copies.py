"""Copies of whole VMs, for `corral vm`: clone, export, import."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.options import (
    How,
    LabelsOption,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    following,
    labels_of,
    names_of,
)
from corral.cli.parts.progress import progress_bars
from corral.cli.parts.session import connect

VmName = Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))]


@grouped(how=following)
def clone(
    vm: VmName,
    name: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new VM.")],
    full: Annotated[
        bool, typer.Option("--full", help="Copy everything. Default: stand on the same image.")
    ] = False,
    snapshot: Annotated[
        str,
        typer.Option("--snapshot", help="Copy this one of the VM.", autocompletion=names_of("snapshots")),
    ] = "",
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it.")] = True,
    pool: Annotated[
        str,
        typer.Option(
            "--pool", help="Where its volumes live. Default: the same.", autocompletion=names_of("pools")
        ),
    ] = "",
    node: Annotated[
        str, typer.Option("--node", help="Run on this node only.", autocompletion=names_of("nodes"))
    ] = "",
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Create a VM that begins as a copy of VM, which may run meanwhile.

    It gets a name, an id, MACs and addresses of its own, and cloud-init takes it for a new machine.

    Example: corral vm clone web web-2
    """
    fields = {"full": full, "snapshot": snapshot, "running": start, "pool": pool, "node": node}
    with connect() as client:
        vms = client.vms.having(dry_run=how.dry_run)
        operation = vms.clone(vm, name, **fields, labels=labels_of(label) if label else None)
        finish(client, [operation], how)


class Format(StrEnum):
    """Of an archive."""

    NATIVE = "native"  # a tar with a manifest, checksums and qcow2 disks
    OVA = "ova"  # OVF and stream-optimised VMDKs, for other platforms


def export(
    vm: VmName,
    file: Annotated[Path, typer.Argument(help="A new file; .ova makes an OVA.")],
    format: Annotated[
        Format | None, typer.Option("--format", help="native or ova. Default: by the file's name.")
    ] = None,
) -> None:
    """Write a whole VM, which may run meanwhile, into a file.

    Example: corral vm export web web.corral
    """
    from corral.model.units import format_size

    chosen = format or (Format.OVA if file.suffix.lower() == ".ova" else Format.NATIVE)
    with connect() as client, progress_bars() as progress:
        manifest = client.export_vm(vm, file, format=chosen, progress=progress)
    size = format_size(file.stat().st_size)
    typer.echo(f"VM {manifest.vm.name}: {len(manifest.vm.disks)} disks in {file} ({chosen}, {size})")


def import_(
    file: Annotated[Path, typer.Argument(help="Native, or an OVA of any platform.")],
    name: Annotated[str, typer.Option("--name", help="Of the new VM. Default: as in the file.")] = "",
    pool: Annotated[
        str, typer.Option("--pool", help="Where its volumes live.", autocompletion=names_of("pools"))
    ] = "",
    network: Annotated[
        str,
        typer.Option(
            "--network",
            help="For all of its NICs. Default: networks of the same names.",
            autocompletion=names_of("networks"),
        ),
    ] = "",
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it.")] = True,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a new VM of a file that was exported, here or elsewhere. Checksums and names in it are checked first.

    Example: corral vm import web.ova --network default
    """
    with connect() as client:
        with progress_bars() as progress:
            operation = client.import_vm(
                file, name=name, pool=pool, network=network, running=start, progress=progress
            )
        finish(client, [operation], How(output, wait=wait, timeout=timeout))
