"""Archives: what is written can be read, and what lies is refused before anything is made of it."""

import io
import tarfile
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path

import msgspec
import pytest

from corral.client.archives.contents import (
    MANIFEST,
    ArchivedDisk,
    ArchivedFile,
    ArchivedNic,
    ArchivedVM,
    BadArchive,
    Manifest,
    hardware_of,
)
from corral.client.archives.ovf import build_ovf, parse_ovf
from corral.client.archives.reading import FILES_MAX, TEXT_BYTES_MAX, Archive
from corral.client.archives.writing import ArchiveFailed, writing
from corral.errors import Invalid
from corral.model.hardware import Firmware, GuestKind, Hardware, Pinning
from corral.model.units import GiB, MiB

DISK = b"disk" * 5000
WEB = ArchivedVM(
    name="web",
    cpus=2,
    memory_bytes=512 * MiB,
    disks=(ArchivedDisk(file="web-disk0.qcow2", size_bytes=GiB, bus="virtio"),),
    nics=(ArchivedNic(network="lan", model="e1000e"),),
)
Members = list[tuple[str, bytes]]


def manifest(vm: ArchivedVM = WEB, content: bytes = DISK, size: int | None = None) -> bytes:
    file = ArchivedFile(
        name="web-disk0.qcow2",
        size_bytes=len(content) if size is None else size,
        sha256=sha256(content).hexdigest(),
    )
    return msgspec.json.encode(Manifest(vm=vm, files=(file,)))


def packed(
    path: Path, members: Members, change: Callable[[tarfile.TarInfo], None] = lambda info: None
) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            tar.addfile(info, io.BytesIO(content))
    return path


def native(path: Path, *more: tuple[str, bytes], document: bytes | None = None, disk: bytes = DISK) -> Path:
    return packed(path, [("web-disk0.qcow2", disk), (MANIFEST, document or manifest()), *more])


class Stream:
    def __init__(self, content: bytes, size: int | None = None, sha: str = "") -> None:
        self._content, self.sha256 = io.BytesIO(content), sha
        self.size_bytes = len(content) if size is None else size

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "web.corral"
    with writing(path) as writer:
        writer.disk("web-disk0.qcow2", Stream(DISK, sha=sha256(DISK).hexdigest()))
        document = msgspec.json.encode(Manifest(vm=WEB, files=tuple(writer.files)))
        writer.text(MANIFEST, document)
    archive = Archive.open(path)
    assert archive.vm == WEB and b"".join(archive.disks[0].pieces()) == DISK
    assert archive.disks[0].sha256 == sha256(DISK).hexdigest()
    assert path.stat().st_mode & 0o077 == 0, "a disk holds secrets"
    assert [p.name for p in tmp_path.iterdir()] == ["web.corral"]
    with pytest.raises(Invalid), writing(path):
        pass


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(Stream(DISK, size=len(DISK) + 1), id="it broke off"),
        pytest.param(Stream(DISK, sha="0" * 64), id="another checksum"),
    ],
)
def test_a_disk_that_did_not_arrive_whole_leaves_no_archive(tmp_path: Path, stream: Stream) -> None:
    with pytest.raises(ArchiveFailed), writing(tmp_path / "web.corral") as writer:
        writer.disk("web-disk0.qcow2", stream)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_archive(tmp_path: Path) -> None:
    class Full(Stream):
        def read(self, size: int = -1) -> bytes:
            raise OSError(28, "No space left on device")

    with pytest.raises(ArchiveFailed, match="No space left"), writing(tmp_path / "a") as writer:
        writer.disk("web-disk0.qcow2", Full(DISK))
    assert list(tmp_path.iterdir()) == []


LIES = [  # name, archive, what is said about it
    ("another disk than promised", lambda p: native(p, disk=DISK[:-1] + b"x"), "checksum"),
    ("a size that is not so", lambda p: native(p, document=manifest(size=1)), "were promised"),
    ("a disk that is not there", lambda p: packed(p, [(MANIFEST, manifest())]), "not in the archive"),
    ("a disk without a checksum", lambda p: native(p, document=msgspec.json.encode(Manifest(vm=WEB, files=()))), "no checksum"),
    ("a way out, up", lambda p: native(p, ("../../etc/cron.d/x", b"x")), "no plain file"),
    ("a way out, absolute", lambda p: native(p, ("/etc/passwd", b"x")), "no plain file"),
    ("a folder", lambda p: native(p, ("disks/one", b"x")), "no plain file"),
    ("a hidden file", lambda p: native(p, (".bashrc", b"x")), "no plain file"),
    ("the same name twice", lambda p: native(p, ("web-disk0.qcow2", b"x")), "twice"),
    ("too many files", lambda p: native(p, *((f"f{n}", b"") for n in range(FILES_MAX))), "more than"),
    ("a description without end", lambda p: native(p, document=b" " * (TEXT_BYTES_MAX + 1)), "too large"),
    ("a description that is none", lambda p: native(p, document=b"{}"), "can't be read"),
    ("a later format", lambda p: native(p, document=manifest().replace(b"corral-vm/1", b"corral-vm/2")), "this version reads"),
    ("no description", lambda p: packed(p, [("web-disk0.qcow2", DISK)]), "neither"),
    ("no tar", lambda p: p.write_bytes(b"PK\x03\x04" * 500) and p, "no archive"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "says"), [pytest.param(*row[1:], id=row[0]) for row in LIES])
