"""Check: a second look at a disk image, at the tables behind its header, by qemu-img with a leash on.

Always true    the file's header was accepted by qcow2.check() or foreign.refuse_others() before: QEMU opens nothing but this file
"""

import json
from pathlib import Path
from typing import Final

from corral import command
from corral.storage.interface import BadImage, StorageFailed

DEADLINE_S: Final = 120.0
LEASH: Final = ("prlimit", "--cpu=60", "--as=2147483648")  # tables made to make it work for ever end here
BROKEN: Final = ("qemu-img: Could not open", "qemu-img: Check failed: Invalid argument")
SOUND, LEAKS, CORRUPT = 0, 3, 2  # exit codes; leaks only waste room
UNCHECKED = 63  # the format has no check


async def check_tables(path: Path, qemu_img: str = "qemu-img", format: str = "qcow2") -> None:
    """Follow every table to its end. raises BadImage: truncated or corrupt; StorageFailed: it can't be checked"""
    words = (*LEASH, qemu_img, "check", "-f", format, "--output=json", str(path))
    ran = await command.run(*words, deadline_s=DEADLINE_S, failed=StorageFailed, package="qemu-utils")
    if ran.code in (SOUND, LEAKS, UNCHECKED):
        return
    if ran.code != CORRUPT and not any(words in ran.errors for words in BROKEN):
        raise StorageFailed(
            f"qemu-img could not check the image: {ran.last_words}",
            hint="Is qemu-utils installed on the server?",
        )
    raise BadImage(
        "the image is truncated or corrupt: its tables point to data that is not there",
        hint="Download or copy the image again, and compare its checksum. `qemu-img check FILE` shows what is wrong.",
        corruptions=_corruptions(ran.output),
    )


def _corruptions(output: str) -> int:
    try:
        return int(json.loads(output).get("corruptions", 0))
    except (ValueError, AttributeError, TypeError):
        return 0
