"""What a file is, by its first bytes."""

import struct
import subprocess
from pathlib import Path

import pytest

from corral.storage import iso, qcow2
from corral.storage.interface import BadImage
from corral.storage.sniff import HEADER_BYTES, accept, sniff


def at(offset: int, magic: bytes, length: int = 70_000) -> bytes:
    """Bytes of no kind, but for the magic."""
    return (b"\x01" * offset + magic).ljust(length, b"\x01")[:HEADER_BYTES]


MBR = at(510, b"\x55\xaa")
FULL_MBR = (
    bytes(446) + struct.pack("<B3xB3xII", 0x80, 0x0C, 2048, 4096) + bytes(48) + b"\x55\xaa" + bytes(70_000)
)
GPT = bytes(510) + b"\x55\xaa" + b"EFI PART" + bytes(24) + (9999).to_bytes(8, "little") + bytes(70_000)
DISC = iso.build("cidata", {"user-data": b"x"})

KINDS = [  # name, header, size in bytes, format
    ("nothing", b"", 0, "empty"),
    ("qcow2", b"QFI\xfb\0\0\0\3", 200_000, "qcow2"),
    ("first qcow", b"QFI\xfb\0\0\0\1", 200_000, "qcow"),
    ("VMware sparse", at(0, b"KDMV"), 200_000, "vmdk"),
    ("VMware descriptor", b"# Disk DescriptorFile\nversion=1\n", 400, "vmdk"),
    ("Hyper-V", at(0, b"vhdxfile"), 200_000, "vhdx"),
    ("Virtual PC", at(0, b"conectix"), 200_000, "vpc"),
    ("VirtualBox", at(64, b"\x7f\x10\xda\xbe"), 200_000, "vdi"),
    ("gzip", at(0, b"\x1f\x8b\x08"), 200_000, "gzip"),
    ("xz", at(0, b"\xfd7zXZ\0"), 200_000, "xz"),
    ("OVA", at(257, b"ustar"), 200_000, "tar"),
    (
        "kernel, though it ends its first sector like an MBR",
        at(0x1FE, b"\x55\xaa\0\0HdrS"),
        200_000,
        "kernel",
    ),
    ("web page", b"\n<!DOCTYPE html><html>404", 25, "text"),
    ("text", b"Not Found\n", 10, "text"),
    ("MBR", MBR, 200_000, "raw"),
    ("GPT", GPT, 200_000, "raw"),
    ("ext4 without partitions", at(1080, b"\x53\xef"), 200_000, "raw"),
    ("disc", DISC, len(DISC), "iso"),
    ("zeros", bytes(70_000), 200_000, "unknown"),
    ("noise", at(0, b""), 200_000, "unknown"),
]


@pytest.mark.parametrize(("header", "size", "format"), [pytest.param(*k[1:], id=k[0]) for k in KINDS])
def test_sniff(header: bytes, size: int, format: str) -> None:
    assert sniff(header, size).format == format


TAKEN = [  # name, header, size in bytes, promised, format, size as a guest sees it
    ("MBR", MBR, 200_192, "", "raw", 200_192),
    ("odd end: rounded up to sectors", MBR, 200_001, "raw", "raw", 200_192),
    ("partition ends with the file", FULL_MBR, 6144 * 512, "", "raw", 6144 * 512),
    ("backup GPT is the last sector", GPT, 10_000 * 512, "", "raw", 10_000 * 512),
    ("disc", DISC, len(DISC), "", "raw", len(DISC)),
    ("unknown bytes, promised as raw", at(0, b""), 200_192, "raw", "raw", 200_192),
    ("zeros, promised as raw", bytes(70_000), 200_192, "raw", "raw", 200_192),
    ("file system, promised as raw", at(1080, b"\x53\xef"), 200_192, "raw", "raw", 200_192),
]


@pytest.mark.parametrize(
    ("header", "size", "promised", "format", "virtual"), [pytest.param(*t[1:], id=t[0]) for t in TAKEN]
)
def test_taken(header: bytes, size: int, promised: str, format: str, virtual: int) -> None:
    assert accept(header, size, promised) == (format, virtual)


