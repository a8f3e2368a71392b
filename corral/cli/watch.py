"""Watch: every change, as it happens."""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.exits import Exit
from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.options import LabelFilter, Output, OutputOption
from corral.cli.parts.session import connect

if TYPE_CHECKING:
    from corral.client.watch import Change
    from corral.model.resource import Resource

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)


@commands.command("watch")
def watch(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="Like vm or node. Default: all.")
    ] = None,
    label: LabelFilter = None,
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="REVISION", help="From after this revision. Default: from now on."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Leave after so many; 0: never.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Watch resources change, one line a change; Ctrl-C leaves. `--since` goes on from a revision without a gap.

    Example: corral watch vm node
    """
    filters = {"label": label} if label else {}
    try:
        with connect() as client:
            for number, change in enumerate(
                client.watch_all(*(kinds or ()), since=since, **filters), start=1
            ):
                typer.echo(_line(change, output))
                if number == count:
                    return
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _line(change: "Change[Resource]", output: Output) -> str:
    """One line a change, in every form: a stream has no end that a document could close at."""
    resource = change.resource
    if output is Output.NAME:
        return f"{resource.kind}/{resource.name}"
    if output in (Output.JSON, Output.YAML):
        import msgspec

        text = msgspec.json.encode({"what": change.what, "resource": resource}).decode()
        return text if output is Output.JSON else f"---\n{text}"
    return f"{change.revision:>8}  {resource.kind:<12} {resource.name:<28} {_now(change)}"


def _now(change: "Change[Resource]") -> str:
    """What it is now, in a word or a sentence."""
    if change.what == "remove":
        return "gone"
    resource = change.resource
    status, spec = getattr(resource, "status", None), getattr(resource, "spec", None)
    if message := getattr(spec, "message", ""):
        return str(message)
    phase = getattr(status, "phase", None) or getattr(status, "state", None)
    trouble = getattr(status, "trouble", None) or getattr(status, "error", None)
    words = [str(phase) if phase else f"generation {resource.generation}"]
    if progress := getattr(status, "progress", 0.0):
        words.append(f"{progress:.0%}")
    if trouble:
        words.append(trouble.message)
    return " ".join(words)
