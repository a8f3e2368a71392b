"""The web console before a lab: real guests made, typed at, changed, moved, drained and lost, seen in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.lab.world import IMAGE, World
from tests.ui.conftest import PAGE_MS, Console, browser, sign_in  # noqa: F401: browser is a fixture

BOOT_MS = 90_000
LOST_MS = 60_000


@pytest.fixture
def page(browser, world: World) -> Iterator[Page]:  # type: ignore[no-untyped-def]  # noqa: F811
    url = world.lab.plan.url
    context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900}, locale="en-US")
    context.set_default_timeout(PAGE_MS)
    sign_in(context, Console(url=url, token=world.client.connection.token))
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def test_a_node_that_is_killed_is_seen_live(page: Page, world: World) -> None:
    page.goto("/nodes")
    row = page.get_by_role("row").filter(has_text=world.nodes[2])
    expect(row.get_by_text("ready")).to_be_visible()
    world.lab.kill(world.nodes[2])
    expect(row.get_by_text("lost")).to_be_visible(timeout=LOST_MS)
    world.lab.heal(world.nodes[2])
    expect(row.get_by_text("ready")).to_be_visible(timeout=LOST_MS)
