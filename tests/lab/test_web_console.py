"""The web console before a lab: real guests made, typed at, changed, moved, drained and lost, seen in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.lab.world import IMAGE, World
from tests.ui.conftest import PAGE_MS, Console, browser, obstacle, sign_in, wait_for

__all__ = ["browser"]  # a fixture of this module, too
pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())
NAME = "paged"
BOOT_MS = 90_000
LOST_MS = 60_000
DRAWN = """() => {
  const canvas = document.querySelector('.console-place canvas')
  if (!canvas || !canvas.width) return false
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  return new Set(new Uint32Array(data.buffer)).size > 1
}"""
PLAN_MS = 90_000  # the first plan of a server compiles its loops


@pytest.fixture
def page(browser: Browser, world: World) -> Iterator[Page]:
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


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_a_vm_lives_in_the_page(page: Page, world: World) -> None:
    """Made by the form, typed at, given a disk while it runs, and moved to another node."""
    page.goto("/vms/new")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label(re.compile("^vCPUs")).fill("1")
    page.get_by_label(re.compile("^Memory")).fill("128MiB")
    page.get_by_label(re.compile("^Image")).select_option(IMAGE)
    page.get_by_label(re.compile("^Size of the disk")).fill("")
    page.get_by_label(re.compile("^Pool")).select_option("shared")
    page.get_by_label(re.compile("^Network")).select_option("default")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(page.get_by_text("running", exact=True).first).to_be_visible(timeout=BOOT_MS)
    world.guest_up(NAME, 120.0)
    address = world.vm(NAME).status.guest.addresses[0]
    expect(page.get_by_text(address)).to_be_visible()

    page.get_by_role("tab", name="Console").click()
    expect(page.get_by_text("Connected")).to_be_visible()
    keys = page.locator(".xterm-helper-textarea")
    keys.press("Enter")
    keys.press_sequentially("echo said-$((6 * 7))-here\n", delay=30)
    expect(page.locator(".xterm")).to_contain_text("said-42-here", timeout=20_000)

    page.get_by_role("button", name="Screen (VNC)").click()
    expect(page.get_by_text("Connected")).to_be_visible()
    wait_for(lambda: page.evaluate(DRAWN))  # noVNC, before QEMU's own VNC

    page.get_by_role("tab", name="Hardware").click()
    page.get_by_role("button", name="Add disk").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("^Size")).fill("64MiB")
    dialog.get_by_label(re.compile("^Pool")).select_option("shared")
    dialog.get_by_role("button", name="Add disk").click()
    expect(page.get_by_text(f"Add disk {NAME}: done")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("64 MiB")).to_be_visible()

    before = world.vm(NAME).status.node
    page.get_by_role("tab", name="Overview").click()
    page.get_by_role("button", name="Migrate").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("about .* paused for")).first).to_be_visible()
    dialog.get_by_role("button", name="Migrate").click()
    expect(page.get_by_text(f"Migrate {NAME}: done")).to_be_visible(timeout=BOOT_MS)
    assert world.vm(NAME).status.node != before
    expect(page.get_by_text("Last migration")).to_be_visible()


def test_a_node_is_drained_after_its_plan_was_shown(page: Page, world: World) -> None:
    vm = world.make_up("drained")
    node = world.client.nodes.get(vm.status.node or "")
    page.goto(f"/nodes/{node.id}/drain")
    expect(page.get_by_text("drained")).to_be_visible(timeout=PLAN_MS)
    assert world.vm("drained").status.node == node.id  # a plan moves nothing
    page.get_by_role("button", name=f"Cordon and drain {node.name}").click()
    expect(page.get_by_text(re.compile(r"(\d+) of \1 moved"))).to_be_visible(timeout=BOOT_MS)
    wait_for(lambda: world.vm("drained").status.node != node.id)
    page.goto(f"/nodes/{node.id}")
    expect(page.get_by_text("cordoned").first).to_be_visible()
    page.get_by_role("button", name="Uncordon").click()
    expect(page.get_by_text("ready").first).to_be_visible()


def test_a_node_that_is_killed_is_seen_live(page: Page, world: World) -> None:
    page.goto("/nodes")
    node = row(page, world.nodes[2])
    expect(node.get_by_text("ready")).to_be_visible()
    world.lab.kill(world.nodes[2])
    expect(node.get_by_text("lost")).to_be_visible(timeout=LOST_MS)
    page.goto("/overview")
    expect(page.get_by_text(re.compile(world.nodes[2])).first).to_be_visible()
    page.goto("/nodes")
    world.lab.heal(world.nodes[2])
    expect(node.get_by_text("ready")).to_be_visible(timeout=LOST_MS)
