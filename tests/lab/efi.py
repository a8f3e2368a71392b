"""A disk that UEFI boots: the test guest as one signed program, or with a signature that is broken.

Source   systemd-stub(7) for the sections; keys are Debian's "snakeoil" ones, which the firmware of the tests trusts
"""

import gzip
import json
import subprocess
from pathlib import Path

from corral.lab.guest import cpio
from corral.lab.guest.contents import gather

STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
KEY, CERTIFICATE, PASS_PHRASE = (
    "/usr/share/ovmf/PkKek-1-snakeoil.key",
    "/usr/share/ovmf/PkKek-1-snakeoil.pem",
    "snakeoil",
)
ARGUMENTS = (
    "console=ttyS0 loglevel=6 mitigations=off tsc=reliable no_timer_check random.trust_cpu=on panic=10\0"
)
DISK_BYTES = 64 * 1024**2
FIRMWARE = {
    "interface-types": ["uefi"],
    "mapping": {
        "device": "flash",
        "executable": {"filename": "/usr/share/OVMF/OVMF_CODE_4M.snakeoil.fd", "format": "raw"},
        "nvram-template": {"filename": "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd", "format": "raw"},
    },
    "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
    "features": ["secure-boot", "enrolled-keys", "requires-smm"],
}


def trust_test_keys(folder: Path) -> None:
    """Firmware that trusts the test's keys, before any other: in a host's /etc/qemu/firmware."""
    (folder / "00-snakeoil.json").write_text(json.dumps(FIRMWARE))


def signed_disk(folder: Path) -> Path:
    """The test guest on a disk, signed."""
    contents = gather()
    (folder / "linux").write_bytes(contents.kernel)
    (folder / "initrd").write_bytes(gzip.compress(cpio.archive(contents.entries), compresslevel=1))
    (folder / "cmdline").write_text(ARGUMENTS)
    sections = (("cmdline", 0x30000), ("linux", 0x2000000), ("initrd", 0x3000000))
    words = ["objcopy"]
    for name, address in sections:
        words += [
            "--add-section",
            f".{name}={folder / name}",
            "--change-section-vma",
            f".{name}={address:#x}",
        ]
    run(*words, STUB, str(folder / "unsigned.efi"))
    (folder / "key.pem").touch()
    run("openssl", "rsa", "-in", KEY, "-passin", f"pass:{PASS_PHRASE}", "-out", str(folder / "key.pem"))
    signing = ("--key", str(folder / "key.pem"), "--cert", CERTIFICATE)
    run("sbsign", *signing, "--output", str(folder / "signed.efi"), str(folder / "unsigned.efi"))
    return _disk(folder, "signed")


def unsigned_disk(folder: Path) -> Path:
    """The same program without a signature; after signed_disk()."""
    return _disk(folder, "unsigned")


def _disk(folder: Path, name: str) -> Path:
    path = folder / f"{name}.raw"
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)
    run("mkfs.vfat", str(path))
    run("mmd", "-i", str(path), "::EFI", "::EFI/BOOT")
    run("mcopy", "-i", str(path), str(folder / f"{name}.efi"), "::EFI/BOOT/BOOTX64.EFI")
    return path


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stderr}"
