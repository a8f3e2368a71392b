"""Namespaces as hosts and guests: what tests of networking plug together where no guest has to be booted.

A guest is a namespace with one NIC, whose other end is called as libvirt would call its tap; to the kernel of the
host both are the same.
"""

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from corral.model.network import tap_name

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
DRIVER = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from corral.clock import SystemClock
from corral.errors import CorralError
from corral.model.link import NetworkAssignment
from corral.network.bridge import BridgeNetworking

def networks(document):
    return msgspec.json.decode(document, type=list[NetworkAssignment])

async def do(networking, verb, document):
    if verb == "serve":
        return await networking.serve(networks(document)[0])
    return await networking.sweep(lambda: networks(document))

async def main():
    networking = BridgeNetworking(Path(sys.argv[1]), SystemClock())
    for line in sys.stdin:
        verb, document = json.loads(line)
        try:
            answer = await do(networking, verb, document)
        except CorralError as error:
            answer = {"error": error.message}
        print(msgspec.json.encode(answer).decode(), flush=True)

asyncio.run(main())
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def inside(namespace: str, *words: str) -> str:
    """What a command says in the namespace."""
    done = subprocess.run(["ip", "netns", "exec", namespace, *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def namespaces(*names: str) -> Iterator[None]:
    """Fresh ones; gone with all of their processes when the block is left."""
    try:
        for name in names:
            with suppress(subprocess.CalledProcessError):  # of a run that was killed
                ip("netns", "delete", name)
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in names:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
            for pid in pids.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            with suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)


def wire(one: str, nic: str, other: str, its: str) -> None:
    """A cable between two namespaces, both ends up."""
    ip("-n", one, "link", "add", nic, "type", "veth", "peer", "name", its, "netns", other)
    ip("-n", one, "link", "set", nic, "up")
    ip("-n", other, "link", "set", its, "up")


def plug(host: str, bridge: str, guest: str, mac: str, address: str = "", gateway: str = "") -> None:
    """The namespace as a guest on the host's bridge."""
    wire(guest, "eth0", host, tap_name(mac))
    ip("-n", guest, "link", "set", "eth0", "address", mac)
    ip("-n", host, "link", "set", tap_name(mac), "master", bridge)
    if address:
        ip("-n", guest, "addr", "add", address, "dev", "eth0")
    if gateway:
        ip("-n", guest, "route", "add", "default", "via", gateway)


def at(namespace: str, do: Callable[[], T]) -> T:
    """Call it in a thread that is in the namespace: a socket made there stays there."""

    def enter() -> T:
        with Path("/run/netns", namespace).open() as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return do()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


def listen(namespace: str, address: str, port: int) -> socket.socket:
    def make() -> socket.socket:
        listener = socket.create_server((address, port))
        listener.settimeout(5)
        return listener

    return at(namespace, make)


def connect(namespace: str, address: str, port: int, timeout_s: float = 5.0) -> socket.socket:
    return at(namespace, lambda: socket.create_connection((address, port), timeout_s))


def frames(namespace: str, nic: str = "eth0") -> socket.socket:
    """All that comes and goes at a NIC, as frames."""

    def make() -> socket.socket:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        packets.bind((nic, 0))
        packets.settimeout(5)
        return packets

    return at(namespace, make)


class Driver:
    """The driver of an agent, in a process of its own in the namespace of its host."""

    def __init__(self, namespace: str, directory: Path) -> None:
        self._words = ["ip", "netns", "exec", namespace, sys.executable, "-c", DRIVER, str(directory)]

    async def __aenter__(self) -> "Driver":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._words, stdin=pipe, stdout=pipe)

    async def stop(self) -> None:
        """Killed, as agents are: nothing is tidied up."""
        self._process.kill()
        await self._process.wait()

    async def serve(self, network: dict[str, Any]) -> dict[str, Any]:
        """NetworkOnNode."""
        return await self._do("serve", network)

    async def served(self, network: dict[str, Any]) -> None:
        answer = await self.serve(network)
        assert answer["ready"] and not answer["trouble"], answer

    async def sweep(self, *known: dict[str, Any]) -> None:
        assert await self._do("sweep", *known) is None

    async def _do(self, verb: str, *networks: dict[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        documents = json.dumps([{"type": "network", **network} for network in networks])
        self._process.stdin.write(json.dumps([verb, documents]).encode() + b"\n")
        async with asyncio.timeout(30):
            return json.loads(await self._process.stdout.readline())
