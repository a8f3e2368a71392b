"""Consoles of real guests, through server, agent, libvirt and QEMU: what a viewer sees, and what the guest does."""

import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from corral.client.console import Console
from corral.client.tunnel import Tunnel
from corral.errors import CorralError
from tests import spice
from tests.lab.world import World
from tests.rfb import Viewer


@pytest.fixture(scope="module")
def seen(world: World) -> Iterator[str]:
    world.make_up("seen", labels={"keep": "yes"})
    yield "seen"
    world.remove("seen")


def hear(console: Console, pattern: bytes, timeout_s: float = 20.0) -> re.Match[bytes]:
    """Read until it is there."""
    heard, end_s = b"", time.monotonic() + timeout_s
    while not (found := re.search(pattern, heard)):
        assert time.monotonic() < end_s, heard[-2000:]
        heard += console.read(0.5) or b""
    return found


def ask(world: World, command: str, pattern: bytes) -> re.Match[bytes]:
    """Type a command at the serial console."""
    console = world.client.console("seen")
    try:
        console.write(b"\n" + command.encode() + b"\n")
        return hear(console, pattern)
    finally:
        console.close()


def keyboard_interrupts(world: World) -> int:
    """As the guest's kernel counts them: two for each key, down and up."""
    counted = ask(
        world, "echo keys=$(awk '/i8042/ {n += $2} END {print n + 0}' /proc/interrupts)=", rb"keys=(\d+)="
    )
    return int(counted[1])


def test_a_browser_sees_the_screen_and_its_keys_reach_the_guest(world: World, seen: str) -> None:
    """As noVNC does it: a ticket, the subprotocol `binary`, its own origin, RFB."""
    url = world.client.connection.url
    before = keyboard_interrupts(world)
    ticket = world.client.vms.console_ticket(seen, "vnc")
    address = url.replace("http", "ws") + ticket.path
    with connect(
        address, subprotocols=[Subprotocol("binary")], origin=Origin(url), proxy=None, max_size=None
    ) as web_socket:
        assert web_socket.subprotocol == "binary"
        viewer = Viewer(lambda: bytes(web_socket.recv(10)), web_socket.send)  # type: ignore[arg-type]
        assert viewer.update() > 100_000
        assert viewer.colours > 1, "an even area"
        viewer.type("hello world\n")
        (shown,) = [c for c in world.client.consoles.list() if c.kind == "vnc"]
        assert shown.vm_name == seen and shown.from_guest_bytes > 100_000
        world.until("keys seen by the guest", lambda: keyboard_interrupts(world) >= before + 24)
    with pytest.raises(InvalidStatus) as refused:
        connect(address, origin=Origin(url), proxy=None)
    assert refused.value.response.status_code == 401, "the ticket was taken twice"


def test_no_port_is_open_for_it(world: World, seen: str) -> None:
    node = world.node_of(seen)
    assert (
        "socket" in world.virsh(node, "dumpxml", seen).partition("<graphics")[2].partition("</graphics>")[0]
    )
    listening = world.lab.run(node, "cat", "/proc/net/tcp", "/proc/net/tcp6")
    ports = {int(line.split()[1].rpartition(":")[2], 16) for line in listening.splitlines() if " 0A " in line}
    assert not {port for port in ports if 5900 <= port < 6000}


def test_a_picture_of_the_screen(world: World, seen: str) -> None:
    picture = world.client.vms.screenshot(seen)
    assert picture.startswith(b"\x89PNG")
    width, _ = struct.unpack(">II", picture[16:24])
    rows = zlib.decompress(b"".join(_chunks(picture, b"IDAT")))
    assert width >= 640 and len(set(rows)) > 2, "an even area"


def _chunks(picture: bytes, kind: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        if picture[at + 4 : at + 8] == kind:
            yield picture[at + 8 : at + 8 + length]
        at += 12 + length


def test_what_was_printed_before_somebody_looked(world: World, seen: str) -> None:
    ask(world, "echo printed-$((6 * 7))-before", rb"printed-42-before")
    console = world.client.console(seen, replay="64KiB")
    try:
        heard = hear(console, rb"(?s).*printed-42-before")
        assert heard[0].count(b"printed-42-before") == 1
        console.write(b"echo and-$((6 * 9))-after\n")
        hear(console, rb"and-54-after")
    finally:
        console.close()


def test_a_serial_console_stays_while_its_vm_migrates(world: World, seen: str) -> None:
    serial, screen = world.client.console(seen), world.client.console(seen, "vnc")
    hear(screen, rb"RFB 003.008\n")
    serial.write(b"\ni=0; while true; do i=$((i + 1)); echo tick-$i; sleep 0.2; done\n")
    hear(serial, rb"tick-3\r?\n")
    source = world.node_of(seen)
    world.wait(world.client.vms.migrate(seen))
    assert world.node_of(seen) != source
    try:
        first = last = int(hear(serial, rb"tick-(\d+)\r?\n")[1])
        while (
            last < first + 15
        ):  # not each of them in a line of its own: the guest counts on this console too
            last = int(hear(serial, rb"tick-(\d+)\r?\n")[1])
        (shown,) = [c for c in world.client.consoles.list() if c.kind == "serial"]
        assert shown.node == world.vm(seen).status.node
        with pytest.raises(CorralError, match="open the console again"):
            while screen.read(5):
                pass
    finally:
        serial.write(b"\x03")
        serial.close()


def test_spice_through_a_local_port(world: World, seen: str) -> None:
    """A main channel, and one for sound beside it: what remote-viewer opens first."""
    with pytest.raises(CorralError) as error:
        world.client.console(seen, "spice")
    assert error.value.code == "console.no_screen"
    world.make("sounds", hardware={"graphics": "spice"})
    tunnel = Tunnel(world.client.connection, "sounds", "spice")
    serving = threading.Thread(target=tunnel.run)
    serving.start()
    try:
        with channel(tunnel.port, spice.MAIN) as main:
            session = spice.session_of(taken(main, 22))
            with channel(tunnel.port, spice.SOUND, session):
                assert [c.kind for c in world.client.consoles.list()] == ["spice", "spice"]
    finally:
        tunnel.close()
        serving.join()


def channel(port: int, kind: int, session: int = 0) -> socket.socket:
    """Greet as a SPICE viewer does, and be let in."""
    viewer = socket.create_connection(("127.0.0.1", port), timeout=10)
    viewer.sendall(spice.link(kind, session))
    size = spice.size_of(taken(viewer, spice.HEADER_BYTES))
    viewer.sendall(spice.ticket(taken(viewer, size)))
    assert taken(viewer, 4) == spice.FINE
    return viewer


def taken(viewer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = viewer.recv(size - len(data))
        assert piece, "the channel ended"
        data += piece
    return data
