"""Graphics: a guest's screen, as a stream of bytes or as a picture.

In this room   SocketConsole, a VNC or SPICE connection; what to ask of libvirt for it; take_picture()
Comes in       a domain that runs
Goes out       bytes both ways, as QEMU and the viewer speak them; PNG
Always true    no port is opened: QEMU gets one end of a socket pair, whatever it listens on. The socket is QEMU's
               and ours: it stays when libvirtd restarts, and ends with QEMU.
Next door      console.py is the serial line; driver.py calls
Start here     open_graphics()
"""

import asyncio
import socket
import xml.etree.ElementTree as ET
from contextlib import suppress
from typing import Final, Self

import libvirt

from corral.hypervisor.interface import HypervisorFailed, NoScreen
from corral.hypervisor.pictures import PNG_BEGINS, from_ppm, png
from corral.model.console import ConsoleKind
from corral.model.ids import VmId

CHUNK: Final = 64 * 1024
PICTURE_BYTES_MAX: Final = 64 * 1024**2  # of what QEMU dumps: 5120 x 4096 at 3 bytes a pixel


def open_graphics(connection: libvirt.virConnect, uuid: str, vm: VmId, kind: ConsoleKind) -> socket.socket:
    """Blocking. A socket that is connected to QEMU (and closes itself when nobody takes it). raises NoScreen

    SKIPAUTH: who may see the screen was decided by the server; a password in an adopted domain is for others.
    """
    domain = connection.lookupByUUIDString(uuid)
    index = graphics_index(domain.XMLDesc(0), kind)
    if index is None:
        raise NoScreen(vm, kind.upper())
    return socket.socket(fileno=domain.openGraphicsFD(index, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))


def graphics_index(xml: str, kind: ConsoleKind) -> int | None:
    """Which of the domain's graphics devices is of this kind."""
    kinds = [element.get("type") for element in ET.fromstring(xml).iterfind("devices/graphics")]
    return kinds.index(str(kind)) if str(kind) in kinds else None


def has_screen(xml: str) -> bool:
    models = [element.get("type") for element in ET.fromstring(xml).iterfind("devices/video/model")]
    return any(model != "none" for model in models)


def take_picture(connection: libvirt.virConnect, uuid: str, vm: VmId) -> bytes:
    """Blocking. The first screen as libvirt gives it. raises NoScreen"""
    domain = connection.lookupByUUIDString(uuid)
    if not has_screen(domain.XMLDesc(0)):
        raise NoScreen(vm, "video")
    stream = connection.newStream(0)
    data = bytearray()
    try:
        domain.screenshot(stream, 0, 0)
        while piece := stream.recv(CHUNK):
            data += piece
            if len(data) > PICTURE_BYTES_MAX:
                raise HypervisorFailed(f"the screen of {vm} is too large", most_bytes=PICTURE_BYTES_MAX)
        stream.finish()
    except BaseException:
        with suppress(libvirt.libvirtError):
            stream.abort()
        raise
    return bytes(data)


def as_png(data: bytes) -> bytes:
    """QEMU before 7.1 dumps PPM only. raises HypervisorFailed"""
    if data.startswith(PNG_BEGINS):
        return data
    try:
        return png(from_ppm(data))
    except ValueError as error:
        raise HypervisorFailed(f"QEMU's picture of the screen can't be read: {error}") from None


class SocketConsole:
    """A console on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def on(cls, connected: socket.socket) -> Self:
        """Takes the socket over."""
        connected.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=connected, limit=CHUNK))

    async def read(self) -> bytes:
        with suppress(OSError):
            return await self._reader.read(CHUNK)
        return b""

    async def write(self, data: bytes) -> None:
        """Raises  HypervisorFailed: the console has ended"""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise HypervisorFailed("the console has ended") from None

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
