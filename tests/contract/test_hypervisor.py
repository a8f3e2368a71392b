"""What every hypervisor driver keeps to: hypervisor/interface.py, by example."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from corral.hypervisor.interface import (
    AdoptionFailed,
    Console,
    Domain,
    DomainEvent,
    DomainWish,
    HotplugRefused,
    Hypervisor,
    HypervisorFailed,
    MigrationCancelled,
    MigrationFailed,
    MigrationStuck,
    NoScreen,
)
from corral.hypervisor.libvirt.editing import bus_of
from corral.hypervisor.libvirt.identity import adopted_id
from corral.model.console import ConsoleKind
from corral.model.hardware import (
    DeviceKind,
    DiskLimits,
    DiskTuning,
    Graphics,
    Hardware,
    HeldDevice,
    NicLimits,
    Platform,
)
from corral.model.ids import VmId
from corral.model.link import CdAssignment
from corral.model.units import MiB
from corral.model.vm import DomainState, Guest, StopReason, device_key
from tests import spice
from tests.contract import hypervisors
from tests.contract.hypervisors import Bench
from tests.lab.libvirtd import why_not

NUMBERS = count(1)
REAL = [pytest.mark.lab, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture(scope="module", params=["simulated", pytest.param("libvirt", marks=REAL)])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("bench")
    with hypervisors.bench(request.param, folder) as made:
        yield made


@pytest_asyncio.fixture
async def one(bench: Bench) -> AsyncIterator[Hypervisor]:
    async for driver in opened(bench.driver(0)):
        yield driver


@pytest_asyncio.fixture
async def two(bench: Bench) -> AsyncIterator[Hypervisor]:
    async for driver in opened(bench.driver(1)):
        yield driver


async def opened(driver: Hypervisor) -> AsyncIterator[Hypervisor]:
    """The driver, open; afterwards nothing of Corral's is left on its host."""
    await driver.open()
    yield driver
    async with asyncio.timeout(60):
        for vm in await driver.look():
            await driver.destroy(vm)
            await driver.undefine(vm)
        await driver.close()


@pytest.fixture
def wish(bench: Bench, request: pytest.FixtureRequest) -> DomainWish:
    number = next(NUMBERS)
    return hypervisors.wish_of(bench, f"web{number}", number)


async def until(driver: Hypervisor, vm: VmId, holds: Callable[[Domain | None], bool]) -> Domain | None:
    """The domain, once it is so."""
    async with asyncio.timeout(20):
        while True:
            if holds(domain := (await driver.look()).get(vm)):
                return domain
            await asyncio.sleep(0.02)


def is_in(state: DomainState) -> Callable[[Domain | None], bool]:
    return lambda domain: domain is not None and domain.state is state


async def stopped(driver: Hypervisor, vm: VmId) -> StopReason:
    domain = await until(driver, vm, is_in(DomainState.STOPPED))
    assert domain
    return domain.reason


async def hears(console: Console, text: bytes) -> None:
    """Type until it is echoed: a guest that still boots does not hear."""
    heard = b""

    async def listen() -> None:
        nonlocal heard
        while text not in heard:
            heard += await console.read()

    async with asyncio.timeout(20):
        listener = asyncio.create_task(listen())
        while not listener.done():
            await console.write(text)
            await asyncio.wait([listener], timeout=0.3)


async def runs(driver: Hypervisor, wish: DomainWish) -> None:
    """Defined, started, and its guest listens."""
    await driver.define(wish)
    await driver.start(wish.vm)
    console = await driver.console(wish.vm)
    await hears(console, b"hello")
    await console.close()


# ---- define, start, stop


async def test_life_and_repeated_calls(one: Hypervisor, wish: DomainWish) -> None:
    assert wish.vm not in await one.look()
    for _ in range(2):
        await one.define(wish)
    expected = Domain(vm=wish.vm, name=wish.name, state=DomainState.STOPPED, generation=1)
    assert (await one.look())[wish.vm] == expected
    for _ in range(2):
        await one.start(wish.vm)
    assert (await one.look())[wish.vm] == replace(expected, state=DomainState.RUNNING)
    for _ in range(2):
        await one.destroy(wish.vm)
    assert await stopped(one, wish.vm) is StopReason.DESTROYED
    for _ in range(2):
        await one.undefine(wish.vm)
    assert wish.vm not in await one.look()


