"""Commands of the host, run beside the event loop, with a deadline."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from corral.errors import CorralError

ERRORS_MAX: Final = 64 * 1024  # bytes that are kept of what it complains about
REAP_S: Final = 1.0  # for a killed process to go; one that waits for a dead disk does not


class Ran(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line of its errors, or how it ended."""
        said = self.errors.strip().splitlines()
        return said[-1] if said else f"no reason given, exit code {self.code}"


async def run(*words: str, deadline_s: float, failed: type[CorralError], package: str) -> Ran:
    """Run it to its end; killed when the deadline passes or the caller is cancelled.

    failed   what is raised when it is not installed, can't be run, or does not end in time
    package  where it comes from, for the hint
    """
    process = await _start(words, failed, package)
    try:
        async with asyncio.timeout(deadline_s):
            output, errors = await process.communicate()
    except TimeoutError:
        raise failed(
            f"{words[0]} did not end within {deadline_s:g} s",
            hint="The host or its disk is very slow or hangs: look at it.",
            command=" ".join(words),
            seconds=deadline_s,
        ) from None
    finally:
        await _end(process)
    return Ran(
        code=process.returncode or 0,
        output=output.decode(errors="replace"),
        errors=errors.decode(errors="replace"),
    )


async def follow(
    *words: str, says: Callable[[str], None], stall_s: float, failed: type[CorralError], package: str
) -> Ran:
    """Run it to its end, however long that takes, and pass on what it writes as it comes.

    stall_s  killed when it writes nothing for so long; also when the caller is cancelled
    """
    process = await _start(words, failed, package)
    assert process.stdout and process.stderr
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(stall_s) as limit:
            while said := await process.stdout.read(4096):
                limit.reschedule(asyncio.get_running_loop().time() + stall_s)
                says(said.decode(errors="replace"))
            await process.wait()
            text = (await errors)[-ERRORS_MAX:].decode(errors="replace")
    except TimeoutError:
        raise failed(
            f"{words[0]} got no further for {stall_s:g} s",
            hint="The host or its disk is very slow or hangs: look at it.",
            command=" ".join(words),
            seconds=stall_s,
        ) from None
    finally:
        errors.cancel()
        await _end(process)
    return Ran(code=process.returncode or 0, output="", errors=text)


async def _start(
    words: tuple[str, ...], failed: type[CorralError], package: str
) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {"LC_ALL": "C"},
        )
    except OSError as error:
        raise failed(
            f"{words[0]} can't be run: {error.strerror}",
            hint=f"Install {package} on this host.",
            command=words[0],
        ) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that it has ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError, TimeoutError):
            process.kill()
            async with asyncio.timeout(REAP_S):
                await process.wait()
