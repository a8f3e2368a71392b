"""Places: where a test's lab may be, beside a demo and beside the tests of another session."""

import itertools
import os
import socket
from pathlib import Path

from corral.lab.plan import LabPlan

_NUMBERS = itertools.count(os.getpid() % 500 * 8)


def a_plan(dir: Path, nodes: int) -> LabPlan:
    """A lab that shares nothing with those made by other calls, here or in another process."""
    number = next(_NUMBERS) % 4000
    return LabPlan(
        nodes=nodes,
        dir=dir,
        bridge=f"ct{number}",
        prefix=f"10.{224 + number // 250}.{number % 250}",
        port=free_port(),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