REFUSED = [  # name, header, size in bytes, promised, in the message
    ("nothing", b"", 0, "", "an empty file"),
    ("nothing, promised as raw", b"", 0, "raw", "an empty file"),
    ("web page", b"<html>404</html>", 16, "", "a web page"),
    ("web page, promised as raw", b"<html>404</html>", 16, "raw", "a web page"),
    ("text shows its beginning", b"Not Found\n", 10, "", "'Not Found'"),
    ("noise", at(0, b""), 200_000, "", "no known kind"),
    ("file system without a promise", at(1080, b"\x53\xef"), 200_000, "", "not the image of a whole disk"),
    ("VMware", at(0, b"KDMV"), 200_000, "raw", "VMware"),
    ("qcow2, promised as raw", b"QFI\xfb\0\0\0\3", 200_000, "raw", "promised was raw"),
    ("raw, promised as qcow2", MBR, 200_000, "qcow2", "promised was qcow2"),
    ("partition ends one sector behind the file", FULL_MBR, 6143 * 512, "", "truncated"),
    ("backup GPT is missing", GPT, 9_999 * 512, "", "truncated"),
    ("disc cut by a block", DISC, len(DISC) - 2048, "", "truncated"),
    ("qcow2 cut in its header", b"QFI\xfb\0\0\0\3", 8, "", "truncated"),
]


@pytest.mark.parametrize(
    ("header", "size", "promised", "says"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED]
)
def test_refused(header: bytes, size: int, promised: str, says: str) -> None:
    with pytest.raises(BadImage, match=says) as refusal:
        accept(header, size, promised)
    assert refusal.value.hint


def a_qcow2(path: Path, *options: str, size: str = "64M") -> bytes:
    """A real one, by qemu-img. On a busy machine it may fail to time its own key derivation: that says nothing here."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size]
    for _ in range(50):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return path.read_bytes()


@pytest.mark.parametrize(
    "options", [(), ("-o", "compat=0.10"), ("-o", "cluster_size=512"), ("-o", "extended_l2=on")]
)
def test_real_qcow2_is_taken(tmp_path: Path, options: tuple[str, ...]) -> None:
    whole = a_qcow2(tmp_path / "a.qcow2", *options)
    assert accept(whole[:HEADER_BYTES], len(whole)) == ("qcow2", 64 * 1024**2)


def test_foreign_backing_file_is_refused_and_named(tmp_path: Path) -> None:
    whole = a_qcow2(tmp_path / "a.qcow2", "-u", "-b", "/etc/shadow", "-F", "raw")
    with pytest.raises(BadImage, match="foreign backing file") as refusal:
        accept(whole[:HEADER_BYTES], len(whole))
    assert refusal.value.context["backing_file"] == "/etc/shadow"


def test_external_data_file_is_refused(tmp_path: Path) -> None:
    whole = a_qcow2(tmp_path / "a.qcow2", "-o", f"data_file={tmp_path}/data.raw")
    with pytest.raises(BadImage, match="another file"):
        accept(whole[:HEADER_BYTES], len(whole))


def test_encrypted_is_refused(tmp_path: Path) -> None:
    secret = (
        "--object",
        "secret,id=s,data=secret",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
    )
    whole = a_qcow2(tmp_path / "a.qcow2", *secret)
    with pytest.raises(BadImage, match="encrypted"):
        accept(whole[:HEADER_BYTES], len(whole))


def patched(whole: bytes, offset: int, number: int, size: int) -> bytes:
    return whole[:offset] + number.to_bytes(size, "big") + whole[offset + size :]


NONSENSE = [  # name, offset, number, bytes of the number, in the message
    ("version", 4, 9, 4, "version 9"),
    ("backing name without an offset", 16, 12, 4, "foreign backing file"),
    ("cluster size of 2^40", 20, 40, 4, "makes no sense"),
    ("no size", 24, 0, 8, "makes no sense"),
    ("size beyond all disks", 24, 2**60, 8, "makes no sense"),
    ("too few L1 entries for the size", 24, 2**40, 8, "makes no sense"),
    ("L1 table of 8 GiB", 36, 2**30, 4, "makes no sense"),
    ("L1 table in the header", 40, 8, 8, "makes no sense"),
    ("L1 table behind the end", 40, 2**32, 8, "truncated"),
    ("refcounts behind the end", 48, 2**32, 8, "truncated"),
    ("marked corrupt", 72, 2, 8, "corrupt"),
    ("data file bit", 72, 4, 8, "another file"),
    ("feature from the future", 72, 1 << 20, 8, "features"),
]


@pytest.mark.parametrize(
    ("offset", "number", "size", "says"), [pytest.param(*n[1:], id=n[0]) for n in NONSENSE]
)
def test_nonsense_in_a_qcow2(tmp_path: Path, offset: int, number: int, size: int, says: str) -> None:
    whole = patched(a_qcow2(tmp_path / "a.qcow2"), offset, number, size)
    with pytest.raises(BadImage, match=says):
        accept(whole[:HEADER_BYTES], len(whole))


def test_dirty_qcow2_is_taken(tmp_path: Path) -> None:
    """Its refcounts may be stale, its content is whole."""
    whole = patched(a_qcow2(tmp_path / "a.qcow2"), 72, 1, 8)
    assert qcow2.check(whole, len(whole)) == 64 * 1024**2
