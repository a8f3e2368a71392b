"""Profile: defaults for new VMs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.hardware import hardware_body
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    DryRunOption,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    duration_s,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect
from corral.cli.parts.specs import change_one, create_one, delete_one

if TYPE_CHECKING:
    from corral.model.profile import VMProfile

commands = noun("Profiles: defaults for new VMs, named with `corral vm create --profile`.")

ProfileName = Annotated[
    str, typer.Argument(metavar="PROFILE", help="Name or id.", autocompletion=names_of("profiles"))
]
SummaryOption = Annotated[str, typer.Option("--summary", metavar="TEXT", help="What it is for, in a line.")]
CpusOption = Annotated[int | None, typer.Option("--cpus", help="Number of vCPUs.")]
MemoryOption = Annotated[str, typer.Option("--memory", metavar="SIZE", help="Like 512MiB or 4GiB.")]
DisksOption = Annotated[
    str,
    typer.Option(
        "--disks",
        metavar="TUNING",
        help="How disks are attached, like bus=scsi,cache=none,io=io_uring,iothread=yes,iops=500.",
    ),
]
NicsOption = Annotated[
    str,
    typer.Option("--nics", metavar="TUNING", help="What NICs are, like model=e1000e or queues=4,mbit=100."),
]
UserDataOption = Annotated[
    str, typer.Option("--user-data", metavar="FILE", help="cloud-init user data; - for stdin.")
]
RestartOption = Annotated[
    str, typer.Option("--restart", help="When a VM stops by itself: never, on-failure, always.")
]
StopTimeoutOption = Annotated[
    str, typer.Option("--stop-timeout", metavar="TIME", help="How long a shutdown may take.")
]


@grouped(hardware=hardware_body)
def spec_body(
    *,
    summary: SummaryOption = "",
    cpus: CpusOption = None,
    memory: MemoryOption = "",
    disks: DisksOption = "",
    nics: NicsOption = "",
    hardware: Mapping[str, Any] = GIVEN,
    user_data: UserDataOption = "",
    restart: RestartOption = "",
    stop_timeout: StopTimeoutOption = "",
) -> dict[str, Any]:
    """A profile's spec as the API has it, with what was given only. raises Invalid"""
    from corral.cli.parts.asking import cloud_init_of, disk_tuning, nic_tuning

    body = {
        "summary": summary,
        "cpus": cpus,
        "memory": memory,
        "hardware": hardware,
        "disk": disk_tuning(disks),
        "nic": nic_tuning(nics),
        "cloud_init": cloud_init_of(user_data, "", "", []) if user_data else {},
        "restart": restart,
        "stop_timeout_s": duration_s(stop_timeout, "stop-timeout"),
    }
    return {name: value for name, value in body.items() if value not in ("", None, {})}


@commands.command("list")
@grouped(query=listing)
def list_profiles(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List profiles, and the presets that are built in.

    Example: corral profile list
    """
    from corral.cli.parts.columns import profile_columns

    with connect() as client:
        found = client.profiles.list(**query)
        shown = found if query["label"] or query["filter"] else [*_presets(), *found]
        show_list(shown, profile_columns(), output, empty="No such profile.")


@commands.command()
def show(profile: ProfileName, output: OutputOption = Output.TABLE) -> None:
    """Show what a profile, or a preset, chooses.

    Example: corral profile show windows
    """
    from corral.cli.parts.details import profile_details

    preset = next((p for p in _presets() if p.name == profile), None)
    if preset is not None:
        show_one(preset, lambda: profile_details(preset), output)
        return
    with connect() as client:
        found = client.profiles.get(profile)
        show_one(found, lambda: profile_details(found), output)


def _presets() -> "list[VMProfile]":
    from corral.model.profile import PRESETS, VMProfile

    return [VMProfile(id=f"profile-{name}", name=name, spec=spec) for name, spec in PRESETS.items()]


@commands.command()
@grouped(spec=spec_body)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new profile.")],
    spec: Mapping[str, Any] = GIVEN,
    label: LabelsOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a profile. What it leaves open comes from the preset of its guest.

    Example: corral profile create database --cpus 8 --memory 32GiB --hugepages 1GiB --disks io=io_uring,iothread=yes
    """
    create_one("profiles", name, labels_of(label), spec, dry_run=dry_run, output=output)


@commands.command("set")
@grouped(spec=spec_body)
def set_(
    profile: ProfileName,
    spec: Mapping[str, Any] = GIVEN,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change what is given, keep the rest. VMs made with it stay as they are.

    Example: corral profile set database --memory 64GiB
    """
    change_one("profiles", profile, spec, dry_run=dry_run, output=output)


@commands.command()
def delete(
    profile: ProfileName,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete a profile. VMs made with it stay as they are.

    Example: corral profile delete database
    """
    sure(f"Delete profile {profile}?", yes or dry_run)
    delete_one("profiles", profile, dry_run=dry_run, output=output)
