"""Trust: which server certificate is believed.

In this room   context_for(): the TLS settings for a server
Comes in       `ca`: nothing (the system's CAs), a PEM file, or the SHA-256 fingerprint of a certificate
Goes out       an ssl.SSLContext that refuses every other server
Always true    a fingerprint is no shortcut: the certificate it names becomes the one root, and the connection that
               carries the token is verified against it
Next door      connection.py
"""

import re
import socket
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from corral.client.errors import Untrusted
from corral.errors import Invalid

FINGERPRINT: Final = re.compile(r"(?:sha256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})", re.IGNORECASE)


def context_for(host: str, port: int, ca: str | None, timeout_s: float) -> ssl.SSLContext:
    """Raises  Invalid: `ca` is neither; Untrusted: the server shows no such certificate; OSError"""
    if not ca:
        return ssl.create_default_context()
    if match := FINGERPRINT.fullmatch(ca.strip()):
        return _pinned(host, port, match[1].replace(":", "").lower(), timeout_s)
    path = Path(ca).expanduser()
    try:
        return ssl.create_default_context(cafile=str(path))
    except FileNotFoundError:
        raise Invalid("ca", ca, "a file, or a SHA-256 fingerprint") from None
    except ssl.SSLError:
        raise Invalid("ca", ca, "a PEM file with certificates") from None


def _pinned(host: str, port: int, fingerprint: str, timeout_s: float) -> ssl.SSLContext:
    """Trust the one certificate with this fingerprint, the server's own or its CA's."""
    chain = _shown_by(host, port, timeout_s)
    for place, der in enumerate(chain):
        if sha256(der).hexdigest() == fingerprint:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=der)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.check_hostname = (
                place > 0
            )  # of a CA: its name still has to fit. Itself: there is no doubt
            return context
    raise Untrusted(
        f"{host}:{port} shows no certificate with the fingerprint {fingerprint[:16]}…",
        hint="Someone else may answer there, or the server got a new CA. Ask its administrator for the fingerprint.",
        host=host,
        port=port,
    )


def _shown_by(host: str, port: int, timeout_s: float) -> list[bytes]:
    """The certificates that a server shows, its own first. Nothing is sent to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout_s) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        return _chain(tls)


def _chain(tls: ssl.SSLSocket) -> list[bytes]:
    public: Any = getattr(tls, "get_unverified_chain", None)  # Python 3.13
    if public is not None:
        return [bytes(der) for der in public()]
    inner: Any = getattr(tls, "_sslobj", None)  # the same, before it had a public name
    if hasattr(inner, "get_unverified_chain"):
        return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in inner.get_unverified_chain() or ()]
    own = tls.getpeercert(binary_form=True)
    return [own] if own else []
