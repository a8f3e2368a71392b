"""Disks that move while their VM runs, as every hypervisor driver does it: hypervisor/interface.py, by example."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from corral.hypervisor.interface import DiskPlace, Domain, DomainWish, Hypervisor, HypervisorFailed
from corral.model.ids import VolumeId
from corral.model.link import DiskAssignment
from corral.model.units import MiB
from corral.model.vm import DomainState
from tests.contract import hypervisors
from tests.contract.hypervisors import Bench, SimulatedBench
from tests.contract.test_hypervisor import REAL, opened, until

NUMBERS = count(200)


@pytest.fixture(scope="module", params=["simulated", pytest.param("libvirt", marks=REAL)])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("bench")
    with hypervisors.bench(request.param, folder) as made:
        yield made


@pytest_asyncio.fixture
async def one(bench: Bench) -> AsyncIterator[Hypervisor]:
    async for driver in opened(bench.driver(0)):
        yield driver


@pytest.fixture
def wish(bench: Bench) -> DomainWish:
    number = next(NUMBERS)
    disk = DiskAssignment(
        volume=VolumeId(f"vol-01JC{number:022d}"), path=str(bench.qcow2(f"old{number}")), shared=True
    )
    return replace(hypervisors.wish_of(bench, f"disk{number}", number), disks=(disk,))


def is_running(domain: Domain | None) -> bool:
    return domain is not None and domain.state is DomainState.RUNNING


def empty(wish: DomainWish) -> str:
    """A file to copy into."""
    path = Path(wish.disks[0].path).with_suffix(".new.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(2 * MiB)], check=True)
    return str(path)


async def placed(
    driver: Hypervisor, wish: DomainWish, paths: tuple[str, ...], holds: Callable[[DiskPlace], bool]
) -> DiskPlace:
    async with asyncio.timeout(20):
        while not holds(place := await driver.disk_place(wish.vm, paths)):
            await asyncio.sleep(0.02)
    return place


async def test_goes_on_with_the_copy(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    old = wish.disks[0].path
    bench.write(Path(old), "a")
    new = empty(wish)
    paths = (new, old)
    assert await one.disk_place(wish.vm, paths) == DiskPlace()
    await one.define(wish)
    assert await one.disk_place(wish.vm, paths) == DiskPlace(path=old)
    await one.start(wish.vm)
    await until(one, wish.vm, is_running)
    if isinstance(bench, SimulatedBench):  # its guest writes when it starts
        bench.write(Path(old), "a")
    assert await one.disk_user((new, old)) == wish.vm
    assert await one.disk_user((new,)) is None
    for _ in range(2):
        await one.copy_disk(wish.vm, old, new)
    copied = await placed(one, wish, paths, lambda place: place.copied)
    assert (copied.running, copied.path, copied.copy_path) == (True, old, new)
    await one.pivot_disk(wish.vm, old)
    now = await placed(one, wish, paths, lambda place: not place.copy_path)
    assert (now.running, now.path) == (True, new)
    assert is_running((await one.look())[wish.vm])
    with pytest.raises(HypervisorFailed):
        await one.pivot_disk(wish.vm, old)
    await one.destroy(wish.vm)
    await until(one, wish.vm, lambda domain: domain is not None and domain.state is DomainState.STOPPED)
    assert await one.disk_place(wish.vm, paths) == DiskPlace(path=new)
    assert bench.read(Path(new)) == "a"


async def test_copy_that_is_given_up(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    old, new = wish.disks[0].path, empty(wish)
    await one.define(wish)
    await one.start(wish.vm)
    await until(one, wish.vm, is_running)
    await one.copy_disk(wish.vm, old, new)
    for _ in range(2):
        await one.end_disk_copy(wish.vm, old)
    now = await placed(one, wish, (new, old), lambda place: not place.copy_path)
    assert (now.running, now.path) == (True, old)


async def test_copy_ends_with_the_domain(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    old, new = wish.disks[0].path, empty(wish)
    await one.define(wish)
    await one.start(wish.vm)
    await until(one, wish.vm, is_running)
    await one.copy_disk(wish.vm, old, new)
    bench.kill_qemu(0, wish)
    await until(one, wish.vm, lambda domain: domain is not None and domain.state is DomainState.STOPPED)
    assert await one.disk_place(wish.vm, (new, old)) == DiskPlace(path=old)
    await one.start(wish.vm)
    await until(one, wish.vm, is_running)
    assert (await one.disk_place(wish.vm, (new, old))).copy_path == ""
