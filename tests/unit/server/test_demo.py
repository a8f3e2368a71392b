"""The demo: its charts move, its commotion is the same for the same seed, its last words are an address."""

import asyncio
from itertools import pairwise

import pytest

from corral.demo.commotion import stir
from corral.demo.figures import LivelyFigures
from corral.demo.program import address_of
from corral.hypervisor.simulated.driver import _waves
from corral.model.operation import Operation
from corral.model.vm import VMPhase
from tests.unit.http.world import World, a_node, a_vm


class Clock:
    """Shows what it is told."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s


def test_figures_vary_with_time_and_stay_within_bounds() -> None:
    def at(now_s: float, number: int = 3) -> tuple[float, ...]:
        return LivelyFigures(Clock(now_s), number, 0.7, 1e9).row()  # type: ignore[arg-type]

    shares = [at(10.0 * n)[0] for n in range(200)]
    assert at(40.0) == at(40.0)
    assert at(40.0) != at(40.0, number=4)
    assert all(0 < share <= 1 for share in shares)
    assert max(shares) - min(shares) > 0.2


def test_a_guests_counters_never_go_back() -> None:
    worked = [_waves(float(n), 60.0) for n in range(600)]
    paces = [b - a for a, b in pairwise(worked)]
    assert 0.45 < min(paces) < 0.6
    assert 1.4 < max(paces) < 1.55


@pytest.mark.parametrize(
    ("asked", "listening", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 8440), "http://127.0.0.1:8440/"),
        ("0.0.0.0:8440", ("0.0.0.0", 8440), "https://localhost:8440/"),
        ("[::1]:8440", ("::1", 8440), "http://[::1]:8440/"),
    ],
)
def test_the_address_to_open(asked: str, listening: tuple[str, int], address: str) -> None:
    assert address_of(asked, listening) == address


async def test_what_runs_is_stopped_and_what_is_stopped_is_started() -> None:
    world = World()
    await world.core.start()
    await world.core.add(
        a_node(1), a_vm(1), a_vm(2), a_vm(3, phase=VMPhase.STOPPED), a_vm(4, phase=VMPhase.STARTING)
    )
    stirring = asyncio.create_task(stir(world.core, world.core.clock, per_second=1000.0))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while len(world.core.mirror.list(Operation)) < 3:
            await asyncio.sleep(0.01)
    stirring.cancel()
    await asyncio.gather(stirring, return_exceptions=True)
    made = [o for o in world.core.mirror.list(Operation) if o.spec.by == "demo"]
    assert {(o.spec.target.name, str(o.spec.verb)) for o in made} == {
        ("web-1", "stop"),
        ("web-2", "stop"),
        ("web-3", "start"),
    }
    await world.core.stop()
