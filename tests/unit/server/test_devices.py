"""Devices from the request to the node: who gets which, what the node is told, what keeps a VM where it is."""

from typing import Any

import msgspec
import pytest

from corral.errors import CorralError, InUse
from corral.hypervisor.simulated.devices import a_gpu, a_nic, its_sound
from corral.model.hardware import DeviceKind, HostDevice
from corral.model.link import VmAssignment
from corral.model.node import Inventory, Node, PciDevice
from corral.model.profile import HardwareChoice
from corral.model.rebalance import Goal
from corral.model.units import GiB
from corral.model.vm import VM, DomainState, VMReport
from corral.server.services.explaining import explain
from corral.server.services.requests import AskRebalance, CreateNetwork, MigrateVM
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

WHOLE = a_gpu(0x3B, 0)
CARD = a_gpu(0xAF, 1, slices=2)
ALL = (WHOLE, its_sound(WHOLE), CARD, *a_nic(0x17, 0, 2, "bond0"))
GPU = HostDevice(kind=DeviceKind.GPU)


async def with_devices(rig: Rig, name: str, *devices: PciDevice) -> PlayedAgent:
    agent = await rig.node(name)
    gpus = tuple(d for d in devices if d.pci_class.startswith("0x03"))
    await agent.report(
        inventory=Inventory(cpus=4, memory_bytes=8 * GiB, devices=devices, gpus=gpus, migration_address="x")
    )
    return agent


async def asked(rig: Rig, name: str, *devices: HostDevice, **fields: Any) -> VM:
    await rig.vm(name, hardware=HardwareChoice(devices=devices), **fields)
    await rig.clock.sleep(1)
    return rig.mirror.find(VM, name)


@in_rig
async def test_a_vm_gets_devices_of_its_node_and_the_node_is_told_which(rig: Rig) -> None:
    await rig.shared_pool()
    vlan = {"name": "dmz", "segment": "vlan", "uplink": "bond0", "vlan": 42}
    await rig.services.networks.create(msgspec.convert(vlan, CreateNetwork), ASKING)
    agent = await with_devices(rig, "n1", *ALL)
    vm = await asked(
        rig,
        "ai",
        GPU,
        HostDevice(kind=DeviceKind.VF, network="dmz"),
        HostDevice(kind=DeviceKind.MDEV, id="nvidia-474", count=2),
    )
    has = vm.status.platform.devices
    assert sorted((str(d.kind), d.id) for d in has if d.kind is not DeviceKind.MDEV) == [
        ("pci", "0000:3b:00.0"),
        ("pci", "0000:3b:00.1"),
        ("vf", "0000:17:00.1"),
    ]
    by_kind = {d.kind: d for d in has}
    assert by_kind[DeviceKind.VF].vlan == 42 and by_kind[DeviceKind.VF].mac.startswith("0e:")
    slices = [d for d in has if d.kind is DeviceKind.MDEV]
    assert len({d.uuid for d in slices}) == 2 and {d.parent for d in slices} == {CARD.address}
    await agent.assigned()
    found = next(a for a in agent.held.values() if isinstance(a, VmAssignment))
    assert found.platform.devices == has


@in_rig
async def test_what_is_held_is_not_given_again_until_its_vm_is_gone(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await with_devices(rig, "n1", WHOLE, its_sound(WHOLE))
    first = await asked(rig, "first", GPU, running=False, disks=())
    assert first.status.node
    second = await asked(rig, "second", GPU)
    assert second.status.node is None and second.status.trouble
    assert "1 x no free GPU" in second.status.trouble.message
    assert "if VM first were gone from n1" in second.status.trouble.hint
    told = explain(rig.mirror, second)
    assert told.elsewhere.out == {"no free GPU": 1}
    await rig.services.vms.delete("first", ASKING)
    await rig.clock.sleep(0.2)
    stint = rig.mirror.find(VM, "first").status.stint
    gone = VMReport(state=DomainState.ABSENT, stint=stint, role="none")
    await agent.report(vms={first.id: gone})
    await rig.clock.sleep(8)
    assert rig.mirror.find(VM, "second").status.node, "it is placed as soon as the device is free"


@in_rig
async def test_it_stays_where_its_device_is(rig: Rig) -> None:
    """No live migration, and a drain says what ties it to its node."""
    await rig.shared_pool()
    agent = await with_devices(rig, "n1", *ALL)
    vm = await asked(rig, "ai", HostDevice(kind=DeviceKind.GPU, model="A100"))
    await with_devices(rig, "n2", *ALL)
    running = VMReport(state=DomainState.RUNNING, stint=1, role="owner", generation=1, boot=1, applied=1)
    await agent.report(vms={vm.id: running})
    with pytest.raises(CorralError) as refused:
        await rig.services.vms.migrate("ai", MigrateVM(), ASKING)
    assert "device of its node" in refused.value.message
    plan = await rig.services.rebalancing.plan(AskRebalance(goal=Goal.DRAIN, nodes=("n1",)))
    assert [ref.name for ref in plan.behind] == ["ai"] and not plan.moves
    assert plan.why == {"ai": "it has a device of its node: GPU of model A100"}


@in_rig
async def test_a_network_that_a_device_is_asked_on_stays(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan()
    await asked(rig, "ai", HostDevice(kind=DeviceKind.VF, network="lan"))
    with pytest.raises(InUse):
        await rig.services.networks.delete("lan", ASKING)


@in_rig
async def test_an_inventory_from_before_says_the_same_as_today(rig: Rig) -> None:
    """A node whose agent tells no models and drivers yet: GPUs are told by their class."""
    await rig.shared_pool()
    old = msgspec.structs.replace(WHOLE, model="", driver="")
    await with_devices(rig, "n1", old)
    assert (await asked(rig, "ai", GPU)).status.node
    assert (await asked(rig, "named", HostDevice(kind=DeviceKind.GPU, model="A100"))).status.node is None
    assert rig.mirror.find(Node, "n1").status.inventory.devices == (old,)
