"""Processes: groups of coroutines that die together, at any await, without a last word.

In this room   Process; the task factory that lets every task belong to the process that made it
Always true    after kill() not one more line of the process runs: no except, no finally
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any

ON_THE_HOST = ("migration of ", "shutdown ")  # tasks of QEMU and of guests: they outlive the agent that asked
current: ContextVar["Process | None"] = ContextVar("current", default=None)
graveyard: list[Any] = []  # coroutines of the dead: if they were collected, their finally would run


def bury() -> None:
    """When a history is over: let go of the dead. What their last words do has no effect any more."""
    while graveyard:
        try:
            graveyard.pop().close()
        except BaseException:
            continue


class Process:
    """Something that can be killed: a server, an agent."""

    def __init__(self, name: str) -> None:
        self.name, self.alive = name, True
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Start a task that belongs to this process, and so do all tasks it starts."""
        context = copy_context()
        context.run(current.set, self)
        return asyncio.get_running_loop().create_task(coroutine, name=name or self.name, context=context)

    def kill(self) -> None:
        """Like kill -9."""
        self.alive = False
        for task in list(self.tasks):
            task.cancel()  # wakes it; Mortal then ends it without letting it notice


class Mortal(Coroutine[Any, Any, Any]):
    """A coroutine that runs for as long as its process lives."""

    def __init__(self, process: Process, inner: Coroutine[Any, Any, Any]) -> None:
        self.process, self.inner = process, inner
        self.__name__ = getattr(inner, "__name__", "coroutine")
        self.__qualname__ = getattr(inner, "__qualname__", "coroutine")

    def send(self, value: Any) -> Any:
        return self._step(lambda: self.inner.send(value))

    def throw(self, *args: Any) -> Any:
        return self._step(lambda: self.inner.throw(*args))

    def close(self) -> None:
        if self.process.alive:
            self.inner.close()
        else:
            graveyard.append(self.inner)

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("only a task runs it")

    def _step(self, step: Callable[[], Any]) -> Any:
        if not self.process.alive:
            graveyard.append(self.inner)
            raise asyncio.CancelledError
        return step()


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    """Tasks belong to the process in whose context they are made."""
    context = kwargs.get("context")
    process = context.get(current) if context is not None else current.get()
    if process is None or str(kwargs.get("name")).startswith(ON_THE_HOST):
        return asyncio.Task(coroutine, loop=loop, **kwargs)
    task = asyncio.Task(Mortal(process, coroutine), loop=loop, **kwargs)
    process.tasks[task] = None
    task.add_done_callback(lambda done: process.tasks.pop(done, None))
    return task
