"""Serving: the API on a socket, inside an event loop that somebody else runs.

In this room   serve(), until it is cancelled; Listening, where it can be reached
Comes in       an HttpApi, an address, certificate and key or neither
Goes out       an HTTP/1.1 server with WebSockets
Always true    signals are left alone. On the way out: no new connections, streams get a last word, requests that
               run have `stop_s` to end, and then are cut off
Next door      server/main.py
Start here     serve()
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import uvicorn

from corral.server.grpc_link import AddressTaken
from corral.server.http.app import HttpApi

log = logging.getLogger("corral.http")
BACKLOG: Final = 2048
WS_BYTES_MAX: Final = 1024 * 1024  # of one console frame


def _expected(record: logging.LogRecord) -> bool:
    """Refusing a WebSocket with an answer of our own is no failed handshake, whatever the library thinks.

    Its access lines show queries, in which tickets are; edge.py writes ours.
    """
    return "without completing handshake" not in record.getMessage() and "WebSocket %s" not in str(record.msg)


logging.getLogger("uvicorn.error").addFilter(_expected)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    def install_signal_handlers(self) -> None:
        return

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    api: HttpApi,
    host: str,
    port: int,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    stop_s: float = 5.0,
    listening: Callable[[str, int], None] | None = None,
) -> None:
    """Answer requests until cancelled.

    port        0: any that is free
    listening   called with host and port once connections are taken
    raises      AddressTaken
    """
    taken = listen(host, port)
    config = uvicorn.Config(
        cast(Any, api),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=WS_BYTES_MAX,
        ws_per_message_deflate=False,  # screens come compressed, keystrokes do not get shorter
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(stop_s)),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[taken]), name="http")
    keeping = asyncio.create_task(_kept(api), name="keep")
    try:
        while not server.started and not running.done():
            await api.api.clock.sleep(0.005)
        if server.started and listening is not None:
            listening(*taken.getsockname()[:2])
        await asyncio.shield(running)
    finally:
        api.close()
        keeping.cancel()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await running
        taken.close()


async def _kept(api: HttpApi) -> None:
    """A chart that stands still is no reason to end the server."""
    try:
        await api.api.keep()
    except Exception:
        log.exception("nothing is noted for charts any more")


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections there. raises AddressTaken"""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, the loop switches Nagle's algorithm off: else short answers wait 40 ms for an ACK.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        raise AddressTaken(
            f"can't listen on {host}:{port}: {error.strerror}",
            hint="Another server may be running. Choose another address with --http.",
            host=host,
            port=port,
        ) from None
    taken.setblocking(False)
    return taken
