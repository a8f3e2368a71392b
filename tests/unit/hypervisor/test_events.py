"""Subscriptions: nothing is lost that matters, and nothing piles up."""

import asyncio
import gc

from corral.hypervisor.interface import DomainEvent
from corral.hypervisor.libvirt.events import Subscribers
from corral.hypervisor.libvirt.identity import Identities, Identity
from corral.model.ids import VmId

ONE, TWO = VmId("vm-1"), VmId("vm-2")


async def test_several_of_one_vm_become_one() -> None:
    subscribers = Subscribers()
    subscription = subscribers.add()
    for vm, what in ((ONE, "started"), (TWO, "started"), (ONE, "stopped")):
        subscribers.put(vm, what)
    assert await anext(subscription) == DomainEvent(ONE, "started, stopped")
    assert await anext(subscription) == DomainEvent(TWO, "started")


async def test_a_storm_stays_small() -> None:
    subscribers = Subscribers()
    subscription = subscribers.add()
    for _ in range(10_000):
        subscribers.put(ONE, "rebooted")
    assert len((await anext(subscription)).what) <= 200


async def test_each_subscriber_gets_all() -> None:
    subscribers = Subscribers()
    first, second = subscribers.add(), subscribers.add()
    subscribers.put(ONE, "started")
    assert await anext(first) == await anext(second)


async def test_waiting_ends_with_the_event() -> None:
    subscribers = Subscribers()
    waiting = asyncio.create_task(anext(subscribers.add()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    subscribers.put(ONE, "started")
    assert (await asyncio.wait_for(waiting, timeout=1)).vm == ONE


async def test_dropped_and_closed_subscriptions_go() -> None:
    subscribers = Subscribers()
    dropped, closed = subscribers.add(), subscribers.add()
    await closed.aclose()
    del dropped
    gc.collect()
    subscribers.put(ONE, "started")
    assert subscribers._all == []


def test_an_answer_older_than_a_change_is_not_kept() -> None:
    known = Identities()
    marker = known.marker("u")
    known.changed("u")  # the event "defined" arrives while libvirt is being asked
    known.learn("u", Identity(ONE, 1), marker)
    assert not known.is_known("u")
    assert known.vm("u") == ONE  # who it is does not change
    known.learn("u", Identity(ONE, 2), known.marker("u"))
    assert known.get("u") == Identity(ONE, 2)
    known.clear()
    assert not known.is_known("u")
    known.keep_only(frozenset())
    assert known.vm("u") is None
