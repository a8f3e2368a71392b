"""Tunnel: a local port behind which a VM's screen is, for viewers that know nothing of Corral.

In this room   Tunnel: each connection to the port is a console of its own
Comes in       connections of remote-viewer, vncviewer, …; SPICE makes one for each of its channels
Goes out       their bytes, by WebSocket through the server and the node's agent
Always true    it listens on loopback only; a connection that ends takes its console with it, and the other way round
Next door      console.py is one console
Start here     Tunnel.run()
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from corral.client.connection import Connection
from corral.client.console import Console
from corral.errors import CorralError

PIECE_BYTES: Final = 64 * 1024
ACCEPT_S: Final = 0.2  # between looks whether it is to end


class Tunnel:
    """A port for one VM's screen. Listens from its making until close()."""

    def __init__(
        self,
        connection: Connection,
        vm: str,
        kind: str,
        port: int = 0,
        *,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Raises  OSError: the port is taken

        port   0: any that is free
        tell   gets a line for each connection that could not be served, or broke
        """
        self._connection, self._vm, self._kind, self._tell = connection, vm, kind, tell
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.settimeout(ACCEPT_S)
        self.port: int = self._listening.getsockname()[1]
        self._open: list[tuple[socket.socket, Console]] = []
        self._closed = threading.Event()

    def run(self) -> None:
        """Serve connections until close() is called, in another thread or from a signal."""
        while not self._closed.is_set():
            try:
                viewer, _ = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:
                break
            threading.Thread(target=self._serve, args=(viewer,), daemon=True).start()

    def close(self) -> None:
        """End it, with all connections."""
        self._closed.set()
        self._listening.close()
        for viewer, console in tuple(self._open):
            _end(viewer)
            console.close()

    def _serve(self, viewer: socket.socket) -> None:
        try:
            console = Console.open(self._connection, self._vm, self._kind)
        except CorralError as error:
            self._tell(error.message)
            viewer.close()
            return
        viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        viewer.settimeout(None)
        self._open.append((viewer, console))
        typist = threading.Thread(target=_to_guest, args=(viewer, console), daemon=True)
        typist.start()
        try:
            while data := console.read():
                viewer.sendall(data)
            if console.reason:
                self._tell(console.reason)
        except CorralError as error:
            self._tell(error.message)
        except OSError:  # the viewer is gone
            pass
        finally:
            _end(viewer)
            console.close()
            typist.join()
            viewer.close()
            self._open.remove((viewer, console))


def _to_guest(viewer: socket.socket, console: Console) -> None:
    with suppress(OSError, CorralError):
        while data := viewer.recv(PIECE_BYTES):
            console.write(data)
    console.close()


def _end(viewer: socket.socket) -> None:
    """Wakes whoever reads from it."""
    with suppress(OSError):
        viewer.shutdown(socket.SHUT_RDWR)
