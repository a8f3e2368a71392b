"""Watching: changes of the mirror as server-sent events.

In this room   Watches, all open streams; Watch, what one of them wants to see; Picture, what is shown anew as a whole
Comes in       the mirror's change log; a revision to go on from
Goes out       frames: `put`, `remove`, `bookmark`; `error` before an end that the client should know about
Always true    a change is sent when the mirror has it, without polling; a slow reader costs no memory: it holds
               a place in the log, and is told `store.compacted` when the log has moved on
Next door      reading.py and routes/watch.py open streams
Start here     Watches.stream()
source         html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from corral.clock import Clock
from corral.errors import Unauthenticated, Unavailable
from corral.model.resource import Resource
from corral.model.token import Role, Token
from corral.server.http.answers import to_json
from corral.server.http.auth import Caller, still_valid
from corral.server.http.filters import Filter
from corral.server.http.present import in_lists, may_see
from corral.server.http.problems import problem_of
from corral.server.http.sessions import Sessions
from corral.store.interface import Change, ChangeVerb, Compacted
from corral.store.mirror import Mirror

HEARTBEAT_S: Final = 15.0
FRAMES_MAX: Final = 4096  # encoded changes kept, for streams that see the same ones
CHUNK_MAX: Final = 500  # changes in one write, so that others run in between


class Watch(Struct, frozen=True, kw_only=True):
    """What one stream shows."""

    kinds: tuple[type[Resource], ...] = ()  # empty: all that the role may see
    filter: Filter = Filter()

    def of_interest(self, resource: Resource, role: Role) -> bool:
        kind = type(resource)
        return may_see(kind, role) and (not self.kinds or kind in self.kinds)


class Picture(Protocol):
    """What a stream shows anew whenever it changes."""

    pause_s: float  # at least so long between two events

    def listen(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Have `ring` called when there may be something new. Returns how to end that."""

    def look(self) -> bytes:
        """What is new, as JSON; empty: nothing."""


class Pulse:
    """A bell for one sleeper. Strokes that come while nobody sleeps count as one."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()

    def ring(self) -> None:
        self._bell.set()

    async def struck(self, most_s: float) -> bool:
        """Wait for the next stroke; False: `most_s` have passed without one."""
        try:
            async with asyncio.timeout(most_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True


class Watches:
    """All streams of one server."""

    def __init__(self, mirror: Mirror, clock: Clock, sessions: Sessions) -> None:
        self.mirror, self.clock, self.sessions = mirror, clock, sessions
        self.open = 0
        self.closing = False
        self._news = asyncio.Event()  # a new one for each batch
        self._frames: dict[tuple[int, str], bytes] = {}
        self._pulses: set[Pulse] = set()
        self._stop = mirror.on_change(self._changed)

    def close(self) -> None:
        """End all streams, each after a last word."""
        self.closing = True
        self._stop()
        self.ring()

    def start(self, since: int | None) -> int:
        """The revision that a stream begins behind. raises Compacted: it is too long ago"""
        if since is None:
            return self.mirror.revision
        self.mirror.changes_since(since)
        return since

    async def stream(self, watch: Watch, since: int, caller: Caller) -> AsyncGenerator[bytes, None]:
        """Frames from behind revision `since`, without end."""
        self.open += 1
        try:
            yield b"retry: 1000\n" + _bookmark(since)
            told_gone: set[str] = set()
            while not self.closing:
                if not still_valid(caller, self.mirror, self.sessions):
                    yield _error(_not_valid())
                    return
                news = self._news
                changes = self.mirror.changes_since(since)[:CHUNK_MAX]
                if changes:
                    since = changes[-1].revision
                    if chunk := self._encode(changes, watch, caller.role, told_gone):
                        yield chunk
                    await self.clock.sleep(0)
                elif not await self._next(news, HEARTBEAT_S):
                    yield b": still here\n\n" + _bookmark(since)
            yield _error(_closing())
        except Compacted as error:
            yield _error(error)
        finally:
            self.open -= 1

    async def live(self, name: str, caller: Caller, picture: Picture) -> AsyncGenerator[bytes, None]:
        """Events `name` with what a picture shows: one now, then what changed, until the right to see it ends."""
        pulse = Pulse()
        self._pulses.add(pulse)
        self.open += 1
        hang_up = picture.listen(pulse.ring)
        try:
            yield b"retry: 1000\n\n"
            while not self.closing:
                if not still_valid(caller, self.mirror, self.sessions):
                    yield _error(_not_valid())
                    return
                if data := picture.look():
                    yield b"event: %b\ndata: %b\n\n" % (name.encode(), data)
                await self.clock.sleep(picture.pause_s)
                if not await pulse.struck(HEARTBEAT_S):
                    yield b": still here\n\n"
            yield _error(_closing())
        finally:
            hang_up()
            self._pulses.discard(pulse)
            self.open -= 1

    async def news(self, most_s: float) -> bool:
        """Wait for the next change or the end; False: `most_s` have passed without one."""
        return self.closing or await self._next(self._news, most_s)

    async def _next(self, news: asyncio.Event, most_s: float) -> bool:
        try:
            async with asyncio.timeout(most_s):
                await news.wait()
        except TimeoutError:
            return False
        return True

    def ring(self) -> None:
        """Let all streams look again, at once."""
        self._ring()
        for pulse in self._pulses:
            pulse.ring()

    def _changed(self, changes: Sequence[Change]) -> None:
        if any(isinstance(change.resource, Token) for change in changes):
            self.ring()  # somebody's right may have ended
        else:
            self._ring()

    def _ring(self) -> None:
        old, self._news = self._news, asyncio.Event()
        old.set()

    def _encode(self, changes: tuple[Change, ...], watch: Watch, role: Role, told_gone: set[str]) -> bytes:
        return b"".join(
            self._frame(change, verb)
            for change in changes
            if watch.of_interest(change.resource, role) and (verb := seen_as(change, watch.filter, told_gone))
        )

    def _frame(self, change: Change, verb: str) -> bytes:
        """The change as text of the stream, encoded once for all streams."""
        key = (change.revision, verb)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = _event(verb, change.revision, to_json(in_lists(change.resource)))
            while len(self._frames) > FRAMES_MAX:
                del self._frames[next(iter(self._frames))]
        return frame


def seen_as(change: Change, wanted: Filter, told_gone: set[str]) -> str:
    """What a change is to somebody who sees only what matches: `put`, `remove`, or "" (nothing).

    told_gone   ids that were called removed before, and did not match since
    """
    id = change.resource.id
    if change.verb is ChangeVerb.REMOVE:
        silent = id in told_gone or (wanted.fixed and not wanted.matches(change.resource))
        told_gone.discard(id)
        return "" if silent else "remove"
    if wanted.matches(change.resource):
        told_gone.discard(id)
        return "put"
    if wanted.fixed or id in told_gone:
        return ""
    told_gone.add(id)  # it may have matched until now
    return "remove"


def _not_valid() -> Unauthenticated:
    return Unauthenticated("the token or session is not valid any more", hint="Sign in again.")


def _closing() -> Unavailable:
    return Unavailable("the server is shutting down", hint="Connect again with Last-Event-ID.")


def _event(name: str, revision: int, data: bytes) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), revision, data)


def _bookmark(revision: int) -> bytes:
    """Everything up to here has been told: a client may go on from it."""
    return _event("bookmark", revision, b'{"revision":%d}' % revision)


def _error(error: Exception) -> bytes:
    return b"event: error\ndata: " + msgspec.json.encode(problem_of(error)) + b"\n\n"
