"""Seeds: the disc a guest's first boot reads. That a guest can read it, tests/lab/test_guest_image.py shows."""

import subprocess
from pathlib import Path

import pytest

from corral.storage import iso
from corral.storage.seed import write_seed
from corral.storage.sniff import accept

FILES = {
    "meta-data": "instance-id: vm-1\n",
    "user-data": "#cloud-config\n" + "# längere Zeile\n" * 400,
    "network-config": "",
}


def read_back(disc: Path, name: str, *, joliet: bool = True) -> bytes:
    """A file of the disc, read by another program."""
    words = ["isoinfo", *(["-J"] if joliet else []), "-i", str(disc), "-x", f"/{name}"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def test_another_program_reads_it_back(tmp_path: Path) -> None:
    disc = write_seed(tmp_path, "vm-1", FILES)
    assert {name: read_back(disc, name).decode() for name in FILES} == FILES
    assert read_back(disc, "META_D00.;1", joliet=False).decode() == FILES["meta-data"]


def test_it_is_found_by_its_label(tmp_path: Path) -> None:
    disc = write_seed(tmp_path, "vm-1", FILES)
    label = subprocess.run(
        ["blkid", "-p", "-s", "LABEL", "-o", "value", str(disc)], check=True, capture_output=True
    )
    assert label.stdout.decode().strip() == "cidata"
    assert accept(disc.read_bytes(), disc.stat().st_size) == ("raw", disc.stat().st_size)


def test_thirty_files_cross_a_block_of_the_directory(tmp_path: Path) -> None:
    disc = tmp_path / "many.iso"
    disc.write_bytes(iso.build("many", {f"a-file-with-a-longer-name-{i:02}": b"%d" % i for i in range(30)}))
    assert [read_back(disc, f"a-file-with-a-longer-name-{i:02}") for i in range(30)] == [
        b"%d" % i for i in range(30)
    ]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    before = write_seed(tmp_path, "vm-1", FILES).stat()
    after = write_seed(tmp_path, "vm-1", dict(reversed(FILES.items()))).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_content_is(tmp_path: Path) -> None:
    write_seed(tmp_path, "vm-1", FILES)
    disc = write_seed(tmp_path, "vm-1", FILES | {"meta-data": "instance-id: vm-2\n"})
    assert read_back(disc, "meta-data") == b"instance-id: vm-2\n"


def test_two_nodes_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_seed(tmp_path / node, "vm-1", FILES) for node in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


def test_others_do_not_read_its_passwords(tmp_path: Path) -> None:
    assert write_seed(tmp_path, "vm-1", FILES).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["a/b", "x" * 65])
def test_names_that_do_not_fit_are_a_bug(name: str) -> None:
    with pytest.raises(AssertionError):
        iso.build("cidata", {name: b""})
