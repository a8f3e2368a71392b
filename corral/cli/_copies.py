"""Copies of whole VMs, for `corral vm`: clone."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.options import (
    DryRunOption,
    LabelsOption,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    labels_of,
    names_of,
)
from corral.cli.parts.session import connect

VmName = Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))]


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
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a VM that begins as a copy of VM, which may run meanwhile.

    It gets a name, an id, MACs and addresses of its own, and cloud-init takes it for a new machine.

    Example: corral vm clone web web-2
    """
    fields = {"full": full, "snapshot": snapshot, "running": start, "pool": pool, "node": node}
    with connect() as client:
        vms = client.vms.having(dry_run=dry_run)
        operation = vms.clone(vm, name, **fields, labels=labels_of(label) if label else None)
        finish(client, [operation], output, wait=wait, timeout=timeout, dry_run=dry_run)
