"""Preflight: what stands in the way of a live migration, and what it would take, in lines."""

import json
from collections.abc import Iterator
from typing import Any

import typer

from corral.cli.parts.options import Output
from corral.model.units import format_size


def show_preflight(found: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(found, indent=2))
    elif output is Output.YAML:
        import yaml

        typer.echo(yaml.safe_dump(found, sort_keys=False).rstrip())
    else:
        for line in preflight_lines(found):
            typer.echo(line)


def preflight_lines(found: dict[str, Any]) -> Iterator[str]:
    name = found["vm"]["name"]
    for obstacle in found.get("obstacles", ()):
        yield f"{name} can't migrate: {_said(obstacle)}"
    for node in found.get("nodes", ()):
        where = node["node"]["name"]
        if node["fits"]:
            yield f"{where}: fits. {_forecast(node.get('forecast'))}".rstrip()
        for obstacle in node.get("obstacles", ()):
            yield f"{where}: no, {_said(obstacle)}"
    if not found.get("nodes"):
        yield "There is no other node."


def _said(obstacle: dict[str, str]) -> str:
    hint = f" {obstacle['hint']}" if obstacle.get("hint") else ""
    return f"{obstacle['message']} [{obstacle['code']}].{hint}"


def _forecast(forecast: dict[str, Any] | None) -> str:
    if not forecast:
        return ""
    what = format_size(forecast["memory_bytes"] + forecast.get("disk_bytes", 0))
    known = "" if forecast.get("measured") else " (a link that is assumed: nothing was migrated over it yet)"
    return (
        f"About {forecast['total_s']:.1f} s for {what}, {forecast['downtime_ms']:.0f} ms down, "
        f"by {forecast['method']}: {forecast['why']}{known}."
    )
