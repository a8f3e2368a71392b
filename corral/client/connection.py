"""Connection: requests to one server, sent again when the answer was lost.

In this room   Connection: keep-alive, TLS, token, retries; Request and Answer
Comes in       a Request; a body that can be sent twice is given as a function that makes it
Goes out       an Answer with a status below 400, or a CorralError as the server (or errors.py) words it
Always true    a mutation carries the same Idempotency-Key each time it is sent: a repeat after a lost answer gets
               the first answer. A server that this connection has reached is waited for longer than one it never
               saw: it may be restarting.
Next door      errors.py says what went wrong; sse.py reads streams that open_stream() opened
Start here     Connection.send()
"""

import http.client
import itertools
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

from corral import __version__
from corral.client.errors import Untrusted, refused, unreachable
from corral.clock import SystemClock, backoff_s, new_secret
from corral.errors import Invalid

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PASSING: Final = frozenset(
    {"server.unavailable", "store.deposed", "client.unreachable"}
)  # it comes back soon
RETRY_PAUSE_S_MAX: Final = 2.0
Lost = (OSError, http.client.HTTPException)  # what can befall a connection
Query = Mapping[str, str | Sequence[str]]
Body = Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # below the server's URL, quoted: /api/v1/vms
    query: Query = field(default_factory=dict)
    body: bytes | Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query, doseq=True)}" if self.query else "")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Connection:
    """One keep-alive connection to a server. For one thread at a time."""

    def __init__(
        self,
        url: str,
        token: str = "",
        ca: str | None = None,
        *,
        timeout_s: float = 60.0,  # for one answer
        reach_s: float = 1.0,  # how long a server that was never reached is tried for
        retry_s: float = 20.0,  # how long one is tried for that was there and went away
        clock: SystemClock | None = None,
    ) -> None:
        self.url, self.token, self.ca = url.rstrip("/"), token, ca
        self.timeout_s, self.reach_s, self.retry_s = timeout_s, reach_s, retry_s
        self.clock = clock or SystemClock()
        self.parts = checked_url(self.url)
        self._open: http.client.HTTPConnection | None = None
        self._tls: ssl.SSLContext | None = None
        self._reached = False

    def send(self, request: Request) -> Answer:
        """Raises  CorralError: the server refused, or can't be reached"""
        if request.method not in SAFE:
            key = {"Idempotency-Key": new_secret(self.clock)}
            request = Request(
                request.method, request.path, request.query, request.body, {**key, **request.headers}
            )
        started_s = self.clock.monotonic_s()
        for attempt in itertools.count():
            error: Exception
            try:
                answer = self._once(request)
                if answer.status < 400:
                    return answer
                error = refused(answer.status, "", answer.body)
                if error.code not in PASSING:
                    raise error
            except Lost as lost:
                self.close()
                error = lost
            tried_s = self.clock.monotonic_s() - started_s
            if self._give_up(error, tried_s):
                raise self._worded(error, tried_s) from None
            self.clock.pause(backoff_s(attempt, self.clock, most_s=RETRY_PAUSE_S_MAX))
        raise AssertionError("a count has no end")

    def open_stream(self, request: Request, timeout_s: float) -> "Stream":
        """A connection of its own for an answer that does not end. raises CorralError, OSError, HTTPException"""
        connection = self._connect(timeout_s)
        try:
            connection.request(request.method, self._target(request), headers=self._headers(request))
            response = connection.getresponse()
            if response.status >= 400:
                raise refused(response.status, response.reason, response.read())
        except BaseException:
            connection.close()
            raise
        return Stream(connection, response)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def patience_s(self) -> float:
        """How long to go on trying at present."""
        return self.retry_s if self._reached else self.reach_s

    def lost(self, error: Exception, tried_s: float) -> Exception:
        """The error to raise once patience has ended."""
        return self._worded(error, tried_s)

    def tls(self) -> ssl.SSLContext | None:
        """What the server has to prove; None: plain HTTP."""
        if self.parts.scheme != "https":
            return None
        if self._tls is None:
            assert self.parts.hostname
            self._tls = context_for_url(self.parts, self.ca, self.timeout_s)
        return self._tls

    def _once(self, request: Request) -> Answer:
        if self._open is None:
            self._open = self._connect(self.timeout_s)
        body = request.body() if callable(request.body) else request.body
        try:
            self._open.request(
                request.method, self._target(request), body=body, headers=self._headers(request)
            )
        except (BrokenPipeError, ConnectionResetError):
            if not callable(request.body):
                raise
            # The server may have answered (refused) before it had read all of a long body: look.
        response = self._open.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        if response.will_close:
            self.close()
        return answer

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self.parts.hostname or "", self.parts.port
        tls = self.tls()
        if tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
        connection.connect()
        self._reached = True
        return connection

    def _target(self, request: Request) -> str:
        return self.parts.path.rstrip("/") + request.target

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"corral/{__version__}", **request.headers}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if isinstance(request.body, bytes):
            headers.setdefault("Content-Type", "application/json")
        return headers

    def _give_up(self, error: Exception, tried_s: float) -> bool:
        if isinstance(error, (ssl.SSLCertVerificationError, Untrusted)):
            return True  # it will not become another certificate
        return tried_s >= self.patience_s()

    def _worded(self, error: Exception, tried_s: float) -> Exception:
        return unreachable(self.url, error, gave_up_s=tried_s) if isinstance(error, Lost) else error


class Stream:
    """An answer that goes on, line by line."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def readline(self, timeout_s: float) -> bytes:
        """The next line, b"" at the end. raises TimeoutError, OSError, HTTPException"""
        if self._connection.sock is not None:
            self._connection.sock.settimeout(max(timeout_s, 0.001))
        return self._response.readline(1 << 24)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end only. raises OSError, HTTPException: it broke off"""
        return self._response.read(None if size < 0 else size)

    def header(self, name: str) -> str | None:
        return self._response.getheader(name)

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def context_for_url(parts: SplitResult, ca: str | None, timeout_s: float) -> ssl.SSLContext:
    from corral.client.trust import context_for

    return context_for(parts.hostname or "", parts.port or 443, ca, timeout_s)


def checked_url(url: str) -> SplitResult:
    """The parts of a URL. Raises Invalid."""
    parts = urlsplit(url)
    try:
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number
        fine = False
    if not fine:
        raise Invalid("url", url, "an http:// or https:// URL", hint="Like https://corral.example:8440.")
    return parts
