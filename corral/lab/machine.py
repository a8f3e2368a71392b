"""Machine: namespaces with an init of their own, which is a host as far as its programs can tell.

In this room   power on, power off (sudden), run a program inside, talk to its init
Comes in       MachinePlan: its directory, network namespace, mounts, units
Goes out       a running machine; nothing of it when it is off but its directory
Always true    power off ends all of its processes at the same moment: the kernel does, with the PID namespace
Next door      init.py is process 1 of it; lab.py decides which machines there are
Start here     Machine
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from corral.lab.host import LabFailed, Process, run, wait_for, write_whole

INIT: Final = Path(__file__).with_name("init.py")
START_S_MAX: Final = 15.0


class UnitPlan(Struct, frozen=True, kw_only=True):
    command: tuple[str, ...]
    env: dict[str, str]
    log: str


class MachinePlan(Struct, frozen=True, kw_only=True):
    name: str
    dir: Path  # where its init has socket, configuration and log
    netns: str = ""  # empty: the host's own network
    mounts: tuple[tuple[Path, Path], ...] = ()
    units: dict[str, UnitPlan] = {}


class Machine:
    def __init__(self, plan: MachinePlan) -> None:
        self.plan = plan
        self.socket = plan.dir / "init.sock"
        self.record = plan.dir / "machine.json"

    @property
    def process(self) -> Process | None:
        """The process that holds the machine's namespaces; None: it is off."""
        try:
            process = msgspec.json.decode(self.record.read_bytes(), type=Process)
        except (OSError, msgspec.MsgspecError):
            return None
        return process if process.alive else None

    @property
    def on(self) -> bool:
        return self.process is not None

    def power_on(self) -> None:
        """Start it, unless it is on; returns when its init answers.

        raises  LabFailed: it does not come up; the end of its log says why
        """
        if self.on:
            return
        config = {
            "hostname": self.plan.name,
            "node": bool(self.plan.netns),
            "mounts": [[str(a), str(b)] for a, b in self.plan.mounts],
            "socket": str(self.socket),
            "units": msgspec.to_builtins(self.plan.units),
        }
        self.socket.unlink(missing_ok=True)
        write_whole(self.plan.dir / "init.json", json.dumps(config, indent=1))
        enter = ["ip", "netns", "exec", self.plan.netns] if self.plan.netns else []
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL"]
        log_path = self.plan.dir / "init.log"
        with log_path.open("ab") as log:
            holder = subprocess.Popen(
                [*enter, *unshare, sys.executable, "-I", "-S", str(INIT), str(self.plan.dir / "init.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        write_whole(self.record, Process.of(holder.pid))

        def answers() -> bool:
            if holder.poll() is not None:
                raise LabFailed(f"{self.plan.name} does not start: {log_path.read_text()[-500:].strip()}")
            return self.socket.exists() and self._answers()

        wait_for(f"start of {self.plan.name}", answers, START_S_MAX)

    def power_off(self) -> None:
        """Like pulling the plug: nothing in it gets to say good-bye. No error when it is off."""
        process = self.process
        if process is not None:
            for pid in process.children():
                Process.of(pid).kill()  # its process 1: the kernel ends all others before that one has ended
            process.kill()
        self.record.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """Tell its init to do something.

        returns  {"units": {name: {"pid": as seen inside, "up", "starts", "status"}}}
        raises   LabFailed: the machine is off, or init refuses
        """
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(10.0)
                door.connect(str(self.socket))
                door.sendall(json.dumps({"do": do, **details}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(door.makefile().readline())
        except (OSError, ValueError) as error:
            raise LabFailed(f"{self.plan.name} is off", hint="`corral lab heal` starts it.") from error
        if "error" in answer:
            raise LabFailed(f"init of {self.plan.name} can't {do}: {answer['error']}")
        return answer

    def units(self) -> dict[str, dict[str, Any]]:
        """What runs in it, {} when it is off."""
        try:
            units: dict[str, dict[str, Any]] = self.ask("status")["units"]
        except LabFailed:
            return {}
        return units

    def start_unit(self, name: str, unit: UnitPlan) -> None:
        """Start a program that is to run from now on; no error when it runs."""
        self.ask("start", unit=name, config=msgspec.to_builtins(unit))

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the machine.

        raises  LabFailed: it is off
        """
        process = self.process
        if process is None:
            raise LabFailed(f"{self.plan.name} is off", hint=f"`corral lab heal {self.plan.name}` starts it.")
        holder = f"/proc/{process.pid}/ns"
        ours = [f"--{kind}={holder}/{kind}" for kind in ("net", "uts", "ipc")]
        ours += [f"--mount={holder}/mnt", f"--pid={holder}/pid_for_children"]
        return [
            "nsenter",
            *ours,
            f"--root=/proc/{process.pid}/root",
            "--",
            *command,
        ]  # a lab may live in a chroot

    def run(self, *command: str, timeout_s: float = 30.0) -> str:
        """Run a program in the machine and return what it prints. Raises  LabFailed: it failed"""
        return run(*self.inside(command), timeout_s=timeout_s)

    def execute(self, command: Sequence[str]) -> int:
        """Run a program in the machine on this terminal and return its exit status."""
        return subprocess.run(self.inside(command), check=False).returncode

    def _answers(self) -> bool:
        try:
            self.ask("status")
        except LabFailed:
            return False
        return True


def inherited_env() -> dict[str, str]:
    """What of this process's environment programs of the lab get: nothing that configures Corral."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "LANG", "TZ") if name in os.environ}
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", **kept}
