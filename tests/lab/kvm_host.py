"""A host in which KVM works: a guest in software emulation whose CPU has SVM, on this machine's own file system.

Nothing is installed in it: it sees all files of this machine through virtiofs, read-only, and writes into its memory. So it
has this machine's programs, and the kernel of Debian with all of its modules: KVM, VLANs, USB and VFIO, which the kernel of
a test machine may lack. It has an IOMMU, so that devices given to it can be handed on to a guest.
"""

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from corral.lab.guest import contents, cpio

VIRTIOFSD: Final = "/usr/lib/qemu/virtiofsd"
MEMORY_MIB: Final = 2560  # its files are in memory too; with too little it reads its programs again and again
MODULES: Final = (
    "virtio_pci",
    "virtiofs",
    "overlay",
)  # until there is a file system; the others come from it
INIT: Final = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod $module; done
mount -t virtiofs -o ro host /lower
mount -t tmpfs -o size=100% tmpfs /upper
mkdir /upper/new /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/new,workdir=/upper/work overlay /root
cp /start /root/run/../corral-start
exec switch_root /root /bin/sh /corral-start
"""
START: Final = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run; mkdir -p /run/lock /run/netns
mount -t cgroup2 cgroup /sys/fs/cgroup
hostname kvm1; ip link set lo up
modprobe -a kvm-amd tun bridge virtio_net virtio_rng vfio-pci nvme xhci_pci usb_storage sd_mod
stty -echo -onlcr
export PS1= PS2=
echo up-and-ready
sh  # a child: process 1 waits for it, and for each process that has lost its parent
"""


class KvmHost:
    """Booted when the block is entered, gone when it is left. `run()` is a root shell on its console.

    devices  more of them, as QEMU's own options
    """

    def __init__(self, directory: Path, *, tap: str = "", devices: Sequence[str] = ()) -> None:
        self._directory, self._tap, self._devices, self._said = directory, tap, devices, b""
        self._socket = directory / "files"
        self._number = 0

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        (self._directory / "initrd").write_bytes(initrd())
        with ExitStack() as ends:
            files = ends.enter_context(self._process(VIRTIOFSD, "-f", *self._shared()))
            while not self._socket.exists():
                assert files.poll() is None, self._log("virtiofsd").read_text()
                time.sleep(0.01)
            self._qemu = ends.enter_context(self._process(*self._command(), stdin=True))
            ends.callback(lambda: self._log("console").write_bytes(self._said))
            self._until(re.compile(rb"^up-and-ready\n", re.MULTILINE), 0, timeout_s=90)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @contextmanager
    def _process(self, *words: str, stdin: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Killed when the block is left."""
        with self._log(Path(words[0]).name).open("w") as log:
            pipe = subprocess.PIPE
            streams = (
                {"stdin": pipe, "stdout": pipe} if stdin else {"stdin": subprocess.DEVNULL, "stdout": log}
            )
            process = subprocess.Popen(words, stderr=log, **streams)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> str:
        """What the command says; its status is 0 if that is checked."""
        self._number += 1
        mark = f"end-{self._number}-"
        begun = len(self._said)
        assert self._qemu.stdin
        self._qemu.stdin.write(f"{command}\nstatus=$?; echo; echo {mark}$status-\n".encode())
        self._qemu.stdin.flush()
        end = self._until(re.compile(rf"^{mark}(\d+)-".encode(), re.MULTILINE), begun, timeout_s)
        output = self._said[begun : end.start()].decode(errors="replace").replace("\r", "")
        assert not check or end[1] == b"0", f"{command}: status {end[1].decode()}\n{output}"
        return output

    def _until(self, what: re.Pattern[bytes], begun: int, timeout_s: float) -> re.Match[bytes]:
        assert self._qemu.stdout
        deadline = time.monotonic() + timeout_s
        while not (found := what.search(self._said, begun)):
            left = deadline - time.monotonic()
            assert left > 0 and self._qemu.poll() is None, self._said[-4000:].decode(errors="replace")
            if select.select([self._qemu.stdout], [], [], min(left, 1.0))[0]:
                self._said += os.read(self._qemu.stdout.fileno(), 1 << 16)
        return found

    def _log(self, program: str) -> Path:
        return self._directory / f"{program}.log"

    def _shared(self) -> list[str]:
        return [f"--socket-path={self._socket}", "-o", "source=/,cache=always,sandbox=chroot,xattr"]

    def _command(self) -> list[str]:
        nic = [
            "-netdev", f"tap,id=n,ifname={self._tap},script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=n,romfile=",
        ]  # fmt: skip
        return [
            "nice", "-n", "-5",  # the trial of KVM in it has 5 s, whatever else runs on this machine
            "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=256", "-machine", "q35,memory-backend=m",
            "-cpu", "qemu64,+svm,+npt", "-m", str(MEMORY_MIB),
            "-smp", "1",  # of two, one that ran a guest was seen to answer the other's interrupts no more: a soft lockup
            "-object", f"memory-backend-memfd,id=m,size={MEMORY_MIB}M,share=on",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", str(contents.newest_kernel(small=False)), "-initrd", str(self._directory / "initrd"),
            "-append", "console=ttyS0 quiet mitigations=off tsc=reliable no_timer_check random.trust_cpu=on nokaslr "
            "intel_iommu=on iommu=pt",
            "-device", "intel-iommu,intremap=on,caching-mode=on",
            "-chardev", f"socket,id=f,path={self._socket}", "-device", "vhost-user-fs-pci,chardev=f,tag=host,queue-size=1024",
            *(nic if self._tap else []), *self._devices,
        ]  # fmt: skip


def initrd() -> bytes:
    """The first file system: as much as it takes to reach the real one."""
    release = contents.newest_kernel(small=False).name.removeprefix("vmlinuz-")
    paths = module_files(release)
    entries = {d: cpio.directory() for d in ("bin", "proc", "dev", "lower", "upper", "root")}
    entries |= {"bin/busybox": cpio.file(Path("/bin/busybox").read_bytes(), 0o755)}
    entries |= {f"lib/{path.name}": cpio.file(path.read_bytes()) for path in paths}
    entries |= {"modules": cpio.file("".join(f"/lib/{path.name}\n" for path in paths).encode())}
    entries |= {"init": cpio.file(INIT.encode(), 0o755), "start": cpio.file(START.encode())}
    entries |= {"dev/console": cpio.character_device(5, 1), "dev/null": cpio.character_device(1, 3)}
    return cpio.archive(entries)


def module_files(release: str) -> list[Path]:
    """Of MODULES and what they need, in the order in which they are loaded."""
    found: dict[str, None] = {}
    for module in MODULES:
        shown = subprocess.run(
            ["modprobe", "-S", release, "--show-depends", module], capture_output=True, text=True, check=True
        ).stdout
        found |= {line.split()[1]: None for line in shown.splitlines() if line.startswith("insmod")}
    return [Path(path) for path in found]
