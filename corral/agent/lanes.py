"""Lanes: one a key, so that no object waits for another, and none is worked on twice at once.

In this room   Lanes, a keyed work queue with de-duplication
Comes in       keys to wake
Goes out       calls of step(key), one at a time a key; a task exists only while a lane has something to do
Always true    a wake during a step leads to another step after it; a wake cuts a wait short
Next door      agent.py says what a step of each kind of key is
Start here     Lanes.wake()
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

Step = Callable[[str], Awaitable[float | None]]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Lanes:
    """step(key) returns the seconds until the next look, 0 for at once, None to rest until woken."""

    def __init__(self, step: Step, spawn: Spawn) -> None:
        self._step, self._spawn = step, spawn
        self._busy: dict[str, asyncio.Event] = {}  # lanes that have a task, and what wakes them

    def wake(self, key: str) -> None:
        """Look at `key` soon."""
        event = self._busy.get(key)
        if event is None:
            self._busy[key] = asyncio.Event()
            self._spawn(self._run(key), f"lane {key}")
        else:
            event.set()

    @property
    def busy(self) -> int:
        return len(self._busy)

    async def _run(self, key: str) -> None:
        woken = self._busy[key]
        while True:
            woken.clear()
            wait_s = await self._step(key)
            if wait_s is None and not woken.is_set():
                break
            if wait_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await woken.wait()
        del self._busy[key]


class Tasks:
    """Tasks that end together, in the order in which they began (a set's order would differ from run to run)."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], None] = {}

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()
