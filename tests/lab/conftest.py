"""The lab of the lab tests: where it may be skipped, and one whole Corral lab for all of them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.lab import furnish, guest
from corral.lab.lab import Lab
from tests.lab.places import a_plan
from tests.lab.world import IMAGE, World

PROGRAMS = (
    "qemu-system-x86_64",
    "qemu-img",
    "libvirtd",
    "virtlogd",
    "virsh",
    "ip",
    "unshare",
    "nsenter",
    "dnsmasq",
)
HERE = Path(__file__).parent


def obstacle() -> str:
    """Why this machine can't run a lab; "" when it can."""
    if os.geteuid() != 0:
        return "a lab needs root"
    missing = [p for p in PROGRAMS if shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    return f"not installed: {', '.join(missing)} (`make setup`)" if missing else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = obstacle()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """CI has a machine for labs: a test that is skipped there proves nothing and counts as failed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def corral_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three nodes and a server, up."""
    lab = Lab(a_plan(tmp_path_factory.mktemp("lab") / "lab", nodes=3), tell=print)
    try:
        lab.up()
        yield lab
    finally:
        keep_logs(lab)
        lab.down()


def keep_logs(lab: Lab) -> None:
    """Put the logs where they outlive the lab: .cache/test/lab."""
    kept = HERE.parent.parent / ".cache" / "test" / "lab"
    shutil.rmtree(kept, ignore_errors=True)
    for log in sorted(lab.plan.dir.glob("*/*/*.log")):
        (kept / log.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(log, kept / log.parent.name)


@pytest.fixture(scope="session")
def world(corral_lab: Lab) -> World:
    """The lab with its guest image uploaded."""
    corral_lab.client.images.upload(IMAGE, guest.build(corral_lab.plan.guest_image))
    return World(corral_lab)


@pytest.fixture(autouse=True)
def whole_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that broke something: server up, all nodes healed, its VMs gone, nothing stray."""
    yield
    if "world" not in request.fixturenames:
        return
    world: World = request.getfixturevalue("world")
    world.lab.start_server()
    broken = [
        seen.name for seen in world.lab.see() if not (seen.on and seen.cable and all(seen.units.values()))
    ]
    for name in broken:
        world.lab.heal(name)
        for unit in ("virtlogd", "libvirtd", "agent"):
            world.lab.start_unit(name, unit)
    furnish.wait_for_nodes(world.lab.plan, world.client, frozenset(world.nodes))
    for vm in world.client.vms.list():
        if vm.labels.get("keep") != "yes":
            world.remove(vm.name)
    world.tidy()
