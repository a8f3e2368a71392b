"""Event: see what happened, and watch what happens."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.exits import Exit
from corral.cli.parts.noun import noun
from corral.cli.parts.options import FilterOption, Output, OutputOption, SortOption
from corral.cli.parts.present import show_list
from corral.cli.parts.session import connect

if TYPE_CHECKING:
    from corral.client.client import Client
    from corral.model.event import Event

commands = noun("Events: what happened, for people.")

AboutOption = Annotated[
    str, typer.Option("--about", metavar="NAME", help="Only about this resource, by name or id.")
]
LevelOption = Annotated[str, typer.Option("--level", help="info, warning or error.")]


@commands.command("list")
def list_events(
    about: AboutOption = "",
    level: LevelOption = "",
    filter: FilterOption = "",
    sort: SortOption = "-created_at",
    limit: Annotated[int, typer.Option("--limit", help="How many at most; 0: all.")] = 50,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the latest events, newest last.

    Example: corral event list --about web --limit 10
    """
    from corral.cli.parts.columns import event_columns

    with connect() as client:
        events = client.events.list(sort=sort, limit=limit, about=about, level=level, filter=filter)
        ordered = events[::-1] if sort == "-created_at" else events
        show_list(ordered, event_columns(), output, empty="No event.")


@commands.command()
def watch(
    about: AboutOption = "",
    level: LevelOption = "",
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="REVISION", help="From after this revision. Default: from now on."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Leave after so many; 0: never.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Watch events as they happen; Ctrl-C leaves.

    Example: corral event watch --level error
    """
    filters = {name: value for name, value in {"about": about, "level": level}.items() if value}
    try:
        with connect() as client:
            for number, event in enumerate(_events(client, since, filters), start=1):
                typer.echo(_line(event, output))
                if number == count:
                    return
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _events(client: "Client", since: int | None, filters: dict[str, str]) -> Iterator["Event"]:
    for change in client.events.watch(since, **filters):
        if change.what == "put":
            yield change.resource


def _line(event: "Event", output: Output) -> str:
    """One line an event, in every form: a stream has no end that a document could close at."""
    if output is Output.NAME:
        return event.name
    if output in (Output.JSON, Output.YAML):
        import msgspec

        text = msgspec.json.encode(event).decode()
        return text if output is Output.JSON else f"---\n{text}"
    from corral.cli.parts.words import moment

    about = event.spec.about
    return f"{moment(event.created_at)}  {event.spec.level:<7}  {about.kind} {about.name or about.id}: {event.spec.message}"
