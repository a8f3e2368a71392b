"""Rebalancing in the console: a plan to look at, carrying it out, the history, the automatic mode."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import SHOTS, Console, wait_for

PLAN_MS = 120_000  # the first plan of a server compiles the planner


@pytest.fixture(scope="module")
def uneven(console: Console) -> None:
    """VMs that all lie on one node."""
    api = console.api
    nodes = api.get("/nodes").json()["items"]
    for node in nodes[1:]:
        api.patch(f"/nodes/{node['id']}", json={"cordoned": True}).raise_for_status()
    for number in range(12):
        body = {"name": f"heavy-{number}", "cpus": 8, "memory": "8GiB"}
        api.post("/vms", json=body).raise_for_status()
    wait_for(lambda: api.get("/vms?filter=name~heavy-,status.phase=running&limit=1").json()["total"] == 12)
    for node in nodes[1:]:
        api.patch(f"/nodes/{node['id']}", json={"cordoned": False}).raise_for_status()


@pytest.mark.usefixtures("uneven")
def test_a_plan_is_looked_at_carried_out_and_kept(page: Page, console: Console) -> None:
    page.goto("/rebalance")
    page.get_by_label("Moves at most").fill("4")
    page.get_by_role("button", name="Show the plan").click()
    plan = page.get_by_role("region", name="Moves")
    expect(plan).to_be_visible(timeout=PLAN_MS)
    expect(plan.get_by_role("row")).to_have_count(5)
    for figure in ("vCPUs", "memory"):
        expect(page.get_by_role("img", name=re.compile(f"share of {figure}"))).to_be_visible()
    page.wait_for_timeout(500)
    Path(SHOTS).mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "rebalance.png", full_page=True)
    score = page.locator(".rebalance-figures").inner_text()
    before, after = map(float, re.findall(r"([\d.]+) → ([\d.]+)", score)[0])
    assert after < before

    page.get_by_role("button", name="Carry it out").click()
    page.get_by_role("dialog").get_by_role("button", name="Carry it out").click()
    expect(page).to_have_url(re.compile("/rebalance/rebalance-"))
    expect(page.locator(".page-head")).to_contain_text("done", timeout=PLAN_MS)
    moves = page.get_by_role("region", name="Moves").get_by_role("row")
    done = page.get_by_role("region", name="Moves").get_by_text("done")
    assert done.count() == moves.count() - 1 > 0

    page.get_by_role("link", name="Rebalance", exact=True).first.click()
    row = page.get_by_role("grid", name="Of the last week").get_by_role("row").nth(1)
    expect(row).to_contain_text("Balance")
    expect(row).to_contain_text("done")


@pytest.mark.usefixtures("uneven")
def test_a_rebalance_is_stopped(page: Page, console: Console) -> None:
    asked = console.api.post("/rebalance", json={"goal": "balance", "moves_max": 50, "parallel": 1}).json()
    target = asked["spec"]["target"]["id"]
    page.goto(f"/rebalance/{target}")
    page.get_by_role("button", name="Stop it").click(timeout=PLAN_MS)
    page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
    expect(page.locator(".page-head")).to_contain_text("cancelled", timeout=PLAN_MS)


def test_the_automatic_mode_is_set(page: Page, console: Console) -> None:
    page.goto("/rebalance")
    expect(page.get_by_text("Off: nothing moves unless somebody asks.")).to_be_visible()
    page.get_by_role("button", name="Set", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("By itself").check()
    dialog.get_by_label("Begins above score").fill("9")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_text("On: VMs are moved without being asked.")).to_be_visible()
    spec = console.api.get("/policies/default").json()["spec"]
    assert spec["rebalance"]["automatic"] is True
    assert spec["rebalance"]["start_above"] == 9
    page.get_by_role("button", name="Set", exact=True).click()
    dialog.get_by_label("Goal").select_option("consolidate")
    dialog.get_by_label("Moves per 100 VM hours").fill("2")
    expect(dialog.get_by_label("Begins above score")).to_have_count(0)
    dialog.get_by_role("button", name="Edit").click()
    expect(page.get_by_text("Moves per 100 VM hours")).to_be_visible()
    spec = console.api.get("/policies/default").json()["spec"]
    assert (spec["rebalance"]["goal"], spec["rebalance"]["moves_per_100_vm_hours"]) == ("consolidate", 2)
    console.api.delete("/policies/default").raise_for_status()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible(page: Page, theme: str, axe: Callable[[], list[str]]) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.goto("/rebalance")
    expect(page.get_by_role("heading", name="Rebalance", level=1)).to_be_visible()
    assert axe() == []
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_text("What it would do")).to_be_visible(timeout=PLAN_MS)
    assert axe() == []
