"""Delete: what manifests name."""

from typing import TYPE_CHECKING

import typer

from corral.cli.parts.manifests import FilesOption, documents_in
from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.options import (
    DryRunOption,
    How,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    YesOption,
    sure,
)
from corral.cli.parts.session import connect
from corral.errors import Invalid, NotFound

if TYPE_CHECKING:
    from corral.model.operation import Operation

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)


@commands.command("delete")
def delete(
    file: FilesOption,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = True,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete everything that these manifests name, the last one first. What is gone already is no error.

    Example: corral delete -f site.yaml
    """
    from corral.cli.parts.following import finish

    documents = documents_in(file)
    names = [(str(d.get("kind", "")), str(d.get("name", ""))) for d in documents]
    if bad := next((pair for pair in names if not all(pair)), None):
        raise Invalid("--file", " ".join(bad), "manifests with kind and name")
    if not dry_run:
        sure(f"Delete {', '.join(f'{kind} {name}' for kind, name in names)}?", yes)
    with connect() as client:
        for kind, name in sorted(names, key=lambda pair: _rank(pair[0])):
            begun: list[Operation] = []
            try:
                begun = [client.noun(kind).having(dry_run=dry_run).delete(name)]
            except NotFound:
                typer.echo(f"{kind} {name}: not there", err=True)
            finish(client, begun, How(output, wait=wait, timeout=timeout, dry_run=dry_run))


def _rank(kind: str) -> int:
    """What stands on others goes before them."""
    from corral.model.resource import kind_named

    order = (
        "VM",
        "Volume",
        "Image",
        "VMProfile",
        "PlacementGroup",
        "SchedulingPolicy",
        "Network",
        "StoragePool",
        "Node",
    )
    found = kind_named(kind)
    return order.index(found.__name__) if found and found.__name__ in order else -1
