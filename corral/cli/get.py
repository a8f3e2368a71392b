"""Get: the manifest of what is there, to be edited and applied again."""

from typing import Annotated

import typer

from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.session import connect
from corral.errors import Invalid

commands = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
)


@commands.command("get")
def get(
    kind: Annotated[str, typer.Argument(help="Like vm, network, pool, volume, image, node.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all of them.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml, json or name.")] = "yaml",
) -> None:
    """Print manifests. Applying one as it is changes nothing.

    Example: corral get vm web > web.yaml
    """
    if output not in ("yaml", "json", "name"):
        raise Invalid("--output", output, "yaml, json or name")
    with connect() as client:
        wanted = names or sorted(client.noun(kind).names().values())
        if output == "name":
            typer.echo("\n".join(wanted))
            return
        documents = [client.manifests.get(kind, name) for name in wanted]
    if output == "json":
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(documents), indent=2).decode())
        return
    import yaml

    typer.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True), nl=False)
