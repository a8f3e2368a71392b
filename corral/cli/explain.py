"""Explain: why something is as it is, and what it waits for."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from corral.cli.parts.noun import noun
from corral.cli.parts.options import Output, OutputOption, names_of
from corral.cli.parts.session import connect

commands = noun("Why something is as it is, and what it waits for.")


@commands.command()
def vm(
    vm: Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))],
    output: OutputOption = Output.TABLE,
) -> None:
    """Explain a VM: why it is here, where else it could be, what it waits for, what is pending, what happened lately.

    Example: corral explain vm web
    """
    with connect() as client:
        found = client.vms.explain(vm)
    if output in (Output.JSON, Output.YAML):
        _show(found, output)
        return
    for line in _lines(found):
        typer.echo(line)


def _show(found: dict[str, Any], output: Output) -> None:
    import json

    import yaml

    text = (
        json.dumps(found, indent=2)
        if output is Output.JSON
        else yaml.safe_dump(found, sort_keys=False).rstrip()
    )
    typer.echo(text)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """The explanation in sentences."""
    from corral.cli.parts.words import moment

    name, node = found["vm"]["name"], found.get("node")
    yield f"{name} is {found['phase']}" + (f" on {node}." if node else ".")
    if found.get("why_here"):
        when = f" ({moment(found['placed_at'])})" if found.get("placed_at") else ""
        yield f"Why here: {found['why_here']}{when}"
    yield from _elsewhere(found["elsewhere"], bool(node))
    for waits in found.get("waits_for", ()):
        yield f"Waits for: {waits}"
    if (trouble := found.get("trouble")) and trouble.get("hint"):
        yield f"Hint: {trouble['hint']}"
    for pending in found.get("pending", ()):
        yield f"Pending until its next start: {pending}"
    for operation in found.get("operations", ()):
        yield f"Running: {operation['name']}; `corral operation show {operation['id']}`"
    if events := found.get("lately"):
        yield "Lately:"
        yield from (f"  {moment(e['created_at'])}  {e['spec']['message']}" for e in events)


def _elsewhere(elsewhere: dict[str, Any], placed: bool) -> Iterator[str]:
    if best := elsewhere.get("best"):
        yield f"{'Instead it could be on' if placed else 'It fits on'} {best}."
    elif elsewhere.get("nearest"):
        yield f"No {'other ' if placed else ''}node takes it; {elsewhere['nearest']} lacks {elsewhere['lacks'] or 'least'}."
    for candidate in elsewhere.get("candidates", ()):
        terms = ", ".join(f"{name} {value:g}" for name, value in candidate["terms"].items() if value)
        yield f"  {candidate['node']}: {elsewhere['policy']} {candidate['score']:.3f} ({terms})"
    if never := elsewhere.get("never"):
        yield f"No node can ever take it: {never}."
    for change in elsewhere.get("changes", ()):
        yield f"It would fit {change}."
    for reason, count in elsewhere.get("out", {}).items():
        yield f"Not on {count} {'node' if count == 1 else 'nodes'}: {reason}."
