"""Lanes: order within one, no waiting between them."""

import asyncio
import threading

import pytest

from corral.hypervisor.libvirt.lanes import Lanes


async def test_one_lane_keeps_its_order() -> None:
    lanes, order = Lanes("t", 4), []
    await asyncio.gather(*(lanes.run("vm-1", lambda n=n: order.append(n)) for n in range(100)))  # type: ignore[misc]
    assert order == list(range(100))
    lanes.close()


async def test_a_lane_that_hangs_holds_up_no_other() -> None:
    lanes, go = Lanes("t", 2), threading.Event()
    hung = asyncio.create_task(lanes.run("vm-1", go.wait))
    behind = asyncio.create_task(lanes.run("vm-1", lambda: "second"))
    assert await asyncio.wait_for(lanes.run("vm-2", lambda: "other"), timeout=2) == "other"
    assert not behind.done()
    go.set()
    assert await hung
    assert await behind == "second"
    lanes.close()


async def test_no_more_threads_than_allowed() -> None:
    lanes, at_once, most, lock = Lanes("t", 3), 0, 0, threading.Lock()
    full = threading.Barrier(3, timeout=5)

    def call() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        full.wait()
        with lock:
            at_once -= 1

    await asyncio.gather(*(lanes.run(f"vm-{n}", call) for n in range(12)))
    assert most == 3
    lanes.close()


async def test_cancelled_before_its_turn_it_never_runs() -> None:
    lanes, go, ran = Lanes("t", 1), threading.Event(), []
    first = asyncio.create_task(lanes.run("vm-1", go.wait))
    second = asyncio.create_task(lanes.run("vm-1", lambda: ran.append(2)))
    await asyncio.sleep(0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    await first
    await lanes.run("vm-1", lambda: ran.append(3))
    assert ran == [3]
    lanes.close()


async def test_errors_come_out() -> None:
    lanes = Lanes("t", 1)
    with pytest.raises(ZeroDivisionError):
        await lanes.run("vm-1", lambda: 1 // 0)
    assert await lanes.run("vm-1", lambda: 1) == 1
    lanes.close()
