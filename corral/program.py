"""Program: what a long-running program needs around its event loop: signals, and a word to systemd."""

import asyncio
import ctypes
import os
import signal
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Final

from corral.clock import Clock

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
M_ARENA_MAX: Final = -8  # malloc.h of glibc


def run_until_stopped(work: Coroutine[object, object, None]) -> None:
    """Run it in a new event loop; SIGTERM or SIGINT cancels it, a second one ends the process at once."""
    with suppress(asyncio.CancelledError):
        asyncio.run(_cancelled_by_signal(work))


async def _cancelled_by_signal(work: Coroutine[object, object, None]) -> None:
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()

    def stop() -> None:
        tell_systemd("STOPPING=1")
        task.cancel()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    await task


def share_heaps(most: int = 2) -> None:
    """Let all threads share a few heaps: glibc gives each its own, and keeps those of threads that seldom do anything.
    Before the first thread starts. Nothing happens where there is no glibc.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, most)


async def give_back_memory(clock: Clock, every_s: float = 30.0) -> None:
    """Without end: what was needed for a moment, domains' XML say, goes back to the system."""
    libc = ctypes.CDLL(None)
    while hasattr(libc, "malloc_trim"):
        await clock.sleep(every_s)
        await asyncio.to_thread(libc.malloc_trim, 0)


def tell_systemd(state: str) -> None:
    """As sd_notify(3): "READY=1" and the like; nothing happens where systemd did not ask for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd:
        systemd.sendto(state.encode(), address)


def address_towards(host: str, port: int) -> str:
    """The address of this host that the other one sees; "" when there is no way there. Sends nothing."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError:
        return ""
