"""Session: one stream to a server, from Hello until it breaks.

In this room   talk(): say hello, hear what the server knows, then reports and facts out, assignments in
Comes in       ServerMessages
Goes out       Reports and Facts; what was assigned goes to Held, and on to the lanes
Always true    an assignment is on disk before a lane hears of it; one message is sent at a time
Next door      agent.py dials again when it breaks
Start here     talk()
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from corral.agent.facts import FactTaker
from corral.agent.held import Held
from corral.agent.ports import LinkDown, Stream
from corral.agent.reporting import Reporter
from corral.clock import Clock
from corral.model.ids import NodeId
from corral.model.link import (
    Ack,
    AgentMessage,
    Assign,
    Hello,
    OpenConsole,
    SendDisk,
    ServerMessage,
    TakeScreenshot,
    Welcome,
)

WELCOME_S: Final = 15.0
PAUSE_S: Final = 0.02  # between two reports; the first of something new goes at once
ACK_S: Final = 20.0  # a server that does not commit a report for so long is not there


class Session:
    """What an agent and a server have to do with each other."""

    def __init__(
        self,
        hello: Callable[[], Hello],
        held: Held,
        reporter: Reporter,
        facts: FactTaker,
        clock: Clock,
        changed: Callable[[tuple[str, ...]], None],
        open_console: Callable[[OpenConsole | TakeScreenshot | SendDisk], None],
    ) -> None:
        self._hello, self._held, self._reporter, self._facts = hello, held, reporter, facts
        self._clock, self._changed, self._open_console = clock, changed, open_console
        self._sending = asyncio.Lock()

    async def talk(self, stream: Stream, welcomed: Callable[[], None]) -> None:
        """Until the stream breaks. raises CorralError"""
        await stream.send(self._hello())
        welcome = await _welcome(stream)
        welcomed()
        self._reporter.resume(welcome.reported)
        await _until_one_ends(
            self._receive(stream), self._report(stream), self._tell_facts(stream, welcome.facts_interval_s)
        )

    async def _receive(self, stream: Stream) -> None:
        while True:
            message: ServerMessage = await stream.receive()
            match message:
                case Assign():
                    self._changed(await self._held.adopt(message))
                case Ack():
                    self._reporter.acked(message.seq)
                case OpenConsole() | TakeScreenshot() | SendDisk():
                    self._open_console(message)
                case Welcome():
                    pass  # a doubled message

    async def _report(self, stream: Stream) -> None:
        while True:
            if report := self._reporter.next():
                await self._send(stream, report)
                await self._clock.sleep(PAUSE_S)  # what comes close behind goes together
                continue
            limit_s = ACK_S if self._reporter.waits_for_ack else None
            try:
                async with asyncio.timeout(limit_s):
                    await self._reporter.news.wait()
            except TimeoutError:
                raise LinkDown(f"the server did not commit a report within {ACK_S:g} s") from None

    async def _tell_facts(self, stream: Stream, interval_s: float) -> None:
        await self._send(stream, await self._facts.take())
        await self._clock.sleep(interval_s * self._clock.chance.random())  # not with all other nodes
        while True:
            await self._send(stream, await self._facts.take())
            await self._clock.sleep(interval_s)

    async def _send(self, stream: Stream, message: AgentMessage) -> None:
        async with self._sending:
            await stream.send(message)


def hello_of(node: NodeId, version: str, held: Held) -> Hello:
    return Hello(node=node, agent_version=version, assigned=held.digests())


async def _welcome(stream: Stream) -> Welcome:
    try:
        async with asyncio.timeout(WELCOME_S):
            message = await stream.receive()
    except TimeoutError:
        raise LinkDown(f"the server did not answer within {WELCOME_S:g} s") from None
    if not isinstance(message, Welcome):
        raise LinkDown("the server did not say welcome first")
    return message


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, which it does by raising; then end the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def close_quietly(stream: Stream, within_s: float = 2.0) -> None:
    """Close a stream that may be broken already."""
    with suppress(TimeoutError, LinkDown):
        async with asyncio.timeout(within_s):
            await stream.close()
