"""The libvirt driver against real libvirtds and real QEMU guests of 512 bytes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from corral.clock import SystemClock
from corral.hypervisor.interface import (
    Domain,
    DomainEvent,
    DomainWish,
    HypervisorFailed,
    HypervisorGone,
    MigrationCancelled,
    MigrationFailed,
)
from corral.hypervisor.libvirt.driver import LibvirtHypervisor
from corral.hypervisor.libvirt.migration import Route
from corral.hypervisor.libvirt.probe import Probe
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.migration import MigrationHow
from corral.model.node import AcceleratorKind
from corral.model.units import MiB
from corral.model.vm import DomainState, StopReason
from tests.lab.boot_sector import BUSY, write_disk
from tests.lab.libvirtd import Host, hosts, why_not

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_not()), reason=why_not())]

CLOCK = SystemClock()
SLOW = MigrationHow(bandwidth_bytes_s=MiB)


class Lab:
    """Two hosts that see the same folder of disks."""

    def __init__(self, made: list[Host], folder: Path) -> None:
        self.hosts, self.folder, self._count = made, folder, 0

    def driver(self, n: int) -> LibvirtHypervisor:
        host = self.hosts[n]
        return LibvirtHypervisor(
            host.uri,
            CLOCK,
            root=host.files,
            probe=Probe(CLOCK, self.folder / "accelerator.json"),
            route=Route(trust_shared=True),
            migration_address=host.address,
            validate=True,  # against libvirt's own schema
        )

    def wish(self, name: str) -> DomainWish:
        self._count += 1
        disk = self.folder / f"{name}.raw"
        write_disk(disk)
        return DomainWish(
            vm=VmId(f"vm-01JD{self._count:022d}"),
            name=name,
            generation=1,
            cpus=1,
            memory_bytes=32 * MiB,
            disks=(
                DiskAssignment(
                    volume=VolumeId(f"vol-01JD{self._count:022d}"), path=str(disk), format="raw", shared=True
                ),
            ),
            nics=(
                NicAssignment(
                    network=NetworkId("net-1"), bridge="br0", mac=f"52:54:00:00:00:{self._count:02x}"
                ),
            ),
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("libvirt")
    with hosts(2, folder) as made:
        yield Lab(made, folder)


@pytest_asyncio.fixture
async def one(lab: Lab) -> AsyncIterator[LibvirtHypervisor]:
    async with Opened(lab.driver(0)) as driver:
        yield driver


@pytest_asyncio.fixture
async def two(lab: Lab) -> AsyncIterator[LibvirtHypervisor]:
    async with Opened(lab.driver(1)) as driver:
        yield driver


class Opened:
    """A driver that is open; what it holds of Corral's is gone afterwards."""

    def __init__(self, driver: LibvirtHypervisor) -> None:
        self.driver = driver

    async def __aenter__(self) -> LibvirtHypervisor:
        await self.driver.open()
        return self.driver

    async def __aexit__(self, *_: object) -> None:
        with suppress(HypervisorGone):
            await asyncio.gather(*(self._remove(vm) for vm in await self.driver.look()))
        await self.driver.close()

    async def _remove(self, vm: VmId) -> None:
        await self.driver.destroy(vm)
        await self.driver.undefine(vm)


async def until(
    driver: LibvirtHypervisor, vm: VmId, holds: Callable[[Domain | None], bool], timeout_s: float = 15.0
) -> Domain | None:
    """The domain, once it is so."""
    async with asyncio.timeout(timeout_s):
        while True:
            with suppress(HypervisorGone):
                if holds(domain := (await driver.look()).get(vm)):
                    return domain
            await asyncio.sleep(0.02)


def is_in(state: DomainState) -> Callable[[Domain | None], bool]:
    return lambda domain: domain is not None and domain.state is state


async def running(driver: LibvirtHypervisor, wish: DomainWish) -> None:
    """Defined, started, and its guest has come up."""
    await driver.define(wish)
    await driver.start(wish.vm)
    await answers(driver, wish.vm, b"hello")


async def answers(driver: LibvirtHypervisor, vm: VmId, words: bytes, timeout_s: float = 30.0) -> None:
    """The guest echoes; asked again until it does, as it may not be up yet."""
    console = await driver.console(vm)
    heard = b""
    try:
        async with asyncio.timeout(timeout_s):
            while words not in heard:
                await console.write(words)
                with suppress(TimeoutError):
                    heard += await asyncio.wait_for(console.read(), timeout=1.0)
    finally:
        await console.close()


# ---- life


