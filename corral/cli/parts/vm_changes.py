"""VM changes: verbs of `corral vm` for what a VM is made of, and for letting it stand still."""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.lookup import Names
from corral.cli.parts.options import (
    DryRunOption,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    names_of,
)
from corral.cli.parts.session import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from corral.client.nouns import VMs
    from corral.model.operation import Operation

VmName = Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))]
VmNames = Annotated[
    list[str], typer.Argument(metavar="VM...", help="Names or ids.", autocompletion=names_of("vms"))
]
VolumeName = Annotated[
    str, typer.Argument(metavar="VOLUME", help="Name or id.", autocompletion=names_of("volumes"))
]
NicName = Annotated[
    str, typer.Argument(metavar="NIC", help="Its MAC or IP address, or its network if it is alone there.")
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="A guest that has not let go after 20 s loses its power and starts anew."),
]


def add_changes(commands: typer.Typer) -> None:
    """Give `corral vm` these verbs."""
    commands.command("attach-disk")(attach_disk)
    commands.command("detach-disk")(detach_disk)
    commands.command("limit-disk")(limit_disk)
    commands.command("attach-nic")(attach_nic)
    commands.command("detach-nic")(detach_nic)
    commands.command("limit-nic")(limit_nic)
    commands.command()(insert)
    commands.command()(eject)
    commands.command()(pending)
    commands.command()(pause)
    commands.command()(resume)
    commands.command()(suspend)
    commands.command()(rename)


def attach_disk(
    vm: VmName,
    disk: Annotated[
        str,
        typer.Argument(
            metavar="DISK",
            help="Name of an existing volume; or size=SIZE,image=NAME,pool=NAME for a new one.",
            autocompletion=names_of("volumes"),
        ),
    ],
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a VM a disk, also while it runs.

    Example: corral vm attach-disk web size=20GiB
    """
    from corral.cli.parts.asking import disks_of

    (ask,) = disks_of("", "", [disk if "=" in disk else f"volume={disk}"])
    _do([vm], lambda vms, name: vms.attach_disk(name, **ask), dry_run, wait, timeout, output)


def detach_disk(
    vm: VmName,
    volume: VolumeName,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a disk from a VM, also while it runs; the volume stays.

    Example: corral vm detach-disk web data-1
    """
    _do([vm], lambda vms, name: vms.detach_disk(name, volume, force=force), dry_run, wait, timeout, output)


def limit_disk(
    vm: VmName,
    volume: VolumeName,
    limits: Annotated[
        str,
        typer.Argument(
            metavar="LIMITS", help="iops=N,bytes=SIZE a second, also read-… and write-…; or none."
        ),
    ],
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Limit what a disk may do in a second, also while its VM runs. Limits that are not named are lifted.

    Example: corral vm limit-disk web data-1 iops=500,bytes=50MB
    """
    from corral.cli.parts.asking import disk_limits

    ask = disk_limits(limits)
    _do([vm], lambda vms, name: vms.limit_disk(name, volume, **ask), dry_run, wait, timeout, output)


def attach_nic(
    vm: VmName,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="NAME, or NAME,address=IP,mac=MAC.", autocompletion=names_of("networks")
        ),
    ],
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a VM a NIC, also while it runs.

    Example: corral vm attach-nic web lan,address=10.0.0.9
    """
    from corral.cli.parts.asking import nics_of

    (ask,) = nics_of([network])
    _do([vm], lambda vms, name: vms.attach_nic(name, **ask), dry_run, wait, timeout, output)


def detach_nic(
    vm: VmName,
    nic: NicName,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a NIC from a VM, also while it runs.

    Example: corral vm detach-nic web 0e:12:34:56:78:9a
    """
    _do([vm], lambda vms, name: vms.detach_nic(name, nic, force=force), dry_run, wait, timeout, output)


def limit_nic(
    vm: VmName,
    nic: NicName,
    limits: Annotated[
        str, typer.Argument(metavar="LIMITS", help="mbit=N a second, or in-mbit=N,out-mbit=N; or none.")
    ],
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Limit what a NIC may carry in a second, also while its VM runs. A way that is not named has no limit.

    Example: corral vm limit-nic web lan mbit=100
    """
    from corral.cli.parts.asking import nic_limits

    ask = nic_limits(limits)
    _do([vm], lambda vms, name: vms.limit_nic(name, nic, **ask), dry_run, wait, timeout, output)


def insert(
    vm: VmName,
    image: Annotated[
        str,
        typer.Argument(metavar="[IMAGE]", help="ISO image.", autocompletion=names_of("images")),
    ] = "",
    volume: Annotated[
        str,
        typer.Option("--volume", help="A volume instead of an image.", autocompletion=names_of("volumes")),
    ] = "",
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            help="Where the image's copy lives (default: as the first disk).",
            autocompletion=names_of("pools"),
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Also when the guest has locked the drive.")] = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Put an image into a VM's CD drive, in the place of what is in it.

    Example: corral vm insert web debian-12-netinst
    """
    ask = {"image": image, "volume": volume, "pool": pool, "force": force}
    _do([vm], lambda vms, name: vms.insert(name, **ask), dry_run, wait, timeout, output)


def eject(
    vm: VmName,
    force: Annotated[bool, typer.Option("--force", help="Also when the guest has locked the drive.")] = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Empty a VM's CD drive.

    Example: corral vm eject web
    """
    _do([vm], lambda vms, name: vms.eject(name, force=force), dry_run, wait, timeout, output)


def pending(vm: VmName, output: OutputOption = Output.TABLE) -> None:
    """List what a running VM does not have yet of what it was changed to, and what that waits for.

    Example: corral vm pending web
    """
    from corral.cli.parts.columns import pending_columns
    from corral.cli.parts.present import show_list

    with connect() as client:
        found = client.vms.get(vm)
        report = found.report
        rows = list(report.pending) if report else []
        show_list(rows, pending_columns(found, Names(client)), output, empty="Nothing is pending.")


def pause(
    vms: VmNames,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Let VMs stand still; their memory stays where it is.

    Example: corral vm pause web
    """
    _do(vms, lambda nouns, name: nouns.pause(name), dry_run, wait, timeout, output)


def resume(
    vms: VmNames,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Let paused VMs go on.

    Example: corral vm resume web
    """
    _do(vms, lambda nouns, name: nouns.resume(name), dry_run, wait, timeout, output)


def suspend(
    vms: VmNames,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Write the memory of VMs to disk and stop them; `corral vm start` goes on from there.

    Example: corral vm suspend web
    """
    _do(vms, lambda nouns, name: nouns.suspend(name), dry_run, wait, timeout, output)


def rename(
    vm: VmName,
    name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="Lower-case letters, digits, dashes.")],
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a VM another name. The domain of one that runs gets it when it stops.

    Example: corral vm rename web web-old
    """
    _do([vm], lambda vms, old: vms.rename(old, name), dry_run, wait, timeout, output)


def _do(
    names: list[str],
    ask: "Callable[[VMs, str], Operation]",
    dry_run: bool,
    wait: bool | None,
    timeout: str,
    output: Output,
) -> None:
    with connect() as client:
        vms = client.vms.having(dry_run=dry_run)
        finish(
            client, [ask(vms, name) for name in names], output, wait=wait, timeout=timeout, dry_run=dry_run
        )
