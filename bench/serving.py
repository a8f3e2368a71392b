"""Serving: a real server in a process of its own, for benches that bring their own agents."""

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(directory: Path) -> Iterator[tuple[int, str, int]]:
    """A server on loopback with its data in `directory`: port of the API, admin token, process id."""
    ports = [free_port() for _ in range(3)]
    command = [sys.executable, "-m", "corral.cli.main", "server", "run", "--data-dir", str(directory / "server")]
    for flag, port in zip(("--http", "--link", "--join"), ports, strict=True):
        command += [flag, f"127.0.0.1:{port}"]
    command += ["--name", "127.0.0.1", "--context", ""]
    log = (directory / "server.log").open("w")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "CORRAL_CONFIG": f"{directory}/config.json"}
    )
    try:
        assert process.stdout
        token = ""
        for line in process.stdout:
            if found := re.search(r"corral_\S+", line):
                token = found[0]
                break
        wait_for(ports[0])
        yield ports[0], token, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def wait_for(port: int, seconds: float = 20.0) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")
