"""Connection, with libvirt's own test driver at the other end: no daemon, no root."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from corral.clock import SystemClock
from corral.hypervisor.interface import HypervisorFailed, HypervisorGone
from corral.hypervisor.libvirt.connection import Connection, start_event_thread

libvirt = pytest.importorskip("libvirt")


def connection(uri: str = "test:///default") -> Connection:
    return Connection(
        uri, SystemClock(), prepare=lambda _: lambda: None, on_up=lambda: None, on_down=lambda: None
    )


async def test_call() -> None:
    opened = connection()
    await opened.open()
    assert opened.is_up
    assert await opened.call("host", "count domains", lambda c: c.numOfDomains()) == 1
    await opened.close()
    with pytest.raises(HypervisorGone):
        await opened.call("host", "count domains", lambda c: c.numOfDomains())


async def test_a_refusal_has_its_code_and_says_what_failed() -> None:
    opened = connection()
    await opened.open()
    with pytest.raises(HypervisorFailed, match="start vm-1: ") as caught:
        await opened.call("vm-1", "start vm-1", lambda c: c.lookupByName("nobody"))
    assert caught.value.context["libvirt_code"] == libvirt.VIR_ERR_NO_DOMAIN
    assert not isinstance(caught.value, HypervisorGone)
    await opened.close()


async def test_a_call_that_hangs_ends_for_who_waits() -> None:
    opened, go = connection(), threading.Event()
    await opened.open()
    with pytest.raises(HypervisorFailed, match=r"no answer within 0\.05 s"):
        await opened.call("vm-1", "start vm-1", lambda _: go.wait(), timeout_s=0.05)
    assert await opened.call("vm-2", "count", lambda c: c.numOfDomains()) == 1
    go.set()
    await opened.close()


async def test_each_thread_has_its_own_connection() -> None:
    opened, both = connection(), threading.Barrier(2, timeout=5)
    await opened.open()

    def work(c: object) -> object:
        both.wait()
        return c

    one, two = await asyncio.gather(*(opened.call(f"vm-{n}", "look", work) for n in range(2)))
    assert one is not two
    await opened.close()


async def test_nobody_there() -> None:
    """It opens all the same, says why, and goes on trying."""
    opened = connection("qemu+unix:///system?socket=/nowhere/libvirt-sock")
    await opened.open()
    with pytest.raises(HypervisorGone, match="/nowhere/libvirt-sock"):
        await opened.call("host", "look", lambda c: c.numOfDomains())
    await opened.close()


async def test_events_that_can_not_be_set_up_are_tried_again() -> None:
    tries = []

    def prepare(_: object) -> Callable[[], None]:
        tries.append(1)
        if len(tries) < 3:
            raise libvirt.libvirtError("refused")
        return lambda: None

    up = asyncio.Event()
    opened = Connection("test:///default", SystemClock(), prepare=prepare, on_up=up.set, on_down=lambda: None)
    await opened.open()
    await asyncio.wait_for(up.wait(), timeout=5)
    assert len(tries) == 3
    await opened.close()


def test_one_event_thread_a_process() -> None:
    for _ in range(3):
        start_event_thread()
    assert [t.name for t in threading.enumerate()].count("libvirt-events") == 1
