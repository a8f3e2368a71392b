"""Consoles from a viewer's socket to a simulated guest: real HTTP, WebSockets and gRPC, as the programs wire them."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_both_programs import Room, becomes, config, ended  # noqa: F401  a fixture
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from corral.client import Client
from corral.client.tunnel import Tunnel
from corral.errors import CorralError
from corral.hypervisor.simulated import SimulatedHost
from corral.model.hardware import Graphics, Hardware
from corral.model.ids import VmId
from corral.model.node import Node, NodePhase
from corral.model.vm import VM, VMPhase
from corral.server.config import ServerConfig
from corral.server.main import Serving, serving
from corral.server.services.asking import Asking
from corral.server.services.requests import CreatePool, CreateVM, MigrateVM
from tests.rfb import Viewer


class Place:
    """A server, two nodes, and VM `web` on one of them."""

    def __init__(self, room: Room, server: Serving) -> None:
        self.room, self.server = room, server
        self.client = Client(f"http://{server.http[0]}:{server.http[1]}", server.admin_token)

    @property
    def vm(self) -> VM:
        return self.server.core.mirror.find(VM, "web")

    @property
    def host(self) -> SimulatedHost:
        return self.room.world.hosts[self.room.world.where(self.vm.id)[0]]

    async def create(self, name: str, **hardware: Any) -> None:
        ask = CreateVM(name=name, **hardware)
        operation = await ended(self.server, await self.server.core.services.vms.create(ask, Asking()))
        assert operation.status.error is None, operation.status


@pytest_asyncio.fixture
async def place(config: ServerConfig, tmp_path: Path) -> AsyncIterator[Place]:  # noqa: F811
    room = Room(tmp_path)
    async with serving(config) as server, contextlib.AsyncExitStack() as stack:
        for name in ("node-1", "node-2"):
            await room.join(server, name)
            await stack.enter_async_context(room.agent(name))
        nodes = lambda: server.core.mirror.list(Node)  # noqa: E731
        await becomes(server, lambda: all(n.status.phase is NodePhase.READY for n in nodes()))
        pool = CreatePool(name="default", path="/pool", shared=True)
        await ended(server, await server.core.services.pools.create(pool, Asking()))
        made = Place(room, server)
        await made.create("web")
        yield made


async def in_thread(work: Callable[[], Any]) -> Any:
    async with asyncio.timeout(15):
        return await asyncio.to_thread(work)


@contextlib.contextmanager
def tunnelled(client: Client, kind: str) -> Iterator[Tunnel]:
    tunnel = Tunnel(client.connection, "web", kind)
    thread = threading.Thread(target=tunnel.run)
    thread.start()
    try:
        yield tunnel
    finally:
        tunnel.close()
        thread.join(5)
        assert not thread.is_alive()


async def test_novnc_with_a_ticket_sees_the_screen_and_types(place: Place) -> None:
    """The subprotocol, the origin and the bytes that noVNC sends."""

    def look() -> None:
        ticket = place.client.vms.console_ticket("web", "vnc")
        url = place.client.connection.url
        with connect(
            url.replace("http", "ws") + ticket.path,
            subprotocols=[Subprotocol("binary")],
            origin=Origin(url),
            proxy=None,
            max_size=None,
        ) as web_socket:
            assert web_socket.subprotocol == "binary"
            viewer = Viewer(lambda: bytes(web_socket.recv(5)), web_socket.send)  # type: ignore[arg-type]
            assert viewer.name == "web" and viewer.update() == 4 * 320 * 200
            assert viewer.colours == 2
            before = dict(viewer.pixels)
            viewer.type("hello")
            viewer.update(whole=False)
            assert viewer.pixels != before, "the key was not seen"
            (shown,) = place.client.consoles.list()
            assert (shown.vm_name, shown.kind, shown.client) == ("web", "vnc", "127.0.0.1")
            assert shown.from_guest_bytes > 4 * 320 * 200 and shown.to_guest_bytes > 60
        with pytest.raises(Exception, match="401"):
            connect(url.replace("http", "ws") + ticket.path, proxy=None)

    await in_thread(look)
    assert place.host.shows(VmId(place.vm.id)).screen.keys == "hello"
    while place.server.core.consoles.list():
        await asyncio.sleep(0.01)


async def test_a_viewer_behind_a_tunnel(place: Place) -> None:
    def look() -> None:
        with tunnelled(place.client, "vnc") as tunnel:
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", tunnel.port), timeout=5) as viewer:
                    assert Viewer(lambda: viewer.recv(65536), viewer.sendall).update() == 256_000
            with socket.create_connection(("127.0.0.1", tunnel.port), timeout=5) as viewer:
                Viewer(lambda: viewer.recv(65536), viewer.sendall)
                place.client.consoles.end(place.client.consoles.list()[-1].id)
                assert viewer.recv(100) == b"", "the session was ended"

    await in_thread(look)


async def test_spice_has_several_channels_at_once(place: Place) -> None:
    place.host.domains[VmId(place.vm.id)].wish = _with_spice(place)

    def look() -> None:
        with tunnelled(place.client, "spice") as tunnel, contextlib.ExitStack() as stack:
            for channel in (1, 2, 3, 5):  # main, display, inputs, sound
                viewer = stack.enter_context(socket.create_connection(("127.0.0.1", tunnel.port), timeout=5))
                viewer.sendall(struct.pack("<4sIIIIBBIII", b"REDQ", 2, 2, 18, 0, channel, 0, 0, 0, 18))
                assert viewer.recv(4, socket.MSG_WAITALL) == b"REDQ"
            assert [c.kind for c in place.client.consoles.list()] == ["spice"] * 4

    await in_thread(look)


def _with_spice(place: Place) -> Any:
    from msgspec.structs import replace

    wish = place.host.domains[VmId(place.vm.id)].wish
    return replace(wish, hardware=Hardware(graphics=Graphics.SPICE))


async def test_a_screen_that_is_not_there_is_an_error(place: Place) -> None:
    with pytest.raises(CorralError) as caught:
        await in_thread(lambda: place.client.console("web", "spice"))
    assert caught.value.code == "console.no_screen"


async def test_pictures(place: Place) -> None:
    picture = await in_thread(lambda: place.client.vms.screenshot("web"))
    assert picture == place.host.shows(VmId(place.vm.id)).screen.png()


async def test_what_was_printed_before(place: Place) -> None:
    place.host.shows(VmId(place.vm.id)).line.print(b"long ago\r\n")

    def look() -> bytes:
        console = place.client.console("web", replay="1KiB")
        console.write(b"typed now")
        heard = b""
        while b"typed now" not in heard:
            heard += console.read(5) or b""
        console.close()
        return heard

    heard = await in_thread(look)
    assert heard.index(b"web boots") < heard.index(b"long ago") < heard.index(b"typed now")
    assert heard.count(b"long ago") == 1


async def test_a_serial_console_stays_while_its_vm_migrates(place: Place) -> None:
    console = await in_thread(lambda: place.client.console("web"))
    screen = await in_thread(lambda: place.client.console("web", "vnc"))
    source = place.host
    moved = await place.server.core.services.vms.migrate("web", MigrateVM(), Asking())
    assert (await ended(place.server, moved)).status.error is None
    assert place.host is not source and place.vm.status.phase is VMPhase.RUNNING

    def type_on() -> None:
        heard = b""
        while b"over here" not in heard:
            console.write(b"over here")
            heard += console.read(1) or b""

    await in_thread(type_on)
    assert b"over here" in place.host.shows(VmId(place.vm.id)).line.log
    with pytest.raises(CorralError, match="open the console again"):
        await in_thread(lambda: list(iter(lambda: screen.read(5), b"")))
    await in_thread(console.close)


async def test_a_vm_that_is_deleted_takes_its_consoles_along(place: Place) -> None:
    screen = await in_thread(lambda: place.client.console("web", "vnc"))
    await ended(place.server, await place.server.core.services.vms.delete("web", Asking()))
    with contextlib.suppress(CorralError):
        await in_thread(lambda: list(iter(lambda: screen.read(5), b"")))
    while place.server.core.consoles.list():
        await asyncio.sleep(0.01)
