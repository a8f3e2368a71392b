"""Two hundred changes at random on one VM, one after the other: afterwards domain and spec agree."""

import asyncio
import contextlib
from random import Random

import pytest

from corral.errors import CorralError
from corral.model.hardware import DiskLimits
from corral.model.operation import Operation, OperationState
from corral.model.vm import VM, VMPhase
from corral.server.core import ServerCore
from corral.server.services.asking import Asking
from corral.server.services.requests import (
    CreateVM,
    InsertMedium,
    LimitDisk,
    NewDisk,
    NewNic,
    ResizeVolume,
    UpdateVM,
)
from tests.sim.chaos import CALM
from tests.sim.history import Sim
from tests.sim.process import bury
from tests.sim.rest import unsettled

CHANGES = 200
ASKING = Asking(by="test")
STARTS = ("set", "disk", "nic", "limit", "insert", "resize")


async def change(core: ServerCore, chance: Random) -> Operation:
    """One, of any sort. raises CorralError: it can't be asked for now"""
    changes, vm = core.services.changes, core.mirror.named(VM, "web")
    assert isinstance(vm, VM)
    disks, nics = vm.spec.disks[1:], vm.spec.nics
    match chance.choice(STARTS):
        case "disk" if disks and chance.random() < 0.5:
            return await changes.detach_disk("web", chance.choice(disks).volume, ASKING)
        case "disk":
            return await changes.attach_disk("web", NewDisk(size="1GiB", pool="shared"), ASKING)
        case "nic" if nics and chance.random() < 0.5:
            return await changes.detach_nic("web", chance.choice(nics).mac, ASKING)
        case "nic":
            return await changes.attach_nic("web", NewNic(network="lan"), ASKING)
        case "limit" if disks:
            limit = LimitDisk(limits=DiskLimits(iops=100 * chance.randrange(4)))
            return await changes.limit_disk("web", chance.choice(disks).volume, limit, ASKING)
        case "insert" if vm.spec.cd and vm.spec.cd.volume and chance.random() < 0.5:
            return await changes.eject("web", ASKING)
        case "insert":
            return await changes.insert("web", InsertMedium(image="image"), ASKING)
        case "resize" if disks:
            size = chance.randrange(1, 64)
            return await core.services.volumes.resize(
                chance.choice(disks).volume, ResizeVolume(size=f"{size}GiB"), ASKING
            )
    ask = UpdateVM(cpus=chance.randint(1, 6), memory=f"{chance.choice((256, 512, 768, 1024))}MiB")
    return await changes.update("web", ask, ASKING)


async def scene(sim: Sim, chance: Random) -> dict[str, int]:
    """The changes, each waited for; how they ended."""
    await sim.begin()
    await sim.clock.sleep(5.0)
    server = sim.server()
    assert server
    core, ended = server[1], dict.fromkeys(map(str, OperationState), 0)
    ask = CreateVM(name="web", memory="512MiB", disks=(NewDisk(image="image", pool="shared"),))
    await core.services.vms.create(ask, ASKING)
    while core.mirror.find(VM, "web").status.phase is not VMPhase.RUNNING:
        await sim.clock.sleep(0.5)
    for _ in range(CHANGES):
        with contextlib.suppress(CorralError):
            operation = await change(core, chance)
            while not operation.ended:
                await sim.clock.sleep(0.5)
                operation = core.mirror.get(operation.id) or operation  # type: ignore[assignment]
            ended[str(operation.status.state)] += 1
    end_s = sim.loop.now_s + 120
    while unsettled(sim) and sim.loop.now_s < end_s:
        await sim.clock.sleep(1.0)
    assert unsettled(sim) == []
    await sim.end()
    return ended


@pytest.mark.parametrize("seed", range(4))
def test_domain_and_spec_agree_after_many_changes(seed: int) -> None:
    """QEMU refuses some, guests ignore some; what was refused is as it was before."""
    sim = Sim(seed, CALM)
    asyncio.set_event_loop(None)
    try:
        ended = sim.loop.run_until_complete(scene(sim, Random(seed)))
    finally:
        sim.loop.close()
        bury()
    assert sim.violations == []
    assert ended["succeeded"] > CHANGES / 3 and ended["failed"] >= 3, ended
