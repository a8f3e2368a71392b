"""Doctor: what is wrong with a machine or the installation, and how to mend it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from corral.cli.agent import DATA_DIR, DataDirOption, LibvirtOption
from corral.cli.parts.noun import noun
from corral.cli.parts.options import Output, OutputOption
from corral.cli.parts.session import connect

if TYPE_CHECKING:
    from msgspec import Struct

commands = noun("What is wrong with a machine or the installation, and how to mend it.")

MARKS: Final = {"ok": "ok", "info": "note", "warning": "WARN", "error": "FAIL"}
SICK: Final = 1  # exit code when something does not work


@commands.command()
def cluster(output: OutputOption = Output.TABLE) -> None:
    """Look at the whole installation through its API. Exit code 1: something does not work.

    Example: corral doctor cluster
    """
    with connect() as client:
        findings = client.findings()
    _show([(f.level, f.code, f.message, f.hint) for f in findings], findings, output, "All is well.")


@commands.command()
def machine(
    data_dir: DataDirOption = Path(DATA_DIR),
    libvirt: LibvirtOption = "qemu:///system",
    output: OutputOption = Output.TABLE,
) -> None:
    """Look at this machine: is it fit to be a node, and if it is one, is it well? Needs no server.

    Example: corral doctor machine
    """
    import asyncio

    from corral.agent.config import AgentConfig
    from corral.agent.doctor import judge, look_around
    from corral.clock import SystemClock

    config = AgentConfig(data_dir=data_dir, libvirt_uri=libvirt)
    checks = judge(asyncio.run(look_around(config, SystemClock())))
    _show([(c.verdict, c.what, c.found, c.hint) for c in checks], checks, output, "")


def _show(
    rows: Iterable[tuple[str, str, str, str]], documents: "Iterable[Struct]", output: Output, well: str
) -> None:
    from corral.cli.parts.present import show_document

    rows = list(rows)
    if output in (Output.JSON, Output.YAML):
        show_document(list(documents), output)
    else:
        for level, what, found, hint in rows:
            typer.echo(f"{MARKS[level]:<5} {what:<20} {found}")
            if hint:
                typer.echo(f"{'':<26} {hint}")
        if not rows and well:
            typer.echo(well)
    if any(level == "error" for level, *_ in rows):
        raise typer.Exit(SICK)
