"""Server-sent events: parsing, and following them across lost connections.

In this room   parse(), lines to events; follow(), the same stream again and again from where it broke
Comes in       a Connection and a path; the revision to go on from
Goes out       SseEvents, each once, in order
Always true    no polling: between events nothing is asked. Silence longer than the server's own signs of life
               counts as a lost connection.
Next door      watch.py decodes them
Start here     follow()
source         html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from corral.client.connection import PASSING, Connection, Lost, Query, Request, Stream
from corral.client.errors import refused
from corral.clock import backoff_s
from corral.errors import CorralError

ERROR: Final = "error"  # name of the event that says why the stream ends
SILENCE_S_MAX: Final = 60.0  # the server says something at least every 15 s


@dataclass(frozen=True)
class SseEvent:
    name: str
    data: str
    id: str  # the last id seen, also when this event brought none


class DeadlineReached(Exception):
    """The time given for following has passed; not an error of the stream."""


class Parser:
    """Lines of one connection, one after the other; says when an event is complete.

    last_id counts once its event is complete: half an event that a broken connection left is asked for again.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self._id = last_id
        self._name, self._data = "", list[str]()

    def take(self, line: str) -> SseEvent | None:
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
        return None  # comments (":"), retry and unknown fields change nothing

    def _complete(self) -> SseEvent | None:
        data, name = "\n".join(self._data), self._name or "message"
        filled = bool(self._data)
        self.last_id = self._id
        self._name, self._data = "", []
        return SseEvent(name, data, self.last_id) if filled else None


def follow(
    connection: Connection,
    path: str,
    query: Query,
    *,
    since: int | None,
    until_s: float | None = None,
) -> Iterator[SseEvent]:
    """Events after revision `since` (None: from now on), without end.

    until_s  on the connection's monotonic clock
    raises   DeadlineReached; CorralError: the server refuses, or stays away
    """
    parser = Parser("" if since is None else str(since))
    clock, attempt = connection.clock, 0
    lost_at_s = clock.monotonic_s()
    while True:
        opened, parser = False, Parser(parser.last_id)
        try:
            stream = connection.open_stream(_request(path, query, parser.last_id), _left(connection, until_s))
            opened = True
            for event in _events(stream, parser, connection, until_s):
                attempt = 0
                yield event
            lost: Exception = ConnectionResetError(104, "the server ended the stream")
        except Lost as error:
            lost = error
        except CorralError as error:
            if error.code not in PASSING:
                raise
            lost = error
        now_s = clock.monotonic_s()
        if until_s is not None and now_s >= until_s:
            raise DeadlineReached
        if opened:
            lost_at_s = now_s
        if now_s - lost_at_s >= connection.patience_s():
            raise connection.lost(lost, now_s - lost_at_s)
        pause_s = backoff_s(attempt, clock, most_s=2.0)
        clock.pause(pause_s if until_s is None else min(pause_s, until_s - now_s))
        attempt += 1


def _events(
    stream: Stream, parser: Parser, connection: Connection, until_s: float | None
) -> Iterator[SseEvent]:
    """Until the stream ends or breaks. Raises what the server says of its end."""
    try:
        while line := stream.readline(_left(connection, until_s)):
            event = parser.take(line.decode("utf-8", "replace").rstrip("\r\n"))
            if event is not None and event.name == ERROR:
                raise refused(500, "the stream broke off", event.data.encode())
            if event is not None:
                yield event
    finally:
        stream.close()


def _left(connection: Connection, until_s: float | None) -> float:
    if until_s is None:
        return SILENCE_S_MAX
    return min(SILENCE_S_MAX, max(0.001, until_s - connection.clock.monotonic_s()))


def _request(path: str, query: Query, last_id: str) -> Request:
    headers = {"Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = last_id
        query = {**query, "since": last_id}
    return Request("GET", path, {**query, "watch": "true"}, headers=headers)
