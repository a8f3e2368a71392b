"""Console: a guest's serial line as a stream of bytes.

In this room   SerialConsole: libvirt's non-blocking stream, read by callbacks on libvirt's thread
Comes in       a domain that runs, on the main connection (with which the console ends)
Goes out       bytes both ways
Always true    a reader that is slow stops the stream from being read, it does not fill our memory;
               whatever ends the stream (the guest, the host, another console) ends read() with b""
Start here     open_stream()
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import libvirt

from corral.hypervisor.interface import HypervisorFailed
from corral.hypervisor.libvirt.connection import Connection

T = TypeVar("T")

CHUNK: Final = 64 * 1024
UNREAD_BYTES_MAX: Final = 1024 * 1024
WOULD_BLOCK: Final = -2  # what the binding returns for it
WRITE_RETRY_S: Final = 0.02  # until the stream takes more
READ_EVENTS: Final = (
    libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
)


def open_stream(connection: libvirt.virConnect, uuid: str) -> libvirt.virStream:
    """Blocking. FORCE: whoever had the console before loses it."""
    domain = connection.lookupByUUIDString(uuid)
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    return stream


class SerialConsole:
    """An open console. begin() before the first read."""

    def __init__(self, stream: libvirt.virStream, connection: Connection, lane: str) -> None:
        self._stream, self._connection, self._lane = stream, connection, lane
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytes] = deque()
        self._unread_bytes = 0
        self._some = asyncio.Event()
        self._ended = False
        self._held = False  # reading is off until the reader has caught up
        self._writing = asyncio.Lock()

    @property
    def has_ended(self) -> bool:
        return self._ended

    async def begin(self) -> None:
        await self._on_stream(lambda: self._stream.eventAddCallback(READ_EVENTS, self._happened, None))

    async def read(self) -> bytes:
        """The next bytes from the guest; b"" at the end."""
        while not self._chunks and not self._ended:
            self._some.clear()
            await self._some.wait()
        if not self._chunks:
            await self.close()
            return b""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._unread_bytes = 0
        if self._held and not self._ended:
            self._held = False
            with suppress(HypervisorFailed):
                await self._on_stream(lambda: self._stream.eventUpdateCallback(READ_EVENTS))
        return data

    async def write(self, data: bytes) -> None:
        """Bytes for the guest. raises HypervisorFailed: the console has ended"""
        async with self._writing:  # two writers must not mix their bytes
            while data:
                if self._ended:
                    raise HypervisorFailed("the console has ended")
                piece = data[:CHUNK]
                sent: int = await self._on_stream(partial(self._stream.send, piece))
                if sent == WOULD_BLOCK:
                    await self._connection.clock.sleep(WRITE_RETRY_S)
                    sent = 0
                data = data[sent:]

    async def close(self) -> None:
        """End it. May be repeated."""
        self.end()
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with suppress(HypervisorFailed):
            await self._connection.on_main(self._lane, "close the console", lambda _: _abort(stream))

    async def _on_stream(self, work: Callable[[], T]) -> T:
        if self._stream is None:
            raise HypervisorFailed("the console is closed")
        return await self._connection.on_main(self._lane, "use the console", lambda _: work())

    def _happened(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        """On libvirt's thread."""
        data, over = _receive(stream) if events & libvirt.VIR_STREAM_EVENT_READABLE else (b"", False)
        over = over or bool(events & ~libvirt.VIR_STREAM_EVENT_READABLE)
        if over:
            with suppress(libvirt.libvirtError):
                stream.eventUpdateCallback(0)  # or it would be called for the same end again and again
        elif data and self._unread_bytes + len(data) > UNREAD_BYTES_MAX:
            with suppress(libvirt.libvirtError):
                stream.eventUpdateCallback(READ_EVENTS & ~libvirt.VIR_STREAM_EVENT_READABLE)
            self._held = True
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._arrived, data, over)

    def _arrived(self, data: bytes, over: bool) -> None:
        if data:
            self._chunks.append(data)
            self._unread_bytes += len(data)
            self._some.set()
        if over:
            self.end()

    def end(self) -> None:
        """Let read() come to its end; the stream itself is closed by close()."""
        self._ended = True
        self._some.set()


def _receive(stream: libvirt.virStream) -> tuple[bytes, bool]:
    """What there is, and whether that was the end."""
    try:
        data = stream.recv(CHUNK)
    except libvirt.libvirtError:
        return b"", True
    if data == WOULD_BLOCK:
        return b"", False
    return bytes(data), not data


def _abort(stream: libvirt.virStream) -> None:
    with suppress(libvirt.libvirtError):
        stream.eventRemoveCallback()
    with suppress(libvirt.libvirtError):
        stream.abort()