async def test_life(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("life")
    for _ in range(2):  # each call may be repeated
        await one.define(wish)
    assert await one.look() == {
        wish.vm: Domain(
            vm=wish.vm, name="life", state=DomainState.STOPPED, generation=1, reason=StopReason.NONE
        )
    }
    for _ in range(2):
        await one.start(wish.vm)
    await answers(one, wish.vm, b"hello")
    await one.shutdown(wish.vm)
    stopped = await until(one, wish.vm, is_in(DomainState.STOPPED))
    assert stopped is not None
    assert stopped.reason is StopReason.SHUTDOWN
    await one.shutdown(wish.vm)
    await one.start(wish.vm)
    for _ in range(2):
        await one.destroy(wish.vm)
    assert (await one.look())[wish.vm].reason is StopReason.DESTROYED
    for _ in range(2):
        await one.undefine(wish.vm)
    assert await one.look() == {}
    assert not list((lab.hosts[0].root / "log/qemu").glob(f"{wish.vm}*")), "the log of the console is left"


async def test_defined_anew_while_it_runs(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("anew")
    await running(one, wish)
    before = lab.hosts[0].qemu_pid("anew")
    await one.define(
        DomainWish(**{f: getattr(wish, f) for f in wish.__struct_fields__} | {"generation": 2, "cpus": 2})
    )
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.generation) == (DomainState.RUNNING, 2)
    assert lab.hosts[0].qemu_pid("anew") == before
    assert "<vcpu placement='static'>2</vcpu>" in lab.hosts[0].inside(
        "virsh", "dumpxml", "--inactive", "anew"
    )


async def test_start_that_fails(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("diskless")
    await one.define(wish)
    await asyncio.to_thread(Path(wish.disks[0].path).unlink)
    with pytest.raises(HypervisorFailed, match=r"diskless\.raw"):
        await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.STOPPED


async def test_foreign_domains_are_left_alone(lab: Lab, one: LibvirtHypervisor) -> None:
    document = lab.folder / "foreign.xml"
    document.write_text(
        "<domain type='qemu'><name>theirs</name><memory>1024</memory><os><type arch='x86_64'>hvm</type></os></domain>"
    )
    lab.hosts[0].inside("virsh", "define", str(document))
    try:
        wish = lab.wish("theirs")  # the same name
        await one.define(wish)
        assert {d.name for d in (await one.look()).values()} == {f"theirs-{wish.vm[-6:].lower()}"}
        assert (await one.inventory()).domains == ("theirs",)
        with pytest.raises(MigrationFailed, match="another domain"):
            await one.undefine(wish.vm)
            await one.prepare_incoming(wish)
    finally:
        lab.hosts[0].inside("virsh", "undefine", "theirs")


async def test_inventory_tries_the_accelerator(lab: Lab, one: LibvirtHypervisor) -> None:
    inventory = await one.inventory()
    assert inventory.hypervisor.startswith("QEMU ")
    assert inventory.bridges == ("br0",)
    assert inventory.cpus == os.cpu_count()
    assert inventory.memory_bytes > 0
    assert inventory.migration_address == lab.hosts[0].address
    kind, reason = inventory.accelerator.kind, inventory.accelerator.reason
    assert (kind is AcceleratorKind.KVM) == (reason == "")


# ---- events


async def next_event(events: AsyncIterator[DomainEvent], vm: VmId, what: str) -> float:
    async for event in events:
        if event.vm == vm and what in event.what:
            break
    return CLOCK.monotonic_s()


async def test_events_come_at_once(lab: Lab, one: LibvirtHypervisor) -> None:
    """What someone else does on the host is known when their command returns, or 0.1 s later."""
    wish = lab.wish("events")
    await running(one, wish)
    events = one.events()
    late_s = []
    for _ in range(3):
        for command, what in (("suspend", "suspended"), ("resume", "resumed")):
            seen = asyncio.create_task(next_event(events, wish.vm, what))
            await asyncio.to_thread(lab.hosts[0].inside, "virsh", command, "events")
            done = CLOCK.monotonic_s()
            late_s.append(await asyncio.wait_for(seen, timeout=5) - done)
    assert sorted(late_s)[len(late_s) // 2] < 0.1, late_s


async def test_killed_qemu_is_a_crash(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("crash")
    await running(one, wish)
    seen = asyncio.create_task(next_event(one.events(), wish.vm, "stopped"))
    await asyncio.sleep(0)
    pid = lab.hosts[0].qemu_pid("crash")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(seen, timeout=5)
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.reason) == (DomainState.STOPPED, StopReason.CRASHED)
    await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_libvirtd_restarts(lab: Lab, one: LibvirtHypervisor) -> None:
    """The guest does not notice; calls say so meanwhile; everything is right again within 2 s."""
    wish, host = lab.wish("restart"), lab.hosts[0]
    await running(one, wish)
    pid, events = host.qemu_pid("restart"), one.events()
    console = await one.console(wish.vm)
    await asyncio.to_thread(host.kill_libvirtd)
    with pytest.raises(HypervisorGone):
        async with asyncio.timeout(5):
            while True:
                await one.look()
                await asyncio.sleep(0.01)
    assert await ended(console), "the console outlived its connection"
    await asyncio.to_thread(host.start_libvirtd)
    back_s = CLOCK.monotonic_s()
    told_s = await asyncio.wait_for(next_event(events, wish.vm, "reconnected"), timeout=10)
    assert told_s - back_s < 2.0
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    assert host.qemu_pid("restart") == pid
    await answers(one, wish.vm, b"still here")
    seen = asyncio.create_task(next_event(events, wish.vm, "stopped"))
    await one.destroy(wish.vm)
    await asyncio.wait_for(seen, timeout=5)  # events are registered again


async def test_opened_while_libvirtd_is_down(lab: Lab) -> None:
    host, driver = lab.hosts[1], lab.driver(1)
    await asyncio.to_thread(host.kill_libvirtd)
    try:
        await driver.open()
        with pytest.raises(HypervisorGone):
            await driver.look()
    finally:
        await asyncio.to_thread(host.start_libvirtd)
    async with asyncio.timeout(5):
        while True:
            with suppress(HypervisorGone):
                assert await driver.look() == {}
                break
            await asyncio.sleep(0.02)
    await driver.close()


async def test_a_stuck_qemu_holds_up_nobody_else(lab: Lab, one: LibvirtHypervisor) -> None:
    stuck, fine = lab.wish("stuck"), lab.wish("fine")
    await running(one, stuck)
    pid = lab.hosts[0].qemu_pid("stuck")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        waiting = asyncio.create_task(one.shutdown(stuck.vm))
        with suppress(HypervisorFailed):
            await one.facts()  # the first may wait for the stuck one
        async with asyncio.timeout(10):
            await running(one, fine)
            assert len(await one.look()) == 2
            assert fine.vm in await one.facts()
        await waiting
    finally:
        os.kill(pid, signal.SIGCONT)


# ---- console


async def ended(console: object) -> bool:
    """It comes to its end in some seconds."""
    async with asyncio.timeout(5):
        while await console.read():  # type: ignore[attr-defined]
            pass
    return True


async def test_console(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("console")
    with pytest.raises(HypervisorFailed):
        await one.console(wish.vm)
    await one.define(wish)
    with pytest.raises(HypervisorFailed):
        await one.console(wish.vm)
    await running(one, wish)
    first = await one.console(wish.vm)
    second = await one.console(wish.vm)
    assert await ended(first), "two consoles at a time"
    await second.write(b"echo this\n")
    heard = b""
    async with asyncio.timeout(10):
        while b"echo this\n" not in heard:
            heard += await second.read()
    await one.destroy(wish.vm)
    assert await ended(second)
    for _ in range(2):
        await second.close()
    with pytest.raises(HypervisorFailed):
        await second.write(b"x")


async def test_facts_and_guest(lab: Lab, one: LibvirtHypervisor) -> None:
    wish = lab.wish("facts")
    await running(one, wish)
    facts = (await one.facts())[wish.vm]
    assert facts.cpu_s > 0
    assert facts.memory_bytes > 10 * MiB
    assert facts.block_read_bytes >= 512
    assert (await one.guest(wish.vm)).up is False  # it has no agent
    await one.destroy(wish.vm)
    assert await one.facts() == {}


# ---- live migration


async def test_migration(lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor) -> None:
    wish = lab.wish("moves")
    await running(one, wish)
    await two.prepare_incoming(wish)
    arrival = asyncio.create_task(next_event(two.events(), wish.vm, ""))
    figures = await one.migrate(wish.vm, lab.hosts[1].address, wish=wish)
    assert figures.progress == 1.0
    assert 0 < (figures.figures.downtime_ms or 0) < 5000
    assert figures.figures.total_s > 0
    assert figures.figures.memory_bytes > 0 and figures.figures.rounds > 0
    await asyncio.wait_for(arrival, timeout=5)
    assert await one.look() == {}
    there = (await two.look())[wish.vm]
    assert (there.state, there.generation, there.persistent) == (DomainState.RUNNING, 1, True)
    await answers(two, wish.vm, b"over here")
    with pytest.raises(MigrationFailed):
        await one.migrate(wish.vm, lab.hosts[1].address, wish=wish)  # it is not here


async def slow_move(lab: Lab, wish: DomainWish) -> tuple[LibvirtHypervisor, "asyncio.Task[object]"]:
    """A migration that does not end by itself: the guest outruns the bandwidth it is given."""
    slow = lab.driver(0)
    await slow.open()
    await running(slow, wish)
    console = await slow.console(wish.vm)
    await console.write(b"=" + BUSY)
    async with asyncio.timeout(10):
        while b"=" not in await console.read():  # closing at once could lose what is on its way
            pass
    await console.close()
    task: asyncio.Task[object] = asyncio.create_task(
        slow.migrate(wish.vm, lab.hosts[1].address, wish=wish, how=SLOW)
    )
    async with asyncio.timeout(20):
        while (seen := await slow.migration(wish.vm)) is None or seen.progress == 0:
            assert not task.done(), task
            await asyncio.sleep(0.02)
    return slow, task


async def test_migration_cancelled(lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor) -> None:
    wish = lab.wish("cancelled")
    await one.cancel_migration(wish.vm)  # none: no error
    slow, task = await slow_move(lab, wish)
    incoming = await until(two, wish.vm, is_in(DomainState.INCOMING))
    assert incoming is not None
    assert not incoming.persistent
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    await slow.cancel_migration(wish.vm)
    with pytest.raises(MigrationCancelled):
        await asyncio.wait_for(task, timeout=20)
    assert await one.migration(wish.vm) is None
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    await until(two, wish.vm, lambda domain: domain is None)
    await slow.close()


async def test_migration_cancelled_by_another_process(
    lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor
) -> None:
    """An agent that was restarted in the middle finds the migration, waits for it, and can cancel it."""
    wish = lab.wish("adopted")
    slow, task = await slow_move(lab, wish)
    task.cancel()
    await slow.close()
    adopted = asyncio.create_task(one.migrate(wish.vm, lab.hosts[1].address, wish=wish))
    await asyncio.sleep(0.5)
    assert not adopted.done()
    await one.cancel_migration(wish.vm)
    with pytest.raises(MigrationCancelled):
        await asyncio.wait_for(adopted, timeout=20)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_target_dies_midway(lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor) -> None:
    wish = lab.wish("targetdies")
    slow, task = await slow_move(lab, wish)
    pid = lab.hosts[1].qemu_pid("targetdies")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MigrationFailed):
        await asyncio.wait_for(task, timeout=20)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    assert await two.look() == {}
    await slow.close()


async def test_source_dies_midway(lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor) -> None:
    wish = lab.wish("sourcedies")
    slow, task = await slow_move(lab, wish)
    pid = lab.hosts[0].qemu_pid("sourcedies")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(MigrationFailed):
        await asyncio.wait_for(task, timeout=20)
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.reason) == (DomainState.STOPPED, StopReason.CRASHED)
    await until(two, wish.vm, lambda domain: domain is None)
    await slow.close()


async def test_source_libvirtd_restarts_midway(
    lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor
) -> None:
    """libvirtd ends the migration when it comes back: the guest goes on here, and only here."""
    wish, host = lab.wish("restarts"), lab.hosts[0]
    slow, task = await slow_move(lab, wish)
    await asyncio.to_thread(host.kill_libvirtd)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(host.start_libvirtd)
    with pytest.raises(MigrationFailed):
        await asyncio.wait_for(task, timeout=30)
    assert (await until(one, wish.vm, lambda domain: domain is not None)).state is DomainState.RUNNING  # type: ignore[union-attr]
    await until(two, wish.vm, lambda domain: domain is None)
    await slow.close()


async def test_migration_refused(lab: Lab, one: LibvirtHypervisor, two: LibvirtHypervisor) -> None:
    wish = lab.wish("refused")
    await running(one, wish)
    with pytest.raises(MigrationFailed):
        await one.migrate(wish.vm, "10.79.255.1", wish=wish)  # nobody there
    elsewhere = DomainWish(
        vm=wish.vm,
        name="elsewhere",
        generation=1,
        cpus=1,
        memory_bytes=MiB,
        disks=(DiskAssignment(volume=VolumeId("vol-x"), path="/nowhere/x.qcow2", shared=True),),
        nics=(NicAssignment(network=NetworkId("n"), bridge="nobridge", mac="52:54:00:00:00:ff"),),
    )
    with pytest.raises(MigrationFailed, match=r"/nowhere/x\.qcow2, nobridge"):
        await two.prepare_incoming(elsewhere)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
