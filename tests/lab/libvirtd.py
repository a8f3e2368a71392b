"""Throw-away hosts for the driver's lab tests: a namespace each, with a libvirtd of its own.

In this room   Host (one namespace, one libvirtd) and hosts(), which makes some on one bridge and removes them
Always true    the names hold our process id, so that several test runs can go on side by side;
               what is started here is ended here, by its process id
Start here     hosts()
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
migration_address = "0.0.0.0"
"""
START = """\
set -e
hostname {name}
for pair in run:/run/libvirt lib:/var/lib/libvirt etc:/etc/libvirt log:/var/log/libvirt; do
  mkdir -p ${{pair#*:}}; mount --bind {root}/${{pair%%:*}} ${{pair#*:}}
done
mkdir -p /var/cache/libvirt; mount --bind {cache} /var/cache/libvirt
mkdir -p /etc/qemu/firmware; mount --bind {root}/firmware /etc/qemu/firmware
virtlogd -d -p {root}/virtlogd.pid
echo $$ > {root}/holder.pid
exec python3 {root}/holder.py libvirtd -l -d -p {root}/libvirtd.pid
"""
HOLDER = """\
'''Keep the namespaces, take in orphans as process 1 would, and start libvirtd: now, and at each SIGUSR1.

libvirt counts a process as alive until someone has asked for its exit code.
'''
import ctypes, os, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
start = lambda *_: subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGUSR1, start)
start()
while True:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        time.sleep(0.05)
"""
REMOVE = """\
read _ # ends with whoever holds the other end, however that one ends
for file in {folder}/h*/run/qemu/*.pid {folder}/h*/*.pid; do
  [ -s "$file" ] && kill -9 "$(cat "$file")"
done
for netns in {namespaces}; do ip netns del "$netns"; done
for link in {links}; do ip link del "$link"; done
"""


def why_not() -> str:
    """Why such hosts can't be made here; empty: they can."""
    if os.geteuid() != 0:
        return "namespaces need root"
    missing = [
        p for p in ("libvirtd", "virtlogd", "qemu-system-x86_64", "ip", "unshare") if not shutil.which(p)
    ]
    return f"not installed: {', '.join(missing)}" if missing else ""


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def pid_in(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def end(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Host:
    name: str
    root: Path
    address: str

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.root}/run/libvirt-sock"

    @property
    def cache(self) -> Path:
        """What libvirtd found out about each QEMU, which takes it seconds: once for all hosts."""
        return self.root.parent / "cache"

    @property
    def files(self) -> Path:
        """The host's files, seen from outside."""
        return Path(f"/proc/{pid_in(self.root / 'holder.pid')}/root")

    def inside(self, *words: str) -> str:
        """Run a command in the host's namespaces."""
        holder = pid_in(self.root / "holder.pid")
        return run("nsenter", "-t", str(holder), "-m", "-n", "-u", *words)

    def start(self) -> None:
        for folder in ("run", "lib", "etc", "log/qemu", "firmware"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.cache.mkdir(exist_ok=True)
        (self.root / "etc/qemu.conf").write_text(QEMU_CONF)
        (self.root / "etc/libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid4()}"\nlisten_tcp = 1\nlisten_tls = 0\nauth_tcp = "none"\n'
        )
        (self.root / "holder.py").write_text(HOLDER)
        script = self.root / "start.sh"
        script.write_text(START.format(name=self.name, root=self.root, cache=self.cache))
        subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "-m", "-u", "sh", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=(self.root / "out").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.wait_for_libvirtd()

    def wait_for_libvirtd(self) -> None:
        ends = time.monotonic() + 20
        while not (self.root / "run/libvirt-sock").exists() or pid_in(self.root / "libvirtd.pid") is None:
            assert time.monotonic() < ends, (self.root / "out").read_text()
            time.sleep(0.02)

    def kill_libvirtd(self) -> None:
        pid = pid_in(self.root / "libvirtd.pid")
        end(pid)
        while pid and Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        (self.root / "libvirtd.pid").unlink(missing_ok=True)
        (self.root / "run/libvirt-sock").unlink(missing_ok=True)

    def start_libvirtd(self) -> None:
        holder = pid_in(self.root / "holder.pid")
        assert holder is not None
        os.kill(holder, signal.SIGUSR1)
        self.wait_for_libvirtd()

    def qemu_pid(self, domain: str) -> int | None:
        return pid_in(self.root / f"run/qemu/{domain}.pid")


@contextmanager
def hosts(count: int, directory: Path) -> Iterator[list[Host]]:
    """`count` hosts on one bridge, each with a bridge br0 for its guests; all gone at the end."""
    mark, third = os.getpid() % 10**6, os.getpid() % 250
    bridge = f"clb{mark}"
    made = [Host(f"clh{mark}-{n}", directory / f"h{n}", f"10.79.{third}.{n}") for n in range(1, count + 1)]
    outer = [f"cl{mark}-{n}" for n in range(count)]
    remover = _remover(directory, [host.name for host in made], [*outer, bridge])
    try:
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")
        for link, host in zip(outer, made, strict=True):
            run("ip", "netns", "add", host.name)
            run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            run("ip", "link", "set", link, "master", bridge, "up")
            run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for inner in ("eth0", "lo"):
                run("ip", "-n", host.name, "link", "set", inner, "up")
            run("ip", "-n", host.name, "link", "add", "br0", "type", "bridge")
            run("ip", "-n", host.name, "link", "set", "br0", "up")
            host.start()
        yield made
    finally:
        remover.communicate(timeout=30)


def _remover(folder: Path, namespaces: list[str], links: list[str]) -> "subprocess.Popen[bytes]":
    """A process that removes all of it once its input ends: here, or because this process was killed."""
    script = REMOVE.format(folder=folder, namespaces=" ".join(namespaces), links=" ".join(links))
    return subprocess.Popen(
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
