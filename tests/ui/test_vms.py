"""VMs in the console: the list, filters, bulk actions, one VM with its parts, and what two people do at once."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.ui.conftest import Console, wait_for

PARTS = ("", "hardware", "console", "placement", "snapshots", "pending", "history", "yaml")
STRANGE = "x" * 63


@pytest.fixture
def make(console: Console) -> Iterator[Callable[..., str]]:
    """Makes a VM and returns its id; it goes with the test."""
    made: list[str] = []

    def create(name: str, **fields: object) -> str:
        asked = {"name": name, "memory": "128MiB", "running": False, "labels": {"test": name[:20]}} | fields
        answer = console.api.post("/vms", json=asked).raise_for_status().json()
        made.append(answer["spec"]["target"]["id"])
        return made[-1]

    yield create
    for id in made:
        console.api.delete(f"/vms/{id}?purge=true")


def phase(console: Console, id: str) -> str:
    return str(console.api.get(f"/vms/{id}").json().get("status", {}).get("phase"))


def row(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_the_list_scrolls_to_any_row_without_pages(page: Page) -> None:
    page.goto("/vms")
    grid = page.get_by_role("grid", name="VMs")
    expect(grid).to_have_attribute("aria-rowcount", re.compile(r"^3\d\d$"))
    page.locator(".vtable-row").first.focus()
    page.keyboard.press("End")
    last = page.locator(".vtable-row").last
    expect(last.get_by_role("link").first).to_be_visible()
    assert page.locator(".vtable-row").count() < 80


def test_a_change_is_seen_live(page: Page, console: Console, make: Callable[..., str]) -> None:
    id = make("live-1")
    page.goto("/vms?name=live-1")
    expect(row(page, "live-1").get_by_text("stopped")).to_be_visible()
    console.api.post(f"/vms/{id}/start").raise_for_status()
    expect(row(page, "live-1").get_by_text("running")).to_be_visible()


def test_rows_come_and_go_live(page: Page, console: Console, make: Callable[..., str]) -> None:
    page.goto("/vms?name=comes-")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    id = make("comes-1")
    expect(page.get_by_role("link", name="comes-1")).to_be_visible()
    console.api.delete(f"/vms/{id}?purge=true").raise_for_status()
    expect(page.get_by_role("link", name="comes-1")).to_be_hidden()


def test_filters_stand_in_the_address_and_can_be_kept_as_a_view(page: Page) -> None:
    page.goto("/vms")
    page.get_by_label("Phase").select_option("running")
    page.get_by_placeholder("Label, like env=prod").fill("team=web")
    page.get_by_placeholder("Expression").fill("spec.cpus>=4")
    expect(page).to_have_url(re.compile("phase=running"))
    expect(page).to_have_url(re.compile("label=team%3Dweb"))
    expect(page).to_have_url(re.compile("expression="))
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="Save this view").click()
    page.get_by_role("textbox", name="Name of the view").fill("big web")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/vms")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="big web", exact=True).click()
    expect(page.get_by_label("Phase")).to_have_value("running")
    expect(page).to_have_url(re.compile("team%3Dweb"))


def test_a_wrong_expression_is_answered_in_words(page: Page) -> None:
    page.goto("/vms?expression=nonsense%3D1")
    expect(page.get_by_text(re.compile("nonsense")).first).to_be_visible()


def test_sorts_by_the_servers_order(page: Page) -> None:
    page.goto("/vms?label=team%3Dweb")
    page.get_by_role("button", name="Memory").click()
    expect(page.get_by_role("columnheader", name="Memory")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Memory").click()
    expect(page.get_by_role("columnheader", name="Memory")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("[data-index='0'] [data-column='memory']")).to_have_text("8 GiB")


def test_many_are_started_after_a_preview(page: Page, console: Console, make: Callable[..., str]) -> None:
    ids = [make(f"bulk-{n}") for n in range(3)]
    console.api.post(f"/vms/{ids[2]}/start").raise_for_status()
    page.goto("/vms?name=bulk-")
    expect(page.get_by_role("link", name="bulk-2")).to_be_visible()
    for n in range(3):
        row(page, f"bulk-{n}").get_by_role("checkbox").check()
    page.get_by_role("toolbar").get_by_role("button", name="Start", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Start 3 VMs")).to_be_visible()
    go = dialog.get_by_role("button", name="Start 3")
    expect(go).to_be_enabled()
    assert phase(console, ids[0]) == "stopped"  # nothing has been done yet
    go.click()
    expect(dialog.get_by_text("asked for").first).to_be_visible()
    wait_for(lambda: all(phase(console, id) == "running" for id in ids))


def test_deleting_many_names_them(page: Page, console: Console, make: Callable[..., str]) -> None:
    id = make("doomed-1")
    page.goto("/vms?name=doomed-")
    row(page, "doomed-1").get_by_role("checkbox").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("go into the trash: doomed-1")).to_be_visible()
    dialog.get_by_role("button", name="Delete 1").click()
    wait_for(lambda: console.api.get(f"/vms/{id}").status_code == 404)


def test_start_stop_and_the_operations_end_are_told(
    page: Page, console: Console, make: Callable[..., str]
) -> None:
    id = make("one-1")
    page.goto(f"/vms/{id}")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("Start one-1: done")).to_be_visible()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Force off").click()
    expect(page.get_by_text("loses its power at once")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Force off").click()
    wait_for(lambda: phase(console, id) == "stopped")


def test_deleting_asks_for_the_name(page: Page, console: Console, make: Callable[..., str]) -> None:
    id = make("gone-1")
    page.goto(f"/vms/{id}")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    delete = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    page.get_by_label("Type gone-1 to confirm").fill("gone-2")
    expect(delete).to_be_disabled()
    page.get_by_label("Type gone-1 to confirm").fill("gone-1")
    delete.click()
    wait_for(lambda: console.api.get(f"/vms/{id}").status_code == 404)
    expect(page).to_have_url(re.compile("/vms/?$"))


def test_a_vm_that_somebody_else_deletes_says_so(
    page: Page, console: Console, make: Callable[..., str]
) -> None:
    id = make("vanishes")
    page.goto(f"/vms/{id}")
    expect(page.get_by_role("heading", name="vanishes")).to_be_visible()
    console.api.delete(f"/vms/{id}?purge=true").raise_for_status()
    expect(page.get_by_text("vanishes was deleted.")).to_be_visible()


def test_a_migration_is_looked_at_before_it_begins(
    page: Page, console: Console, make: Callable[..., str]
) -> None:
    id = make("mover", running=True)
    wait_for(lambda: phase(console, id) == "running")
    before = console.api.get(f"/vms/{id}").json()["status"]["node"]
    page.goto(f"/vms/{id}")
    page.get_by_role("button", name="Migrate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("corral vm migrate mover")).to_be_attached()
    expect(dialog.get_by_text(re.compile(r"about .* paused for")).first).to_be_visible()
    dialog.get_by_role("button", name="Migrate").click()
    wait_for(lambda: console.api.get(f"/vms/{id}").json()["status"]["node"] != before)
    expect(page.get_by_text("Last migration")).to_be_visible()


def test_why_here_and_why_not_there(page: Page, make: Callable[..., str]) -> None:
    id = make("placed", running=True)
    page.goto(f"/vms/{id}/placement")
    expect(page.get_by_text(re.compile("^Why here: node"))).to_be_visible()
    expect(page.locator(".why")).to_contain_text(re.compile("score|best|node", re.I))
    expect(page.get_by_role("columnheader", name="cpu")).to_be_visible()
    expect(page.get_by_text("the VM is there already: 1 nodes")).to_be_visible()


def test_an_edit_of_yaml_is_shown_before_it_is_applied(
    page: Page, console: Console, make: Callable[..., str]
) -> None:
    id = make("yaml-1")
    page.goto(f"/vms/{id}/yaml")
    editor = page.get_by_label("Manifest of yaml-1")
    text = editor.input_value()
    assert "128" in text
    editor.fill(re.sub(r"memory: .*", "memory: 256MiB", text))
    page.get_by_role("button", name="Compare and apply").click()
    diff = page.get_by_role("dialog").get_by_label("What applying it changes")
    expect(diff.locator(".diff-comes")).to_contain_text("256MiB")
    assert console.api.get(f"/vms/{id}").json()["spec"]["memory_bytes"] == 128 << 20
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    wait_for(lambda: console.api.get(f"/vms/{id}").json()["spec"]["memory_bytes"] == 256 << 20)


def test_two_who_edit_at_once_see_the_difference(
    page: Page, console: Console, make: Callable[..., str]
) -> None:
    id = make("yaml-2")
    page.goto(f"/vms/{id}/yaml")
    editor = page.get_by_label("Manifest of yaml-2")
    editor.fill(editor.input_value() + "\n# mine")
    console.api.patch(f"/vms/{id}", json={"cpus": 3}).raise_for_status()
    expect(page.get_by_text("Somebody changed it meanwhile")).to_be_visible()
    expect(page.get_by_role("button", name="Compare and apply")).to_be_disabled()
    page.get_by_role("button", name="Drop mine").click()
    expect(editor).to_have_value(re.compile("cpus: 3"))


def test_a_snapshot_is_taken_and_shown(page: Page, make: Callable[..., str]) -> None:
    id = make("snappy", disks=[{"size": "1GiB"}])
    page.goto(f"/vms/{id}/snapshots")
    expect(page.get_by_text("No snapshots")).to_be_visible()
    page.get_by_role("button", name="Take snapshot").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("before-upgrade")
    dialog.get_by_role("button", name="Take snapshot").click()
    expect(page.locator("bdi", has_text="before-upgrade")).to_be_visible()


def test_a_disk_is_added_and_taken_away(page: Page, console: Console, make: Callable[..., str]) -> None:
    id = make("disky")
    page.goto(f"/vms/{id}/hardware")
    page.get_by_role("button", name="Add disk").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Size, like 20GiB").fill("many")
    expect(dialog.locator(".pf-v6-c-helper-text", has_text="many")).to_be_visible()
    dialog.get_by_label("Size, like 20GiB").fill("2GiB")
    dialog.get_by_role("button", name="Add disk").click()
    expect(
        page.get_by_role("gridcell", name="2 GiB").or_(page.get_by_role("cell", name="2 GiB"))
    ).to_be_visible()
    page.get_by_role("button", name="Unplug").click()
    page.get_by_role("dialog").get_by_role("button", name="Unplug").click()
    wait_for(lambda: console.api.get(f"/vms/{id}").json()["spec"]["disks"] == [])


def test_a_viewer_is_offered_nothing_to_change(
    context: BrowserContext, console: Console, make: Callable[..., str]
) -> None:
    id = make("seen")
    made = console.api.post("/tokens", json={"name": "looker", "role": "viewer"}).raise_for_status().json()
    context.clear_cookies()
    context.request.post(f"{console.url}/api/v1/session", data={"token": made["secret"]})
    page = context.new_page()
    page.goto(f"/vms/{id}")
    expect(page.get_by_role("heading", name="seen")).to_be_visible()
    for name in ("Start", "Migrate", "More actions"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("tab", name="Console")).to_have_count(0)


def test_a_long_name_breaks_nothing(page: Page, make: Callable[..., str]) -> None:
    id = make(STRANGE)
    page.goto(f"/vms/{id}")
    expect(page.get_by_role("heading", name=STRANGE)).to_be_visible()
    page.goto("/vms?name=xxxxxxxx")
    expect(page.get_by_role("link", name=STRANGE)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_words_of_any_script_break_nothing(page: Page, console: Console, make: Callable[..., str]) -> None:
    id = make("scripts", disks=[{"size": "1GiB"}])
    wait_for(lambda: phase(console, id) == "stopped")
    words = "שלום עולם مرحبا 全角文字列" + "漢" * 200
    asked = {"name": "any-script", "description": words}
    console.api.post(f"/vms/{id}/snapshots", json=asked).raise_for_status()
    page.goto(f"/vms/{id}/snapshots")
    expect(page.get_by_text(words)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_ages_are_told_by_the_servers_clock(page: Page, make: Callable[..., str]) -> None:
    id = make("clocked")
    page.clock.install(time=time.time() + 2 * 86_400)  # the browser is two days ahead
    page.goto(f"/vms/{id}")
    created = page.locator(".pf-v6-c-description-list__group", has_text="Created")
    expect(created).to_contain_text(re.compile(r"now|second|minute"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_part_is_accessible(
    context: BrowserContext, make: Callable[..., str], axe_of: Callable[[Page], list[str]], theme: str
) -> None:
    id = make(f"axe-{theme}", running=True, disks=[{"size": "1GiB"}], nics=[{"network": "default"}])
    page = context.new_page()
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    found = {}
    for path in ["/vms", "/vms/new", *(f"/vms/{id}/{part}" for part in PARTS)]:
        page.goto(path)
        expect(page.get_by_role("heading").first).to_be_visible()
        page.wait_for_timeout(500)
        found[path] = axe_of(page)
    assert {path: what for path, what in found.items() if what} == {}
