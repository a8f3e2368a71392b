"""Devices of simulated hosts: what a real one would refuse is refused, and told alike."""

import pytest

from corral.clock import SystemClock
from corral.hypervisor.interface import DomainWish, HypervisorFailed
from corral.hypervisor.simulated import Pace, SimulatedHypervisor, World
from corral.hypervisor.simulated.devices import a_gpu
from corral.model.hardware import DeviceKind, HeldDevice, Platform
from corral.model.ids import VmId
from corral.model.units import MiB

WHOLE, CARD = a_gpu(0x3B, 0), a_gpu(0xAF, 1, slices=2)
GPU = HeldDevice(kind=DeviceKind.PCI, id=WHOLE.address)
SMALL, LARGE = (
    HeldDevice(kind=DeviceKind.MDEV, id=t, parent=CARD.address) for t in ("nvidia-474", "nvidia-476")
)
PACE = Pace(call=(0, 0), start=(0, 0), guest_boot=(0, 0), guest_shutdown=(0, 0))


def a_wish(name: str, *devices: HeldDevice) -> DomainWish:
    return DomainWish(
        vm=VmId(f"vm-{name}"),
        name=name,
        generation=1,
        cpus=1,
        memory_bytes=MiB,
        platform=Platform(devices=devices),
    )


async def a_host() -> tuple[World, SimulatedHypervisor]:
    world = World(SystemClock(), PACE)
    host = world.add_host("one")
    host.devices = (WHOLE, CARD)
    return world, SimulatedHypervisor(host)


async def starts(driver: SimulatedHypervisor, wish: DomainWish) -> None:
    await driver.define(wish)
    await driver.start(wish.vm)


async def test_a_device_is_in_one_guest() -> None:
    world, driver = await a_host()
    await starts(driver, a_wish("a", GPU))
    with pytest.raises(HypervisorFailed, match="in use by vm-a"):
        await starts(driver, a_wish("b", GPU))
    await driver.destroy(VmId("vm-a"))
    await driver.start(VmId("vm-b"))
    assert not world.devices_twice()


async def test_slices_are_counted_and_told() -> None:
    world, driver = await a_host()
    for name in "ab":
        await starts(driver, a_wish(name, SMALL))
    with pytest.raises(HypervisorFailed, match="in use by vm-a and vm-b"):
        await starts(driver, a_wish("c", SMALL))
    told = {s.type: (s.instances, s.made) for s in (await driver.inventory()).devices[1].slices}
    assert told == {"nvidia-474": (2, 2), "nvidia-476": (0, 0)} and not world.devices_twice()


async def test_two_guests_with_one_device_would_be_seen() -> None:
    """The guard that the histories rely on."""
    world, driver = await a_host()
    for name in "ab":
        await driver.define(a_wish(name, GPU))
        driver.host.begin(VmId(f"vm-{name}"))
    assert world.devices_twice() == {f"one {GPU.key}": ("vm-a", "vm-b")}
