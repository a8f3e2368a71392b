"""Host: what the lab asks of the Linux it runs on: programs, processes, files that are whole.

In this room   run(), a program that must succeed; Process, one that is known again for sure; locked(), one at a time
Always true    a process is known by its number, its start and the boot: never by a name, so no other one is killed
Next door      machine.py, wires.py
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from corral.errors import CorralError


class LabFailed(CorralError):
    """The lab could not be made or changed as asked."""

    code = "lab.failed"


class LabNeedsRoot(CorralError):
    """Namespaces, bridges and mounts are root's."""

    code = "lab.needs_root"
    status = 403


def run(*command: str | Path, given: str = "", timeout_s: float = 30.0) -> str:
    """Run a program and return what it prints.

    raises  LabFailed: it is missing, failed, or did not end in time
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise LabFailed(
            f"{words[0]} is not installed", hint="`make setup` installs what a lab needs."
        ) from None
    except subprocess.TimeoutExpired:
        raise LabFailed(f"{' '.join(words)} did not end within {timeout_s:g} s") from None
    if done.returncode:
        raise LabFailed(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class Process(Struct, frozen=True, kw_only=True):
    """A process, as it can be told from every other one."""

    pid: int
    started: int  # clock ticks after the boot
    boot: str  # which boot of the machine

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Raises  LabFailed: there is no such process"""
        if (stat := _stat(pid)) is None:
            raise LabFailed(f"process {pid} has ended")
        return cls(pid=pid, started=stat[2], boot=_boot())

    @property
    def alive(self) -> bool:
        stat = _stat(self.pid)
        return stat is not None and stat[0] not in "ZX" and stat[2] == self.started and self.boot == _boot()

    def children(self) -> list[int]:
        stats = ((int(p.name), _stat(int(p.name))) for p in Path("/proc").iterdir() if p.name.isdigit())
        return [pid for pid, stat in stats if stat is not None and stat[1] == self.pid]

    def kill(self, timeout_s: float = 10.0) -> None:
        """SIGKILL it and wait until it has ended.

        raises  LabFailed: it lives still after `timeout_s`
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive:  # looked at after the handle was opened: it can't be another one now
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], timeout_s)[0]:
                raise LabFailed(f"process {self.pid} does not end")
        finally:
            os.close(handle)


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start time of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_whole(path: Path, content: Struct | str) -> None:
    """Write a file so that readers see the old or the new one, never half of it."""
    text = content if isinstance(content, str) else msgspec.json.format(msgspec.json.encode(content).decode())
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.rename(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one command at a time change a lab; the file goes with the lab's directory."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_for(what: str, true: Callable[[], bool], timeout_s: float) -> None:
    """Look until it is so.

    raises  LabFailed: it is not so after `timeout_s`
    """
    end_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > end_s:
            raise LabFailed(f"{what} took longer than {timeout_s:g} s")
        time.sleep(0.02)


def need_root() -> None:
    if os.geteuid() != 0:
        raise LabNeedsRoot(
            "a lab needs root: it makes namespaces, bridges and mounts",
            hint="Use sudo; or `corral server --demo`, which simulates its nodes and needs no rights.",
        )
