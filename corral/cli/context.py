"""Context: which server this command line talks to."""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.noun import noun
from corral.cli.parts.options import Output, OutputOption

if TYPE_CHECKING:
    from corral.client.contexts import Contexts

commands = noun("Contexts: servers that this command line knows, and its tokens for them.")

HIDDEN = "********"


def _names(incomplete: str) -> list[str]:
    return [name for name in _load().by_name if name.startswith(incomplete)]


ContextName = Annotated[str, typer.Argument(metavar="CONTEXT", help="Its name.", autocompletion=_names)]


@commands.command("list")
def list_contexts(output: OutputOption = Output.TABLE) -> None:
    """List contexts; the current one has a star. Tokens are not shown.

    Example: corral context list
    """
    from corral.cli.parts.table import Column, render

    contexts = _load()
    if output is Output.NAME:
        for name in sorted(contexts.by_name):
            typer.echo(name)
    elif output in (Output.JSON, Output.YAML):
        _document([_shown(contexts, name) for name in sorted(contexts.by_name)], output)
    else:
        columns = (
            Column("", lambda name: "*" if name == contexts.current else ""),
            Column("NAME", str),
            Column("URL", lambda name: contexts.by_name[name].url),
            Column("CA", lambda name: contexts.by_name[name].ca or "-"),
        )
        typer.echo(render(columns, sorted(contexts.by_name), colour=False))


@commands.command()
def show(output: OutputOption = Output.TABLE) -> None:
    """Show where the next command would go, the environment included.

    Example: corral context show
    """
    import os

    from corral.cli.parts.table import render_pairs

    contexts = _load()
    chosen = contexts.chosen()
    direct = os.environ.get("CORRAL_URL") and not os.environ.get("CORRAL_CONTEXT")
    name = "" if direct else os.environ.get("CORRAL_CONTEXT") or contexts.current
    if output is Output.NAME:
        typer.echo(name)
        return
    document = {
        "name": name,
        "url": chosen.url,
        "token": HIDDEN if chosen.token else "",
        "ca": chosen.ca,
        "file": str(contexts.path),
    }
    if output in (Output.JSON, Output.YAML):
        _document(document, output)
    else:
        typer.echo(
            render_pairs(
                [
                    (k.upper() if k in ("url", "ca") else k.capitalize(), v or "-")
                    for k, v in document.items()
                ],
                colour=False,
            )
        )


@commands.command()
def use(context: ContextName) -> None:
    """Talk to this server from now on.

    Example: corral context use production
    """
    contexts = _load().using(context)
    contexts.save()
    typer.echo(f"Context {context}: {contexts.by_name[context].url}")


@commands.command()
def add(
    context: ContextName,
    url: Annotated[str, typer.Option("--url", help="Like https://corral.example:8440.")],
    token: Annotated[
        str, typer.Option("--token", help="API token; - reads it from stdin.", envvar="CORRAL_TOKEN")
    ] = "",
    ca: Annotated[
        str,
        typer.Option("--ca", metavar="FILE-OR-FINGERPRINT", help="Trust this CA, by PEM file or SHA-256."),
    ] = "",
    use: Annotated[bool, typer.Option("--use", help="Talk to it from now on.")] = False,
) -> None:
    """Add a context, or replace it.

    Example: corral context add production --url https://corral.example:8440 --ca ca.pem --token - --use
    """
    import sys
    from pathlib import Path

    from corral.client.connection import checked_url
    from corral.client.contexts import Context

    checked_url(url)
    secret = sys.stdin.readline().strip() if token == "-" else token
    place = str(Path(ca).expanduser().resolve()) if ca and Path(ca).expanduser().exists() else ca
    contexts = _load().having(context, Context(url=url.rstrip("/"), token=secret, ca=place), current=use)
    contexts.save()
    typer.echo(f"Context {context}: {url}" + (" (current)" if contexts.current == context else ""))


@commands.command()
def remove(context: ContextName) -> None:
    """Forget a context and its token.

    Example: corral context remove production
    """
    _load().without(context).save()
    typer.echo(f"Context {context} removed")


def _load() -> "Contexts":
    from corral.client.contexts import Contexts

    return Contexts.load()


def _shown(contexts: "Contexts", name: str) -> dict[str, str | bool]:
    context = contexts.by_name[name]
    return {"name": name, "url": context.url, "ca": context.ca, "current": name == contexts.current}


def _document(document: object, output: Output) -> None:
    if output is Output.JSON:
        import json

        typer.echo(json.dumps(document, indent=2))
        return
    import yaml

    typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
