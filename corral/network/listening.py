"""Listening: ports at which programs of this host wait for someone."""

from collections.abc import Container, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

TCP_LISTEN: Final = "0A"
UDP_UNCONNECTED: Final = "07"
TABLES: Final = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}
LOOPBACK: Final = ("0100007F", "0" * 24 + "01000000")  # reached from the host itself only


def listening(apart: Iterable[str] = (), proc: Path = Path("/proc/net")) -> set[tuple[str, int]]:
    """(protocol, port) of each, loopback left out. Reads files of /proc.

    apart   addresses that do not count: those at which networks of Corral's answer DNS
    """
    left_out = {*LOOPBACK, *(f"{int.from_bytes(IPv4Address(a).packed, 'little'):08X}" for a in apart)}
    return {
        (protocol, port)
        for protocol, tables in TABLES.items()
        for table in tables
        for port in _ports(proc / table, TCP_LISTEN if protocol == "tcp" else UDP_UNCONNECTED, left_out)
    }


def _ports(table: Path, state: str, left_out: Container[str]) -> set[int]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:  # a kernel without IPv6
        return set()
    found = set()
    for words in (line.split() for line in lines):
        address, _, port = words[1].partition(":")
        if words[3] == state and address not in left_out:
            found.add(int(port, 16))
    return found
