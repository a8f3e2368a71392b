"""Conversion: disks of other hypervisors into qcow2, by qemu-img on a leash.

In this room   converted(): one file into another, both in the image store
Comes in       a file whose format was sniffed, and its first bytes
Goes out       a qcow2 file that stands alone
Always true    what names other files was refused before QEMU sees it; QEMU is told the format and guesses nothing
Next door      storage/foreign.py refuses; storage/convert.py runs qemu-img
Start here     converted()
"""

from pathlib import Path
from typing import Final

from corral.storage import files
from corral.storage.check import check_tables
from corral.storage.convert import convert
from corral.storage.foreign import EXPORT, refuse_cut_off, refuse_others
from corral.storage.interface import BadImage, PoolFull, Progress, StorageFailed

CPU_S: Final = 3600  # of processor time: a disk of 2 TB takes about so long
TAIL_BYTES: Final = 512
MEMORY_BYTES: Final = 8 * 1024**3  # of addresses


async def converted(
    path: Path,
    target: Path,
    format: str,
    header: bytes,
    *,
    room_bytes: int,
    qemu_img: str,
    progress: Progress = lambda _: None,
) -> None:
    """Make `target` of `path`. raises BadImage: it can't be read, or needs other files; PoolFull

    room_bytes  it may grow to this size; what is larger counts as no room
    """
    refuse_others(format, header)
    refuse_cut_off(format, header, *_end(path))
    await check_tables(path, qemu_img, format)
    leash = ("prlimit", f"--cpu={CPU_S}", f"--as={MEMORY_BYTES}", f"--fsize={max(1, room_bytes)}")
    try:
        await convert(path, target, source_format=format, leash=leash, qemu_img=qemu_img, progress=progress)
    except PoolFull:
        raise
    except StorageFailed as error:
        if "can't be run" in error.message or "got no further" in error.message:
            raise
        if _as_large_as_may_be(target, room_bytes):
            raise files.full(target.parent, "the converted image", room_bytes) from error
        raise BadImage(
            f"this {format} disk can't be converted: {error.message.rpartition(': ')[2]}",
            hint=f"It is truncated, damaged or of a kind that QEMU can't read. {EXPORT}",
            format=format,
        ) from error


def _as_large_as_may_be(target: Path, room_bytes: int) -> bool:
    try:
        return target.stat().st_size >= room_bytes
    except OSError:
        return False


def _end(path: Path) -> tuple[int, bytes]:
    """Its size in bytes, and its last bytes."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - TAIL_BYTES))
        return size, file.read()
