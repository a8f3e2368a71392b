"""Operations and events in the console: lists, live steps, cancelling, the drawer of what is running."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Console


def test_an_operation_appears_by_itself_with_who_asked_for_it(page: Page, console: Console) -> None:
    page.goto("/operations")
    expect(page.get_by_role("heading", name="Operations", level=1)).to_be_visible()
    console.api.post("/volumes", json={"name": "op-seen", "size": "1GiB"}).raise_for_status()
    row = page.get_by_role("row").filter(has_text="op-seen").first
    expect(row).to_contain_text("Create")
    expect(row).to_contain_text("admin")
    expect(row).to_contain_text("succeeded")


def test_filters_stand_in_the_address_and_hold_after_a_reload(page: Page, console: Console) -> None:
    console.api.post("/vms", json={"name": "op-too-big", "memory": "900GiB"}).raise_for_status()
    console.api.post("/volumes", json={"name": "op-other", "size": "1GiB"}).raise_for_status()
    page.goto("/operations")
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("textbox", name="Name of the target").fill("op-")
    for _ in range(2):
        expect(page.get_by_role("link", name="op-too-big")).to_be_visible()
        expect(page.get_by_role("link", name="op-other")).to_be_hidden()
        assert "state=failed" in page.url
        page.reload()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("link", name="op-other")).to_be_visible()


def test_a_failed_operation_says_why_and_what_to_do(page: Page, console: Console) -> None:
    asked = console.api.post("/vms", json={"name": "op-giant", "memory": "900GiB"}).json()
    page.goto(f"/operations/{asked['id']}")
    expect(page.get_by_role("heading", name="Create op-giant")).to_be_visible()
    error = page.get_by_role("heading", name=re.compile("no node can ever take"))
    expect(error).to_be_visible()
    error = console.api.get(f"/operations/{asked['id']}").json()["status"]["error"]
    expect(page.get_by_text(error["hint"])).to_be_visible()
    page.get_by_role("link", name="op-giant").first.click()
    expect(page).to_have_url(re.compile("/vms/vm-"))


def test_the_drawer_counts_what_is_running(page: Page, console: Console) -> None:
    console.api.post("/policies", json={"name": "op-quick"}).raise_for_status()
    page.goto("/events")
    button = page.get_by_role("button", name=re.compile("Operations in flight"))
    expect(button).to_be_visible()
    button.click()
    drawer = page.locator(".pf-v6-c-notification-drawer")
    expect(drawer).to_contain_text("running")
    drawer.get_by_role("link", name="All operations").click()
    expect(page.get_by_role("heading", name="Operations", level=1)).to_be_visible()


def test_a_running_operation_is_in_the_drawer_and_can_be_stopped(page: Page, console: Console) -> None:
    """A VM that no node can take at the moment waits, and with it its operation."""
    nodes = console.api.get("/nodes").json()["items"]
    for node in nodes:
        console.api.patch(f"/nodes/{node['id']}", json={"cordoned": True}).raise_for_status()
    try:
        asked = console.api.post("/vms", json={"name": "op-waits", "memory": "1GiB"}).json()
        page.goto("/operations")
        page.get_by_role("button", name=re.compile(r"Operations in flight: [1-9]")).click()
        page.locator(".pf-v6-c-notification-drawer").get_by_text("Create op-waits").click()
        expect(page).to_have_url(re.compile(asked["id"]))
        page.get_by_role("button", name="Stop it").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
        expect(page.locator(".page-head")).to_contain_text("cancelled")
        expect(page.get_by_role("button", name="Stop it")).to_be_hidden()
    finally:
        for node in nodes:
            console.api.patch(f"/nodes/{node['id']}", json={"cordoned": False}).raise_for_status()


def test_events_arrive_and_lead_to_what_they_are_about(page: Page, console: Console) -> None:
    page.goto("/events")
    console.api.post("/vms", json={"name": "op-event", "memory": "128MiB"}).raise_for_status()
    row = page.get_by_role("row").filter(has_text="op-event: running on").first
    expect(row).to_be_visible()
    page.get_by_label("Severity").select_option("error")
    expect(row).to_be_hidden()
    page.get_by_label("Severity").select_option("info")
    page.get_by_label("Kind").select_option("VM")
    row.get_by_role("link", name="op-event").click()
    expect(page.get_by_role("heading", name="op-event", level=1)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_are_accessible(
    page: Page, console: Console, theme: str, axe: Callable[[], list[str]]
) -> None:
    asked = console.api.post("/volumes", json={"name": f"op-axe-{theme}", "size": "1GiB"}).json()
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    for path, shown in (
        ("/operations", "grid"),
        (f"/operations/{asked['id']}", "heading"),
        ("/events", "heading"),
    ):
        page.goto(path)
        expect(page.get_by_role(shown).first).to_be_visible()  # type: ignore[arg-type]
        assert axe() == []
    page.get_by_role("button", name=re.compile("Operations in flight")).click()
    expect(page.locator(".pf-v6-c-notification-drawer")).to_be_visible()
    assert axe() == []
