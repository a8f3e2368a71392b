"""Size: the console before 5,000 nodes and 100,000 VMs. How quick it is there, bench/ui.py measures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import Console, end, sign_in, start_demo, wait_for

NODES, VMS = 5_000, 100_000
READY_S, PAGE_MS = 300.0, 60_000  # beside other tests
HEARD_MS = 200_000  # until the agent of any node hears of it: all of them begin in the server's own process


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    directory: Path = tmp_path_factory.mktemp("large")
    program, console = start_demo(directory, "--nodes", str(NODES), "--vms", str(VMS))
    try:
        wait_for(lambda: total(console, "nodes?phase=ready&limit=1") == NODES, READY_S)
        yield console
    finally:
        end(program)


def total(console: Console, path: str) -> int:
    answer = console.api.get(f"/{path}&offset=0").raise_for_status().json()
    return int(answer["total"])


@pytest.fixture
def page(browser: Browser, large: Console) -> Iterator[Page]:
    context = browser.new_context(base_url=large.url, viewport={"width": 1440, "height": 900}, locale="en-US")
    context.set_default_timeout(PAGE_MS)
    sign_in(context, large)
    yield context.new_page()
    context.close()


@pytest.mark.timeout(500)
def test_all_nodes_are_on_one_picture_and_all_vms_in_one_list(page: Page, large: Console) -> None:
    page.goto("/")
    expect(page.locator(f'canvas[data-nodes="{NODES}"]')).to_be_visible(timeout=PAGE_MS)
    page.goto("/vms")
    grid = page.get_by_role("grid", name="VMs")
    expect(grid).to_have_attribute("aria-rowcount", str(VMS + 1), timeout=PAGE_MS)
    page.locator(".vtable-row").first.focus()
    page.keyboard.press("End")
    last = page.locator(f'.vtable-row[aria-rowindex="{VMS + 1}"]')
    expect(last.get_by_role("link").first).to_be_visible(timeout=PAGE_MS)
    id = last.get_attribute("data-id")
    large.api.post(f"/vms/{id}/pause").raise_for_status()
    expect(last).to_contain_text("paused", timeout=HEARD_MS)
