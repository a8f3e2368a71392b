"""Init: process 1 of a machine of the lab. Mounts, starts its units, restarts those that die.

In this room   what a real host has systemd for. Runs alone, on the standard library: it is started by its path
Comes in       a JSON file (InitConfig), then requests on a socket: one JSON line each, answered by one
Goes out       running units; {"units": {name: {"pid", "up", "starts", "status"}}}
Always true    every process of the machine descends from this one: with it dies the machine, at once and whole
Next door      machine.py starts and kills it, and talks to it
Start here     main()
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

RESTART_S = 0.2  # as RestartSec of the units in packaging/systemd
RESTART_S_MAX = 5.0  # for a unit that dies again and again


class UnitConfig(TypedDict):
    command: list[str]
    env: dict[str, str]
    log: str


class InitConfig(TypedDict):
    hostname: str
    node: bool  # has mounts and a /run of its own; the server's machine is the host with its own processes
    mounts: list[list[str]]
    socket: str
    units: dict[str, UnitConfig]


class Unit:
    """A program that is to run, and its process."""

    def __init__(self, config: UnitConfig) -> None:
        self.config = config
        self.pid, self.starts, self.status = 0, 0, 0
        self.wanted = True
        self.started_s, self.due_s, self.delay_s = 0.0, 0.0, RESTART_S

    def start(self) -> None:
        """Start it, in a session of its own: what it leaves behind when killed stays (guests, DHCP)."""
        with Path(self.config["log"]).open("ab") as log:
            process = subprocess.Popen(
                self.config["command"],
                env=self.config["env"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        self.pid, self.starts, self.started_s = process.pid, self.starts + 1, time.monotonic()
        process.returncode = 0  # main() reaps it

    def died(self, status: int) -> None:
        lived_s = time.monotonic() - self.started_s
        self.pid, self.status = 0, status
        self.delay_s = RESTART_S if lived_s > 2.0 else min(self.delay_s * 2, RESTART_S_MAX)
        self.due_s = time.monotonic() + self.delay_s

    @property
    def shown(self) -> dict[str, Any]:
        return {"pid": self.pid, "up": self.pid > 0, "starts": self.starts, "status": self.status}


class Init:
    def __init__(self, config: InitConfig) -> None:
        self.units = {name: Unit(unit) for name, unit in config["units"].items()}
        self.selector = selectors.DefaultSelector()
        self.door = socket.socket(socket.AF_UNIX)
        Path(config["socket"]).unlink(missing_ok=True)
        self.door.bind(config["socket"])
        self.door.listen(8)
        self.selector.register(self.door, selectors.EVENT_READ)
        awake, self.waker = socket.socketpair()
        awake.setblocking(False)
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(awake, selectors.EVENT_READ)
        self.awake = awake

    def run(self) -> None:
        while True:
            self.start_due()
            for key, _ in self.selector.select(timeout=0.05 if self.someone_due() else None):
                if key.fileobj is self.door:
                    self.serve()
                else:
                    with contextlib.suppress(BlockingIOError):
                        self.awake.recv(4096)
            self.reap()

    def someone_due(self) -> bool:
        return any(u.wanted and not u.pid for u in self.units.values())

    def start_due(self) -> None:
        for unit in self.units.values():
            if unit.wanted and not unit.pid and time.monotonic() >= unit.due_s:
                unit.start()

    def reap(self) -> None:
        """Take leave of every child that ended: units, and orphans that became ours."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                for unit in self.units.values():
                    if unit.pid == ended[0]:
                        unit.died(ended[1])

    def serve(self) -> None:
        connection, _ = self.door.accept()
        with connection:
            connection.settimeout(5.0)
            try:
                request = json.loads(connection.makefile().readline())
                answer = self.answer(request)
            except (OSError, ValueError, KeyError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "start":  # give it a command line, or the one it had
                name = request["unit"]
                if "config" in request and not (name in self.units and self.units[name].pid):
                    self.units[name] = Unit(request["config"])
                self.units[name].wanted, self.units[name].due_s = True, 0.0
                self.start_due()
            case "stop":  # end it and leave it ended
                unit = self.units[request["unit"]]
                unit.wanted = False
                self.signal(unit, request.get("signal", signal.SIGTERM))
            case "kill":  # it starts again by itself
                self.signal(self.units[request["unit"]], request.get("signal", signal.SIGKILL))
        return {"units": {name: unit.shown for name, unit in self.units.items()}}

    def signal(self, unit: Unit, number: int) -> None:
        if unit.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(unit.pid, number)


def mount_all(config: InitConfig) -> None:
    """The node's own view of the file system; nothing of it is seen outside its mount namespace."""
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    if not config["node"]:
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=64m", "tmpfs", "/run"], check=True)
    Path("/run/lock").mkdir()  # where libvirt locks consoles
    if "hugetlbfs" in Path("/proc/filesystems").read_text():
        Path("/run/hugepages").mkdir()  # libvirt finds it when it starts
        subprocess.run(["mount", "-t", "hugetlbfs", "hugetlbfs", "/run/hugepages"], check=True)
    for source, target in config["mounts"]:
        subprocess.run(["mount", "--bind", source, target], check=True)
    socket.sethostname(config["hostname"])


def main() -> None:
    config: InitConfig = json.loads(Path(sys.argv[1]).read_text())
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    try:
        mount_all(config)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)} failed")  # what mount itself says stands above it in the log
    Init(config).run()


if __name__ == "__main__":
    main()
