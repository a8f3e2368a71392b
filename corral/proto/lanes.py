"""Lanes: bounded queues around a gRPC call.

In this room   Lane, a bounded queue that can end; Pump, a lane each way with a call between them
Always true    whoever waits at a lane learns of its end at once. A receive() that is cancelled loses no message
               and does not cancel the call, and two senders never write at the same time: gRPC allows neither.
Start here     Pump.run()
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from corral.errors import CorralError

T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")
ROOM: Final = 64  # messages


class Ended(Exception):
    """The lane has ended; the text says why."""


class Lane(Generic[T]):
    """A bounded queue for one event loop. What was put before the end is still taken after it."""

    def __init__(self, room: int = ROOM) -> None:
        self.room, self.items, self.reason = room, deque[T](), ""
        self.ended = False
        self._moved = asyncio.Event()  # set at each change; waiters look again

    async def put(self, item: T) -> None:
        """Wait for room. raises Ended"""
        await self._wait(lambda: self.ended or len(self.items) < self.room)
        if self.ended:
            raise Ended(self.reason)
        self.items.append(item)
        self._move()

    async def take(self) -> T:
        """Wait for an item. raises Ended"""
        await self._wait(lambda: self.ended or bool(self.items))
        if not self.items:
            raise Ended(self.reason)
        item = self.items.popleft()
        self._move()
        return item

    def end(self, reason: str = "") -> None:
        if not self.ended:
            self.ended, self.reason = True, reason
            self._move()

    async def _wait(self, ready: Callable[[], bool]) -> None:
        while not ready():
            await self._moved.wait()

    def _move(self) -> None:
        """Wake whoever waits; whoever comes later waits for the next change."""
        self._moved.set()
        self._moved = asyncio.Event()


class Pump(Generic[In, Out]):
    """Moves messages between two lanes and a call until one side ends.

    read    the next message of the call; None at its end
    write   one message into the call
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[In | None]],
        write: Callable[[Out], Awaitable[None]],
        room: int = ROOM,
    ) -> None:
        self.read, self.write = read, write
        self.inbox: Lane[In] = Lane(room)
        self.outbox: Lane[Out] = Lane(room)

    def end(self, reason: str) -> None:
        self.inbox.end(reason)
        self.outbox.end(reason)

    async def run(self) -> str:
        """Move messages until an end; returns why it ended. What was sent before end() still goes out."""
        reading = asyncio.create_task(self._reading(), name="link read")
        writing = asyncio.create_task(self._writing(), name="link write")
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, writing):
                task.cancel()
            results = await asyncio.gather(reading, writing, return_exceptions=True)
            self.end(_why(results))
        return self.inbox.reason

    async def _reading(self) -> str:
        while (item := await self.read()) is not None:
            try:
                await self.inbox.put(item)
            except Ended as ended:
                return str(ended)
        return "the other side closed the link"

    async def _writing(self) -> str:
        while True:
            try:
                item = await self.outbox.take()
            except Ended as ended:
                return str(ended)
            await self.write(item)


def _why(results: Sequence[str | BaseException]) -> str:
    """The reason of an end, from what the two directions came to; one of them was merely cancelled."""
    for result in results:
        if isinstance(result, str):
            return result
    for result in results:
        if isinstance(result, Exception):
            return str(result) if isinstance(result, CorralError) else f"{type(result).__name__}: {result}"
    return "the link is closed"
