"""VM changes: verbs of `corral vm` for what a VM is made of, and for letting it stand still."""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.options import (
    How,
    Output,
    OutputOption,
    following,
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


@grouped(how=following)
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
    how: How = GIVEN,
) -> None:
    """Give a VM a disk, also while it runs.

    Example: corral vm attach-disk web size=20GiB
    """
    from corral.cli.parts.asking import disks_of

    (ask,) = disks_of("", "", [disk if "=" in disk else f"volume={disk}"])
    _do([vm], lambda vms, name: vms.attach_disk(name, **ask), how)


@grouped(how=following)
def detach_disk(
    vm: VmName,
    volume: VolumeName,
    force: ForceOption = False,
    how: How = GIVEN,
) -> None:
    """Take a disk from a VM, also while it runs; the volume stays.

    Example: corral vm detach-disk web data-1
    """
    _do([vm], lambda vms, name: vms.detach_disk(name, volume, force=force), how)


@grouped(how=following)
def limit_disk(
    vm: VmName,
    volume: VolumeName,
    limits: Annotated[
        str,
        typer.Argument(
            metavar="LIMITS", help="iops=N,bytes=SIZE a second, also read-… and write-…; or none."
        ),
    ],
    how: How = GIVEN,
) -> None:
    """Limit what a disk may do in a second, also while its VM runs. Limits that are not named are lifted.

    Example: corral vm limit-disk web data-1 iops=500,bytes=50MB
    """
    from corral.cli.parts.asking import disk_limits

    ask = disk_limits(limits)
    _do([vm], lambda vms, name: vms.limit_disk(name, volume, **ask), how)


@grouped(how=following)
def attach_nic(
    vm: VmName,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="NAME, or NAME,address=IP,mac=MAC.", autocompletion=names_of("networks")
        ),
    ],
    how: How = GIVEN,
) -> None:
    """Give a VM a NIC, also while it runs.

    Example: corral vm attach-nic web lan,address=10.0.0.9
    """
    from corral.cli.parts.asking import nics_of

    (ask,) = nics_of([network])
    _do([vm], lambda vms, name: vms.attach_nic(name, **ask), how)


@grouped(how=following)
def detach_nic(
    vm: VmName,
    nic: NicName,
    force: ForceOption = False,
    how: How = GIVEN,
) -> None:
    """Take a NIC from a VM, also while it runs.

    Example: corral vm detach-nic web 0e:12:34:56:78:9a
    """
    _do([vm], lambda vms, name: vms.detach_nic(name, nic, force=force), how)


@grouped(how=following)
def limit_nic(
    vm: VmName,
    nic: NicName,
    limits: Annotated[
        str, typer.Argument(metavar="LIMITS", help="mbit=N a second, or in-mbit=N,out-mbit=N; or none.")
    ],
    how: How = GIVEN,
) -> None:
    """Limit what a NIC may carry in a second, also while its VM runs. A way that is not named has no limit.

    Example: corral vm limit-nic web lan mbit=100
    """
    from corral.cli.parts.asking import nic_limits

    ask = nic_limits(limits)
    _do([vm], lambda vms, name: vms.limit_nic(name, nic, **ask), how)


@grouped(how=following)
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
    how: How = GIVEN,
) -> None:
    """Put an image into a VM's CD drive, in the place of what is in it.

    Example: corral vm insert web debian-12-netinst
    """
    ask = {"image": image, "volume": volume, "pool": pool, "force": force}
    _do([vm], lambda vms, name: vms.insert(name, **ask), how)


@grouped(how=following)
def eject(
    vm: VmName,
    force: Annotated[bool, typer.Option("--force", help="Also when the guest has locked the drive.")] = False,
    how: How = GIVEN,
) -> None:
    """Empty a VM's CD drive.

    Example: corral vm eject web
    """
    _do([vm], lambda vms, name: vms.eject(name, force=force), how)


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


@grouped(how=following)
def pause(
    vms: VmNames,
    how: How = GIVEN,
) -> None:
    """Let VMs stand still; their memory stays where it is.

    Example: corral vm pause web
    """
    _do(vms, lambda nouns, name: nouns.pause(name), how)


@grouped(how=following)
def resume(
    vms: VmNames,
    how: How = GIVEN,
) -> None:
    """Let paused VMs go on.

    Example: corral vm resume web
    """
    _do(vms, lambda nouns, name: nouns.resume(name), how)


@grouped(how=following)
def suspend(
    vms: VmNames,
    how: How = GIVEN,
) -> None:
    """Write the memory of VMs to disk and stop them; `corral vm start` goes on from there.

    Example: corral vm suspend web
    """
    _do(vms, lambda nouns, name: nouns.suspend(name), how)


@grouped(how=following)
def rename(
    vm: VmName,
    name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="Lower-case letters, digits, dashes.")],
    how: How = GIVEN,
) -> None:
    """Give a VM another name. The domain of one that runs gets it when it stops.

    Example: corral vm rename web web-old
    """
    _do([vm], lambda vms, old: vms.rename(old, name), how)


def _do(
    names: list[str],
    ask: "Callable[[VMs, str], Operation]",
    how: How,
) -> None:
    with connect() as client:
        vms = client.vms.having(dry_run=how.dry_run)
        finish(client, [ask(vms, name) for name in names], how)
