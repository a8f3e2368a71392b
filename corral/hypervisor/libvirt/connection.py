"""Connection: libvirt's end of the driver, kept up.

In this room   Connection; the one thread that runs libvirt's event loop; how libvirt's errors become ours
Comes in       a URI; blocking work that wants a virConnect
Goes out       the work's result, HypervisorFailed or HypervisorGone
Always true    each thread has a connection of its own: libvirtd runs at most five calls of one connection at
               a time (max_client_requests), so that on a shared one five calls that hang would stop all.
               No call runs on the event loop; none outlasts its deadline for whoever waits.
Next door      lanes.py has the threads; events.py registers on the main connection
Start here     Connection.call()
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

import libvirt

from corral.clock import Clock, backoff_s
from corral.hypervisor.interface import HypervisorFailed, HypervisorGone
from corral.hypervisor.libvirt.lanes import Lanes

T = TypeVar("T")
log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 2  # between questions whether libvirtd is alive
KEEPALIVE_MISSES: Final = 3  # so a libvirtd that is stuck counts as gone after 8 s
CALL_TIMEOUT_S: Final = 30.0
RECONNECT_S_MAX: Final = 0.5
OPEN_S_MAX: Final = 5.0


class Pool(StrEnum):
    """Threads by what they may wait for, so that slow guests or long moves never take the others' place."""

    CONTROL = "control"  # libvirtd and QEMU
    AGENT = "agent"  # a program inside a guest, a second or more
    MOVE = "move"  # a migration, minutes
    FACTS = "facts"  # all running QEMUs, one of which may be stuck
    CONSOLE = "console"  # nothing: keys are typed at a console, and a person waits for each


# libvirtd itself runs 20 calls at once by default (max_workers); all of ours stay below that
THREADS_MAX: Final = {Pool.CONTROL: 8, Pool.AGENT: 3, Pool.MOVE: 4, Pool.FACTS: 3, Pool.CONSOLE: 2}

_event_thread_lock = threading.Lock()
_event_thread: threading.Thread | None = None


def start_event_thread() -> None:
    """Run libvirt's event loop, once a process, before the first connection is opened."""
    global _event_thread
    with _event_thread_lock:
        if _event_thread is None:
            libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints to stderr
            libvirt.virEventRegisterDefaultImpl()
            _event_thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
            _event_thread.start()


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop")


def failure(error: Exception, what: str) -> HypervisorFailed:
    """What libvirt says, as an error of ours."""
    if not isinstance(error, libvirt.libvirtError):
        return HypervisorFailed(f"{what}: {error}")
    return HypervisorFailed(f"{what}: {error}", libvirt_code=int(error.get_error_code() or 0))


def gone(why: str) -> HypervisorGone:
    return HypervisorGone(
        f"libvirt does not answer: {why}",
        hint="Corral goes on connecting. `systemctl status libvirtd` on the node tells more.",
    )


