"""Moves: a rebalance plan on paper.

In this room   show_plan()
Comes in       the answer of POST /rebalance/plan
Goes out       a table of the moves in waves; on stderr what they come to and what they take
Next door      rebalance.py and node.py (drain) show with it
"""

import json
from typing import Any, Final

import typer

from corral.cli.parts.options import Output
from corral.cli.parts.present import colours
from corral.cli.parts.table import Column, render
from corral.model.units import format_size

COLUMNS: Final = (
    Column("WAVE", lambda m: str(m["wave"]), right=True),
    Column("VM", lambda m: m["vm"]["name"]),
    Column("FROM", lambda m: m["source"]["name"]),
    Column("TO", lambda m: m["target"]["name"] + (" (for now)" if m["stepping_stone"] else "")),
    Column("SENDS", lambda m: format_size(m["forecast_bytes"]), right=True),
    Column("TAKES", lambda m: f"{m['forecast_s']:.1f} s", right=True),
    Column("PAUSE", lambda m: f"{m['forecast_downtime_ms']:.0f} ms", right=True),
    Column("SCORE", lambda m: f"{m['score']:.3f}", right=True),
)


def show_plan(plan: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(plan, indent=2))
    elif output is Output.YAML:
        import yaml

        typer.echo(yaml.safe_dump(plan, sort_keys=False).rstrip())
    else:
        if plan["moves"]:
            typer.echo(render(COLUMNS, plan["moves"], colour=colours()))
        typer.echo(_summary(plan), err=True)


def _summary(plan: dict[str, Any]) -> str:
    count = len(plan["moves"])
    lines = [
        f"{count or 'No'} move{'s' * (count != 1)}; score {plan['score_before']:.3f} before, "
        f"{plan['score_after']:.3f} after; {format_size(plan['forecast_bytes'])} to send in about "
        f"{plan['forecast_s']:.0f} s."
    ]
    if plan["emptied"]:
        lines.append("Without VMs then: " + ", ".join(node["name"] for node in plan["emptied"]) + ".")
    if plan["behind"]:
        names = ", ".join(vm["name"] for vm in plan["behind"])
        lines.append(f"No way was found for {names}: `corral vm preflight VM` says what is in the way.")
        lines += [f"  {name}: {why}" for name, why in plan.get("why", {}).items()]
    return "\n".join(lines)
