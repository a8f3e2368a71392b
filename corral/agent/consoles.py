"""Consoles: bring a VM's serial console to the user who asked for it, through the server.

Always true    the node opens no port: the agent dials out for the session and relays both ways
Start here     relay_console()
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from corral.agent.ports import ConsoleStream, Link
from corral.errors import CorralError
from corral.hypervisor.interface import Console, Hypervisor
from corral.model.link import OpenConsole

log = logging.getLogger("corral.agent")


async def relay_console(asked: OpenConsole, hypervisor: Hypervisor, link: Link) -> None:
    """Relay until either side ends. A console that can't be opened tells the user why."""
    try:
        stream = await link.console(asked.session)
    except CorralError as error:
        log.warning("console of %s: %s", asked.vm, error.message)
        return
    try:
        console = await hypervisor.console(asked.vm)
        await _relay(console, stream)
    except CorralError as error:
        log.warning("console of %s: %s", asked.vm, error.message)
        await _say(stream, f"\r\n[corral] {error.message}\r\n")
    finally:
        await stream.close()


async def _relay(console: Console, stream: ConsoleStream) -> None:
    ways = [
        asyncio.ensure_future(_copy(console.read, stream.write)),
        asyncio.ensure_future(_copy(stream.read, console.write)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await console.close()
    for way in ways:
        if not way.cancelled() and (error := way.exception()):
            raise error


async def _copy(read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await read():
        await write(data)


async def _say(stream: ConsoleStream, text: str) -> None:
    try:
        await stream.write(text.encode())
    except CorralError:
        log.info("the user left before the console could say why it failed")
