"""Build: from the contents to the image, and only when they changed."""

import gzip
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from corral.lab.guest import cpio, disk
from corral.lab.guest.contents import Contents, GuestImageFailed, gather

__all__ = ["GuestImageFailed", "build", "digest"]


def build(path: Path, kernel: Path | None = None, more: tuple[str, ...] = ()) -> Path:
    """Make the image at `path`, unless the one there is of the same inputs. Takes about 2 s.

    kernel  another one than the small one; more: modules that it loads as well
    raises  GuestImageFailed: a package is missing, or a step failed
    """
    contents = gather(kernel, more)
    wanted, note = digest(contents), path.with_name(path.name + ".inputs")
    if path.exists() and note.exists() and note.read_text() == wanted:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".guest-") as scratch:
        made = Path(scratch, "made.qcow2")
        initrd = gzip.compress(cpio.archive(contents.entries), compresslevel=9, mtime=0)
        disk.make_disk(contents.kernel, initrd, made, Path(scratch))
        made.replace(path)  # before its note: a crash in between only costs another build
    note.write_text(wanted)
    return path


def digest(contents: Contents) -> str:
    """Tells whether an image is of these contents, made by this code."""
    parts = [
        contents.kernel,
        cpio.archive(contents.entries),
        disk.SYSLINUX.encode(),
        Path(disk.__file__).read_bytes(),
    ]
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()
