"""Fetching: the bytes behind a URL, for images that are imported.

In this room   Source, one URL and where it may lead; Opened, an answer that is being read. All of it blocks.
Comes in       URLs from users, answers of servers that nobody vouches for
Goes out       bytes from a given place on; SourceRefused: never; SourceFailed: try again
Always true    http and https only, also after a redirect; each address that is connected to was checked first, so
               that a name that changes its mind leads nowhere else; no answer is waited for longer than STALL_S
Next door      importing.py runs this in threads and tries again
Start here     open_source()
"""

import http.client
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from msgspec import Struct

from corral.errors import CorralError, Invalid

STALL_S: Final = 30.0  # without a byte: the answer has stalled
REDIRECTS_MAX: Final = 5
REDIRECTS: Final = (301, 302, 303, 307, 308)
LATER: Final = (408, 425, 429, 500, 502, 503, 504)
PORTS: Final = {"http": 80, "https": 443}
NAT64: Final = IPv6Network("64:ff9b::/96")
Network = IPv4Network | IPv6Network


class SourceRefused(CorralError):
    """The URL leads to nothing that may be imported."""

    code = "image.source_refused"
    status = 422


class SourceFailed(CorralError):
    """The server behind the URL did not answer as it should, though it was asked several times."""

    code = "image.source_failed"
    status = 502
    retryable = True


class Whereabouts(Struct, frozen=True):
    """Where URLs may lead: to public addresses, and to those of these networks."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Whereabouts":
        """Raises Invalid"""
        try:
            return cls(tuple(ip_network(text) for text in texts))
        except ValueError as error:
            raise Invalid(
                "image_networks", ", ".join(texts), "networks like 10.0.0.0/8", hint=str(error)
            ) from None

    def allow(self, address: str) -> bool:
        found = _meant(ip_address(address.partition("%")[0]))
        if any(found.version == network.version and found in network for network in self.networks):
            return True
        return found.is_global and not found.is_multicast


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address behind one of IPv6 that only wraps it, so that no private one hides."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


class Opened(Struct, kw_only=True):
    """An answer whose body is being read."""

    start: int  # of its first byte within the whole
    total: int | None  # bytes of the whole, as far as it says
    validator: str  # ETag or date; the same one means the same bytes. Empty: none
    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    def read(self, most: int) -> bytes:
        """The next bytes, as soon as there are some; b"": the end. raises SourceFailed"""
        try:
            return self.response.read1(most)
        except (OSError, http.client.HTTPException) as error:
            raise SourceFailed(f"the source broke off: {_words(error)}") from error

    def close(self) -> None:
        with suppress(OSError):
            self.response.close()
        self.connection.close()


def check_url(url: str) -> SplitResult:
    """Raises Invalid"""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Invalid("url", url, "a URL", hint=str(error)) from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Invalid(
            "url", url, "an http or https URL", hint="A file is imported with `corral image import FILE`."
        )
    if parts.username or parts.password:
        raise Invalid(
            "url",
            parts.hostname,
            "a URL without a password",
            hint="Everybody who sees the image could read it.",
        )
    return parts


def open_source(url: str, where: Whereabouts, *, start: int = 0, validator: str = "") -> Opened:
    """Ask for the bytes from `start` on, if they are still those of the validator; else all are answered.

    raises  SourceRefused, SourceFailed
    """
    for _ in range(REDIRECTS_MAX + 1):
        parts = _checked(url)
        connection, response = _ask(parts, where, start if validator else 0, validator)
        if response.status not in REDIRECTS:
            return _opened(connection, response, parts)
        target = urljoin(url, response.headers.get("Location", ""))
        connection.close()
        if parts.scheme == "https" and urlsplit(target).scheme == "http":
            raise SourceRefused(
                f"{parts.hostname} redirects from https to http", hint="Use a URL that stays encrypted."
            )
        url = target
    raise SourceRefused(
        f"more than {REDIRECTS_MAX} redirects", hint="Use the URL that they lead to in the end."
    )


def _checked(url: str) -> SplitResult:
    """Where a redirect leads is checked like what the user wrote."""
    try:
        return check_url(url)
    except Invalid as error:
        raise SourceRefused(
            f"it leads to {url[:200]}, and images come by http or https only", hint=error.hint, url=url[:200]
        ) from None


def _ask(
    parts: SplitResult, where: Whereabouts, start: int, validator: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    connection = http.client.HTTPConnection(host, port, timeout=STALL_S)
    try:
        connection.sock = _connect(host, port, where)
        if parts.scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=host)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", parts.netloc.rpartition("@")[2])
        connection.putheader("User-Agent", "corral")
        connection.putheader("Accept-Encoding", "identity")
        if start:
            connection.putheader("Range", f"bytes={start}-")
            connection.putheader("If-Range", validator)
        connection.endheaders()
        return connection, connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise SourceRefused(f"the certificate of {host} is not trusted: {error.verify_message}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise SourceFailed(f"{host} does not answer: {_words(error)}") from error
    except CorralError:
        connection.close()
        raise


def _connect(host: str, port: int, where: Whereabouts) -> socket.socket:
    """Connect to an address that was checked. raises SourceRefused, OSError"""
    found = list(dict.fromkeys(str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    allowed = [address for address in found if where.allow(address)]
    if not allowed:
        raise SourceRefused(
            f"{host} is at {', '.join(found) or 'no address'}, where images are not imported from",
            hint="Whoever runs the server can allow it: `corral server run --image-network NETWORK`.",
            host=host,
        )
    failed: OSError | None = None
    for address in allowed:
        try:
            return socket.create_connection((address, port), timeout=STALL_S)
        except OSError as error:
            failed = error
    assert failed
    raise failed


def _opened(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse, parts: SplitResult
) -> Opened:
    if (
        response.status not in (200, 206)
        or response.headers.get("Content-Encoding", "identity") != "identity"
    ):
        connection.close()
        raise _refusal(response, parts)
    start, total = 0, response.length
    if response.status == 206:
        start, total = _range(response)
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else ""
    return Opened(
        start=start,
        total=total,
        validator=strong or response.headers.get("Last-Modified", ""),
        connection=connection,
        response=response,
    )


def _range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """First byte and size of the whole, of "bytes 100-199/200". raises SourceFailed"""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    place, _, total = rest.partition("/")
    first = place.partition("-")[0]
    if unit != "bytes" or not first.isdigit():
        raise SourceFailed("the source answers with a part and does not say which")
    return int(first), int(total) if total.isdigit() else None


def _refusal(response: http.client.HTTPResponse, parts: SplitResult) -> CorralError:
    said = f"{parts.hostname} answers {response.status} {response.reason} for {parts.path}"
    if response.status in LATER:
        return SourceFailed(said, http_status=response.status)
    if response.status in (200, 206):
        return SourceRefused(f"{parts.hostname} answers in an encoding that was not asked for")
    return SourceRefused(said, hint="Is the URL right? Open it in a browser.", http_status=response.status)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {STALL_S:g} s"
    return str(error) or type(error).__name__
