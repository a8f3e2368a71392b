"""Plans are made beside the event loop: it goes on, hears how it went, and can end without them."""

import asyncio
import threading
import time
from typing import Any, cast

import pytest

from corral.controllers import rebalance
from corral.controllers.fleet_problem import Question
from corral.scheduler.rebalance.planned import MovePlan

QUESTION = cast(Question, None)


def plans_by(monkeypatch: pytest.MonkeyPatch, planned: Any) -> None:
    monkeypatch.setattr(rebalance, "planned", planned)


async def test_the_plan_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plans_by(monkeypatch, lambda question: MovePlan(before=0.5))
    assert (await rebalance.think_aside(QUESTION)).before == 0.5


async def test_an_error_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(question: Question) -> MovePlan:
        raise ValueError("no such fleet")

    plans_by(monkeypatch, planned)
    with pytest.raises(ValueError, match="no such fleet"):
        await rebalance.think_aside(QUESTION)


def test_a_server_that_ends_does_not_wait_for_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def planned(question: Question) -> MovePlan:
        released.wait(30)
        return MovePlan()

    async def serve() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rebalance.think_aside(QUESTION), 0.05)

    plans_by(monkeypatch, planned)
    began_s = time.monotonic()
    asyncio.run(serve())
    released.set()
    assert time.monotonic() - began_s < 5
