"""What a simulation can do to a store in memory."""

import asyncio
from collections.abc import Sequence

import pytest

from corral.errors import Conflict
from corral.store.interface import Change, Put, StoreFailed, Write
from corral.store.memory import Calm, MemoryStore
from tests.contract.stores import HandClock, state, vm


class Refusing(Calm):
    async def before(self, writes: Sequence[Write]) -> None:
        raise StoreFailed("the disk is full, says the test")


class Mute(Calm):
    async def after(self, changes: Sequence[Change]) -> None:
        raise StoreFailed("the answer is lost, says the test")


async def test_a_refused_commit_is_not_written() -> None:
    store = MemoryStore(HandClock(), disturbance=Refusing(HandClock()))
    with pytest.raises(StoreFailed):
        await store.commit([Put(vm("a"))])
    assert await state(store) == (0, {})
    store.disturbance = Calm(HandClock())
    await store.commit([Put(vm("a"))], expect={"vm-a": 0})


async def test_a_lost_answer_leaves_the_write() -> None:
    store = MemoryStore(HandClock(), disturbance=Mute(HandClock()))
    with pytest.raises(StoreFailed):
        await store.commit([Put(vm("a"))])
    assert await state(store) == (1, {"vm-a": vm("a").having(revision=1)})


async def test_others_run_between_the_asking_and_the_writing() -> None:
    """Two who decided on the same revision: the slower one has to lose."""
    store = MemoryStore(HandClock())
    await store.commit([Put(vm("a"))])
    first = asyncio.create_task(store.commit([Put(vm("a", cpus=2))], expect={"vm-a": 1}))
    await asyncio.sleep(0)
    assert await state(store) == (1, {"vm-a": vm("a").having(revision=1)}), "written without a pause"
    with pytest.raises(Conflict):
        await store.commit([Put(vm("a", cpus=3))], expect={"vm-a": 1})
    await first


async def test_equal_calls_give_equal_histories() -> None:
    async def history() -> tuple[object, ...]:
        store = MemoryStore(HandClock())
        commits = (store.commit([Put(vm(f"{n}")), Put(vm(f"{n % 3}", f"x{n}"))]) for n in range(20))
        return tuple(str(answer) for answer in await asyncio.gather(*commits, return_exceptions=True))

    assert await history() == await history()
