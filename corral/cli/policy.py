"""Policy: how nodes are chosen for VMs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from corral.model.policy import SchedulingPolicy

commands = noun("Scheduling policies: how nodes are chosen for VMs. One called `default` counts for all.")

PolicyName = Annotated[
    str, typer.Argument(metavar="POLICY", help="Name or id.", autocompletion=names_of("policies"))
]
SummaryOption = Annotated[str, typer.Option("--summary", metavar="TEXT", help="What it is for, in a line.")]
ScoreOption = Annotated[str, typer.Option("--score", help="balance, pack, spread or power.")]
SpareOption = Annotated[
    str, typer.Option("--spare", help="What may fail, with room elsewhere for its VMs: none, node or rack.")
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="TERM=NUMBER",
        help="Of the balance equation: cpu, memory, gpu, io or power. Repeatable.",
    ),
]

RebalanceOption = Annotated[
    str,
    typer.Option(
        "--rebalance",
        metavar="on|off|balance|consolidate",
        help="Move VMs by itself, to balance the fleet or to empty nodes; counts in the policy called default.",
    ),
]


@commands.command("list")
@grouped(query=listing)
def list_policies(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List policies, and those that are built in.

    Example: corral policy list
    """
    from corral.cli.parts.columns import policy_columns

    with connect() as client:
        found = client.policies.list(**query)
        shown = found if query["label"] or query["filter"] else [*_built_in(), *found]
        show_list(shown, policy_columns(), output, empty="No such policy.")


@commands.command()
def show(policy: PolicyName, output: OutputOption = Output.TABLE) -> None:
    """Show a policy.

    Example: corral policy show balance
    """
    from corral.cli.parts.details import policy_details

    built_in = next((p for p in _built_in() if p.name == policy), None)
    if built_in is not None:
        show_one(built_in, lambda: policy_details(built_in), output)
        return
    with connect() as client:
        found = client.policies.get(policy)
        show_one(found, lambda: policy_details(found), output)


def _built_in() -> "list[SchedulingPolicy]":
    from corral.model.policy import BUILT_IN, SchedulingPolicy

    return [SchedulingPolicy(id=f"policy-{name}", name=name, spec=spec) for name, spec in BUILT_IN.items()]


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new policy; default: for all VMs that name none.")],
    summary: SummaryOption = "",
    score: ScoreOption = "",
    weight: WeightOption = None,
    spare: SpareOption = "",
    rebalance: RebalanceOption = "",
    label: LabelsOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a policy.

    Example: corral policy create default --score balance --weight memory=0.5 --spare node
    """
    spec = _spec(summary, score, weight, spare, rebalance)
    create_one("policies", name, labels_of(label), spec, dry_run=dry_run, output=output)


@commands.command("set")
def set_(
    policy: PolicyName,
    summary: SummaryOption = "",
    score: ScoreOption = "",
    weight: WeightOption = None,
    spare: SpareOption = "",
    rebalance: RebalanceOption = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change what is given, keep the rest. It counts from the next placement on; no VM moves for it.

    Example: corral policy set default --spare node
    """
    spec = _spec(summary, score, weight, spare, rebalance)
    change_one("policies", policy, spec, dry_run=dry_run, output=output)


@commands.command()
def delete(
    policy: PolicyName,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete a policy that no VM names.

    Example: corral policy delete memory-first
    """
    sure(f"Delete policy {policy}?", yes or dry_run)
    delete_one("policies", policy, dry_run=dry_run, output=output)


def _spec(summary: str, score: str, weight: list[str] | None, spare: str, rebalance: str) -> dict[str, Any]:
    """The body's spec, with what was given only."""
    weights: dict[str, float] = {}
    for text in weight or []:
        term, _, number = text.partition("=")
        try:
            weights[term] = float(number)
        except ValueError:
            raise typer.BadParameter(f"{text}: write it like memory=0.5") from None
    if rebalance not in ("", "on", "off", "balance", "consolidate"):
        raise typer.BadParameter(f"{rebalance}: on, off, balance or consolidate", param_hint="--rebalance")
    automatic: dict[str, Any] = {"automatic": rebalance != "off"} if rebalance else {}
    if rebalance in ("balance", "consolidate"):
        automatic["goal"] = rebalance
    spec = {"summary": summary, "score": score, "weights": weights, "spare": spare, "rebalance": automatic}
    return {name: value for name, value in spec.items() if value}
