"""Pictures of the main pages, for the README and the guide: `PICTURES=docs/images pytest tests/ui/test_pictures.py`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import SHOTS, Console, end, sign_in, start_demo

PLACE = Path(os.environ.get("PICTURES", SHOTS / "pictures"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Large enough to look like something."""
    program, console = start_demo(tmp_path_factory.mktemp("fleet"), "--nodes", "240", "--vms", "2400")
    yield console
    end(program)


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, browser: Browser, fleet: Console) -> Iterator[tuple[str, Page]]:
    context = browser.new_context(
        base_url=fleet.url,
        viewport={"width": 1440, "height": 900},
        color_scheme=request.param,
        locale="en-US",
    )
    sign_in(context, fleet)
    yield request.param, context.new_page()
    context.close()


def test_main_pages_are_drawn(themed: tuple[str, Page], fleet: Console) -> None:
    theme, page = themed
    PLACE.mkdir(parents=True, exist_ok=True)
    made = fleet.api.post("/vms", json={"name": f"shop-{theme}", "cpus": 2, "memory": "2GiB"}).json()
    id = made["spec"]["target"]["id"]
    pages = {
        "overview": "/overview",
        "nodes": "/nodes",
        "vms": "/vms",
        "vm": f"/vms/{id}",
        "placement": f"/vms/{id}/placement",
        "rebalance": "/rebalance",
    }
    for name, path in pages.items():
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("load")
        page.wait_for_timeout(1_500)
        picture = PLACE / f"{name}{'' if theme == 'light' else '-dark'}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 10_000
