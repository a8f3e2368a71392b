"""Commands of the host, run beside the event loop, with a deadline."""

import asyncio
import os
from contextlib import suppress
from typing import Final

from msgspec import Struct

from corral.storage.interface import StorageFailed

REAP_S: Final = 1.0  # for a killed process to go; one that waits for a dead disk does not


class Ran(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    code: int
    output: str
    errors: str


async def run(*words: str, deadline_s: float) -> Ran:
    """Run it to its end; killed when the deadline passes or the caller is cancelled.

    raises  StorageFailed: it is not installed, can't be run, or did not end in time
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {"LC_ALL": "C"},
        )
    except OSError as error:
        raise StorageFailed(
            f"{words[0]} can't be run: {error.strerror}",
            hint="Install qemu-utils on this host.",
            command=words[0],
        ) from error
    try:
        async with asyncio.timeout(deadline_s):
            output, errors = await process.communicate()
    except TimeoutError:
        raise StorageFailed(
            f"{words[0]} did not end within {deadline_s:g} s",
            hint="The disk is very slow or hangs: look at it on the node.",
            command=" ".join(words), seconds=deadline_s,
        ) from None  # fmt: skip
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, TimeoutError):
                process.kill()
                async with asyncio.timeout(REAP_S):
                    await process.wait()
    return Ran(
        code=process.returncode or 0,
        output=output.decode(errors="replace"),
        errors=errors.decode(errors="replace"),
    )
