"""Firmware: which UEFI files a host has, from QEMU's firmware descriptors.

In this room   reading of the descriptors (JSON files that distributions ship), and the choice among them
Comes in       `root`, which is / but for tests; architecture and machine
Goes out       FirmwareFiles for plain UEFI and for Secure Boot
Always true    the first descriptor by file name that fits is taken, as QEMU's specification says, so that equal
               hosts choose equally; a file in /etc hides the one of the same name in /usr
Next door      docs/interop/firmware.json in QEMU's sources describes the format
Start here     find_firmware()
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from corral.hypervisor.libvirt.host_profile import FirmwareFiles

FOLDERS: Final = ("usr/share/qemu/firmware", "etc/qemu/firmware")  # later ones count more
ENROLLED: Final = frozenset({"secure-boot", "enrolled-keys", "requires-smm"})


class _File(Struct, frozen=True):
    filename: str = ""
    format: str = "raw"


class _Mapping(Struct, frozen=True):
    device: str = ""
    mode: str = "split"
    executable: _File = _File()
    template: _File = field(default_factory=_File, name="nvram-template")


class _Target(Struct, frozen=True):
    architecture: str = ""
    machines: tuple[str, ...] = ()


class Descriptor(Struct, frozen=True):
    """What is used of one."""

    mapping: _Mapping
    interfaces: tuple[str, ...] = field(default=(), name="interface-types")
    targets: tuple[_Target, ...] = ()
    features: frozenset[str] = frozenset()


def find_firmware(
    root: Path, architecture: str, machine: str
) -> tuple[FirmwareFiles | None, FirmwareFiles | None]:
    """Blocking. For plain UEFI and for Secure Boot; None: there is none, or its files are missing."""
    fitting = [d for d in read_descriptors(root) if _fits(d, architecture, machine) and _is_there(root, d)]
    plain = (d for d in fitting if not d.features & ENROLLED)
    secure = (d for d in fitting if d.features >= ENROLLED)
    return _files(next(plain, None)), _files(next(secure, None))


def read_descriptors(root: Path) -> Iterator[Descriptor]:
    """In the order of their names. One that can't be read is left out: it would not start a VM either."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        found |= {path.name: path for path in _json_files(root / folder)}
    for _, path in sorted(found.items()):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Descriptor)
        except (OSError, msgspec.MsgspecError):
            continue


def _json_files(folder: Path) -> Iterable[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".json"]
    except OSError:
        return []


def _fits(descriptor: Descriptor, architecture: str, machine: str) -> bool:
    mapping = descriptor.mapping
    return (
        "uefi" in descriptor.interfaces
        and (mapping.device, mapping.mode) == ("flash", "split")
        and mapping.executable.format == mapping.template.format == "raw"
        and any(
            target.architecture == architecture
            and any(fnmatchcase(machine, pattern) for pattern in target.machines)
            for target in descriptor.targets
        )
    )


def _is_there(root: Path, descriptor: Descriptor) -> bool:
    files = (descriptor.mapping.executable, descriptor.mapping.template)
    return all((root / file.filename.lstrip("/")).is_file() for file in files)


def _files(descriptor: Descriptor | None) -> FirmwareFiles | None:
    if descriptor is None:
        return None
    return FirmwareFiles(descriptor.mapping.executable.filename, descriptor.mapping.template.filename)
