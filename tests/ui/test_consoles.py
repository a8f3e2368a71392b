"""Consoles in the page: the serial line typed at, the screen drawn, and what is said when they end."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Console, wait_for


@pytest.fixture
def vm(console: Console) -> Iterator[str]:
    asked = {"name": "talker", "memory": "128MiB"}
    id = console.api.post("/vms", json=asked).raise_for_status().json()["spec"]["target"]["id"]
    wait_for(lambda: console.api.get(f"/vms/{id}").json()["status"]["phase"] == "running")
    yield id
    console.api.delete(f"/vms/{id}?purge=true")


def test_types_at_the_serial_line(page: Page, vm: str) -> None:
    page.goto(f"/vms/{vm}/console")
    expect(page.get_by_text("Connected")).to_be_visible()
    terminal = page.locator(".xterm")
    expect(terminal).to_contain_text("talker")
    page.locator(".xterm-helper-textarea").press_sequentially("hello there")
    expect(terminal).to_contain_text("hello there")  # the simulated guest echoes


def test_draws_the_screen(page: Page, vm: str) -> None:
    page.goto(f"/vms/{vm}/console")
    page.get_by_role("button", name="Screen (VNC)").click()
    expect(page.get_by_text("Connected")).to_be_visible()
    canvas = page.locator(".console-place canvas")
    expect(canvas).to_be_visible()
    wait_for(
        lambda: page.evaluate(
            """() => {
              const canvas = document.querySelector('.console-place canvas')
              const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
              return new Set(new Uint32Array(data.buffer)).size > 1
            }"""
        )
    )
    page.get_by_role("button", name="Ctrl-Alt-Del").click()


def test_a_vm_that_is_deleted_meanwhile_closes_it_and_says_so(page: Page, console: Console, vm: str) -> None:
    page.goto(f"/vms/{vm}/console")
    expect(page.get_by_text("Connected")).to_be_visible()
    console.api.delete(f"/vms/{vm}?purge=true").raise_for_status()
    expect(page.get_by_text("talker was deleted.")).to_be_visible()


def test_it_follows_a_vm_that_migrates(page: Page, console: Console, vm: str) -> None:
    page.goto(f"/vms/{vm}/console")
    page.get_by_role("button", name="Screen (VNC)").click()
    expect(page.get_by_text("Connected")).to_be_visible()
    before = console.api.get(f"/vms/{vm}").json()["status"]["node"]
    console.api.post(f"/vms/{vm}/migrate", json={}).raise_for_status()
    wait_for(lambda: console.api.get(f"/vms/{vm}").json()["status"]["node"] != before)
    expect(page.get_by_text("Connected")).to_be_visible()


def test_a_vm_that_is_off_has_no_console(page: Page, console: Console, vm: str) -> None:
    console.api.post(f"/vms/{vm}/stop?force=true").raise_for_status()
    page.goto(f"/vms/{vm}/console")
    expect(page.get_by_text(re.compile("does not run"))).to_be_visible()
