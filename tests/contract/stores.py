"""What the tests of stores share: a clock that the test moves, VMs by short names, and readers."""

import asyncio
import random

from corral.model.resource import Resource
from corral.model.vm import VM, VMSpec
from corral.store.interface import Change, Store


class HandClock:
    """A clock that the test moves; sleeping only lets others run."""

    def __init__(self) -> None:
        self.at_s, self.chance = 1_764_000_000.0, random.Random(1)

    def now_s(self) -> float:
        return self.at_s

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def vm(id: str, name: str = "", *, cpus: int = 1, project: str = "default") -> VM:
    spec = VMSpec(cpus=cpus, memory_bytes=1024)
    return VM(id=f"vm-{id}", name=name or id, project=project, spec=spec)


async def read(store: Store, since: int, count: int) -> list[Change]:
    """The first `count` changes after `since`."""
    seen: list[Change] = []
    async with asyncio.timeout(10):
        changes = store.changes(since)
        while len(seen) < count:
            seen += await anext(changes)
    return seen


async def state(store: Store) -> tuple[int, dict[str, Resource]]:
    snapshot = await store.load()
    return snapshot.revision, {resource.id: resource for resource in snapshot.resources}
