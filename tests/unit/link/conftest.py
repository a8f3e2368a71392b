"""A server's node link on loopback, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from linkworld import LinkWorld, ShiftedClock


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[LinkWorld]:
    world = LinkWorld(tmp_path, ShiftedClock())
    await world.start()
    yield world
    await world.stop()
