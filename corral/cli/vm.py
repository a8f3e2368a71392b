"""VM: create, start, stop, migrate and watch virtual machines."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli._copies import clone, export, import_
from corral.cli.parts import adoption
from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.hardware import hardware_body
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    DryRunOption,
    How,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    changed_labels,
    duration_s,
    following,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect
from corral.cli.parts.vm_changes import add_changes

if TYPE_CHECKING:
    from corral.client.client import Client
    from corral.model.operation import Operation

commands = noun("Virtual machines: create them, start and stop them, move them between nodes.")

VmName = Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))]
VmNames = Annotated[
    list[str], typer.Argument(metavar="VM...", help="Names or ids.", autocompletion=names_of("vms"))
]
ForceOption = Annotated[bool, typer.Option("--force", help="Do not ask the guest: pull the plug.")]


@commands.command("list")
@grouped(query=listing)
def list_vms(
    phase: Annotated[str, typer.Option("--phase", help="Only those in this phase, e.g. running.")] = "",
    node: Annotated[
        str, typer.Option("--node", help="Only those on this node.", autocompletion=names_of("nodes"))
    ] = "",
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List VMs.

    Example: corral vm list --label env=prod --phase running
    """
    from corral.cli.parts.columns import vm_columns

    with connect() as client:
        vms = client.vms.list(phase=phase, node=node, **query)
        columns = vm_columns(Names(client))
        show_list(vms, columns, output, empty="No VM yet. `corral vm create --help` shows how to make one.")


@commands.command()
def show(vm: VmName, output: OutputOption = Output.TABLE) -> None:
    """Show a VM in detail: where it runs, its disks and NICs, what stands in its way.

    Example: corral vm show web
    """
    from corral.cli.parts.details import vm_details

    with connect() as client:
        found = client.vms.get(vm)
        show_one(found, lambda: vm_details(found, Names(client)), output)


