"""The overview: figures, the heat map, what is on its way; and an installation without nodes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import PAGE_MS, SHOTS, Console, sign_in
from tests.ui.test_frame import RealServer

NO_TEXT = re.compile(r"\b(overview|nodes|topology|nav|col|state|action|phase)\.[a-z_]+(\.[a-z_]+)?\b")


def see_all(page: Page, nodes: int = 12) -> None:
    expect(page.locator(f'canvas[data-nodes="{nodes}"]')).to_be_visible()


def test_is_the_first_page_and_shows_the_fleet(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile("/overview$"))
    see_all(page)
    expect(page.get_by_role("meter", name="CPU")).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]"))
    expect(page.get_by_role("region", name="Capacity and use")).to_contain_text("vCPUs")
    page.locator(".page").first.evaluate("page => page.scrollTo(0, page.scrollHeight)")
    expect(page.get_by_role("img", name=re.compile("Balance R over time; now [0-9]"))).to_be_visible()


def test_a_cell_says_what_it_is_and_opens_its_node(page: Page) -> None:
    page.goto("/overview")
    see_all(page)
    canvas = page.locator("canvas[data-nodes]")
    canvas.hover(position={"x": 8, "y": 26})  # the first cell, below the name of its rack
    bubble = page.locator(".heat-bubble")
    expect(bubble).to_contain_text("node0001")
    expect(bubble).to_contain_text(re.compile(r"CPU claimed\d+ %"))
    canvas.click(position={"x": 8, "y": 26})
    expect(page.get_by_role("heading", name="node0001")).to_be_visible()


def test_the_keyboard_walks_the_heat_map(page: Page) -> None:
    page.goto("/overview")
    see_all(page)
    said = page.locator(".heat").get_by_role("status")
    page.get_by_role("link", name="As a list").focus()
    page.keyboard.press("Tab")
    expect(said).to_contain_text("node0001, Phase ready, Rack r1, CPU claimed")
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("node0002")
    page.keyboard.press("End")
    expect(said).to_contain_text("node0012")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="node0012")).to_be_visible()


def test_is_coloured_by_what_one_chooses(page: Page) -> None:
    page.goto("/overview")
    see_all(page)
    canvas = page.locator("canvas[data-nodes]")
    before = canvas.evaluate("c => c.toDataURL()")
    page.get_by_role("button", name="Phase").click()
    expect(page.locator('canvas[data-measure="phase"]')).to_be_visible()
    assert canvas.evaluate("c => c.toDataURL()") != before


def test_a_change_of_a_node_is_seen_at_once(page: Page, console: Console) -> None:
    page.goto("/overview")
    see_all(page)
    page.get_by_role("button", name="Phase").click()
    canvas = page.locator("canvas[data-nodes]")
    green = canvas.evaluate("c => c.toDataURL()")
    console.api.patch("/nodes/node0003", json={"cordoned": True}).raise_for_status()
    try:
        expect(page.locator(".overview-tiles")).to_contain_text("cordoned 1")
        recent = page.get_by_role("region", name="Recent changes")
        expect(recent).to_contain_text("node node0003 is cordoned")
        page.wait_for_function(
            "before => document.querySelector('canvas[data-nodes]').toDataURL() !== before", arg=green
        )
    finally:
        console.api.patch("/nodes/node0003", json={"cordoned": False}).raise_for_status()
    expect(page.locator(".overview-tiles")).not_to_contain_text("cordoned")


def test_an_operation_in_flight_can_be_stopped(page: Page, console: Console) -> None:
    page.goto("/overview")
    flight = page.get_by_role("region", name="Operations in flight")
    expect(flight).to_contain_text("No operation is on its way.")
    console.api.post("/vms", json={"name": "too-large", "memory": "200GiB", "cpus": 1}).raise_for_status()
    try:
        expect(flight).to_contain_text("too-large")
        flight.get_by_role("button", name="Cancel: Create too-large").click()
        expect(page.get_by_text("Cancel Create too-large")).to_be_visible()
        expect(flight).not_to_contain_text("too-large")
    finally:
        console.api.delete("/vms/too-large")


def test_says_what_needs_attention_and_the_next_step(page: Page, console: Console) -> None:
    page.goto("/overview")
    attention = page.get_by_role("region", name="Needs attention")
    console.api.patch("/nodes/node0005", json={"cordoned": True}).raise_for_status()
    try:
        expect(attention).to_contain_text("node node0005 is cordoned and takes no new VMs")
        expect(attention.get_by_role("button", name="Copy: corral node uncordon node0005")).to_be_visible()
        attention.get_by_role("link", name="node0005").click()
        expect(page.get_by_role("heading", name="node0005")).to_be_visible()
    finally:
        console.api.patch("/nodes/node0005", json={"cordoned": False}).raise_for_status()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_is_accessible(page: Page, axe: Callable[[], list[str]], theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto("/overview")
    see_all(page)
    page.locator(".page").first.evaluate("page => page.scrollTo(0, page.scrollHeight)")
    expect(page.get_by_role("img", name=re.compile("Balance R"))).to_be_visible()
    assert axe() == []
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"overview-{theme}.png")


def test_has_all_its_words_in_both_languages(page: Page) -> None:
    for language, words in {"en": "All nodes", "zh": "全部节点"}.items():
        page.goto("/overview")
        page.evaluate("kept => localStorage.setItem('corral.language', kept)", language)
        page.reload()
        see_all(page)
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        found = NO_TEXT.search(page.locator("body").inner_text())
        assert found is None, found


@pytest.fixture
def nothing_yet(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A server that has just been installed."""
    server = RealServer(tmp_path)
    server.start()
    context = browser.new_context(base_url=server.url, locale="en-US")
    context.set_default_timeout(PAGE_MS)
    try:
        sign_in(context, Console(url=server.url, token=server.token))
        yield context.new_page()
    finally:
        context.close()
        server.kill()


def test_an_empty_installation_says_how_to_begin(
    nothing_yet: Page, axe_of: Callable[[Page], list[str]]
) -> None:
    page = nothing_yet
    page.goto("/")
    expect(page.get_by_role("heading", name="Welcome to Corral")).to_be_visible()
    assert "corral agent join" not in page.locator("#content").inner_text()  # no token before it is asked for
    page.get_by_role("button", name="Make a join token").click()
    expect(page.get_by_text(re.compile(r"corral agent join \S+:\d+/\S+/\S+"))).to_be_visible()
    assert axe_of(page) == []
