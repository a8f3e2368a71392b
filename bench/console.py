"""Console: from a key typed to its echo, through server and agent, against `virsh console` on the node.

What it does   a lab of one node (real libvirt, real QEMU) with one guest, whose kernel echoes on its serial line. In
               turns of 50: a byte is sent through the SDK (WebSocket, server, gRPC, agent, libvirt, QEMU) until its echo
               is back; and the same into `virsh console`, on a terminal of its own, on the node
Peer           the hand: virsh console of the same guest, in the same run
Left out       the first byte after each opening: QEMU looks only once a second whether anybody has opened its terminal,
               so that this one waits for up to a second, here and there
"""

import argparse
import json
import os
import pty
import random
import statistics
import subprocess
import time
import tty
from collections.abc import Callable

from bench.lab import a_lab
from bench.machine import machine
from corral.client.console import Console
from corral.lab.lab import Lab

NODE, VM = "node1", "echo"
TURN = 50  # bytes in a row, and then a new line: the guest's line has a limit
PAUSE_S = 0.03  # between two bytes, more or less: people type slower
ECHO_S_MAX = 5.0


class Hand:
    """`virsh console` on a terminal."""

    def __init__(self, lab: Lab) -> None:
        self.terminal, inner = pty.openpty()
        tty.setraw(inner)
        command = lab.machine(lab.plan.node(NODE)).inside(["virsh", "console", VM, "--force"])
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        while b"Escape character" not in self.read():
            pass
        time.sleep(0.3)

    def read(self) -> bytes:
        return os.read(self.terminal, 4096)

    def write(self, data: bytes) -> None:
        os.write(self.terminal, data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


def turn(read: Callable[[], bytes], write: Callable[[bytes], None]) -> list[float]:
    """Milliseconds from each byte to its echo."""
    took = []
    for number in range(-1, TURN):
        time.sleep(PAUSE_S * (0.5 + random.random()))
        byte = b"%c" % (ord("a") + number % 26)
        begin = time.perf_counter()
        write(byte)
        while byte not in read():
            assert time.perf_counter() - begin < ECHO_S_MAX, "no echo"
        if number >= 0:
            took.append((time.perf_counter() - begin) * 1000)
    write(b"\n")
    while b"\n" not in read():
        pass
    return took


def ours(lab: Lab) -> list[float]:
    console: Console = lab.client.console(VM)
    try:
        return turn(lambda: console.read(ECHO_S_MAX) or b"", console.write)
    finally:
        console.close()


def by_hand(lab: Lab) -> list[float]:
    hand = Hand(lab)
    try:
        return turn(hand.read, hand.write)
    finally:
        hand.close()


def listen(lab: Lab) -> None:
    """Have the guest run `cat`: from now on its kernel echoes, and nothing else is printed."""
    console = lab.client.console(VM)
    heard = b""
    while b"ready" not in heard.replace(b"rea''dy", b""):
        console.write(b"\nstty sane; echo rea''dy; exec cat > /dev/null\n")
        for _ in range(10):
            heard += console.read(0.2) or b""
    console.close()


def p(share: float, figures: list[float]) -> float:
    return round(sorted(figures)[min(len(figures) - 1, int(share * len(figures)))], 2)


def measure(lab: Lab, turns: int) -> dict[str, float]:
    client = lab.client
    client.operations.wait(
        client.vms.create(name=VM, memory="128MiB", disks=[{"image": "guest", "pool": "shared"}]),
        timeout_s=60,
    )
    while not client.vms.get(VM).status.guest.up:
        time.sleep(0.2)
    listen(lab)
    api: list[float] = []
    hand: list[float] = []
    for number in range(turns + 1):
        one, other = ours(lab), by_hand(lab)
        print(
            f"{'warm-up' if not number else f'turn {number:2}'}   ours {statistics.median(one):.1f} ms"
            f"   by hand {statistics.median(other):.1f} ms",
            flush=True,
        )
        if number:
            api += one
            hand += other
    return {
        "echo_p50_ms": p(0.5, api),
        "echo_p99_ms": p(0.99, api),
        "by_hand_p50_ms": p(0.5, hand),
        "by_hand_p99_ms": p(0.99, hand),
        "ratio_p50": round(p(0.5, api) / p(0.5, hand), 2),
        "ratio_p99": round(p(0.99, api) / p(0.99, hand), 2),
        "bytes": len(api),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=console")
    parser.add_argument("--turns", type=int, default=8, help=f"of {TURN} bytes")
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.3", "cbench2") as lab:
        figures = measure(lab, given.turns)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