def test_lies(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(BadArchive, match=says):
        Archive.open(make(tmp_path / "web.corral"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "web-disk0.qcow2":
            info.type, info.linkname, info.size = kind, "/etc/shadow", 0

    with pytest.raises(BadArchive, match="no plain file"):
        Archive.open(packed(tmp_path / "a", [("web-disk0.qcow2", DISK), (MANIFEST, manifest())], change))


def test_an_archive_that_is_cut_off(tmp_path: Path) -> None:
    path = packed(tmp_path / "a", [(MANIFEST, manifest()), ("web-disk0.qcow2", DISK)])
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(BadArchive):
        Archive.open(path)


# ---- OVA


def an_ova(path: Path, mf: str | None = None, ovf: bytes | None = None) -> Path:
    vm = msgspec.structs.replace(WEB, disks=(ArchivedDisk(file="web-disk0.vmdk", size_bytes=GiB),))
    members: Members = [("web.ovf", ovf or build_ovf(vm)), ("web-disk0.vmdk", DISK)]
    return packed(path, [*members, *([("web.mf", mf.encode())] if mf is not None else [])])


def test_an_ova_says_the_same(tmp_path: Path) -> None:
    line = f"SHA256(web-disk0.vmdk)= {sha256(DISK).hexdigest()}\n"
    archive = Archive.open(an_ova(tmp_path / "web.ova", line))
    assert (archive.vm.name, archive.vm.cpus, archive.vm.memory_bytes) == ("web", 2, 512 * MiB)
    assert archive.vm.nics == WEB.nics
    assert archive.vm.disks == (ArchivedDisk(file="web-disk0.vmdk", size_bytes=GiB),)
    old = f"SHA1(web-disk0.vmdk)= {sha1(DISK, usedforsecurity=False).hexdigest()}\n"
    assert Archive.open(an_ova(tmp_path / "old.ova", old)).disks[0].sha256 == sha256(DISK).hexdigest()


@pytest.mark.parametrize(
    ("mf", "says"),
    [
        pytest.param(f"SHA256(web-disk0.vmdk)= {'0' * 64}\n", "checksum", id="another disk"),
        pytest.param("SHA256(other.vmdk)= 00\n", "not in the archive", id="a file that is not there"),
        pytest.param("hello\n", "no checksums", id="no list at all"),
    ],
)
def test_a_wrong_list_of_checksums(tmp_path: Path, mf: str, says: str) -> None:
    with pytest.raises(BadArchive, match=says):
        Archive.open(an_ova(tmp_path / "web.ova", mf))


def changed(old: bytes, new: bytes) -> bytes:
    document = build_ovf(msgspec.structs.replace(WEB, disks=(ArchivedDisk(file="d.vmdk", size_bytes=GiB),)))
    assert old in document
    return document.replace(old, new)


BAD_OVF = [  # name, document, what is said
    ("entities", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "DOCTYPE"),
    ("no XML", b"<Envelope>", "no XML"),
    ("two systems", changed(b"<ovf:VirtualSystem ", b"<ovf:VirtualSystem/><ovf:VirtualSystem "), "2 virtual systems"),
    ("a size that is none", changed(b'capacity="1073741824"', b'capacity="-1"'), "no whole number"),
    ("a unit that is none", changed(b"byte * 2^20", b"byte * 2^999"), "no unit"),
    ("a compressed disk", changed(b'href="d.vmdk"', b'href="d.vmdk" ovf:compression="gzip"'), "compressed"),
    ("a disk in chunks", changed(b'href="d.vmdk"', b'href="d.vmdk" ovf:chunkSize="100"'), "chunks"),
    ("a disk without a file", changed(b'fileRef="file0"', b'fileRef="file9"'), "without a file"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "says"), [pytest.param(*row[1:], id=row[0]) for row in BAD_OVF])
def test_bad_ovf(document: bytes, says: str) -> None:
    with pytest.raises(BadArchive, match=says):
        parse_ovf(document)


def test_ovf_as_others_write_it() -> None:
    """Units in words, another version's namespace, a Windows guest."""
    document = changed(b"http://schemas.dmtf.org/ovf/envelope/1", b"http://schemas.dmtf.org/ovf/envelope/2")
    document = document.replace(b"byte * 2^20", b"MegaBytes").replace(
        b"Linux 64-Bit", b"Microsoft Windows 11"
    )
    vm = parse_ovf(document)
    assert vm.memory_bytes == 512 * MiB and vm.hardware == {"guest": "windows"}
    assert vm.disks[0].size_bytes == GiB


def test_only_hardware_that_means_the_same_elsewhere_goes_along() -> None:
    hardware = Hardware(
        guest=GuestKind.WINDOWS, firmware=Firmware.UEFI_SECURE, tpm=True, pinning=Pinning(vcpus=("0-3",))
    )
    assert hardware_of(hardware) == {"guest": "windows", "firmware": "uefi-secure", "tpm": True}
