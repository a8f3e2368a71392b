"""Terminal: a raw console in the user's terminal, or between pipes.

In this room   attach()
Comes in       an open client.Console; stdin and stdout as they are
Goes out       bytes both ways until Ctrl-], the end of either side, or (with a pipe) the end of its input and then silence
Always true    the terminal's settings are put back, however it ends
"""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from corral.client.console import Console
from corral.errors import CorralError

LEAVE: Final = b"\x1d"  # Ctrl-]
PIECE_BYTES: Final = 4096


def attach(console: Console, *, linger_s: float = 2.0, stdin: int = 0, stdout: int = 1) -> None:
    """Join the two. raises ConsoleLost

    linger_s   stdin is no terminal and has ended: leave when the guest says nothing for so long
    """
    over = threading.Event()  # stdin has ended
    left = threading.Event()  # the user wants to leave
    typist = threading.Thread(target=_type, args=(console, stdin, over, left), daemon=True)
    with _raw(stdin):
        typist.start()
        while not left.is_set():
            lingering = over.is_set()
            data = console.read(timeout_s=linger_s if lingering else 0.2)
            if data:
                _write(stdout, data)
            elif data == b"" or lingering:
                break
    console.close()


def _type(console: Console, stdin: int, over: threading.Event, left: threading.Event) -> None:
    """Send what is typed, until Ctrl-] or the end."""
    with suppress(CorralError, OSError):
        while not left.is_set():
            if not select.select([stdin], [], [], 0.2)[0]:
                continue
            data = os.read(stdin, PIECE_BYTES)
            typed, leave, _ = data.partition(LEAVE)
            if typed:
                console.write(typed)
            if leave:
                left.set()
            if not data:
                break
    over.set()


@contextmanager
def _raw(stdin: int) -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too."""
    if not os.isatty(stdin):
        yield
        return
    before = termios.tcgetattr(stdin)
    try:
        tty.setraw(stdin)
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        sys.stderr.write("\r\n")


def _write(stdout: int, data: bytes) -> None:
    while data:
        data = data[os.write(stdout, data) :]
