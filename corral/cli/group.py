"""Group: VMs that are to be together or apart."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    DryRunOption,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect
from corral.cli.parts.specs import change_one, create_one, delete_one

commands = noun(
    "Placement groups: VMs that are to be together or apart, named with `corral vm create --group`."
)

GroupName = Annotated[
    str, typer.Argument(metavar="GROUP", help="Name or id.", autocompletion=names_of("groups"))
]
SummaryOption = Annotated[str, typer.Option("--summary", metavar="TEXT", help="What it is for, in a line.")]
RuleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="RULE",
        help="affinity or anti-affinity, then what they share: node (the default), rack, or the key of a label; or "
        "nodes=LABEL|NODE; with weight=NUMBER it is a preference. Like anti-affinity,rack or "
        "affinity,nodes=disk=fast,weight=0.5. Repeatable.",
    ),
]


WholeOption = Annotated[
    bool | None,
    typer.Option("--whole/--no-whole", help="Those of its VMs that wait get nodes together, or none does."),
]


@commands.command("list")
@grouped(query=listing)
def list_groups(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List placement groups.

    Example: corral group list
    """
    from corral.cli.parts.columns import group_columns

    with connect() as client:
        found = client.groups.list(**query)
        empty = "No placement group yet. `corral group create` makes one."
        show_list(found, group_columns(), output, empty=empty)


@commands.command()
def show(group: GroupName, output: OutputOption = Output.TABLE) -> None:
    """Show a placement group's rules.

    Example: corral group show database
    """
    from corral.cli.parts.details import group_details

    with connect() as client:
        found = client.groups.get(group)
        show_one(found, lambda: group_details(found), output)


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new group.")],
    rule: RuleOption = None,
    summary: SummaryOption = "",
    whole: WholeOption = None,
    label: LabelsOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a placement group. Rules that can't hold together are refused.

    Example: corral group create database --rule anti-affinity,node --rule anti-affinity,rack,weight=0.5
    """
    spec = {"summary": summary, "rules": [rule_of(text) for text in rule or []], "whole": bool(whole)}
    create_one("groups", name, labels_of(label), spec, dry_run=dry_run, output=output)


@commands.command("set")
def set_(
    group: GroupName,
    rule: RuleOption = None,
    summary: SummaryOption = "",
    whole: WholeOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Replace a group's rules. They count from the next placement on; no VM moves for them.

    Example: corral group set database --rule anti-affinity,rack
    """
    given: dict[str, Any] = {"summary": summary, "rules": [rule_of(text) for text in rule or []]}
    spec = {name: value for name, value in given.items() if value}
    if whole is not None:
        spec["whole"] = whole
    change_one("groups", group, spec, dry_run=dry_run, output=output)


@commands.command()
def delete(
    group: GroupName,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete a group that no VM names.

    Example: corral group delete database
    """
    sure(f"Delete group {group}?", yes or dry_run)
    delete_one("groups", group, dry_run=dry_run, output=output)


def rule_of(text: str) -> dict[str, Any]:
    """`anti-affinity,rack,weight=0.5` as the API has it."""
    kind, *parts = text.split(",")
    rule: dict[str, Any] = {"kind": kind}
    for part in parts:
        name, _, value = part.partition("=")
        if name == "weight":
            try:
                rule |= {"required": False, "weight": float(value)}
            except ValueError:
                raise typer.BadParameter(f"{part}: write it like weight=0.5") from None
        elif name == "nodes":
            rule["nodes"] = value.split("|")
        elif name == "domain":
            rule["domain"] = value
        else:
            rule["domain"] = part
    return rule
