"""The topology: a part of the fleet as a picture, and as links."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import SHOTS, Console
from tests.ui.test_overview import NO_TEXT


def test_begins_with_a_rack_and_goes_on_to_a_node_and_a_vm(page: Page) -> None:
    page.goto("/topology")
    expect(page.get_by_role("img", name=re.compile(r"r1: \d+ networks, 12 nodes, 0 VMs"))).to_be_visible()
    page.get_by_label("Show").select_option("node")
    page.get_by_label("Name").fill("node0003")
    expect(
        page.get_by_role("img", name=re.compile(r"node0003: \d+ networks, 1 nodes, \d+ VMs"))
    ).to_be_visible()
    vm = page.get_by_role("region", name="VMs").get_by_role("link").first
    name = vm.inner_text()
    page.get_by_label("Show").select_option("vm")
    page.get_by_label("Name").fill(name)
    expect(page.get_by_role("img", name=re.compile(rf"{name}: \d+ networks, 1 nodes, 1 VMs"))).to_be_visible()
    expect(page).to_have_url(re.compile(f"of=vm&name={name}"))
    page.get_by_role("link", name="node0003").click()
    expect(page.get_by_role("heading", name="node0003")).to_be_visible()


def test_a_network_has_the_vms_on_it_and_shows_a_new_one(page: Page, console: Console) -> None:
    page.goto("/topology?of=network&name=default")
    body = {"name": "linked", "memory": "128MiB", "running": False, "nics": [{"network": "default"}]}
    console.api.post("/vms", json=body).raise_for_status()
    try:
        expect(page.get_by_role("region", name="VMs").get_by_role("link", name="linked")).to_be_visible()
    finally:
        console.api.delete("/vms/linked").raise_for_status()
    expect(page.get_by_role("link", name="linked")).to_be_hidden()


def test_a_click_opens_what_it_is_on(page: Page) -> None:
    page.goto("/topology?of=node&name=node0003")
    picture = page.get_by_role("img", name=re.compile("^node0003: "))
    box = picture.locator("canvas").bounding_box()
    assert box
    page.wait_for_timeout(500)  # it is drawn
    left, right = 60, 140  # margins of the picture, in which the node is the second of four columns
    picture.click(position={"x": left + (box["width"] - left - right) / 3, "y": box["height"] / 2})
    expect(page).to_have_url(re.compile("/nodes/node-"))


def test_says_when_there_is_no_such_thing(page: Page) -> None:
    page.goto("/topology?of=node&name=nonsense")
    expect(page.get_by_text("There is no “nonsense”.")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_is_accessible_and_has_all_its_words(
    page: Page, axe: Callable[[], list[str]], theme: str, language: str
) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto("/topology")
    page.evaluate("kept => localStorage.setItem('corral.language', kept)", language)
    page.reload()
    expect(page.get_by_role("img", name=re.compile("^r1"))).to_be_visible()
    page.wait_for_timeout(300)
    assert axe() == []
    found = NO_TEXT.search(page.locator("body").inner_text())
    assert found is None, found
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"topology-{language}-{theme}.png")
