"""Convert: whole disks from one file into another, by qemu-img, with progress.

In this room   convert(): one copy; the caller gives the finished file its name
Comes in       paths and formats that were decided on before: qemu-img guesses nothing here
Goes out       a file of the target's format, not yet on disk for sure (files.publish() sees to that)
Always true    ends early, and is killed, when the caller is cancelled; nothing is removed here
Next door      directory.py copies volumes with it; server/conversion.py foreign images
Start here     convert()
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from corral import command
from corral.storage import files
from corral.storage.interface import Progress, StorageFailed

STALL_S: Final = 300.0  # it tells its progress every hundredth of the disk
MEASURE_S: Final = 60.0
PROGRESS: Final = re.compile(r"\((\d+\.\d+)/100%\)")
LOCKED: Final = "Failed to get"  # "… "write" lock": somebody else has the file open


class SourceBusy(StorageFailed):
    """Something writes to the volume that was to be copied."""

    code = "storage.source_busy"


async def convert(
    source: Path,
    target: Path,
    *,
    source_format: str,
    target_format: str = "qcow2",
    backing: tuple[str, str] | None = None,
    snapshot: str = "",
    options: Sequence[str] = (),
    leash: Sequence[str] = (),
    qemu_img: str = "qemu-img",
    progress: Progress = lambda _: None,
) -> None:
    """Copy all that a guest would see in `source` into the new file `target`.

    backing  path, as written into the target, and format: only what lies over the source's own backing file is copied
    snapshot of the source, that is copied; others may write to the source meanwhile
    leash    a command that runs qemu-img with limits
    raises   PoolFull, SourceBusy, StorageFailed
    """
    words = [*leash, qemu_img, "convert", "-p", "-f", source_format, "-O", target_format, *options]
    if backing:
        words += ["-B", backing[0], "-F", backing[1]]
    words += [*_of_snapshot(snapshot), str(source), str(target)]
    ran = await command.follow(
        *words, says=_told(progress), stall_s=STALL_S, failed=StorageFailed, package="qemu-utils"
    )
    if ran.code:
        raise failed(ran, target, f"a copy of {source.name}")


async def needed_bytes(
    source: Path,
    *,
    source_format: str,
    target_format: str = "qcow2",
    snapshot: str = "",
    qemu_img: str = "qemu-img",
) -> int:
    """Room that a full copy takes; 0: it can't be told. raises StorageFailed"""
    words = (
        qemu_img,
        "measure",
        "-U",
        "-f",
        source_format,
        "-O",
        target_format,
        "--output=json",
        *(("-l", f"snapshot.name={snapshot}") if snapshot else ()),
        str(source),
    )
    ran = await command.run(*words, deadline_s=MEASURE_S, failed=StorageFailed, package="qemu-utils")
    try:
        return int(json.loads(ran.output)["required"])
    except (ValueError, KeyError, TypeError):
        return 0


def _of_snapshot(name: str) -> tuple[str, ...]:
    """What lies in a snapshot never changes while it is there, so the lock of whoever writes on may be passed by."""
    return ("-U", "-l", f"snapshot.name={name}") if name else ()


def failed(ran: command.Ran, path: Path, what: str) -> StorageFailed:
    """What qemu-img said, in our words."""
    if "No space left" in ran.errors or "quota exceeded" in ran.errors:
        return files.full(path.parent, what)
    if LOCKED in ran.errors and "lock" in ran.errors:
        return SourceBusy(
            f"{what}: the volume is in use, and what changes can't be copied",
            hint="Stop the VM that uses it, or make a snapshot and copy that.", path=str(path),
        )  # fmt: skip
    return StorageFailed(
        f"qemu-img could not make {what}: {ran.last_words}",
        hint="Look at the pool's directory on the node.", path=str(path),
    )  # fmt: skip


def _told(progress: Progress) -> Callable[[str], None]:
    """Finds the last share in what qemu-img writes: "    (12.03/100%)" and a carriage return."""

    def says(text: str) -> None:
        shares = PROGRESS.findall(text)
        if shares:
            progress(min(1.0, float(shares[-1]) / 100))

    return says
