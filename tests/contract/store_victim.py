"""Commits from many tasks at once until it is killed; says on stdout what was acknowledged.

    python store_victim.py DATABASE ROUND

Each commit puts three VMs of a set and, at times, removes an older set: all or none of it may be seen.
"""

import asyncio
import os
import sys

from corral.clock import SystemClock
from corral.model.vm import VM, VMSpec
from corral.store.interface import Put, Remove, Write
from corral.store.sqlite import SqliteStore

WRITERS = 16


def a_set(name: str) -> list[Write]:
    spec = VMSpec(cpus=1, memory_bytes=1)
    return [
        Put(VM(id=f"vm-{name}-{part}", name=f"{name}-{part}", labels={"set": name}, spec=spec))
        for part in "abc"
    ]


async def writer(store: SqliteStore, name: str) -> None:
    for turn in range(1_000_000):
        writes = a_set(f"{name}-{turn}")
        if turn % 4 == 3:
            writes += [Remove(f"vm-{name}-{turn - 2}-{part}") for part in "abc"]
        stored = await store.commit(writes)
        lines = [
            f"{r.id} {r.revision} {'put' if isinstance(w, Put) else 'remove'}\n"
            for w, r in zip(writes, stored, strict=True)
        ]
        os.write(1, "".join(lines).encode())


async def main(path: str, round: str) -> None:
    store = SqliteStore(path, SystemClock())
    os.write(1, b"open\n")
    await asyncio.gather(*(writer(store, f"{round}-{number}") for number in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
