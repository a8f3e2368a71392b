"""Hugepages on real guests: memory is taken from the pages that the host has set aside, and given back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.model.units import MiB
from tests.lab.world import World

SET_ASIDE = Path("/proc/sys/vm/nr_hugepages")
GUEST = 64  # pages of 2 MiB: the 128 MiB of a guest
PAGES = 2 * GUEST + 8  # while one migrates, both ends have it


@pytest.fixture(scope="module", autouse=True)
def pages(world: World) -> Iterator[None]:
    """Set aside on this machine, which all nodes of the lab share, and known of each."""
    before = SET_ASIDE.read_text()
    SET_ASIDE.write_text(str(int(before) + PAGES))
    try:
        assert int(SET_ASIDE.read_text()) == int(before) + PAGES, "this machine has no room for hugepages"
        world.until("their inventory", lambda: all(known(world, node) >= PAGES for node in world.nodes), 120)
        yield
    finally:
        SET_ASIDE.write_text(before)


def known(world: World, node: str) -> int:
    cells = world.client.nodes.get(node).status.inventory.cells
    return sum(cell.hugepages.get(str(2 * MiB), 0) for cell in cells)


def free() -> int:
    found = re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert found
    return int(found[1])


def test_a_guest_lives_on_hugepages_and_takes_them_along(world: World) -> None:
    before = free()
    world.make_up("huge", hardware={"hugepages": "2MiB"})
    source = world.node_of("huge")
    assert free() == before - GUEST
    assert '<page size="2048" unit="KiB"' in world.virsh(source, "dumpxml", "huge").replace("'", '"')
    world.wait(world.client.vms.migrate("huge"))
    assert world.runs_on("huge") == [world.node_of("huge")] != [source]
    assert free() == before - GUEST
    world.remove("huge")
    world.until("pages given back", lambda: free() == before, 10)


def test_pages_that_no_node_has_are_named_in_the_refusal(world: World) -> None:
    asked = world.client.vms.create(
        name="gigantic",
        memory="1GiB",
        disks=[{"image": "guest", "pool": "shared"}],
        hardware={"hugepages": "1GiB"},
    )
    try:
        error = world.ended(asked).status.error
        assert error and "hugepages" in error.message
    finally:
        world.remove("gigantic")
