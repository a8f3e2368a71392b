"""Options: what many commands take, with the same name and the same words everywhere."""

import re
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import typer

from corral.errors import CorralError, Invalid

SECONDS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Output(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="table and wide for people, the others for programs.")
]
WaitOption = Annotated[
    bool | None,
    typer.Option("--wait/--no-wait", help="Follow the operation until it ends. Default: on a terminal only."),
]
TimeoutOption = Annotated[
    str,
    typer.Option(
        "--timeout", metavar="TIME", help="Wait this long at most: 90, 90s, 5m or 1h. The operation goes on."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LabelFilter = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "-l", metavar="KEY[=VALUE]", help="Only with this label (KEY!=VALUE: without). Repeatable."
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--label", "-l", metavar="KEY=VALUE", help="Give it this label. Repeatable."),
]
FilterOption = Annotated[
    str,
    typer.Option(
        "--filter", metavar="EXPR", help="Conditions on fields: 'phase=running,spec.cpus>=4,name~web'."
    ),
]
SortOption = Annotated[
    str, typer.Option("--sort", metavar="FIELD", help="Sort by a field; -FIELD: the other way round.")
]


class How(NamedTuple):
    """How a request is made, and what is shown of it."""

    output: Output = Output.TABLE
    dry_run: bool = False
    wait: bool | None = None  # None: on a terminal only
    timeout: str = ""


def following(
    *,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> How:
    """For commands that begin an operation."""
    return How(output, dry_run, wait, timeout)


def listing(
    *, label: LabelFilter = None, filter: FilterOption = "", sort: SortOption = "name"
) -> dict[str, Any]:
    """What a list shows and in which order, as the client's list() takes it."""
    return {"label": label or [], "filter": filter, "sort": sort}


def duration_s(text: str, field: str) -> float | None:
    """Seconds in `90`, `90s`, `5m`, `1h`, `2d`; nothing in an empty text. raises Invalid"""
    if not text:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text)
    if match is None:
        raise Invalid(field, text, "a time", hint="Write it like 90s, 5m, 1h or 2d.")
    return float(match[1]) * SECONDS[match[2]]


def labels_of(texts: Sequence[str] | None) -> dict[str, str]:
    """{"a": "b"} of `a=b`. raises Invalid"""
    labels: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Invalid("label", text, "a label", hint="Write it like env=prod.")
        labels[key] = value
    return labels


def changed_labels(old: dict[str, str], changes: Sequence[str]) -> dict[str, str]:
    """`old` with `a=b` set and `a-` taken away. raises Invalid"""
    gone = [text[:-1] for text in changes if text.endswith("-") and "=" not in text]
    new = labels_of([text for text in changes if not (text.endswith("-") and "=" not in text)])
    return {k: v for k, v in {**old, **new}.items() if k not in gone}


def on_terminal() -> bool:
    """Whether a person sees what is printed."""
    return sys.stdout.isatty()


def sure(question: str, yes: bool) -> None:
    """Ask, unless the answer is given. raises Invalid: nobody is there to ask; typer.Abort"""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid("--yes", "", "given, and nobody is there to ask", hint="Repeat it with --yes.")
    typer.confirm(question, abort=True, err=True)


def names_of(noun: str) -> Callable[[str], list[str]]:
    """Completion: names of what the server has. Without a server there is nothing to propose, and no error."""

    def complete(incomplete: str) -> list[str]:
        from corral.cli.parts.session import connect

        try:
            with connect() as client:
                client.connection.reach_s = client.connection.retry_s = 0.0
                found = getattr(client, noun).list(
                    limit=200, filter=f"name~{incomplete}" if incomplete else ""
                )
                return [r.name for r in found if r.name.startswith(incomplete)]
        except CorralError:
            return []

    return complete
