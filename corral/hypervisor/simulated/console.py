"""A simulated serial line: it remembers what was printed, and echoes."""

import asyncio
from typing import Final

from corral.hypervisor.interface import HypervisorFailed

LOG_BYTES_MAX: Final = 64 * 1024


class SerialLine:
    """A guest's serial line with the log of it, which a restart of the guest does not empty."""

    def __init__(self) -> None:
        self.log = bytearray()
        self.console: SimulatedConsole | None = None

    def print(self, data: bytes) -> None:
        self.log += data
        del self.log[:-LOG_BYTES_MAX]
        if self.console:
            self.console.show(data)

    def open(self, name: str) -> "SimulatedConsole":
        self.end()
        self.console = SimulatedConsole(self)
        self.console.show(f"\r\n{name} (simulated)\r\n".encode())
        return self.console

    def end(self) -> None:
        if self.console:
            self.console.end()


class SimulatedConsole:
    """A session on a line that echoes."""

    def __init__(self, line: SerialLine) -> None:
        self._line = line
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = False

    def show(self, data: bytes) -> None:
        if not self._ended:
            self._out.put_nowait(data)

    async def read(self) -> bytes:
        if self._ended and self._out.empty():
            return b""
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        if self._ended:
            raise HypervisorFailed("the console has ended")
        self._line.print(data)

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._out.put_nowait(b"")
