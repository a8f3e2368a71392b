import asyncio
from collections.abc import AsyncIterator

import pytest

from corral.server.http.serve import serve
from tests.unit.http.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    """The world's API on a real socket."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(
            world.api, "127.0.0.1", 0, stop_s=1.0, listening=lambda h, p: ready.set_result(f"http://{h}:{p}")
        )
    )
    yield await asyncio.wait_for(ready, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
