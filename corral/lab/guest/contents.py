"""Contents: what is in the test guest, gathered from the packages of this machine.

In this room   the list of programs, libraries, modules and scripts; reads files, changes nothing
Goes out       Contents: the kernel, and the entries of its first file system
Always true    what is missing is named together with the package that has it
Next door      files/ has the scripts; cpio.py packs, disk.py makes it bootable
Start here     gather()
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from msgspec import Struct

from corral.errors import CorralError
from corral.lab.guest import cpio

SCRIPTS: Final = Path(__file__).parent / "files"
PROGRAMS: Final = {  # place in the guest: (file here, its package)
    "bin/busybox": ("/bin/busybox", "busybox-static"),
    "usr/sbin/qemu-ga": ("/usr/sbin/qemu-ga", "qemu-guest-agent"),
    "usr/sbin/dropbear": ("/usr/sbin/dropbear", "dropbear-bin"),
}
PLACES: Final = {  # place in the guest: (script in files/, permissions)
    "etc/inittab": ("inittab.conf", 0o644),
    "etc/rc": ("rc.sh", 0o755),
    "etc/seed": ("seed.sh", 0o644),
    "etc/cloud-config.awk": ("cloud-config.awk", 0o644),
    "etc/network": ("network.sh", 0o755),
    "etc/network-config.awk": ("network-config.awk", 0o644),
    "etc/dhcp": ("dhcp.sh", 0o755),
    "etc/agent": ("agent.sh", 0o755),
    "etc/power": ("power.sh", 0o755),
    "etc/plugged": ("plugged.sh", 0o755),
    "sbin/shutdown": ("shutdown.sh", 0o755),
    "usr/sbin/chpasswd": ("chpasswd.sh", 0o755),
    "bin/count": ("count.sh", 0o755),
    "bin/write-memory": ("write-memory.sh", 0o755),
}
TEXTS: Final = {
    "etc/passwd": ("root:x:0:0:root:/root:/bin/sh\n", 0o644),
    "etc/group": ("root:x:0:\n", 0o644),
    "etc/shadow": ("root:*:19000:0:99999:7:::\n", 0o600),  # no password until the seed gives one
    "etc/shells": ("/bin/sh\n", 0o644),
    "etc/os-release": ('NAME="Corral test guest"\nID=corral-guest\nPRETTY_NAME="Corral test guest"\n', 0o644),
    "etc/nsswitch.conf": ("passwd: files\nshadow: files\ngroup: files\nhosts: files dns\n", 0o644),
}
DIRECTORIES: Final = (
    "dev",
    "etc/dropbear",
    "mnt",
    "proc",
    "root/.ssh",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "var/log",
)
FIRST: Final = (  # modules that each start needs
    "virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio-rng", "isofs", "button", "evdev", "virtio_balloon",
    "virtio_mem",
)  # fmt: skip
THEN: Final = ("virtio_scsi", "ata_piix", "sd_mod", "sr_mod")  # only when the seed is on no virtio disk
EPOCH: Final = 946684800  # 2000-01-01, Unix time: the date of everything, so that images can be compared


class GuestImageFailed(CorralError):
    """The test guest's image can't be built here."""

    code = "lab.guest_image"


class Contents(Struct, frozen=True, kw_only=True):
    """What the image is made of."""

    kernel: bytes
    entries: dict[str, cpio.Entry]


def gather(kernel: Path | None = None, more: tuple[str, ...] = ()) -> Contents:
    """Everything that goes into the image.

    kernel  another one than the small one; more: modules that it loads as well
    raises  GuestImageFailed: a package is missing
    """
    kernel = kernel or newest_kernel()
    release = kernel.name.removeprefix("vmlinuz-")
    entries = {path: cpio.directory() for path in DIRECTORIES}
    entries |= {
        "root": cpio.directory(0o700),
        "root/.ssh": cpio.directory(0o700),
        "tmp": cpio.directory(0o1777),
    }
    entries |= {"dev/console": cpio.character_device(5, 1), "dev/null": cpio.character_device(1, 3)}
    entries |= {place: cpio.file(text.encode(), mode) for place, (text, mode) in TEXTS.items()}
    entries |= {
        place: cpio.file((SCRIPTS / name).read_bytes(), mode) for place, (name, mode) in PLACES.items()
    }
    for place, (path, package) in PROGRAMS.items():
        entries |= {place: cpio.file(read(path, package), 0o755)} | libraries(path)
    return Contents(kernel=kernel.read_bytes(), entries=applets() | entries | modules(release, more))


def read(path: str | Path, package: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise GuestImageFailed(
            f"the test guest needs {path}: {error.strerror}",
            hint=f"apt-get install {package}",
            path=str(path),
        ) from error


def run(*words: str, package: str) -> str:
    """The output of a command. raises GuestImageFailed: it is missing or fails"""
    try:
        same = {"SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "UTC", "LC_ALL": "C"}
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=os.environ | same)
    except OSError as error:
        raise GuestImageFailed(
            f"{words[0]} can't be run: {error.strerror}", hint=f"apt-get install {package}", command=words[0]
        ) from error
    if done.returncode:
        raise GuestImageFailed(f"{' '.join(words)} failed: {done.stderr.strip()}", command=words[0])
    return done.stdout


def newest_kernel(*, small: bool = True) -> Path:
    """Of those with modules; the small cloud kernel before others, or after them."""
    kernels = [
        k for k in Path("/boot").glob("vmlinuz-*") if modules_of(k.name.removeprefix("vmlinuz-")).is_dir()
    ]
    if not kernels:
        raise GuestImageFailed("there is no kernel in /boot", hint="apt-get install linux-image-cloud-amd64")
    return max(
        kernels, key=lambda k: (("cloud" in k.name) == small, [int(n) for n in re.findall(r"\d+", k.name)])
    )


def modules_of(release: str) -> Path:
    return Path("/lib/modules", release)


def modules(release: str, more: tuple[str, ...] = ()) -> dict[str, cpio.Entry]:
    """Modules, and the two lists of them in the order in which they can be loaded."""
    first = _ordered(release, FIRST + more)
    then = [path for path in _ordered(release, THEN) if path not in first]
    entries = {f"lib/modules/{path.name}": cpio.file(path.read_bytes()) for path in [*first, *then]}
    for name, paths in (("first", first), ("then", then)):
        entries[f"etc/modules.{name}"] = cpio.file("".join(f"{path.name}\n" for path in paths).encode())
    return entries


def _ordered(release: str, names: tuple[str, ...]) -> list[Path]:
    """Files of these modules and of what they need, needed ones first. What is built in has none."""
    paths: dict[Path, None] = {}
    for name in names:
        said = run("modprobe", "-S", release, "--show-depends", name, package="kmod")
        paths |= {Path(line.split()[1]): None for line in said.splitlines() if line.startswith("insmod ")}
    return list(paths)


def libraries(program: str) -> dict[str, cpio.Entry]:
    """Shared libraries that a program is linked to; none for a static one."""
    try:
        said = run("ldd", program, package="libc-bin")
    except GuestImageFailed:  # "not a dynamic executable"
        return {}
    paths = re.findall(r"(/\S+) \(0x", said)
    return {path.lstrip("/"): cpio.file(Path(path).read_bytes(), 0o755) for path in paths}


def applets() -> dict[str, cpio.Entry]:
    """Links to BusyBox by the names of its commands, and the program that the kernel starts."""
    names = run("/bin/busybox", "--list-full", package="busybox-static").split()
    return {name: cpio.link("/bin/busybox") for name in names} | {"init": cpio.link("/bin/busybox")}