class Connection:
    """Connections to one libvirtd: a main one for events, and one for each thread that calls."""

    def __init__(
        self,
        uri: str,
        clock: Clock,
        *,
        prepare: Callable[[libvirt.virConnect], Callable[[], None]],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ):
        """Nothing is contacted before open().

        prepare        gets each new main connection, in a thread; what it returns is called before that is closed
        on_up, on_down are called on the event loop
        """
        self.uri, self.clock = uri, clock
        self._prepare, self._on_up, self._on_down = prepare, on_up, on_down
        self._pools = {pool: Lanes(f"libvirt-{pool}", threads) for pool, threads in THREADS_MAX.items()}
        self._keeper = Lanes("libvirt-main", 1)
        self._local = threading.local()
        self._main: libvirt.virConnect = None
        self._unprepare: Callable[[], None] = _nothing
        self._epoch = 0  # counts main connections: an older connection of a thread is not used again
        self._lost: asyncio.Event | None = None
        self._why = "not connected yet"
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._main is not None

    async def open(self) -> None:
        """Connect, and go on connecting. Returns after the first attempt, whatever came of it, or 5 s."""
        assert self._task is None, "opened twice"
        start_event_thread()
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._keep(tried))
        with suppress(TimeoutError):
            await asyncio.wait_for(tried.wait(), OPEN_S_MAX)

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        main, self._main, self._why = self._main, None, "closed"
        with suppress(TimeoutError):
            await asyncio.wait_for(self._keeper.run("main", partial(self._close_main, main)), timeout=2.0)
        for lanes in (*self._pools.values(), self._keeper):
            lanes.close()

    async def call(
        self,
        lane: str,
        what: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        pool: Pool = Pool.CONTROL,
        timeout_s: float | None = CALL_TIMEOUT_S,
    ) -> T:
        """The result of `work(connection)`, run in a thread, after earlier calls of the same lane.

        what    for the message when it fails: "start web-1"
        raises  HypervisorFailed, HypervisorGone
        """
        if self._main is None:
            raise gone(self._why)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._pools[pool].run(lane, lambda: self._work(what, work))
        except TimeoutError:
            raise HypervisorFailed(
                f"{what}: no answer within {timeout_s:g} s", timeout_s=timeout_s or 0.0
            ) from None
        except HypervisorGone:
            self._check_main()
            raise

    async def on_main(self, lane: str, what: str, work: Callable[[libvirt.virConnect], T]) -> T:
        """Like call(), on the main connection: for what has to live as long as that (streams of consoles)."""
        main = self._main
        if main is None:
            raise gone(self._why)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._pools[Pool.CONSOLE].run(lane, lambda: _guarded(main, what, work))
        except TimeoutError:
            raise HypervisorFailed(f"{what}: no answer within {CALL_TIMEOUT_S:g} s") from None

    def _work(self, what: str, work: Callable[[libvirt.virConnect], T]) -> T:
        """In a thread of ours."""
        return _guarded(self._mine(), what, work)

    def _mine(self) -> libvirt.virConnect:
        """This thread's connection."""
        epoch = self._epoch
        mine: libvirt.virConnect = getattr(self._local, "connection", None)
        if mine is not None and self._local.epoch == epoch and mine.isAlive():
            return mine
        _close(mine)
        self._local.connection = None
        self._local.connection, self._local.epoch = _connect(self.uri), epoch
        return self._local.connection

    def _check_main(self) -> None:
        """A thread lost its connection: so may the main one have."""
        if self._main is not None and self._lost is not None and not self._main.isAlive():
            self._lost.set()

    async def _keep(self, tried: asyncio.Event) -> None:
        attempt = 0
        while True:
            self._lost = lost = asyncio.Event()
            try:
                main = await self._keeper.run(
                    "main", partial(self._connect_main, asyncio.get_running_loop(), lost)
                )
            except HypervisorFailed as error:
                self._why = error.message
                tried.set()
                await self.clock.sleep(backoff_s(attempt, self.clock, first_s=0.05, most_s=RECONNECT_S_MAX))
                attempt += 1
                continue
            attempt, self._main, self._epoch = 0, main, self._epoch + 1
            log.info("connected to libvirt at %s", self.uri)
            tried.set()
            self._on_up()
            await lost.wait()
            self._main, self._why = None, "the connection broke"
            self._on_down()
            log.warning("lost libvirt at %s", self.uri)
            await self._keeper.run("main", partial(self._close_main, main))

    def _connect_main(self, loop: asyncio.AbstractEventLoop, lost: asyncio.Event) -> libvirt.virConnect:
        """In the keeper's thread."""
        main = _connect(self.uri)

        def closed(_connection: libvirt.virConnect, reason: int, _opaque: object) -> None:
            with suppress(RuntimeError):  # the event loop has ended
                loop.call_soon_threadsafe(lost.set)

        try:
            with _if_remote():
                main.registerCloseCallback(closed, None)
            self._unprepare = self._prepare(main)
        except libvirt.libvirtError as error:
            _close(main)
            raise failure(error, "set up events") from error
        return main

    def _close_main(self, main: libvirt.virConnect) -> None:
        """In the keeper's thread."""
        unprepare, self._unprepare = self._unprepare, _nothing
        unprepare()
        _close(main)


def _nothing() -> None:
    pass


def _connect(uri: str) -> libvirt.virConnect:
    try:
        connection = libvirt.open(uri)
        with _if_remote():
            connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_MISSES)
    except libvirt.libvirtError as error:
        raise gone(str(error)) from error
    return connection


@contextmanager
def _if_remote() -> Iterator[None]:
    """Drivers that run in this process (test://) have no connection that could break, and no such calls."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise


def _close(connection: libvirt.virConnect) -> None:
    if connection is not None:
        with suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with suppress(libvirt.libvirtError):
            connection.close()


def _guarded(connection: libvirt.virConnect, what: str, work: Callable[[libvirt.virConnect], T]) -> T:
    """Do it; what libvirt raises comes out as HypervisorFailed, or HypervisorGone if the connection is dead."""
    try:
        return work(connection)
    except libvirt.libvirtError as error:
        if not connection.isAlive():
            raise gone(str(error)) from error
        raise failure(error, what) from error