async def test_a_guest_that_is_asked_shuts_down(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    for _ in range(2):
        with suppress(HypervisorFailed):  # the second may come when it is off already
            await one.shutdown(wish.vm)
    assert await stopped(one, wish.vm) is StopReason.SHUTDOWN


async def test_a_killed_qemu_is_a_crash_and_can_be_started_again(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    bench.kill_qemu(0, wish)
    assert await stopped(one, wish.vm) is StopReason.CRASHED
    await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_defined_anew_it_keeps_running(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    await one.define(replace(wish, generation=2, cpus=2))
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.generation) == (DomainState.RUNNING, 2)
    await one.destroy(wish.vm)
    assert (await one.look())[wish.vm].generation == 2


async def test_what_is_not_there_can_not_be_started(one: Hypervisor, wish: DomainWish) -> None:
    with pytest.raises(HypervisorFailed):
        await one.start(wish.vm)
    await one.destroy(wish.vm)
    await one.undefine(wish.vm)
    await one.cancel_migration(wish.vm)
    assert await one.migration(wish.vm) is None


async def test_a_start_without_its_disk_fails_and_says_so(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    await asyncio.to_thread(Path(wish.disks[0].path).unlink)
    with pytest.raises(HypervisorFailed, match=rf"{wish.name}\.raw"):
        await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.STOPPED


DEVICES = [
    HeldDevice(kind=DeviceKind.PCI, id="0000:fe:1f.7"),
    HeldDevice(kind=DeviceKind.VF, id="0000:fe:1f.6", mac="0e:00:00:00:fe:01", vlan=42),
    HeldDevice(
        kind=DeviceKind.MDEV,
        id="nvidia-63",
        parent="0000:fe:1f.7",
        uuid="c044a100-0000-8000-8000-000000000001",
    ),
]


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: str(device.kind))
async def test_a_device_that_is_not_there_keeps_a_guest_from_starting(
    one: Hypervisor, wish: DomainWish, device: HeldDevice
) -> None:
    """It is defined all the same, and starts once it is defined without."""
    await one.define(replace(wish, platform=Platform(devices=(device,))))
    with pytest.raises(HypervisorFailed, match=r"fe:1f|passthrough of host PCI devices"):  # without an IOMMU
        await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.STOPPED
    await one.define(replace(wish, generation=wish.generation + 1))
    await one.start(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_events_say_look_again(one: Hypervisor, wish: DomainWish) -> None:
    events = one.events()
    heard: list[DomainEvent] = []

    async def listen() -> None:
        async for event in events:
            heard.append(event)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0.05)
    await one.define(wish)
    for act in (one.start, one.destroy, one.undefine):
        before = len(heard)
        await act(wish.vm)
        async with asyncio.timeout(5):
            while True:
                if any(event.vm == wish.vm for event in heard[before:]):
                    break
                await asyncio.sleep(0.01)
    listener.cancel()


# ---- domains that were there before


async def test_a_domain_of_before_is_found_adopted_watched_and_released(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    uuid = f"1b000000-0000-4000-8000-{next(NUMBERS):012d}"
    disk = bench.disk(wish.name)
    bench.define_by_hand(0, wish.name, uuid, disk)
    found = (await one.found())[uuid]
    assert (found.name, found.state, found.refusal) == (wish.name, DomainState.STOPPED, None)
    assert found.model and found.model.disks[0].path == str(disk)
    vm = VmId(adopted_id("vm-01JC0000000000000000000000", uuid))
    bus = bus_of(found.model.disks[0].bus)
    disks = (replace(wish.disks[0], path=str(disk), bus=bus),)
    ours = replace(wish, vm=vm, disks=disks, nics=(), base_xml=found.xml)
    for _ in range(2):
        await one.adopt(ours, running=False)
    assert uuid not in await one.found() and (await one.look())[vm].state is DomainState.STOPPED
    await one.start(vm)
    assert await one.drifts() == {}

    bench.change_by_hand(0, ours)
    drift = (await one.drifts())[vm]
    await one.define(replace(ours, generation=2))
    assert (await one.drifts())[vm].digest == drift.digest, "overwritten"
    await one.define(replace(ours, generation=3, settles=drift.digest))
    assert await one.drifts() == {} and (await one.look())[vm].generation == 3

    for _ in range(2):
        await one.release(vm, autostart=False)
    assert vm not in await one.look()
    assert (await one.found())[uuid].state is DomainState.RUNNING, "the guest was touched"
    bench.remove_by_hand(0, uuid)


async def test_what_is_not_there_or_runs_by_now_is_not_adopted(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    uuid = f"1b000000-0000-4000-8000-{next(NUMBERS):012d}"
    ours = replace(wish, vm=VmId(adopted_id("vm-01JC0000000000000000000000", uuid)))
    with pytest.raises(AdoptionFailed):
        await one.adopt(ours, running=True)
    await one.release(ours.vm, autostart=False)
    assert await one.found() == {}


# ---- guest, facts, console


async def test_only_running_vms_have_facts(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    assert wish.vm not in await one.facts()
    await runs(one, wish)
    facts = (await one.facts())[wish.vm]
    assert facts.memory_bytes > 0 and facts.cpu_s > 0


async def test_a_guest_that_does_not_run_is_not_up(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    with suppress(HypervisorFailed):
        assert await one.guest(wish.vm) == Guest()


async def test_one_console_at_a_time(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    with pytest.raises(HypervisorFailed):
        await one.console(wish.vm)
    await one.start(wish.vm)
    first = await one.console(wish.vm)
    second = await one.console(wish.vm)
    async with asyncio.timeout(5):
        while await first.read():
            pass
    await hears(second, b"echo")
    await one.destroy(wish.vm)
    async with asyncio.timeout(5):
        while await second.read():
            pass
    for console in (first, second, second):
        await console.close()


async def heard_of(console: Console, size: int) -> bytes:
    heard = b""
    async with asyncio.timeout(10):
        while len(heard) < size:
            data = await console.read()
            assert data, "it ended"
            heard += data
    return heard


async def test_a_screen_speaks_rfb_to_several(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    first, second = [await one.console(wish.vm, ConsoleKind.VNC) for _ in range(2)]
    for console in (first, second):
        assert await heard_of(console, 12) == b"RFB 003.008\n"
        await console.write(b"RFB 003.008\n")
        assert await heard_of(console, 2) == b"\x01\x01", "it asks for a password"
    await first.close()
    await second.write(b"\x01")
    assert await heard_of(second, 4) == bytes(4), "the other one's end ended this one"
    await one.destroy(wish.vm)
    async with asyncio.timeout(5):
        while await second.read():
            pass
    with pytest.raises(HypervisorFailed):
        for _ in range(10):  # the first may come before the socket knows
            await second.write(b"x" * 100_000)
    await second.close()


async def linked(console: Console, channel: int, session: int = 0, more: int = 0) -> bytes:
    """Greet as a SPICE viewer does, and be let in; the next bytes, `more` at least."""
    await console.write(spice.link(channel, session))
    heard = await heard_of(console, 16 + 178)  # together, but for the capabilities behind
    size = spice.HEADER_BYTES + spice.size_of(heard[: spice.HEADER_BYTES])
    while len(heard) < size:
        heard += await heard_of(console, 1)
    await console.write(spice.ticket(heard[spice.HEADER_BYTES : size]))
    let_in = await heard_of(console, 4 + more)
    assert let_in[:4] == spice.FINE
    return let_in[4:]


async def test_each_channel_of_spice_is_a_console(one: Hypervisor, wish: DomainWish) -> None:
    """A main channel, and beside it one for keys, which belongs to it by the number that the main one gave."""
    await runs(one, replace(wish, hardware=Hardware(graphics=Graphics.SPICE)))
    main = await one.console(wish.vm, ConsoleKind.SPICE)
    session = spice.session_of(await linked(main, spice.MAIN, more=22))
    inputs = await one.console(wish.vm, ConsoleKind.SPICE)
    await linked(inputs, spice.INPUTS, session)
    await inputs.close()
    await main.close()
    with pytest.raises(NoScreen):
        await one.console(wish.vm, ConsoleKind.VNC)


async def test_a_picture_of_the_screen(one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    with pytest.raises(HypervisorFailed):
        await one.screenshot(wish.vm)
    await runs(one, wish)
    picture = await one.screenshot(wish.vm)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 320 and height >= 200


async def test_without_a_screen(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, replace(wish, hardware=Hardware(graphics=Graphics.NONE)))
    for kind in (ConsoleKind.VNC, ConsoleKind.SPICE):
        with pytest.raises(NoScreen):
            await one.console(wish.vm, kind)
    with pytest.raises(NoScreen):
        await one.screenshot(wish.vm)


async def test_the_log_of_the_serial_line(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    console = await one.console(wish.vm)
    await hears(console, b"written down")
    await console.close()
    async with asyncio.timeout(5):
        while b"written down" not in await one.serial_log(wish.vm, 1000):
            await asyncio.sleep(0.02)
    assert len(await one.serial_log(wish.vm, 7)) == 7
    await one.destroy(wish.vm)
    await one.undefine(wish.vm)
    await one.define(wish)
    await one.start(wish.vm)
    assert b"written down" not in await one.serial_log(wish.vm, 1000), "another VM's words"


async def test_inventory(bench: Bench, one: Hypervisor) -> None:
    inventory = await one.inventory()
    assert inventory.cpus > 0 and inventory.memory_bytes > 0
    assert inventory.migration_address == bench.addresses[0]
    assert inventory == await one.inventory(), "it is sent when it changes, so it must not by itself"


# ---- migration


async def test_a_migration_hands_over(
    bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    for _ in range(2):
        await two.prepare_incoming(wish)
    async with asyncio.timeout(60):
        figures = await one.migrate(wish.vm, bench.addresses[1], wish=wish)
    done = figures.figures
    assert figures.progress == 1.0 and done.total_s > 0 and (done.downtime_ms or 0) > 0
    assert wish.vm not in await one.look() and await one.migration(wish.vm) is None
    domain = (await two.look())[wish.vm]
    assert (domain.state, domain.persistent, domain.generation) == (DomainState.RUNNING, True, 1)
    console = await two.console(wish.vm)
    await hears(console, b"arrived")
    await console.close()


async def test_a_migration_to_nowhere_leaves_it_running(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    with pytest.raises(MigrationFailed):
        async with asyncio.timeout(120):
            await one.migrate(wish.vm, bench.nowhere, wish=wish)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def busy(bench: Bench, driver: Hypervisor, wish: DomainWish) -> None:
    """It runs, and writes to its memory faster than `bench.slow` carries."""
    await runs(driver, wish)
    bench.writes(wish, 1e9)
    if bench.busy:
        console = await driver.console(wish.vm)
        await hears(console, b"now")
        await console.write(bench.busy)
        await console.close()


async def under_way(driver: Hypervisor, wish: DomainWish, moving: "asyncio.Task[object]") -> None:
    async with asyncio.timeout(10):
        while not ((seen := await driver.migration(wish.vm)) and seen.figures.total_s > 0):
            assert not moving.done(), moving
            await asyncio.sleep(0.02)


async def test_a_cancelled_migration_leaves_it_running(
    bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish
) -> None:
    await busy(bench, one, wish)
    await two.prepare_incoming(wish)
    moving = asyncio.create_task(one.migrate(wish.vm, bench.addresses[1], wish=wish, how=bench.slow))
    await under_way(one, wish, moving)
    await one.cancel_migration(wish.vm)
    with pytest.raises(MigrationCancelled):
        await asyncio.wait_for(moving, timeout=30)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    assert await one.migration(wish.vm) is None
    await until(two, wish.vm, lambda domain: domain is None)


async def test_a_guest_that_writes_too_fast_is_left_running_at_the_timeout(
    bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish
) -> None:
    await busy(bench, one, wish)
    await two.prepare_incoming(wish)
    how = replace(bench.slow, timeout_s=2.0, auto_converge=False, downtime_ms_max=1)
    with pytest.raises(MigrationStuck) as caught:
        async with asyncio.timeout(30):
            await one.migrate(wish.vm, bench.addresses[1], wish=wish, how=how)
    assert "post-copy" in caught.value.hint
    assert (await one.look())[wish.vm].state is DomainState.RUNNING
    await until(two, wish.vm, lambda domain: domain is None)


async def test_post_copy_ends_what_pre_copy_can_not(
    bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish
) -> None:
    await busy(bench, one, wish)
    await two.prepare_incoming(wish)
    how = replace(bench.slow, post_copy_after_s=1.0, auto_converge=False, downtime_ms_max=1)
    async with asyncio.timeout(60):
        done = await one.migrate(wish.vm, bench.addresses[1], wish=wish, how=how)
    assert done.figures.post_copy
    assert wish.vm not in await one.look()
    assert (await two.look())[wish.vm].state is DomainState.RUNNING


async def test_a_migration_is_seen_through_by_the_next_agent(
    bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish
) -> None:
    with pytest.raises(HypervisorFailed):
        await one.migrate(wish.vm, bench.addresses[1], wish=wish, begun=True)
    await runs(one, wish)
    await two.prepare_incoming(wish)
    how = replace(bench.slow, bandwidth_bytes_s=8 * MiB)
    moving = asyncio.create_task(one.migrate(wish.vm, bench.addresses[1], wish=wish, how=how))
    await under_way(one, wish, moving)
    async with asyncio.timeout(30):
        done = await one.migrate(wish.vm, bench.addresses[1], wish=wish, how=how, begun=True)
    assert done.figures.downtime_ms and (await two.look())[wish.vm].state is DomainState.RUNNING
    await moving


async def test_local_disks_go_along(bench: Bench, one: Hypervisor, two: Hypervisor, wish: DomainWish) -> None:
    path = bench.local_disk(wish.name)
    local = replace(wish, disks=(replace(wish.disks[0], path=path, shared=False),))
    await runs(one, local)
    await two.prepare_incoming(local)
    async with asyncio.timeout(60):
        await one.migrate(wish.vm, bench.addresses[1], wish=local)
    assert (await two.look())[wish.vm].state is DomainState.RUNNING
    assert bench.has_arrived(path)


async def test_how_fast_a_guest_writes(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    assert await one.dirty_bytes(wish.vm) is None, "it does not run"
    await runs(one, wish)
    idle = await one.dirty_bytes(wish.vm)
    assert idle is not None and idle < 3 * MiB


async def test_what_does_not_run_does_not_migrate(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    await one.define(wish)
    with pytest.raises(HypervisorFailed):
        await one.migrate(wish.vm, bench.addresses[1], wish=wish)
    assert (await one.look())[wish.vm].state is DomainState.STOPPED


# ---- change while it runs


def grown(bench: Bench, wish: DomainWish) -> DomainWish:
    """With one disk and one NIC more."""
    more = hypervisors.wish_of(bench, f"{wish.name}b", next(NUMBERS))
    return replace(wish, generation=2, disks=(*wish.disks, *more.disks), nics=(*wish.nics, *more.nics))


async def test_disks_and_nics_are_plugged_in_while_it_runs(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    assert await one.pending(wish.vm) == ()
    await one.define(grown(bench, wish))
    assert {p.what for p in await one.pending(wish.vm)} == {"disk", "nic"}
    for _ in range(2):
        assert await one.update(wish.vm) == ()
    assert await one.pending(wish.vm) == ()
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_what_the_guest_does_not_let_go_of_is_pending(
    bench: Bench, one: Hypervisor, wish: DomainWish
) -> None:
    bench.hold()
    bigger = grown(bench, wish)
    await runs(one, bigger)
    await one.define(replace(wish, generation=3))
    for _ in range(2):
        left = await one.update(wish.vm)
        assert {(p.what, p.guest) for p in left} == {("disk", True), ("nic", True)}
    assert {p.key for p in left} == {device_key(bigger.disks[1].volume), bigger.nics[1].mac}
    await one.destroy(wish.vm)
    await one.start(wish.vm)
    assert await one.pending(wish.vm) == ()


async def test_limits_of_a_disk_change_while_it_runs(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    for generation, iops in enumerate((50, 20, 0), start=2):
        disk = replace(wish.disks[0], tuning=DiskTuning(limits=DiskLimits(iops=iops)))
        await one.define(replace(wish, generation=generation, disks=(disk,)))
        assert [p.what for p in await one.pending(wish.vm)] == ["disk"]
        assert await one.update(wish.vm) == ()
        assert bench.iops(0, wish) == iops


async def test_limits_of_a_nic_change_while_it_runs_where_the_kernel_can(
    one: Hypervisor, wish: DomainWish
) -> None:
    await runs(one, wish)
    nic = replace(wish.nics[0], limits=NicLimits(in_mbit=10, out_mbit=10))
    await one.define(replace(wish, generation=2, nics=(nic,)))
    if (await one.inventory()).offers.nic_limits:
        assert await one.update(wish.vm) == ()
        await one.define(replace(wish, generation=3))
        assert await one.update(wish.vm) == ()
        return
    with pytest.raises(HotplugRefused):
        await one.update(wish.vm)
    assert [p.what for p in await one.pending(wish.vm)] == ["nic"]


async def test_what_can_not_change_while_it_runs_is_pending(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    await one.define(replace(wish, generation=2, cpus=2, memory_bytes=2 * wish.memory_bytes))
    left = await one.update(wish.vm)
    assert {(p.what, p.guest) for p in left} == {("cpus", False), ("memory", False)}
    await one.destroy(wish.vm)
    assert await one.pending(wish.vm) == ()
    await one.start(wish.vm)
    assert await one.pending(wish.vm) == ()


async def test_vcpus_are_plugged_in_as_far_as_there_is_room(one: Hypervisor, wish: DomainWish) -> None:
    roomy = replace(wish, hardware=Hardware(cpus_max=3))
    await runs(one, roomy)
    await one.define(replace(roomy, generation=2, cpus=3))
    assert await one.update(wish.vm) == ()
    await one.define(replace(roomy, generation=3, cpus=4))
    assert "cpus" in {p.what for p in await one.update(wish.vm)}


async def test_what_is_refused_leaves_it_as_it_was(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    bigger = grown(bench, wish)
    await asyncio.to_thread(Path(bigger.disks[1].path).unlink)
    await one.define(bigger)
    with pytest.raises(HotplugRefused):
        await one.update(wish.vm)
    assert ("disk", False) in {(p.what, p.guest) for p in await one.pending(wish.vm)}
    await one.define(replace(wish, generation=3))
    await one.update(wish.vm)
    assert (await one.look())[wish.vm].state is DomainState.RUNNING


async def test_a_medium_is_changed_while_it_runs(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    discs = [hypervisors.wish_of(bench, f"{wish.name}cd{n}", next(NUMBERS)).disks[0] for n in range(2)]
    empty = replace(wish, cd=CdAssignment(bus="sata"))
    await runs(one, empty)
    for generation, disc in enumerate((*discs, None, discs[0]), start=2):
        await one.define(replace(empty, generation=generation, cd=CdAssignment(disk=disc, bus="sata")))
        assert {p.what for p in await one.pending(wish.vm)} == {"disk"}
        assert await one.update(wish.vm) == ()


async def test_pause_and_resume(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    for act, state in ((one.pause, DomainState.PAUSED), (one.resume, DomainState.RUNNING)):
        for _ in range(2):
            await act(wish.vm)
        assert (await one.look())[wish.vm].state is state


async def test_suspended_to_disk_it_goes_on_from_there(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    for _ in range(2):
        await one.save(wish.vm)
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.saved) == (DomainState.STOPPED, True)
    await one.define(replace(wish, generation=2))
    assert (await one.look())[wish.vm].saved
    await one.start(wish.vm)
    domain = (await one.look())[wish.vm]
    assert (domain.state, domain.saved) == (DomainState.RUNNING, False)
    await one.save(wish.vm)
    for _ in range(2):
        await one.discard(wish.vm)
    assert not (await one.look())[wish.vm].saved


async def test_a_stopped_domain_is_renamed_when_it_is_defined(one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    other = replace(wish, generation=2, name=f"{wish.name}-new")
    await one.define(other)
    assert (await one.look())[wish.vm].name == wish.name, "while it runs it keeps its name"
    await one.destroy(wish.vm)
    await one.define(other)
    assert (await one.look())[wish.vm].name == other.name


async def test_a_disk_grows_while_it_is_used(bench: Bench, one: Hypervisor, wish: DomainWish) -> None:
    await runs(one, wish)
    for _ in range(2):
        await one.resize(wish.vm, wish.disks[0].volume, 8 * MiB)
    assert bench.size(wish) == 8 * MiB
