"""Nodes in the console: the list, a node with all its parts, what can be done with one."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import PAGE_MS, SHOTS, Console, sign_in, start_demo, wait_for
from tests.ui.test_overview import NO_TEXT

LONG_MS = 180_000  # plans are compiled when they are made for the first time
PARTS = ["", "/vms", "/numa", "/charts", "/events", "/found"]


def id_of(console: Console, name: str) -> str:
    return str(console.api.get(f"/nodes/{name}").raise_for_status().json()["id"])


def ended(api: httpx.Client, answer: httpx.Response) -> None:
    """Until the operation has succeeded."""
    path = f"/operations/{answer.raise_for_status().json()['id']}"
    wait_for(lambda: api.get(path).json()["status"]["state"] != "running")
    status = api.get(path).json()["status"]
    assert status["state"] == "succeeded", status


@pytest.fixture
def place(page: Page, console: Console) -> Page:
    """The page of node0002."""
    page.goto(f"/nodes/{id_of(console, 'node0002')}")
    expect(page.get_by_role("heading", name="node0002")).to_be_visible()
    return page


def test_the_list_is_filtered_and_sorted(page: Page) -> None:
    page.goto("/nodes")
    rows = page.locator(".vtable-row")
    expect(rows.first).to_contain_text("node0001")
    expect(rows.first).to_contain_text("KVM")
    page.get_by_label("Search by name").fill("node001")
    expect(rows).to_have_count(3)
    expect(page).to_have_url(re.compile("name=node001"))
    page.get_by_label("Search by name").fill("")
    page.get_by_role("button", name="CPU used").click()
    page.get_by_role("button", name="CPU used").click()
    expect(page.get_by_role("columnheader", name="CPU used")).to_have_attribute("aria-sort", "descending")
    shares = [int(s.split()[0]) for s in page.locator('[data-column="cpu_used"]').all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_the_list_shows_a_change_at_once(page: Page, console: Console) -> None:
    page.goto("/nodes?phase=cordoned")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    console.api.patch("/nodes/node0004", json={"cordoned": True}).raise_for_status()
    try:
        expect(page.get_by_role("link", name="node0004")).to_be_visible()
    finally:
        console.api.patch("/nodes/node0004", json={"cordoned": False}).raise_for_status()
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_says_how_a_host_becomes_a_node(page: Page) -> None:
    page.goto("/nodes")
    page.get_by_role("button", name="Add node").click()
    page.get_by_role("button", name="Make a join token").click()
    expect(page.get_by_text(re.compile(r"corral agent join \S+:\d+/\S+/\S+"))).to_be_visible()


def test_shows_what_a_node_has_and_its_vms(place: Page) -> None:
    inventory = place.get_by_role("region", name="Inventory")
    expect(inventory).to_contain_text("256 GiB")
    expect(inventory).to_contain_text("KVM")
    place.get_by_role("tab", name="VMs").click()
    expect(place).to_have_url(re.compile("/vms$"))
    expect(place.locator(".vtable")).to_have_attribute("aria-rowcount", re.compile("^2[0-9]$"))


def test_cordon_and_uncordon(place: Page, console: Console) -> None:
    place.get_by_role("button", name="Cordon", exact=True).click()
    expect(place.get_by_text("Cordon node0002: done")).to_be_visible()
    expect(place.locator(".page-head")).to_contain_text("cordoned")
    assert console.api.get("/nodes/node0002").json()["spec"]["cordoned"] is True
    place.get_by_role("button", name="Uncordon").click()
    expect(place.locator(".page-head")).to_contain_text("ready")


def test_charts_move_by_themselves(place: Page) -> None:
    place.get_by_role("tab", name="Live charts").click()
    chart = place.get_by_role("img", name=re.compile("^CPU in use: CPU in use [0-9]"))
    expect(chart).to_be_visible()
    expect(place.get_by_role("img", name=re.compile("^Pressure"))).to_be_visible()
    load = place.get_by_role("img", name=re.compile("^Load: "))
    before = load.get_attribute("aria-label")
    place.wait_for_function(
        "before => ![...document.querySelectorAll('[role=img]')].some(e => e.ariaLabel === before)",
        arg=before,
    )


def test_the_numa_picture_has_vms_on_their_cells(place: Page, console: Console) -> None:
    api = console.api
    ended(api, api.patch("/nodes/node0002", json={"dedicated_cpus": "8-15"}))
    body = {
        "name": "pinned",
        "cpus": 4,
        "memory": "4GiB",
        "node": "node0002",
        "hardware": {"dedicated": True},
    }
    ended(api, api.post("/vms", json=body))
    try:
        place.get_by_role("tab", name="NUMA").click()
        cell = place.get_by_role("region", name="Cell 0")
        expect(cell.get_by_role("img", name="CPUs of cell 0: 4 of 64 belong to VMs")).to_be_visible()
        expect(cell).to_contain_text(re.compile(r"pinned\s*CPU 8,"))
        expect(cell).to_contain_text("4 GiB / 256 GiB")
        expect(cell.locator(".numa-cpu.taken")).to_have_count(4)
        expect(cell.locator(".numa-cpu.dedicated")).to_have_count(8)
        place.screenshot(path=SHOTS / "node-numa.png")
    finally:
        ended(api, api.delete("/vms/pinned"))
    expect(cell.locator(".numa-cpu.taken")).to_have_count(0)  # it goes from the picture by itself
    api.patch("/nodes/node0002", json={"dedicated_cpus": ""}).raise_for_status()


def test_edits_and_says_how_it_would_be_typed(place: Page, console: Console) -> None:
    place.get_by_role("button", name="Edit").click()
    place.get_by_label("vCPUs promised for each CPU").fill("0")
    expect(place.get_by_role("dialog").get_by_text(re.compile("cpu_overcommit", re.I)).first).to_be_visible()
    expect(place.get_by_role("button", name="Save")).to_be_disabled()
    place.get_by_label("vCPUs promised for each CPU").fill("3")
    place.get_by_role("button", name="As command and API call").click()
    expect(place.get_by_text("corral node set node0002 --cpu-overcommit 3")).to_be_visible()
    place.get_by_role("button", name="Save").click()
    expect(place.get_by_text("Edit node0002: done")).to_be_visible()
    assert console.api.get("/nodes/node0002").json()["spec"]["cpu_overcommit"] == 3.0
    expect(place.get_by_role("region", name="What VMs may have of it")).to_contain_text("3")


def test_two_people_edit_and_neither_is_overwritten_unseen(place: Page, console: Console) -> None:
    place.get_by_role("button", name="Edit").click()
    place.get_by_label("Rack").fill("mine")
    console.api.patch("/nodes/node0002", json={"rack": "theirs"}).raise_for_status()
    expect(place.get_by_text("Somebody changed it meanwhile")).to_be_visible()
    expect(place.get_by_role("button", name="Save")).to_be_disabled()
    expect(place.locator(".diff")).to_contain_text("theirs")
    place.get_by_role("button", name="Apply mine").click()
    place.get_by_role("button", name="Save").click()
    expect(place.get_by_text("Edit node0002: done")).to_be_visible()
    assert console.api.get("/nodes/node0002").json()["spec"]["rack"] == "mine"
    console.api.patch("/nodes/node0002", json={"rack": ""}).raise_for_status()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_are_accessible(page: Page, console: Console, axe: Callable[[], list[str]], theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto("/nodes")
    expect(page.get_by_role("link", name="node0001")).to_be_visible()
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"nodes-{theme}.png")
    assert axe() == []
    node = id_of(console, "node0001")
    for part in PARTS:
        page.goto(f"/nodes/{node}{part}")
        expect(page.get_by_role("heading", name="node0001")).to_be_visible()
        expect(page.get_by_role("tab", selected=True)).to_be_visible()
        page.wait_for_timeout(500)  # what is read for the part is there
        page.screenshot(path=SHOTS / f"node{part.replace('/', '-')}-{theme}.png")
        assert axe() == [], part
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert axe() == []


def test_have_all_their_words_in_both_languages(page: Page, console: Console) -> None:
    node = id_of(console, "node0001")
    for language, words in {"en": "Nodes", "zh": "节点"}.items():
        page.goto("/nodes")
        page.evaluate("kept => localStorage.setItem('corral.language', kept)", language)
        page.reload()
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        for path in ("/nodes", *(f"/nodes/{node}{part}" for part in PARTS)):
            page.goto(path)
            expect(page.locator("h1")).to_be_visible()
            found = NO_TEXT.search(page.locator("body").inner_text())
            assert found is None, (path, found)


# ---- what changes a fleet for good has one of its own


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    program, console = start_demo(tmp_path_factory.mktemp("small"), "--nodes", "3", "--vms", "12")
    try:
        yield console
    finally:
        program.terminate()
        program.wait(60)


@pytest.fixture
def small_page(browser: Browser, small: Console) -> Iterator[Page]:
    context = browser.new_context(base_url=small.url, locale="en-US", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PAGE_MS)
    sign_in(context, small)
    yield context.new_page()
    context.close()


def test_a_domain_that_was_there_before_is_adopted(small_page: Page, small: Console) -> None:
    page = small_page
    page.goto(f"/nodes/{id_of(small, 'node0001')}")
    page.get_by_role("tab", name="Found domains (1)").click()
    page.get_by_role("button", name="Adopt legacy-erp").click()
    preview = page.get_by_role("region", name="What adopting makes")
    expect(preview).to_contain_text("legacy-erp: 2 vCPUs, 4 GiB")
    expect(preview).to_contain_text("40 GiB")
    assert (
        small.api.get("/vms", params={"filter": "name=legacy-erp"}).json()["total"] == 0
    )  # it is only shown
    page.get_by_label("Name of the VM").fill("erp")
    expect(preview).to_contain_text("erp: 2 vCPUs")
    page.get_by_role("dialog").get_by_role("button", name="Adopt", exact=True).click()
    expect(page.get_by_text("Adopt erp: done")).to_be_visible()
    expect(page.get_by_text("Nothing runs here that is not Corral's.")).to_be_visible()
    page.get_by_role("tab", name="VMs").click()
    expect(page.get_by_role("link", name="erp", exact=True)).to_be_visible()


def test_a_drain_shows_its_plan_then_runs_and_can_be_followed(
    small_page: Page, small: Console, axe_of: Callable[[Page], list[str]]
) -> None:
    page = small_page
    page.goto(f"/nodes/{id_of(small, 'node0003')}")
    page.get_by_role("button", name="Drain").click()
    plan = page.get_by_role("region", name="Plan")
    expect(plan).to_contain_text(re.compile(r"Moves: 4; [0-9.]+ GiB to send, about "), timeout=LONG_MS)
    expect(plan.locator(".vtable-row").first).to_contain_text(re.compile(r"node000[12].*GiB.*ms", re.S))
    assert axe_of(page) == []
    page.screenshot(path=SHOTS / "node-drain.png")
    node = small.api.get("/nodes/node0003").json()
    assert node["spec"]["cordoned"] is False  # nothing has begun
    page.get_by_role("button", name="Cordon and drain node0003").click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("4 of 4 moved", timeout=LONG_MS)
    expect(page.locator(".page-head")).to_contain_text("cordoned")
    assert axe_of(page) == []
    assert small.api.get("/vms", params={"filter": f"status.node={node['id']}"}).json()["total"] == 0


def test_a_vm_that_can_not_leave_is_named_with_the_reason(small_page: Page, small: Console) -> None:
    api = small.api
    ended(api, api.patch("/nodes/node0001", json={"dedicated_cpus": "0-3"}))
    body = {"name": "stays", "cpus": 2, "memory": "1GiB", "node": "node0001"}
    ended(api, api.post("/vms", json=body | {"hardware": {"dedicated": True}}))
    small_page.goto(f"/nodes/{id_of(small, 'node0001')}/drain")
    expect(small_page.get_by_text(re.compile("VMs for which no way was found: [12]"))).to_be_visible(
        timeout=LONG_MS
    )
    stuck = small_page.locator(".overview-list").get_by_role("listitem").filter(has_text="stays")
    expect(stuck).to_contain_text(re.compile(r"stays: \w+ .{10,}"))


def test_a_node_goes_only_after_its_name_was_typed(small_page: Page, small: Console) -> None:
    page = small_page
    page.goto(f"/nodes/{id_of(small, 'node0002')}")
    page.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Give up its VMs").check()
    expect(dialog.get_by_role("button", name="Remove")).to_be_disabled()
    dialog.get_by_role("textbox").fill("node0001")
    expect(dialog.get_by_role("button", name="Remove")).to_be_disabled()
    dialog.get_by_role("textbox").fill("node0002")
    dialog.get_by_role("button", name="Remove").click()
    expect(page).to_have_url(re.compile("/nodes/?$"))
    expect(page.locator(".vtable-row")).to_have_count(2)
    assert small.api.get("/nodes").json()["total"] == 2
