"""Disk: make a kernel and its first file system bootable by BIOS, without root and without mounting anything.

In this room   one FAT partition with SYSLINUX on it, in a qcow2
Next door      build.py
Start here     make_disk()
"""

import os
import struct
from pathlib import Path
from typing import Final

from corral.lab.guest.contents import EPOCH, read, run

MiB: Final = 1024**2
PARTITION_AT: Final = MiB
SECTOR: Final = 512
FAT_LBA: Final = 0x0E
BOOT_CODE: Final = "/usr/lib/syslinux/mbr/mbr.bin"
ARGUMENTS: Final = (  # each of them shortens the boot without KVM
    "console=ttyS0 quiet loglevel=3 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on nokaslr "
    "net.ifnames=0 panic=10 "
    "memhp_default_state=online memory_hotplug.online_policy=auto-movable "  # what is plugged in is used
    "swiotlb=512"  # 1 MiB; room for memory hotplug above 4 GiB makes Linux set 64 MiB aside
)
SYSLINUX: Final = f"""SERIAL 0 115200
DEFAULT corral
LABEL corral
  KERNEL vmlinuz
  INITRD initrd
  APPEND {ARGUMENTS}
"""


def make_disk(kernel: bytes, initrd: bytes, path: Path, scratch: Path) -> None:
    """Write a bootable qcow2 to `path`; `scratch` is an empty directory for what lies between."""
    files = {"vmlinuz": kernel, "initrd": initrd, "syslinux.cfg": SYSLINUX.encode()}
    for name, content in files.items():
        (scratch / name).write_bytes(content)
    size_bytes = PARTITION_AT + (sum(map(len, files.values())) // MiB + 5) * MiB
    raw = scratch / "disk.raw"
    raw.write_bytes(boot_sector(size_bytes))
    os.truncate(raw, size_bytes)
    blocks = str((size_bytes - PARTITION_AT) // 1024)
    offset = str(PARTITION_AT // SECTOR)
    mkfs = (
        "mkfs.vfat",
        "-F",
        "12",
        "-s",
        "64",
        "-n",
        "CORRAL",
        "--invariant",
        "--offset",
        offset,
        str(raw),
        blocks,
    )
    run(*mkfs, package="dosfstools")
    _copy(raw, [scratch / name for name in files])
    run("syslinux", "--install", "--offset", str(PARTITION_AT), str(raw), package="syslinux")
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path), package="qemu-utils")


def boot_sector(size_bytes: int) -> bytes:
    """An MBR with boot code and one active partition from PARTITION_AT to the end."""
    code = read(BOOT_CODE, "syslinux-common")
    first, sectors = PARTITION_AT // SECTOR, (size_bytes - PARTITION_AT) // SECTOR
    everywhere = b"\xfe\xff\xff"  # cylinder, head and sector: "see the numbers that follow"
    entry = struct.pack("<B3sB3sII", 0x80, everywhere, FAT_LBA, everywhere, first, sectors)
    return code.ljust(446, b"\0")[:446] + entry + bytes(48) + b"\x55\xaa"


def _copy(raw: Path, files: list[Path]) -> None:
    for file in files:
        os.utime(file, (EPOCH, EPOCH))
    run("mcopy", "-m", "-i", f"{raw}@@{PARTITION_AT}", *map(str, files), "::", package="mtools")
