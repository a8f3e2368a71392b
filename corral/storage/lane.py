"""Lane: threads of its own for one directory, so that a file server that hangs delays nobody else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from corral.storage.files import storage_error
from corral.storage.interface import StorageFailed

T = TypeVar("T")
LOOK_S: Final = 10.0  # longer than this for a small call, and the directory counts as hanging
WRITE_S: Final = 120.0  # for a chunk, or for all of a file to reach the disk


class Lane:
    """Where blocking work on a directory is done."""

    def __init__(self, directory: Path, *, threads: int = 2) -> None:
        self.directory = directory
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="lane")

    async def run(
        self, work: Callable[[], T], doing: str, *, needs_bytes: int = 0, deadline_s: float | None = None
    ) -> T:
        """Do `work` in a thread. raises PoolFull, StorageFailed: the disk is full, failed, or hangs"""
        deadline_s = deadline_s or LOOK_S
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise StorageFailed(
                f"{self.directory} hangs: {doing} did not end within {deadline_s:g} s",
                hint="Look at its mount and file server on the host.",
                path=str(self.directory),
                seconds=deadline_s,
            ) from None
        except OSError as error:
            raise storage_error(error, self.directory, doing, needs_bytes) from error