@commands.command()
@grouped(hardware=hardware_body, how=following)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new VM: lower-case letters, digits, dashes.")],
    image: Annotated[
        str, typer.Option("--image", help="Image of the first disk.", autocompletion=names_of("images"))
    ] = "",
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="Defaults for what is not said here: linux, windows, or one of `corral profile list`.",
            autocompletion=names_of("profiles"),
        ),
    ] = "",
    cpus: Annotated[int | None, typer.Option("--cpus", help="Number of vCPUs. Default: 1.")] = None,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Like 4GiB. Default: 512MiB.")] = "",
    disk: Annotated[
        list[str] | None,
        typer.Option(
            "--disk",
            metavar="DISK",
            help="SIZE of the first disk (default: the image's), then of further empty ones; or "
            "volume=NAME, or size=SIZE,image=NAME,pool=NAME. How it is attached: bus=virtio|scsi|sata|usb,"
            "cache=none|writeback|writethrough|directsync|unsafe,io=native|threads|io_uring,iothread=yes,discard=no,"
            "iops=N,bytes=SIZE (a second; read-iops, write-bytes, … for one way). Repeatable.",
        ),
    ] = None,
    pool: Annotated[
        str, typer.Option("--pool", help="Where its volumes live.", autocompletion=names_of("pools"))
    ] = "",
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="NETWORK",
            help="A port on this network: NAME, or NAME,address=IP,mac=MAC,anti-spoofing=off. What the NIC is: model=virtio|e1000e,"
            "queues=N,mbit=N (in-mbit and out-mbit for one way). Repeatable.",
            autocompletion=names_of("networks"),
        ),
    ] = None,
    hardware: Mapping[str, Any] = GIVEN,
    ssh_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--ssh-key", metavar="FILE", help="Public key that may log in (cloud-init). Repeatable."
        ),
    ] = None,
    user_data: Annotated[
        str, typer.Option("--user-data", metavar="FILE", help="cloud-init user data; - for stdin.")
    ] = "",
    meta_data: Annotated[str, typer.Option("--meta-data", metavar="FILE", help="cloud-init meta data.")] = "",
    network_config: Annotated[
        str, typer.Option("--network-config", metavar="FILE", help="cloud-init network configuration.")
    ] = "",
    label: LabelsOption = None,
    node: Annotated[
        str, typer.Option("--node", help="Run it on this node only.", autocompletion=names_of("nodes"))
    ] = "",
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            help="How its node is chosen: balance, pack, spread, power, or one of `corral policy list`.",
            autocompletion=names_of("policies"),
        ),
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            help="Placement group whose rules it keeps. Repeatable.",
            autocompletion=names_of("groups"),
        ),
    ] = None,
    restart: Annotated[
        str,
        typer.Option(
            "--restart", help="When it stops by itself: never, on-failure, always. Default: on-failure."
        ),
    ] = "",
    protected: Annotated[bool, typer.Option("--protected", help="Refuse to delete it.")] = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it at once.")] = True,
    stop_timeout: Annotated[
        str,
        typer.Option("--stop-timeout", metavar="TIME", help="How long a shutdown may take. Default: 90s."),
    ] = "",
    how: How = GIVEN,
) -> None:
    """Create a VM, and start it.

    What is not said comes from --profile, then from the preset of --guest. `corral vm show` has what became of it.

    Example: corral vm create web --image debian --memory 512MiB --disk 4GiB --network default --ssh-key ~/.ssh/id.pub
    """
    from corral.cli.parts.asking import cloud_init_of, disks_of, nics_of

    cloud_init = cloud_init_of(user_data, meta_data, network_config, ssh_key or [])
    chosen = {
        "profile": profile,
        "cpus": cpus,
        "memory": memory,
        "groups": group,
        "hardware": hardware,
        "cloud_init": cloud_init if any(cloud_init.values()) else None,
        "restart": restart,
        "stop_timeout_s": duration_s(stop_timeout, "stop-timeout"),
    }
    fields = {
        "name": name,
        "labels": labels_of(label),
        "disks": disks_of(image, pool, disk or []),
        "nics": nics_of(network or []),
        "running": start,
        "protected": protected,
        "policy": policy,
        "node": node,
        **{field: value for field, value in chosen.items() if value not in ("", None, {}, [])},
    }
    with connect() as client:
        operation = client.vms.having(dry_run=how.dry_run).create(**fields)
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def start(
    vms: VmNames,
    how: How = GIVEN,
) -> None:
    """Start VMs.

    Example: corral vm start web db
    """
    with connect() as client:
        nouns = client.vms.having(dry_run=how.dry_run)
        finish(client, [nouns.start(vm) for vm in vms], how)


@commands.command()
@grouped(how=following)
def stop(
    vms: VmNames,
    force: ForceOption = False,
    how: How = GIVEN,
) -> None:
    """Ask guests to shut down; those that don't in time are forced.

    Example: corral vm stop web --force
    """
    with connect() as client:
        nouns = client.vms.having(dry_run=how.dry_run)
        asked = [nouns.stop(vm, force=force) for vm in vms]
        finish(client, asked, how)


@commands.command()
@grouped(how=following)
def restart(
    vms: VmNames,
    force: ForceOption = False,
    how: How = GIVEN,
) -> None:
    """Stop VMs and start them again.

    Example: corral vm restart web
    """
    with connect() as client:
        nouns = client.vms.having(dry_run=how.dry_run)
        asked = [nouns.restart(vm, force=force) for vm in vms]
        finish(client, asked, how)


