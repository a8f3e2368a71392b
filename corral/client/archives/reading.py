"""Reading: an archive of unknown origin, looked at before a byte of it is used.

In this room   Archive: its description, and where each disk is in the file
Comes in       a path
Goes out       ArchivedVM; slices of the file; BadArchive
Always true    nothing is unpacked: files are read where they lie in the archive, so no name in it can lead anywhere. Each
               disk has the size and checksum that the archive promises before it is offered to anyone.
Next door      contents.py, ovf.py
Start here     Archive.open()
"""

import re
import tarfile
from collections.abc import Callable, Iterator
from hashlib import new as new_hash
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from corral.client.archives.contents import MANIFEST, ArchivedVM, BadArchive, decode_manifest
from corral.client.archives.ovf import parse_ovf
from corral.errors import Invalid

Progress = Callable[[str, int, int], None]
FILES_MAX: Final = 64
TEXT_BYTES_MAX: Final = 1024 * 1024  # of a description or a list of checksums
PIECE_BYTES: Final = 1024 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. ()+-]{0,199}")
LINE: Final = re.compile(r"(SHA1|SHA256|SHA512)\s*\(([^)]+(?:\)[^)=]+)?)\)\s*=\s*([0-9a-fA-F]+)")


class Slice(Struct, frozen=True):
    """A file in the archive."""

    path: Path
    name: str
    offset: int
    size_bytes: int
    sha256: str = ""  # once it was read

    def pieces(self) -> Iterator[bytes]:
        """All of it. raises BadArchive: the archive ends before"""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.size_bytes
            while left:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise BadArchive(f"the archive ends in the middle of {self.name}")
                left -= len(piece)
                yield piece


class Archive(Struct, frozen=True):
    """An archive that was checked."""

    vm: ArchivedVM
    disks: tuple[Slice, ...]  # in the VM's order

    @classmethod
    def open(cls, path: Path, progress: Progress = lambda what, done, size: None) -> "Archive":
        """Raises  Invalid: it can't be read; BadArchive"""
        files = _files(path)
        promised: dict[str, tuple[str, str]] = {}
        if MANIFEST in files:
            manifest = decode_manifest(_text(files[MANIFEST]))
            vm, sizes = manifest.vm, {file.name: file.size_bytes for file in manifest.files}
            promised = {file.name: ("SHA256", file.sha256) for file in manifest.files}
            if lacking := [disk.file for disk in vm.disks if disk.file not in promised]:
                raise BadArchive(f"{MANIFEST} has no checksum of {lacking[0]}")
            for name, size in sizes.items():
                if name in files and files[name].size_bytes != size:
                    raise BadArchive(f"{name} has {files[name].size_bytes} bytes, and {size} were promised")
        else:
            vm = parse_ovf(_text(_only(files, ".ovf", path)))
            promised = _checksums(files)
        if missing := [disk.file for disk in vm.disks if disk.file not in files]:
            raise BadArchive(f"{missing[0]} is named, and is not in the archive")
        wanted = dict.fromkeys((*promised, *(disk.file for disk in vm.disks)))
        checked = {
            name: _checked(files[name], promised.get(name), progress) for name in wanted if name in files
        }
        return cls(vm, tuple(checked[disk.file] for disk in vm.disks))


def _files(path: Path) -> dict[str, Slice]:
    """Regular files with plain names, each once."""
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            members = [member for member, _ in zip(tar, range(FILES_MAX + 1), strict=False)]
    except OSError as error:
        raise Invalid("file", path, "a file that can be read", hint=error.strerror or "") from None
    except tarfile.TarError as error:
        raise BadArchive(f"{path.name} is no archive of a VM: {error}") from None
    if len(members) > FILES_MAX:
        raise BadArchive(f"the archive has more than {FILES_MAX} files")
    files: dict[str, Slice] = {}
    for member in members:
        name = member.name.removeprefix("./")
        if not member.isreg() or member.issparse() or not NAME.fullmatch(name):
            raise BadArchive(f"the archive holds {member.name[:80]!r}, which is no plain file of it")
        if name in files:
            raise BadArchive(f"the archive holds {name} twice")
        if member.offset_data + member.size > size:
            raise BadArchive(f"the archive ends in the middle of {name}", hint="Copy or download it again.")
        files[name] = Slice(path, name, member.offset_data, member.size)
    return files


def _only(files: dict[str, Slice], suffix: str, path: Path) -> Slice:
    found = [file for name, file in files.items() if name.endswith(suffix)]
    if len(found) != 1:
        raise BadArchive(f"{path.name} has neither {MANIFEST} nor exactly one {suffix}")
    return found[0]


def _text(file: Slice) -> bytes:
    if file.size_bytes > TEXT_BYTES_MAX:
        raise BadArchive(f"{file.name} is too large for a description")
    return b"".join(file.pieces())


def _checksums(files: dict[str, Slice]) -> dict[str, tuple[str, str]]:
    """Kind and checksum by name, from the .mf of an OVA, if there is one."""
    found = [file for name, file in files.items() if name.endswith(".mf")]
    if not found:
        return {}
    lines = _text(found[0]).decode(errors="replace").splitlines()
    matches = [LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    if not all(matches):
        raise BadArchive(f"{found[0].name} has lines that are no checksums")
    promised = {match[2]: (match[1], match[3]) for match in matches if match}
    if missing := [name for name in promised if name not in files]:
        raise BadArchive(f"{missing[0]} is promised, and is not in the archive")
    return promised


def _checked(file: Slice, promised: tuple[str, str] | None, progress: Progress) -> Slice:
    """With its SHA-256. raises BadArchive: it is not what was promised"""
    kind, wanted = promised or ("SHA256", "")
    ours, theirs, done = sha256(), new_hash(kind.lower(), usedforsecurity=False), 0
    for piece in file.pieces():
        ours.update(piece)
        theirs.update(piece)
        done += len(piece)
        progress("checksum", done, file.size_bytes)
    if wanted and theirs.hexdigest() != wanted.lower():
        raise BadArchive(
            f"{file.name} has another checksum than promised",
            hint="The archive was damaged on its way: copy or download it again.",
        )
    return Slice(file.path, file.name, file.offset, file.size_bytes, ours.hexdigest())
