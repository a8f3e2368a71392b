"""Consoles: bring a VM's console, or a picture of its screen, to the user who asked, through the server.

Always true    the node opens no port: the agent dials out for the session and relays both ways. What can't be
               opened is said to the server instead, so that the user gets an error and not a broken stream.
Next door      replay.py has what was printed before
Start here     bring_console()
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from corral.agent.ports import ConsoleStream, Link
from corral.agent.replay import Replay, replay
from corral.errors import CorralError
from corral.hypervisor.interface import Console, Hypervisor, HypervisorFailed
from corral.model.link import OpenConsole, TakeScreenshot

log = logging.getLogger("corral.agent")
TAKEN_S = 10.0  # within which the server takes a picture


async def bring_console(asked: OpenConsole, hypervisor: Hypervisor, link: Link) -> None:
    """Relay until either side ends."""
    try:
        console, past = await _open(asked, hypervisor)
    except CorralError as error:
        await _excuse(asked, error, link)
        return
    try:
        stream = await link.console(asked.session)
    except CorralError as error:
        log.warning("console of %s: %s", asked.vm, error.message)
        await console.close()
        return
    try:
        await _relay(console, stream, past)
    except CorralError as error:
        log.info("console of %s: %s", asked.vm, error.message)
    finally:
        await stream.close()


async def bring_screenshot(asked: TakeScreenshot, hypervisor: Hypervisor, link: Link) -> None:
    """Send one picture."""
    try:
        picture = await hypervisor.screenshot(asked.vm)
    except CorralError as error:
        await _excuse(asked, error, link)
        return
    try:
        stream = await link.console(asked.session)
    except CorralError as error:
        log.warning("screen of %s: %s", asked.vm, error.message)
        return
    try:
        async with asyncio.timeout(TAKEN_S):
            await stream.write(picture)
            await stream.read()  # the server ends the call once it has all of it
    except (CorralError, TimeoutError) as error:
        log.warning("screen of %s: %s", asked.vm, error)
    finally:
        await stream.close()


async def _open(asked: OpenConsole, hypervisor: Hypervisor) -> tuple[Console, Replay]:
    """The console; and what was printed before, looked up on both sides of the opening."""
    if not asked.replay_bytes:
        return await hypervisor.console(asked.vm, asked.kind), Replay()
    before = await hypervisor.serial_log(asked.vm, asked.replay_bytes)
    console = await hypervisor.console(asked.vm, asked.kind)
    try:
        after = await hypervisor.serial_log(asked.vm, asked.replay_bytes)
    except HypervisorFailed:
        await console.close()
        raise
    return console, replay(before, after, asked.replay_bytes)


async def _relay(console: Console, stream: ConsoleStream, past: Replay) -> None:
    ways = [
        asyncio.ensure_future(_to_user(console, stream, past)),
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


async def _to_user(console: Console, stream: ConsoleStream, past: Replay) -> None:
    if past.text:
        await stream.write(past.text)
    if first := await console.read():
        if fresh := past.without_seen(first):
            await stream.write(fresh)
        await _copy(console.read, stream.write)


async def _copy(read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await read():
        await write(data)


async def _excuse(asked: OpenConsole | TakeScreenshot, error: CorralError, link: Link) -> None:
    """Let the user know why there is none."""
    log.warning("console of %s: %s", asked.vm, error.message)
    try:
        await link.no_console(asked.session, error)
    except CorralError as lost:
        log.info("the server could not be told: %s", lost.message)
