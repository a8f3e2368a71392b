"""Runner: the loop around every controller.

In this room   a keyed work queue: a key is looked at by one worker at a time, and once more if it was
               touched meanwhile; failures are retried with back-off
Comes in       changes of the mirror, and a Controller that knows which keys they concern
Goes out       calls of Controller.reconcile()
Always true    nothing has to be remembered: after a restart every key is looked at
Next door      vm.py, volume.py, … are the controllers; desk.py commits what they decide
Start here     Runner.run()
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from corral.clock import Clock, backoff_s
from corral.errors import Conflict, CorralError
from corral.store.interface import Change, Deposed
from corral.store.mirror import Mirror

log = logging.getLogger("corral.controllers")
SOON_S = 0.001  # the least wait: a rounding error of a wait must not become a loop that time never leaves


class Controller(Protocol):
    """Moves resources closer to what is wanted, one look at a time."""

    name: ClassVar[str]
    workers: ClassVar[int]

    def all_keys(self) -> Iterable[str]:
        """Every key there is, for the first look."""

    def keys(self, change: Change) -> Iterable[str]:
        """The keys that this change concerns."""

    async def reconcile(self, key: str) -> float | None:
        """Look, do one step, and return the seconds until the next look (None: at the next change)."""

    def close(self) -> None:
        """This server leads no longer."""


class Runner:
    """Runs one controller for as long as this server leads."""

    def __init__(self, controller: Controller, mirror: Mirror, clock: Clock) -> None:
        self.controller, self.mirror, self.clock = controller, mirror, clock
        self.waiting: dict[str, None] = {}  # keys to look at, in order
        self.busy: set[str] = set()
        self.again: dict[str, None] = {}  # touched while busy
        self.attempts: dict[str, int] = {}
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.wake = asyncio.Semaphore(0)
        self.running = False

    async def run(self) -> None:
        """Work until cancelled. raises Deposed"""
        self.running = True
        stop = self.mirror.on_change(self._changed)
        try:
            for key in self.controller.all_keys():
                self.touch(key)
            async with asyncio.TaskGroup() as group:
                for number in range(self.controller.workers):
                    group.create_task(self._work(), name=f"{self.controller.name} {number}")
        finally:
            self.running = False
            stop()
            self.controller.close()
            for timer in self.timers.values():
                timer.cancel()

    def touch(self, key: str) -> None:
        """Have the key looked at soon."""
        if key in self.busy:
            self.again[key] = None
        elif key not in self.waiting:
            self.waiting[key] = None
            self.wake.release()

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for key in self.controller.keys(change):
                self.touch(key)

    async def _work(self) -> None:
        while True:
            await self.wake.acquire()
            key = next(iter(self.waiting))
            del self.waiting[key]
            if timer := self.timers.pop(key, None):
                timer.cancel()
            self.busy.add(key)
            try:
                after_s = await self._try(key)
            finally:
                self.busy.discard(key)
            if key in self.again:
                del self.again[key]
                self.touch(key)
            elif after_s is not None:
                self._later(key, after_s)
            await self.clock.sleep(0)  # thousands of keys with nothing to do must not hold up requests

    async def _try(self, key: str) -> float | None:
        try:
            after_s = await self.controller.reconcile(key)
        except Deposed:
            raise
        except Conflict:
            return 0.002  # somebody was faster; the mirror is about to see it
        except Exception as error:  # a bug in one key must not stop the others
            attempt = self.attempts[key] = self.attempts.get(key, 0) + 1
            if not isinstance(error, CorralError):
                log.exception("controller failed", extra={"controller": self.controller.name, "key": key})
            return backoff_s(attempt, self.clock)
        self.attempts.pop(key, None)
        return after_s

    def _later(self, key: str, after_s: float) -> None:
        """The event loop's own timer: it follows the virtual clock in simulation."""

        def fire() -> None:
            self.timers.pop(key, None)
            if self.running:
                self.touch(key)

        self.timers[key] = asyncio.get_running_loop().call_later(max(after_s, SOON_S), fire)
