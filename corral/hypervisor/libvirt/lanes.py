"""Lanes: threads for calls that block.

In this room   Lanes: a bounded set of daemon threads
Comes in       blocking calls, each with the name of its lane (a domain's, mostly)
Goes out       their results, awaited
Always true    calls of one lane run one after another, in the order they came; a lane takes one thread at most,
               so a call that hangs holds up its own lane and no other while a thread is left
Next door      connection.py gives each of these threads a libvirt connection of its own
Start here     Lanes.run()
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[], None]


class Lanes:
    """Threads are started as they are needed, `threads_max` at most; they end with close()."""

    def __init__(self, name: str, threads_max: int) -> None:
        self._name, self._threads_max = name, threads_max
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Job]] = {}  # by lane; a lane is here while it has work or runs some
        self._ready: SimpleQueue[str | None] = SimpleQueue()  # lanes whose first job may run; None: end
        self._threads = 0
        self._busy = 0  # lanes that are ready or running
        self._closed = False

    async def run(self, lane: str, call: Callable[[], T]) -> T:
        """The result of `call`. Cancelled before its turn it never runs; later it runs on, unheard."""
        future: Future[T] = Future()
        self._submit(lane, lambda: _fulfil(future, call))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads once their present calls return. A call that hangs hinders nobody."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._ready.put(None)

    def _submit(self, lane: str, job: Job) -> None:
        with self._lock:
            assert not self._closed, "a call after close()"
            if lane in self._waiting:
                self._waiting[lane].append(job)
                return
            self._waiting[lane] = deque([job])
            self._busy += 1
            self._ready.put(lane)
            if self._threads < min(self._busy, self._threads_max):
                self._threads += 1
                name = f"{self._name}-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (lane := self._ready.get()) is not None:
            with self._lock:
                job = self._waiting[lane].popleft()
            job()
            with self._lock:
                if self._waiting[lane]:
                    self._ready.put(lane)
                else:
                    del self._waiting[lane]
                    self._busy -= 1


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    with contextlib.suppress(RuntimeError):  # the event loop that waited for it has gone
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