@commands.command()
@grouped(how=following)
def delete(
    vms: VmNames,
    keep_volumes: Annotated[bool, typer.Option("--keep-volumes", help="Keep the disks made for it.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete its volumes for good, without the trash.")
    ] = False,
    erase: Annotated[
        bool,
        typer.Option("--erase", help="Delete also files of an adopted VM that were there before Corral."),
    ] = False,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Delete VMs; the volumes made for them go into the trash. Files of adopted VMs stay unless --erase is given.

    Example: corral vm delete web --keep-volumes
    """
    what = (
        "keep their volumes" if keep_volumes else f"their volumes {'for good' if purge else 'into the trash'}"
    )
    sure(f"Delete {', '.join(vms)}, and {what}?", yes or how.dry_run)
    with connect() as client:
        nouns = client.vms.having(dry_run=how.dry_run)
        asked = [nouns.delete(vm, keep_volumes=keep_volumes, purge=purge, erase=erase) for vm in vms]
        finish(client, asked, how)


@commands.command()
@grouped(how=following)
def migrate(
    vm: VmName,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="NODE", help="Default: the scheduler chooses.", autocompletion=names_of("nodes")
        ),
    ] = "",
    how: How = GIVEN,
) -> None:
    """Move a running VM to another node while it runs.

    Example: corral vm migrate web --to node2
    """
    with connect() as client:
        operation = client.vms.having(dry_run=how.dry_run).migrate(vm, to)
        finish(client, [operation], how)


@commands.command()
def preflight(
    vm: VmName,
    to: Annotated[
        str,
        typer.Option("--to", metavar="NODE", help="Default: every node.", autocompletion=names_of("nodes")),
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what would prevent a live migration, node by node, and how long it would take. Nothing is begun.

    Example: corral vm preflight web --to node2
    """
    from corral.cli.parts.preflight import show_preflight

    with connect() as client:
        show_preflight(client.vms.preflight(vm, to), output)


@commands.command()
def policy(
    vm: VmName,
    auto_converge: Annotated[
        bool | None,
        typer.Option("--auto-converge/--no-auto-converge", help="Slow the guest when it writes too fast."),
    ] = None,
    post_copy: Annotated[
        bool | None,
        typer.Option(
            "--post-copy/--no-post-copy",
            help="Let it run at the target before its memory is there, when nothing else helps. "
            "A link that breaks meanwhile loses the guest.",
        ),
    ] = None,
    local_disks: Annotated[
        bool | None,
        typer.Option("--local-disks/--no-local-disks", help="Copy volumes of local pools along."),
    ] = None,
    compress: Annotated[
        bool | None, typer.Option("--compress/--no-compress", help="Send pages as differences.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", help="Connections for memory; 0: as the forecast says.")
    ] = None,
    tls: Annotated[str, typer.Option("--tls", help="auto (where both nodes can) or always.")] = "",
    downtime: Annotated[int | None, typer.Option("--downtime-ms", help="Pause that is aimed at.")] = None,
    bandwidth: Annotated[
        str, typer.Option("--bandwidth", metavar="SIZE", help="A second, like 100MiB; 0: no limit.")
    ] = "",
    timeout_s: Annotated[
        str, typer.Option("--give-up-after", metavar="TIME", help="Like 30m; 0: by the forecast.")
    ] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Set how a VM may be live-migrated; what is not given stays as it is.

    Example: corral vm policy web --post-copy --bandwidth 200MiB --downtime-ms 500
    """
    import msgspec

    from corral.model.units import parse_size

    chosen = {
        "auto_converge": auto_converge,
        "post_copy": post_copy,
        "local_disks": local_disks,
        "compress": compress,
        "parallel": parallel,
        "tls": tls or None,
        "downtime_ms_max": downtime,
        "bandwidth_bytes_s": (0 if bandwidth == "0" else parse_size(bandwidth, "bandwidth"))
        if bandwidth
        else None,
        "timeout_s": duration_s(timeout_s, "give-up-after"),
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    if not given:
        raise typer.BadParameter("nothing to set; --help lists what can be")
    with connect() as client:
        operation = client.vms.having(dry_run=dry_run).edit(
            vm, lambda now: {"migration_policy": {**msgspec.to_builtins(now.spec.migration_policy), **given}}
        )
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


@commands.command("set")
@grouped(how=following)
def set_(
    vm: VmName,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "-l", metavar="KEY=VALUE", help="Set this label; KEY- takes it away. Repeatable."
        ),
    ] = None,
    cpus: Annotated[int | None, typer.Option("--cpus", help="Number of vCPUs.")] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Like 512MiB or 4GiB.")
    ] = None,
    protected: Annotated[
        bool | None, typer.Option("--protected/--no-protected", help="Refuse to delete it, or allow it.")
    ] = None,
    restart: Annotated[
        str | None, typer.Option("--restart", help="When it stops by itself: never, on-failure, always.")
    ] = None,
    stop_timeout: Annotated[
        str, typer.Option("--stop-timeout", metavar="TIME", help="How long a shutdown may take.")
    ] = "",
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            help="How its node is chosen the next time it is placed or moved; empty: as the default policy says.",
            autocompletion=names_of("policies"),
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="GROUP",
            help="The placement groups it belongs to from now on, in the place of those it had. Repeatable.",
            autocompletion=names_of("groups"),
        ),
    ] = None,
    no_groups: Annotated[bool, typer.Option("--no-groups", help="It belongs to none any more.")] = False,
    how: How = GIVEN,
) -> None:
    """Change a VM: its vCPUs and memory also while it runs, as far as it was started with room for that.

    Example: corral vm set web --cpus 4 --memory 8GiB --label env=prod --label old-
    """
    given = {
        "cpus": cpus,
        "memory": memory,
        "protected": protected,
        "restart": restart,
        "stop_timeout_s": duration_s(stop_timeout, "stop-timeout"),
        "policy": policy,
        "groups": [] if no_groups else group or None,
    }
    fields: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if not fields and not label:
        raise typer.BadParameter("nothing to set; --help lists what can be")
    with connect() as client:
        operation = _changed(client, vm, label, fields, how.dry_run)
        finish(client, [operation], how)


add_changes(commands)


def _changed(
    client: "Client", vm: str, label: list[str] | None, fields: dict[str, object], dry_run: bool
) -> "Operation":
    """Labels are set on what is there now: somebody else's change in between is not overwritten."""
    vms = client.vms.having(dry_run=dry_run)
    if not label:
        return vms.update(vm, **fields)
    return vms.edit(vm, lambda now: {**fields, "labels": changed_labels(now.labels, label)})


@commands.command()
def address(
    vm: VmName,
    address: Annotated[str, typer.Argument(metavar="[ADDRESS]", help="Default: the next free one.")] = "",
    network: Annotated[
        str,
        typer.Option("--network", help="Where, if it is on several.", autocompletion=names_of("networks")),
    ] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a VM another address. Its guest has it after it asked DHCP anew (a restart does), and is cut off until then.

    Example: corral vm address web 10.78.0.50
    """
    with connect() as client:
        operation = client.vms.having(dry_run=dry_run).set_address(vm, address, network=network)
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


@commands.command()
def console(
    vm: VmName,
    vnc: Annotated[bool, typer.Option("--vnc", help="The screen, for a VNC viewer on this machine.")] = False,
    spice: Annotated[
        bool, typer.Option("--spice", help="The screen and sound, for a SPICE viewer on this machine.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", help="Of --vnc and --spice, on 127.0.0.1; 0: a free one.")
    ] = 0,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="SIZE",
            help="Begin with what was printed before. [default: 16KiB on a terminal]",
        ),
    ] = None,
) -> None:
    """Join the VM's serial console; Ctrl-] leaves it. Between pipes it copies until its input ends.

    With --vnc or --spice: offer its screen on a local port, until Ctrl-C.

    Example: corral vm console web
    """
    import sys

    from corral.cli.parts.terminal import attach
    from corral.cli.parts.viewing import tunnel

    if vnc and spice:
        raise typer.BadParameter("--vnc and --spice are two ways to see the same screen: choose one")
    with connect() as client:
        if vnc or spice:
            tunnel(client, vm, "vnc" if vnc else "spice", port)
            return
        open_console = client.console(
            vm, replay=("16KiB" if sys.stdin.isatty() else "") if replay is None else replay
        )
        if sys.stdin.isatty():
            typer.echo(f"Console of {vm}. Ctrl-] leaves it.", err=True)
        attach(open_console)
        if open_console.reason:
            typer.echo(open_console.reason, err=True)


@commands.command()
def screenshot(
    vm: VmName, file: Annotated[str, typer.Argument(metavar="FILE", help="PNG; - for stdout.")]
) -> None:
    """Save what is on a VM's screen as PNG.

    Example: corral vm screenshot web web.png
    """
    from corral.cli.parts.viewing import save

    with connect() as client:
        save(client.vms.screenshot(vm), file)


commands.command()(clone)
commands.command()(export)
commands.command("import")(import_)


adoption.add_to(commands)
