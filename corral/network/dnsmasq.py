"""dnsmasq: the process that answers DHCP on one bridge, and outlives the agent.

In this room   start, stop, reload; who it is, is known from its pid file and command line
Comes in       a directory with dnsmasq.conf
Always true    a process is signalled only after its command line proved that it is ours
Next door      dhcp.py writes the texts; bridge.py decides
Start here     Dnsmasq
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral import command
from corral.clock import Clock
from corral.network.interface import NetworkFailed

START_S: Final = 10.0
STOP_S: Final = 2.0
LOOK_S: Final = 0.02
CONFIGURATION: Final = "dnsmasq.conf"


class Dnsmasq:
    """The dnsmasq of one directory."""

    def __init__(self, directory: Path, clock: Clock, *, program: str = "dnsmasq") -> None:
        self.directory = directory
        self._clock = clock
        self._program = program

    @property
    def pid(self) -> int | None:
        """Of the running process; None: none runs."""
        try:
            pid = int((self.directory / "pid").read_text())
            words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if self._argument.encode() in words else None

    @property
    def _argument(self) -> str:
        return f"--conf-file={self.directory / CONFIGURATION}"

    async def start(self) -> None:
        """Start it; when this returns, it listens. raises NetworkFailed"""
        ran = await command.run(
            self._program, self._argument, deadline_s=START_S, failed=NetworkFailed, package="dnsmasq-base"
        )
        if ran.code:
            raise NetworkFailed(
                f"dnsmasq does not start: {ran.last_words}",
                hint="Does another DHCP server use the bridge? `ss -lunp 'sport = 67'` shows it.",
                configuration=str(self.directory / CONFIGURATION),
            )

    def reload(self) -> None:
        """Let it read the hosts file again."""
        self._signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it, by force if it takes long. No error when none runs. raises NetworkFailed: it does not end"""
        pid = self.pid
        for how in (signal.SIGTERM, signal.SIGKILL):
            self._signal(how)
            until = self._clock.monotonic_s() + STOP_S
            while not _ended(pid) and self._clock.monotonic_s() < until:
                await self._clock.sleep(LOOK_S)
            if _ended(pid):
                return
        raise NetworkFailed("dnsmasq does not end", hint="Look at the process on the node.", pid=pid or 0)

    def _signal(self, how: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, how)


def _ended(pid: int | None) -> bool:
    """Whether all that the process held is free. Its command line goes earlier than its sockets."""
    if pid is None:
        return True
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True
