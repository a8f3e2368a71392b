"""The serial console over a real WebSocket."""

import os
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

from corral.cli.parts.terminal import attach
from corral.client.client import Client
from corral.client.console import ConsoleLost
from corral.errors import CorralError, NotFound
from tests.unit.client.fake_api import problem


def _guest(web_socket: ServerConnection) -> None:
    """Prints a prompt, says everything twice; `exit` ends it, `crash` cuts it."""
    web_socket.send(b"login: ")
    for message in web_socket:
        data = message.encode() if isinstance(message, str) else message
        if data.startswith(b"exit"):
            web_socket.close(1000, "the VM has stopped")
            return
        if data.startswith(b"crash"):
            web_socket.close(1011, "internal")
            return
        web_socket.send(data + data)


def _gate(web_socket: ServerConnection, request) -> Response | None:
    if request.headers.get("Authorization") != "Bearer secret":
        return web_socket.respond(HTTPStatus.UNAUTHORIZED, "token, please")
    if request.path != "/api/v1/vms/web/console":
        body = problem(404, "resource.not_found", "no VM is called that")[1]
        return web_socket.respond(HTTPStatus.NOT_FOUND, body.decode())
    return None


@pytest.fixture
def url() -> Iterator[str]:
    with serve(_guest, "127.0.0.1", 0, process_request=_gate) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_bytes_both_ways(url: str) -> None:
    console = Client(url, "secret").console("web")
    assert console.read(5) == b"login: "
    console.write(b"\x00\xff")
    assert console.read(5) == b"\x00\xff\x00\xff"
    assert console.read(0.05) is None
    console.write(b"exit")
    assert console.read(5) == b""
    assert console.reason == "the VM has stopped"


def test_a_broken_console_says_so(url: str) -> None:
    console = Client(url, "secret").console("web")
    console.read(5)
    console.write(b"crash")
    with pytest.raises(ConsoleLost, match="internal"):
        console.read(5)


REFUSED = [  # name, token, VM, code
    ("wrong token", "wrong", "web", "auth.unauthenticated"),
    ("no such VM: the server's problem", "secret", "a b", NotFound.code),
]


@pytest.mark.parametrize(("token", "vm", "code"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_refused(url: str, token: str, vm: str, code: str) -> None:
    with pytest.raises(CorralError) as caught:
        Client(url, token).console(vm)
    assert caught.value.code == code


def test_no_server() -> None:
    with pytest.raises(CorralError) as caught:
        Client("http://127.0.0.1:1", "secret").console("web")
    assert caught.value.code == "client.unreachable"


ATTACHED = [  # name, what is typed, what is printed
    ("until the input ends, then what is still said", b"ab", b"login: abab"),
    ("Ctrl-] leaves; what stands behind it is not typed", b"ab\x1dcd", None),
    ("the guest ends it", b"exit", b"login: "),
]


@pytest.mark.parametrize(("typed", "printed"), [pytest.param(*row[1:], id=row[0]) for row in ATTACHED])
def test_attach_between_pipes(url: str, typed: bytes, printed: bytes | None) -> None:
    stdin, keyboard = os.pipe()
    screen, stdout = os.pipe()
    os.write(keyboard, typed)
    os.close(keyboard)
    attach(Client(url, "secret").console("web"), linger_s=0.3, stdin=stdin, stdout=stdout)
    os.close(stdout)
    shown = os.read(screen, 1000)
    os.close(screen)
    os.close(stdin)
    if printed is not None:
        assert shown == printed
    assert b"cd" not in shown


def test_attach_to_a_terminal_is_raw_and_puts_it_back(url: str) -> None:
    import pty
    import termios

    user, stdin = pty.openpty()
    screen, stdout = os.pipe()
    before = termios.tcgetattr(stdin)
    console = Client(url, "secret").console("web")
    thread = threading.Thread(target=attach, args=(console,), kwargs={"stdin": stdin, "stdout": stdout})
    thread.start()
    assert os.read(screen, 100) == b"login: "
    os.write(user, b"\x03")
    assert os.read(screen, 100) == b"\x03\x03", "Ctrl-C is for the guest"
    os.write(user, b"\x1d")
    thread.join(5)
    assert not thread.is_alive()
    assert termios.tcgetattr(stdin) == before
