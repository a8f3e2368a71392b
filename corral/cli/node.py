"""Node: list the machines that run VMs, cordon them, let new ones join."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    DryRunOption,
    How,
    Output,
    OutputOption,
    YesOption,
    changed_labels,
    duration_s,
    following,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_document, show_list, show_one
from corral.cli.parts.session import connect

commands = noun("Nodes: the machines that run VMs.")

NodeName = Annotated[
    str, typer.Argument(metavar="NODE", help="Name or id.", autocompletion=names_of("nodes"))
]


@commands.command("list")
@grouped(query=listing)
def list_nodes(
    phase: Annotated[str, typer.Option("--phase", help="Only those in this phase, e.g. ready.")] = "",
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List nodes.

    Example: corral node list -o wide
    """
    from corral.cli.parts.columns import node_columns

    with connect() as client:
        nodes = client.nodes.list(phase=phase, **query)
        show_list(nodes, node_columns(), output, empty="No node yet. `corral node join-token` lets one join.")


@commands.command()
def show(node: NodeName, output: OutputOption = Output.TABLE) -> None:
    """Show a node in detail: what it has, and what it sees of pools and networks.

    Example: corral node show node1
    """
    from corral.cli.parts.details import node_details

    with connect() as client:
        found = client.nodes.get(node)
        others = client.found.list(node=found.id) if output not in (Output.JSON, Output.YAML) else []
        show_one(found, lambda: node_details(found, Names(client), others), output)


@commands.command()
def cordon(node: NodeName, dry_run: DryRunOption = False, output: OutputOption = Output.TABLE) -> None:
    """Put no new VMs on a node; those it has stay.

    Example: corral node cordon node1
    """
    with connect() as client:
        finish(
            client,
            [client.nodes.having(dry_run=dry_run).cordon(node)],
            How(output, wait=False, dry_run=dry_run),
        )


@commands.command()
def uncordon(node: NodeName, dry_run: DryRunOption = False, output: OutputOption = Output.TABLE) -> None:
    """Let a node take new VMs again.

    Example: corral node uncordon node1
    """
    with connect() as client:
        finish(
            client,
            [client.nodes.having(dry_run=dry_run).uncordon(node)],
            How(output, wait=False, dry_run=dry_run),
        )


@commands.command()
@grouped(how=following)
def drain(
    node: NodeName,
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", help="Migrations side by side.")] = 2,
    moves: Annotated[int, typer.Option("--moves", metavar="N", help="At most.")] = 10_000,
    how: How = GIVEN,
) -> None:
    """Cordon a node, then live-migrate every VM off it. --dry-run shows where each would go, and what it takes.

    Example: corral node drain node1 --dry-run
    """
    from corral.cli.parts.moves import show_plan

    asked = {"goal": "drain", "nodes": [node], "parallel": parallel, "moves_max": moves}
    with connect() as client:
        if how.dry_run:
            show_plan(client.rebalances.plan(**asked), how.output)
            return
        finish(client, [client.rebalances.apply(**asked)], how)


@commands.command()
@grouped(how=following)
def remove(
    node: NodeName,
    force: Annotated[
        bool, typer.Option("--force", help="Give up the VMs on it: only if the machine is gone for good.")
    ] = False,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Take a node out for good; its certificate is worth nothing from then on.

    Example: corral node remove node3
    """
    sure(f"Remove {node}" + (", and give up the VMs on it?" if force else "?"), yes or how.dry_run)
    with connect() as client:
        operation = client.nodes.having(dry_run=how.dry_run).remove(node, force=force)
        finish(client, [operation], how)


@commands.command("join-token")
def join_token(
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it may be used.")] = "1h",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a token with which one node can join, once.

    Example: corral agent join $(corral node join-token -o name)
    """
    with connect() as client:
        made = client.nodes.join_token(ttl_s=duration_s(ttl, "ttl") or 3600.0)
    if output in (Output.JSON, Output.YAML):
        show_document(made, output)
        return
    typer.echo(made.secret)
    if output is not Output.NAME:
        typer.echo(f"Within {ttl}, run on the new node:\n  corral agent join {made.secret}", err=True)


@commands.command()
def labels(
    node: NodeName,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE|KEY-]...", help="To set, or to take away.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a node's labels, or change them.

    Example: corral node labels node1 rack=r7 old-
    """
    with connect() as client:
        if not changes:
            for key, value in sorted(client.nodes.get(node).labels.items()):
                typer.echo(f"{key}={value}")
            return
        nodes = client.nodes.having(dry_run=dry_run)
        operation = nodes.edit(node, lambda now: {"labels": changed_labels(now.labels, changes)})
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))


@commands.command("set")
def set_(
    node: NodeName,
    cpu_overcommit: Annotated[
        float | None, typer.Option("--cpu-overcommit", help="vCPUs promised for each CPU.")
    ] = None,
    memory_overcommit: Annotated[
        float | None, typer.Option("--memory-overcommit", help="Memory promised for each byte of it.")
    ] = None,
    reserve_memory: Annotated[
        str | None, typer.Option("--reserve-memory", metavar="SIZE", help="Kept for the host itself.")
    ] = None,
    reserve_cpus: Annotated[
        int | None, typer.Option("--reserve-cpus", help="CPUs kept for the host itself.")
    ] = None,
    dedicated_cpus: Annotated[
        str | None,
        typer.Option(
            "--dedicated-cpus",
            metavar="CPUS",
            help="CPUs for vCPUs that have one for themselves, like 4-15; all other VMs stay off them.",
        ),
    ] = None,
    rack: Annotated[str | None, typer.Option("--rack", help="What it stands in, and fails with.")] = None,
    iops: Annotated[
        int | None, typer.Option("--iops", help="Disk operations a second that it is good for; 0: no limit.")
    ] = None,
    io_overcommit: Annotated[
        float | None, typer.Option("--io-overcommit", help="Disk operations promised for each of them.")
    ] = None,
    network_mbit: Annotated[
        int | None, typer.Option("--network-mbit", help="Mbit/s of its uplinks; 0: no limit.")
    ] = None,
    network_overcommit: Annotated[
        float | None, typer.Option("--network-overcommit", help="Bandwidth promised for each Mbit/s.")
    ] = None,
    power_watts: Annotated[
        int | None, typer.Option("--power-watts", help="Watts that it may draw at most; 0: no limit.")
    ] = None,
    idle_watts: Annotated[
        int | None, typer.Option("--idle-watts", help="Watts that it draws without guests.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change how much of a node VMs may have.

    Example: corral node set node1 --cpu-overcommit 2 --reserve-memory 2GiB
    """
    given = {
        "cpu_overcommit": cpu_overcommit,
        "memory_overcommit": memory_overcommit,
        "reserve_memory": reserve_memory,
        "reserve_cpus": reserve_cpus,
        "dedicated_cpus": dedicated_cpus,
        "rack": rack,
        "iops": iops,
        "io_overcommit": io_overcommit,
        "network_mbit": network_mbit,
        "network_overcommit": network_overcommit,
        "power_watts": power_watts,
        "idle_watts": idle_watts,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    if not fields:
        raise typer.BadParameter("nothing to set; --help lists what can be")
    with connect() as client:
        operation = client.nodes.having(dry_run=dry_run).update(node, **fields)
        finish(client, [operation], How(output, wait=False, dry_run=dry_run))
