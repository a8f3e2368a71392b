"""The join token as people carry it: HOST:PORT/SECRET/FINGERPRINT, one word to copy."""

import re
from typing import Final

from msgspec import Struct

from corral.errors import Invalid
from corral.proto.channel import join_address, split_address

SECRET: Final = re.compile(r"[0-9a-z]{20,}")
FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class JoinString(Struct, frozen=True, kw_only=True):
    """Where to join, the right to, and how to know that it is the right server."""

    host: str
    port: int  # of the server's Joining service
    secret: str
    fingerprint: str  # SHA-256 of the CA's certificate (DER), hexadecimal

    def __str__(self) -> str:
        return f"{join_address(self.host, self.port)}/{self.secret}/{self.fingerprint}"


def parse_join_string(text: str) -> JoinString:
    """Raises  Invalid"""
    parts = text.strip().removeprefix("corral://").split("/")
    if len(parts) != 3 or not SECRET.fullmatch(parts[1]) or not FINGERPRINT.fullmatch(parts[2].lower()):
        raise Invalid(
            "token",
            text[:24] + "…" if len(text) > 24 else text,  # the secret belongs in no log
            "a join token (HOST:PORT/SECRET/FINGERPRINT)",
            hint="Copy the whole line that `corral node join-token` prints.",
        )
    host, port = split_address(parts[0], "token")
    return JoinString(host=host, port=port, secret=parts[1], fingerprint=parts[2].lower())
