"""Console: a VM's serial line or screen, by WebSocket through the server and the node's agent.

In this room   Console: read, write, close
Comes in       bytes typed; bytes that the guest prints
Goes out       the same, the other way
Always true    the `websockets` package is imported here only: nothing else of the command line needs it
Next door      corral/cli/parts/terminal.py makes a raw terminal of it
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

from corral.client.errors import BadAnswer, refused, unreachable
from corral.errors import CorralError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from corral.client.connection import Connection


class ConsoleLost(CorralError):
    """The console broke off; the VM goes on."""

    code = "console.lost"
    status = 502
    retryable = True


class Console:
    """An open console. write() may be called from another thread than read()."""

    def __init__(self, web_socket: ClientConnection, opened: ExitStack) -> None:
        self._web_socket, self._opened = web_socket, opened
        self.reason = ""  # why it ended, in words; known when read() gave b""

    @classmethod
    def open(cls, connection: Connection, vm: str, kind: str = "serial", replay: str = "") -> Console:
        """Open it.

        kind     serial; or vnc, spice: the bytes are as QEMU speaks them with a viewer
        replay   serial: begin with so much of what was printed before, like 16KiB
        raises   CorralError: the server refuses (no such VM, not running), or can't be reached
        """
        query = {**({} if kind == "serial" else {"kind": kind}), **({"replay": replay} if replay else {})}
        path = f"/api/v1/vms/{quote(vm, safe='')}/console" + (f"?{urlencode(query)}" if query else "")
        url = connection.url.replace("http", "ws", 1) + path
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        opened = ExitStack()
        try:
            dialled = connect(
                url,
                additional_headers=headers,
                ssl=connection.tls(),
                open_timeout=connection.timeout_s,
                max_size=None,
                compression=None,  # single keystrokes do not get shorter
                proxy=None,
            )
            web_socket = opened.enter_context(dialled)
        except InvalidStatus as error:
            answer = error.response
            raise refused(answer.status_code, answer.reason_phrase, bytes(answer.body or b"")) from None
        except InvalidHandshake as error:
            raise BadAnswer(f"{connection.url} does not speak WebSocket: {error}") from None
        except OSError as error:
            raise unreachable(connection.url, error) from None
        return cls(web_socket, opened)

    def read(self, timeout_s: float | None = None) -> bytes | None:
        """What the guest printed; b"" when the console has ended; None when nothing came in that time.

        raises  ConsoleLost; CorralError: the reason that the server gave for ending it
        """
        try:
            message = self._web_socket.recv(timeout_s)
        except TimeoutError:
            return None
        except ConnectionClosedOK as error:
            self.reason = error.rcvd.reason if error.rcvd else ""
            return b""
        except ConnectionClosed as error:
            raise _lost(error) from None
        return message.encode() if isinstance(message, str) else message

    def write(self, data: bytes) -> None:
        try:
            self._web_socket.send(data)
        except ConnectionClosed as error:
            raise _lost(error) from None

    def close(self) -> None:
        self._opened.close()

    def fileno(self) -> int:
        raw: socket.socket = self._web_socket.socket
        return raw.fileno()


def _lost(error: ConnectionClosed) -> ConsoleLost:
    said = error.rcvd.reason if error.rcvd else ""
    return ConsoleLost(
        f"the console broke off: {said}" if said else "the console broke off",
        hint="The VM goes on. Open the console again.",
    )
