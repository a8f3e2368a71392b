"""Scheduler: try its policies on a trace, offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.noun import noun
from corral.cli.parts.options import Output, OutputOption
from corral.errors import Invalid

if TYPE_CHECKING:
    from corral.scheduler.replay import Shape

commands = noun(
    "Try the scheduler on a trace of VMs that came and went. Needs no server and changes nothing."
)

TraceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TRACE", help="CSV file, gzipped or not: azure-vm-v1, alibaba-openb or huawei-topology."
    ),
]
NodeOption = Annotated[
    str, typer.Option("--node", metavar="CPUSxGIB[xGPUS]", help="Every node: vCPUs, GiB of memory, GPUs.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Where a lifetime lies that the trace tells only roughly.")
]


@commands.command()
def replay(
    trace: TraceArgument,
    node: NodeOption = "64x256",
    nodes: Annotated[
        str, typer.Option("--nodes", metavar="N|auto", help="How many; auto: the fewest that refuse no VM.")
    ] = "auto",
    policy: Annotated[
        str,
        typer.Option(
            "--policy", help="balance, pack, spread, power; or first-fit, best-fit to compare with."
        ),
    ] = "pack",
    moves: Annotated[
        float,
        typer.Option(
            "--migrations-per-100-vm-hours",
            metavar="M",
            help="Live migrations that may empty nodes; 0: none.",
        ),
    ] = 0.0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw density, refusals and nodes (PNG, SVG, PDF)."),
    ] = None,
    seed: SeedOption = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Play a trace through the scheduler and say how dense the fleet was.

    Density: the average over time, after the first quarter, of what is used of the dimension that is used most, over
    the capacity of the nodes that have VMs.

    Example: corral scheduler replay azure_v1.csv.gz --node 64x256 --policy pack -o json
    """
    import time

    from corral.cli.parts.traces import read_trace
    from corral.scheduler.replay import POLICIES, replay

    if policy not in POLICIES:
        raise Invalid("policy", policy, "a policy", hint=f"One of: {', '.join(POLICIES)}.")
    if not 0 <= moves <= 100_000:
        raise Invalid("migrations-per-100-vm-hours", str(moves), "a number of migrations", hint="0 or more.")
    shape, count = shape_of(node), _count_of(nodes)
    if plot:
        from corral.cli.parts.pictures import check

        check(plot)
    result = replay(
        read_trace(trace, seed),
        shape,
        policy,
        time.perf_counter_ns,
        nodes=count,
        moves_per_100_vm_hours=moves,
    )
    if plot:
        from corral.cli.parts.pictures import draw

        draw(result, plot)
        typer.echo(f"drawn in {plot}", err=True)
    _show(result.figures, output)


@commands.command()
def tune(
    trace: TraceArgument,
    node: NodeOption = "64x256",
    policy: Annotated[
        str, typer.Option("--policy", help="Whose weights to begin with: balance or pack.")
    ] = "balance",
    objective: Annotated[
        str,
        typer.Option("--objective", help="density (higher is better) or nodes (fewer are better)."),
    ] = "density",
    moves: Annotated[
        float, typer.Option("--migrations-per-100-vm-hours", metavar="M", help="As with replay.")
    ] = 0.0,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Replays of the trace.")] = 40,
    seed: SeedOption = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Search for better weights of a policy and propose them; nothing is changed.

    The weights are searched on the first two thirds of the trace and judged on the last third, which the search does
    not see: what is no better there is not proposed.

    Example: corral scheduler tune azure_v1.csv.gz --policy balance --objective density --trials 40
    """
    from corral.cli.parts.traces import read_trace
    from corral.cli.parts.tuning import search

    if policy not in ("balance", "pack"):
        raise Invalid("policy", policy, "a policy with weights", hint="balance or pack.")
    if objective not in ("density", "nodes"):
        raise Invalid("objective", objective, "an objective", hint="density or nodes.")
    proposal = search(
        read_trace(trace, seed), shape_of(node), policy, objective, trials=trials, moves=moves, seed=seed
    )
    _show(proposal, output)


def shape_of(text: str) -> "Shape":
    """Of `64x256` or `96x384x8`. raises Invalid"""
    from corral.scheduler.replay import Shape

    parts = text.lower().split("x")
    try:
        cpus, memory_gib, *gpus = (float(part) for part in parts)
        shape = Shape(cpus, memory_gib, int(gpus[0]) if gpus else 0)
    except ValueError:
        raise Invalid(
            "node", text, "a size of nodes", hint="Write vCPUs x GiB of memory, like 64x256."
        ) from None
    if not (0 < shape.cpus < 1e6 and 0 < shape.memory_gib < 1e6 and 0 <= shape.gpus <= 64 and len(gpus) <= 1):
        raise Invalid("node", text, "a size of nodes", hint="Write vCPUs x GiB of memory, like 64x256.")
    return shape


def _count_of(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise Invalid("nodes", text, "a number of nodes", hint="A whole number from 1, or auto.")
    return int(text)


def _show(document: object, output: Output) -> None:
    import msgspec

    from corral.cli.parts.present import colours, show_document
    from corral.cli.parts.table import render_pairs

    if output in (Output.JSON, Output.YAML):
        show_document(document, output)  # type: ignore[arg-type]
        return
    fields = msgspec.to_builtins(document)
    typer.echo(render_pairs([(name, f"{value}") for name, value in fields.items()], colour=colours()))
