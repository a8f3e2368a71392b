"""Images, volumes, pools, networks, groups, policies, profiles and tokens in the console."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import Console, wait_for

LISTS = {
    "/images": "Images",
    "/volumes": "Volumes",
    "/pools": "Storage pools",
    "/networks": "Networks",
    "/groups": "Placement groups",
    "/policies": "Scheduling policies",
    "/profiles": "Profiles",
    "/tokens": "Tokens",
}


def labelled(dialog: Locator, label: str) -> Locator:
    """A field by its label, required (with a star behind it) or not."""
    return dialog.get_by_label(re.compile(rf"^{label}\W*$"))


def create(page: Page, path: str, button: str, fields: dict[str, str], choices: dict[str, str]) -> None:
    """Fill in the dialog of a new one and send it."""
    page.goto(path)
    page.get_by_role("button", name=button, exact=True).first.click()
    dialog = page.get_by_role("dialog", name=button)
    for label, value in choices.items():
        dialog.get_by_label(label).select_option(value)
    for label, value in fields.items():
        labelled(dialog, label).fill(value)
    dialog.get_by_role("button", name="Create").click()
    expect(dialog).to_be_hidden()


NEW = [
    ("/pools", "Create pool", {"Name": "res-pool", "Directory": "/srv/res-pool"}, {}),
    ("/volumes", "Create volume", {"Name": "res-volume", "Size": "3GiB"}, {}),
    ("/networks", "Create network", {"Name": "res-nat", "Subnet": "10.91.0.0/24"}, {"Segment": "nat"}),
    ("/groups", "Create group", {"Name": "res-group", "Rules": "anti-affinity,rack,weight=0.5"}, {}),
    ("/policies", "Create policy", {"Name": "res-policy", "Weight of memory": "0.6"}, {"Spare room": "node"}),
    ("/profiles", "Create profile", {"Name": "res-profile", "vCPUs": "4", "Memory": "8GiB"}, {}),
]


@pytest.mark.parametrize(("path", "button", "fields", "choices"), NEW, ids=[n[0][1:] for n in NEW])
def test_a_new_one_is_made_shown_and_deleted_by_its_name(
    page: Page,
    console: Console,
    path: str,
    button: str,
    fields: dict[str, str],
    choices: dict[str, str],
) -> None:
    name = fields["Name"]
    create(page, path, button, fields, choices)
    page.get_by_placeholder("Name").or_(page.get_by_role("searchbox")).first.fill(name)  # among many others
    page.get_by_role("link", name=name, exact=True).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    made = console.api.get(f"{path}/{name}").raise_for_status().json()
    if path == "/volumes":
        wait_for(lambda: console.api.get(f"{path}/{name}").json()["status"]["phase"] == "ready")
        assert made["spec"]["size_bytes"] == 3 * 1024**3
    if path == "/policies":
        assert made["spec"]["weights"]["memory"] == 0.6
        assert made["spec"]["spare"] == "node"

    page.get_by_role("button", name=re.compile("More actions")).click()
    page.get_by_role("menuitem", name="Delete for good" if path == "/volumes" else "Delete").click()
    sure = page.get_by_role("dialog").get_by_role("button", name=re.compile("Delete"))
    expect(sure).to_be_disabled()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    sure.click()
    wait_for(lambda: console.api.get(f"{path}/{name}").status_code == 404)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_hidden()


def test_what_is_wrong_is_said_at_its_field_while_it_is_typed(page: Page) -> None:
    page.goto("/networks")
    page.get_by_role("button", name="Create network").click()
    dialog = page.get_by_role("dialog")
    labelled(dialog, "Name").fill("res-wrong")
    labelled(dialog, "Bridge").fill("br0")
    dialog.get_by_label("Subnet").fill("10.0.0.0/99")
    wrong = dialog.get_by_label("Subnet")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Subnet").fill("10.92.0.0/24")
    expect(wrong).not_to_have_attribute("aria-invalid", "true")
    dialog.get_by_role("button", name="As command and API call").click()
    expect(dialog).to_contain_text("corral network create res-wrong --bridge br0 --subnet 10.92.0.0/24")
    expect(dialog).to_contain_text("/api/v1/networks")


def test_a_volume_grows_is_cloned_goes_into_the_trash_and_comes_back(page: Page, console: Console) -> None:
    api = console.api
    api.post("/volumes", json={"name": "res-data", "size": "2GiB"}).raise_for_status()
    wait_for(lambda: api.get("/volumes/res-data").json()["status"]["phase"] == "ready")
    page.goto("/volumes/res-data")
    page.get_by_role("button", name="Make larger").click()
    page.get_by_label("New size").fill("5GiB")
    page.get_by_role("dialog").get_by_role("button", name="Make larger").click()
    expect(page.locator(".described")).to_contain_text("5 GiB")

    page.get_by_role("button", name=re.compile("More actions")).click()
    page.get_by_role("menuitem", name="Clone").click()
    page.get_by_label("Name of the copy").fill("res-copy")
    page.get_by_role("dialog").get_by_role("button", name="Clone").click()
    wait_for(lambda: api.get("/volumes/res-copy").status_code == 200)

    id = api.get("/volumes/res-data").json()["id"]
    page.goto(f"/volumes/{id}")
    wait_for(lambda: api.get("/volumes/res-copy").json()["status"]["phase"] == "ready")
    page.get_by_role("button", name=re.compile("More actions")).click()
    page.get_by_role("menuitem", name="Put into the trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Put into the trash").click()
    expect(page.get_by_role("heading", name=re.compile("In the trash since"))).to_be_visible()
    page.get_by_role("button", name="Restore").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(page.get_by_role("heading", name=re.compile("In the trash since"))).to_be_hidden()
    wait_for(lambda: api.get("/volumes/res-data").json().get("id") == id)


def test_an_image_is_uploaded_from_a_file(page: Page, console: Console, tmp_path: Path) -> None:
    file = tmp_path / "res-tiny.raw"
    file.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024**2 - 512))  # a boot record, as disks have
    page.goto("/images")
    page.get_by_role("button", name="Upload a file").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(file)
    expect(labelled(dialog, "Name")).to_have_value("res-tiny")
    dialog.get_by_role("button", name="Upload", exact=True).click()
    expect(dialog).to_be_hidden()
    row = page.get_by_role("row").filter(has_text="res-tiny")
    expect(row).to_contain_text("ready")
    expect(row).to_contain_text("1 MiB")


def test_a_broken_image_says_what_is_wrong_with_it(page: Page, console: Console, tmp_path: Path) -> None:
    file = tmp_path / "res-bad.qcow2"
    file.write_bytes(b"this is no disk")
    page.goto("/images")
    page.get_by_role("button", name="Upload a file").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=file]").set_input_files(file)
    dialog.get_by_label("Format").select_option("qcow2")
    dialog.get_by_role("button", name="Upload", exact=True).click()
    expect(dialog.get_by_role("heading", name=re.compile("alert"))).to_be_visible()


def test_a_manifest_is_edited_with_its_changes_shown_first(page: Page, console: Console) -> None:
    console.api.post("/groups", json={"name": "res-yaml"}).raise_for_status()
    page.goto("/groups/res-yaml/yaml")
    editor = page.get_by_label("Manifest of res-yaml")
    expect(editor).to_have_value(re.compile("kind: PlacementGroup"))
    text = editor.input_value()
    editor.fill(f"{text.rstrip()}\nlabels:\n  team: web\n" if "labels" not in text else text)
    page.get_by_role("button", name="Compare and apply").click()
    expect(page.get_by_role("dialog")).to_contain_text("team: web")
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    wait_for(lambda: console.api.get("/groups/res-yaml").json()["labels"] == {"team": "web"})


def test_two_people_who_edit_the_same_are_told(page: Page, console: Console) -> None:
    console.api.post("/groups", json={"name": "res-both"}).raise_for_status()
    page.goto("/groups/res-both/yaml")
    editor = page.get_by_label("Manifest of res-both")
    expect(editor).to_have_value(re.compile("kind: PlacementGroup"))
    editor.fill(f"{editor.input_value().rstrip()}\n# mine\n")
    console.api.patch("/groups/res-both", json={"spec": {"summary": "of somebody else"}}).raise_for_status()
    expect(page.get_by_text("Somebody changed it meanwhile")).to_be_visible()
    expect(page.get_by_label("Somebody changed it meanwhile")).to_contain_text("of somebody else")


def test_a_form_never_overwrites_what_somebody_else_has_changed_meanwhile(
    page: Page, console: Console
) -> None:
    console.api.post("/policies", json={"name": "res-form", "spec": {"summary": "old"}}).raise_for_status()
    page.goto("/policies/res-form")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Weight of vCPUs").fill("0.9")
    theirs = {"spec": {"summary": "of somebody else"}}
    console.api.patch("/policies/res-form", json=theirs).raise_for_status()
    expect(dialog.get_by_text("Somebody changed it meanwhile")).to_be_visible()
    expect(dialog.get_by_label("Somebody changed it meanwhile")).to_contain_text("of somebody else")
    expect(dialog.get_by_role("button", name="Edit")).to_be_disabled()
    dialog.get_by_role("button", name="Apply mine").click()
    dialog.get_by_role("button", name="Edit").click()
    expect(dialog).to_have_count(0)
    spec = console.api.get("/policies/res-form").json()["spec"]
    assert (spec["summary"], spec["weights"]["cpu"]) == ("of somebody else", 0.9)


def test_a_policy_keeps_what_the_form_does_not_show(page: Page, console: Console) -> None:
    spec = {"score": "balance", "weights": {"cpu": 0.3}, "rebalance": {"moves_max": 7}}
    console.api.post("/policies", json={"name": "res-kept", "spec": spec}).raise_for_status()
    page.goto("/policies/res-kept")
    page.get_by_role("button", name="Edit").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Weight of vCPUs")).to_have_value("0.3")
    dialog.get_by_label("Summary").fill("kept")
    dialog.get_by_role("button", name="Edit").click()
    expect(dialog).to_be_hidden()
    kept = console.api.get("/policies/res-kept").json()["spec"]
    assert kept["summary"] == "kept"
    assert kept["weights"]["cpu"] == 0.3
    assert kept["rebalance"]["moves_max"] == 7


def test_a_network_has_ports_and_forwards(page: Page, console: Console) -> None:
    api = console.api
    asked = {"name": "res-inside", "segment": "nat", "subnet": {"cidr": "10.93.0.0/24"}}
    api.post("/networks", json=asked).raise_for_status()
    vm = {"name": "res-web", "memory": "128MiB", "nics": [{"network": "res-inside"}], "running": False}
    api.post("/vms", json=vm).raise_for_status()
    page.goto("/networks/res-inside/ports")
    expect(page.get_by_role("link", name="res-web")).to_be_visible()
    expect(page.get_by_role("grid", name="Ports and leases")).to_contain_text("10.93.0.")
    page.get_by_role("tab", name="Forwards").click()
    page.get_by_role("button", name="Add forward").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Port of the node").fill("8080")
    labelled(dialog, "VM").fill("res-web")
    dialog.get_by_label("Port of the VM").fill("80")
    dialog.get_by_role("button", name="Add forward").click()
    expect(page.get_by_role("cell", name="8080/tcp")).to_be_visible()
    page.get_by_role("button", name="End forward").click()
    page.get_by_role("dialog").get_by_role("button", name="End forward").click()
    expect(page.get_by_role("cell", name="8080/tcp")).to_be_hidden()


def test_a_token_shows_its_secret_once_and_is_revoked(page: Page, console: Console) -> None:
    create(page, "/tokens", "Create token", {"Name": "res-token"}, {"Role": "operator"})
    secret = page.get_by_text(re.compile(r"^corral_tok")).first
    expect(secret).to_be_visible()
    text = secret.inner_text()
    mine = Console(url=console.url, token=text)
    assert mine.api.get("/vms?limit=1").status_code == 200
    page.get_by_role("button", name="I have copied it").click()
    row = page.get_by_role("row").filter(has_text="res-token")
    expect(row).to_contain_text("operator")
    row.get_by_role("button", name="More actions: res-token").click()
    page.get_by_role("menuitem", name="Revoke").click()
    page.get_by_label("Type res-token to confirm").fill("res-token")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_be_hidden()
    assert mine.api.get("/vms?limit=1").status_code == 401


def test_a_long_name_from_right_to_left_breaks_no_list(page: Page, console: Console) -> None:
    name = "res-" + "long" * 12
    body = {"name": name, "labels": {"note": "שלום-عربى"}, "spec": {"summary": "汉字 " * 60}}
    console.api.post("/profiles", json=body).raise_for_status()
    page.goto("/profiles")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_are_accessible(
    page: Page, console: Console, theme: str, axe: Callable[[], list[str]]
) -> None:
    api = console.api
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    found: list[str] = []
    for path, title in LISTS.items():
        page.goto(path)
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="row")).to_be_visible()
        found += [f"{path}: {line}" for line in axe()]
    api.post("/policies", json={"name": f"res-axe-{theme}"}).raise_for_status()
    for path in ("/images", "/volumes", "/pools", "/networks", "/policies"):
        one = api.get(f"{path}?limit=1").json()["items"][0]
        page.goto(f"{path}/{one['id']}")
        expect(page.get_by_role("heading", name=one["name"], level=1)).to_be_visible()
        found += [f"{path}/one: {line}" for line in axe()]
    page.goto("/networks")
    page.get_by_role("button", name="Create network").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found += [f"dialog: {line}" for line in axe()]
    assert found == []
