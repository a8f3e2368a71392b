"""The beginning of a SPICE viewer for tests: a channel's link message, and the ticket for it.

source   spice-space.org/spice-protocol.html
"""

import struct
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

MAIN, INPUTS, SOUND = 1, 3, 5  # types of channels
MAIN_INIT: Final = 103  # message; its first number is the session that other channels belong to
HEADER_BYTES: Final = 16
FINE: Final = bytes(4)


def link(channel: int, session: int = 0) -> bytes:
    """What a viewer says first, without capabilities."""
    return struct.pack("<4sIIIIBBIII", b"REDQ", 2, 2, 18, session, channel, 0, 0, 0, 18)


def size_of(header: bytes) -> int:
    """How long the answer is that follows its header."""
    magic, major, _, size = struct.unpack("<4sIII", header)
    assert (magic, major) == (b"REDQ", 2)
    return int(size)


def ticket(answer: bytes) -> bytes:
    """The empty password, encrypted with the key of the answer."""
    assert answer[:4] == FINE, answer[:4]
    key = serialization.load_der_public_key(answer[4:166])
    assert isinstance(key, rsa.RSAPublicKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    return key.encrypt(b"\0", oaep)


def session_of(message: bytes) -> int:
    """Of the main channel's first message, 18 bytes of header and the number."""
    kind, session = struct.unpack("<8xH8xI", message[:22])
    assert kind == MAIN_INIT
    return int(session)
