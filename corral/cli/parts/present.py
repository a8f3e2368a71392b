"""Present: answers on stdout, in the form that was asked for.

In this room   show_list(), show_one(), show_operation(), show_document()
Comes in       resources, and what a table shows of them
Goes out       a table, JSON, YAML or names
Always true    what programs read (json, yaml, name) is never coloured, shortened or translated
Next door      table.py draws
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from corral.cli.parts.options import Output, on_terminal
from corral.cli.parts.table import Column, render, render_pairs

Name = Callable[[str], str]

if TYPE_CHECKING:  # help does without the model
    from msgspec import Struct

    from corral.model.console import Console
    from corral.model.operation import Operation
    from corral.model.resource import Resource


def show_list(
    items: Sequence[Struct] | Sequence[Console],
    columns: Sequence[Column],
    output: Output,
    *,
    empty: str = "",
) -> None:
    """`empty`: what to say on a terminal instead of a table without rows. What has no name shows its first column."""
    if output is Output.NAME:
        for item in items:
            typer.echo(getattr(item, "name", "") or columns[0].text(item))
    elif output in (Output.JSON, Output.YAML):
        show_document(list(items), output)
    elif not items and empty and on_terminal():
        typer.echo(empty, err=True)
    else:
        shown = [c for c in columns if output is Output.WIDE or not c.wide]
        typer.echo(render(shown, items, colour=colours()))


def show_one(item: Resource, pairs: Callable[[], Sequence[tuple[str, str]]], output: Output) -> None:
    """`pairs` is called for people only: it may ask the server for more."""
    if output is Output.NAME:
        typer.echo(item.name)
    elif output in (Output.JSON, Output.YAML):
        show_document(item, output)
    else:
        typer.echo(render_pairs(pairs(), colour=colours()))


def show_operation(operation: Operation, output: Output, names: Name, *, dry_run: bool = False) -> None:
    """`names` gives the name of a node by its id."""
    if output is Output.NAME:
        typer.echo(operation.id)
    elif output in (Output.JSON, Output.YAML):
        show_document(operation, output)
    else:
        typer.echo(told(operation, names, dry_run=dry_run))


def told(operation: Operation, names: Name, *, dry_run: bool = False) -> str:
    """An operation in one sentence."""
    spec, status = operation.spec, operation.status
    what = f"{spec.target.kind} {spec.target.name}: {spec.verb}"
    if dry_run:
        return f"{what} would be accepted; nothing was changed"
    if not operation.ended:
        return f"{what} has begun as {operation.id}"
    took_s = (status.ended_at or operation.created_at) - operation.created_at
    more = _result(status.result, names)
    return (
        f"{what} {status.state}"
        + (f" in {took_s:.1f} s" if took_s >= 0.05 else "")
        + (f" ({more})" if more else "")
    )


def show_document(document: Struct | Sequence[Struct], output: Output) -> None:
    """As JSON with indentation, or as YAML."""
    import msgspec

    if output is Output.JSON:
        typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    import yaml

    typer.echo(yaml.safe_dump(msgspec.to_builtins(document), sort_keys=False, allow_unicode=True), nl=False)


def colours() -> bool:
    return on_terminal() and not os.environ.get("NO_COLOR")


def _result(result: dict[str, str | int | float], names: Name) -> str:
    """Of a migration: `from node1 to node2 in 1.4 s (foreseen 1.5 s), down for 12 ms`."""
    if not {"source", "target", "total_s"} <= result.keys():
        return ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in result.items())
    way = f"from {names(str(result['source']))} to {names(str(result['target']))}"
    foreseen = (
        f" (foreseen {float(result['forecast_total_s']):.1f} s)" if "forecast_total_s" in result else ""
    )
    down = (
        f"down for {float(result['downtime_ms']):.0f} ms" if "downtime_ms" in result else "downtime not known"
    )
    return f"{way} in {float(result['total_s']):.1f} s{foreseen}, {down}"
