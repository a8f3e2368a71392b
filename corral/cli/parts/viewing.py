"""Viewing: a VM's screen for a viewer on this machine, and as a file."""

import sys
from pathlib import Path

import typer

from corral.client.client import Client
from corral.client.tunnel import Tunnel
from corral.errors import Invalid


def tunnel(client: Client, vm: str, kind: str, port: int) -> None:
    """Offer the screen on a local port until Ctrl-C. raises Invalid; what the server refuses"""
    client.console(
        vm, kind
    ).close()  # a VM without such a screen is an error now, and not at the first viewer
    try:
        made = Tunnel(client.connection, vm, kind, port, tell=lambda text: typer.echo(text, err=True))
    except OSError as error:
        raise Invalid("port", port, f"a free port: {error.strerror}") from None
    typer.echo(f"{kind}://127.0.0.1:{made.port}")
    typer.echo(
        f"The screen of {vm}, e.g. remote-viewer {kind}://127.0.0.1:{made.port}. Ctrl-C ends it.", err=True
    )
    try:
        made.run()
    except KeyboardInterrupt:
        pass
    finally:
        made.close()


def save(picture: bytes, file: str) -> None:
    """Write it to a file, - for stdout. raises Invalid"""
    if file == "-":
        sys.stdout.buffer.write(picture)
        return
    try:
        Path(file).write_bytes(picture)
    except OSError as error:
        raise Invalid("file", file, f"a file that can be written: {error.strerror}") from None
