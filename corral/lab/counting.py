"""Counting: a guest that counts on its console, and what the counts say about its pauses.

In this room   Count, one line of the guest; Listener, which reads them through the API; summary figures
Comes in       console bytes: "count NUMBER UPTIME" ten times a second (guest/files/count.sh)
Goes out       counts with the moment at which they were heard
Always true    a guest that was started anew counts from 1 again: numbers that only grow prove that it ran through
Next door      demo.py shows them, tests/lab relies on them
Start here     Listener
"""

import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Final

from msgspec import Struct

from corral.client import Client
from corral.errors import CorralError
from corral.lab.host import LabFailed

LINE: Final = re.compile(rb"count (\d+) (\d+\.\d+)\r?\n")
USER_DATA: Final = "#cloud-config\nruncmd:\n  - count &\n"


class Count(Struct, frozen=True):
    number: int
    uptime_s: float  # by the guest's clock, which stands still while the guest is paused
    heard_s: float  # by this machine's clock


def take_counts(text: bytes, heard_s: float) -> tuple[list[Count], bytes]:
    """The counts in what was read, and the unfinished rest of it."""
    counts = [Count(int(m[1]), float(m[2]), heard_s) for m in LINE.finditer(text)]
    return counts, text[text.rfind(b"\n") + 1 :]


def ran_through(counts: Sequence[Count]) -> bool:
    """Whether all were said by one run of the guest: numbers and its clock only grow."""
    return all(a.number < b.number and a.uptime_s <= b.uptime_s for a, b in pairwise(counts))


def largest_pause_s(counts: Sequence[Count]) -> float:
    """The longest time by which this machine's clock went on and the guest's did not; counts may be missed in it."""
    stood = ((b.heard_s - a.heard_s) - (b.uptime_s - a.uptime_s) for a, b in pairwise(counts))
    return max(0.0, *stood, 0.0)


def largest_gap_s(counts: Sequence[Count]) -> float:
    """The longest silence between two counts that were heard."""
    return max((b.heard_s - a.heard_s for a, b in pairwise(counts)), default=0.0)


class Listener:
    """Reads a VM's console in a thread, and opens it again when it ends, as it does when the VM moves."""

    def __init__(self, url: str, token: str, vm: str) -> None:
        self._client, self._vm = Client(url, token), vm
        self._counts: list[Count] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="console", daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)

    @property
    def counts(self) -> list[Count]:
        """What was heard so far."""
        return list(self._counts)

    def wait_for(self, more: int, timeout_s: float) -> list[Count]:
        """Until so many more counts are heard than by now. raises LabFailed: they are not"""
        wanted, end_s = len(self._counts) + more, time.monotonic() + timeout_s
        while len(self._counts) < wanted:
            if time.monotonic() > end_s:
                raise LabFailed(f"{self._vm} says nothing on its console for {timeout_s:g} s")
            time.sleep(0.02)
        return self.counts

    def _listen(self) -> None:
        while not self._stop.is_set():
            with suppress(CorralError):  # it is moving, or its node or the server is away
                self._read_one()
            self._stop.wait(0.05)

    def _read_one(self) -> None:
        console, rest = self._client.console(self._vm), b""
        try:
            while not self._stop.is_set():
                data = console.read(0.5)
                if data == b"":
                    return
                if data:
                    counts, rest = take_counts(rest + data, time.monotonic())
                    self._counts += counts
        finally:
            console.close()
