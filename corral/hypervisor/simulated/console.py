"""A simulated serial console."""

import asyncio


class SimulatedConsole:
    """A console that greets and echoes."""

    def __init__(self, name: str) -> None:
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = False
        self._out.put_nowait(f"\r\n{name} (simulated)\r\n".encode())

    async def read(self) -> bytes:
        if self._ended and self._out.empty():
            return b""
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        if not self._ended:
            self._out.put_nowait(data)

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._out.put_nowait(b"")
