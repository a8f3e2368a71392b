"""Network: the names and addresses under which this server is reached."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address

from corral.program import address_towards
from corral.proto.channel import split_address

ANYWHERE = (
    "192.0.2.1",
    9,
)  # an address for documentation (RFC 5737): shows the way out; nothing is sent to it


def split(address: str) -> tuple[str, int]:
    """Host and port; no host means all addresses. raises Invalid"""
    host, port = split_address(address)
    return host or "0.0.0.0", port


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def reached_at(host: str, names: Sequence[str]) -> str:
    """The best name for others: as configured, else the address it listens at, else that of the way out."""
    if names:
        return names[0]
    return host if not is_any(host) else address_towards(*ANYWHERE) or socket.gethostname()


def certificate_names(hosts: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """All that a certificate should say for a server that listens at these hosts."""
    bound = [host for host in hosts if not is_any(host)]
    outward = [address_towards(*ANYWHERE)]
    local = [socket.gethostname(), "localhost", "127.0.0.1", "::1"]
    return tuple(dict.fromkeys(name for name in (*names, *bound, *outward, *local) if name))
