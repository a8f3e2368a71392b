"""The form for a new VM: defaults, checking while it is filled in, what it is as a command, and the VM."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Console, wait_for

NAME = "made-in-page"


@pytest.fixture(autouse=True)
def tidy(console: Console) -> Iterator[None]:
    yield
    console.api.delete(f"/vms/{NAME}?purge=true")


def test_creates_a_vm_with_a_disk_of_an_image_and_a_port(page: Page, console: Console) -> None:
    page.goto("/vms/new")
    expect(page.get_by_label("Name")).to_have_value(re.compile(r"^[a-z]+-[a-z]+-\d+$"))
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Memory").fill("1GiB")
    page.get_by_label("Image").select_option("debian-12")
    page.get_by_label("Network").select_option("default")
    page.get_by_label("cloud-init user data").fill("#cloud-config\nhostname: made\n")
    expect(page.get_by_text("The server would take this.")).to_be_visible()
    page.get_by_role("button", name="As command and API call").click()
    expect(
        page.get_by_text(f"corral vm create {NAME} --cpus 2 --memory 1GiB --image debian-12")
    ).to_be_visible()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(page.get_by_text("running").first).to_be_visible()
    vm = console.api.get(f"/vms/{NAME}").json()
    assert vm["spec"]["memory_bytes"] == 1 << 30
    assert vm["spec"]["cloud_init"]["user_data"].startswith("#cloud-config")
    assert len(vm["spec"]["disks"]) == 1
    assert len(vm["spec"]["nics"]) == 1


@pytest.mark.parametrize(
    ("label", "value", "word"),
    [
        ("Name", "Not A Name", "name"),
        ("Memory", "much", "memory"),
        ("vCPUs", "0", "cpus"),
        ("Size of the disk", "-3GiB", "size"),
        ("cloud-init user data", "#cloud-config\nfoo: [", "user_data"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(page: Page, label: str, value: str, word: str) -> None:
    page.goto("/vms/new")
    field = page.get_by_label(re.compile(f"^{label}"))
    field.fill(value)
    expect(field).to_have_attribute("aria-invalid", "true")
    told = page.locator(f"[id='{field.get_attribute('aria-describedby')}']")
    expect(told).to_contain_text(re.compile(word))


def test_a_name_that_is_taken_is_refused_before_it_is_asked_for(page: Page, console: Console) -> None:
    taken = {"name": NAME, "memory": "128MiB", "running": False}
    console.api.post("/vms", json=taken).raise_for_status()
    page.goto("/vms/new")
    page.get_by_label("Name").fill(NAME)
    expect(page.get_by_text(f"a VM called {NAME} exists already")).to_be_visible()


def test_what_fits_nowhere_is_asked_for_and_explained(page: Page, console: Console) -> None:
    page.goto("/vms/new")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Memory").fill("4TiB")
    page.get_by_role("button", name="Create", exact=True).click()
    wait_for(lambda: console.api.get(f"/vms/{NAME}").status_code == 200)
    page.goto(f"/vms/{NAME}/placement")
    expect(page.get_by_text(re.compile("can never fit|Nodes that are out")).first).to_be_visible()
