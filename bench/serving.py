"""Serving: a server in a process of its own, for benches."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


class Served(Struct, frozen=True):
    port: int  # of the API, on loopback
    token: str  # of an admin
    pid: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def real_server(directory: Path) -> Iterator[Served]:
    """A server with its data in `directory`, without nodes."""
    http, link, join = (f"127.0.0.1:{free_port()}" for _ in range(3))
    where = ["--data-dir", f"{directory}/server", "--http", http, "--link", link, "--join", join]
    with _program(
        directory, "run", *where, "--name", "127.0.0.1", "--context", "", until="corral_"
    ) as served:
        yield served


@contextlib.contextmanager
def demo_server(directory: Path, nodes: int, vms: int) -> Iterator[Served]:
    """A server with simulated nodes in its own process."""
    size = ["--nodes", str(nodes), "--vms", str(vms)]
    with _program(
        directory, "--demo", "--http", f"127.0.0.1:{free_port()}", *size, until="simulated"
    ) as served:
        yield served


@contextlib.contextmanager
def _program(directory: Path, *arguments: str, until: str) -> Iterator[Served]:
    """`corral server …`, from when it says `until`; ended by SIGTERM."""
    log = directory / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "corral.cli.main", "server", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "CORRAL_CONFIG": f"{directory}/config.json"},
        )
    try:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if until in line:
                break
        token = re.search(r"corral_\S+", said)
        assert token, f"the server ended: {log.read_text()[-2000:]}"
        port = int(arguments[arguments.index("--http") + 1].rpartition(":")[2])
        _wait_for(port)
        yield Served(port, token[0], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(port: int, seconds: float = 20.0) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")
