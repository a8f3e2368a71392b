"""Following: an operation until it ends, for whoever looks on.

In this room   finish(), what every command that changes something ends with
Comes in       Operations just begun
Goes out       on stderr: a progress bar on a terminal, plain lines elsewhere; on stdout: the ended operations
Always true    leaving (Ctrl-C, --timeout) never stops the operation, and says how to follow or to stop it
Next door      client/watch.py listens; present.py writes the result
Start here     finish()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from corral.cli.parts.exits import Exit
from corral.cli.parts.lookup import Names
from corral.cli.parts.options import How, Output, duration_s, on_terminal
from corral.cli.parts.present import show_document, show_operation
from corral.errors import CorralError

if TYPE_CHECKING:  # help does without client and model
    from corral.client.client import Client
    from corral.model.operation import Operation

Show = Callable[["Operation"], None]


def finish(
    client: Client,
    operations: Sequence[Operation],
    how: How,
) -> None:
    """Follow the operations if that is wanted, and show them.

    raises  the error that the first failed one ended with, after the others have ended too
    """
    failed: CorralError | None = None
    names = Names(client)
    shown: list[Operation] = []
    for operation in operations:
        for warning in operation.spec.warnings:
            typer.echo(f"warning: {warning}", err=True)
        seen = _Latest(operation)
        try:
            if not how.dry_run and (on_terminal() if how.wait is None else how.wait):
                follow(client, operation, how.timeout, seen)
        except CorralError as error:
            failed = failed or error
        shown.append(seen.operation)
        if how.output not in (Output.JSON, Output.YAML) and (failed is None or seen.operation.ended):
            show_operation(seen.operation, how.output, lambda id: names.of("nodes", id), dry_run=how.dry_run)
    if how.output in (Output.JSON, Output.YAML):
        show_document(shown[0] if len(shown) == 1 else shown, how.output)
    if failed is not None:
        raise failed


def follow(client: Client, operation: Operation, timeout: str = "", also: Show = lambda _: None) -> Operation:
    """Wait for its end, and show how it gets on. raises the error that it ended with"""
    with _progress(operation) as show:

        def on_progress(now: Operation) -> None:
            also(now)
            show(now)

        try:
            return client.operations.wait(operation, duration_s(timeout, "timeout"), on_progress)
        except KeyboardInterrupt:
            typer.echo(
                f"\nIt goes on. `corral operation wait {operation.id}` follows it, "
                f"`corral operation cancel {operation.id}` stops it.",
                err=True,
            )
            raise typer.Exit(Exit.INTERRUPTED) from None


class _Latest:
    """The operation as it was last seen."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def __call__(self, operation: Operation) -> None:
        self.operation = operation


class _Bar(Protocol):
    def __call__(self, operation: Operation) -> None: ...


@contextmanager
def _progress(operation: Operation) -> Iterator[_Bar]:
    if operation.ended:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _rich_bar(operation) as bar:
            yield bar
    else:
        yield _Lines()


class _Lines:
    """A line for each new step: for logs and pipes."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, operation: Operation) -> None:
        line = _step(operation)
        if line and line != self._said and not operation.ended:
            typer.echo(f"{operation.spec.target.name}: {line}", err=True)
            self._said = line


@contextmanager
def _rich_bar(operation: Operation) -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[title]}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        title = f"{operation.spec.verb} {operation.spec.target.name}"
        task = progress.add_task(_step(operation), total=1.0, title=title)
        yield lambda now: progress.update(task, completed=now.status.progress, description=_step(now))


def _step(operation: Operation) -> str:
    """What it is at, in words."""
    status = operation.status
    running = [step.name for step in status.steps if step.ended_at is None]
    step = running[-1] if running else ""
    if status.waiting_for and status.waiting_for != step:
        return f"{step}: {status.waiting_for}" if step else status.waiting_for
    return step
