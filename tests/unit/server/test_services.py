"""Requests: what they commit, what they refuse, what a repeat gets."""

import asyncio
from typing import Any

import msgspec
import pytest

from corral.errors import CorralError, InUse, Invalid, NameTaken, NotFound, PreconditionFailed, Protected
from corral.model.group import PlacementGroup
from corral.model.migration import MigrationPolicy
from corral.model.network import Subnet
from corral.model.operation import Operation, OperationState, Verb
from corral.model.port import Port
from corral.model.units import format_size
from corral.model.vm import VM, DomainState, RestartPolicy, VMPhase, VMReport
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.services.base import KeyReused
from corral.server.services.nics import NoAddress
from corral.server.services.requests import (
    CreateGroup,
    CreateVM,
    CreateVolume,
    MigrateVM,
    NewDisk,
    NewNic,
    UpdateVM,
)
from corral.server.services.things import NodeHasVMs
from corral.server.services.vms import NotRunning
from tests.unit.server.rig import ASKING, Rig, in_rig

SUBNET = Subnet(cidr="10.9.0.0/24", first="10.9.0.10", last="10.9.0.11")


@in_rig
async def test_create_commits_vm_volumes_ports_and_operation_at_once(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan(subnet=SUBNET)
    op = await rig.vm(nics=(NewNic(network="lan"),))
    vm = rig.mirror.find(VM, "web")
    (volume,) = rig.mirror.select(Volume, "vm", vm.id)
    (port,) = rig.mirror.select(Port, "vm", vm.id)
    assert (op.spec.verb, op.spec.target.id, op.status.state) == (Verb.CREATE, vm.id, OperationState.RUNNING)
    assert vm.spec.disks[0].volume == volume.id
    assert (port.spec.address, vm.spec.nics[0].address) == ("10.9.0.10", "10.9.0.10")


BAD = [  # name, fields, field that the error names
    ("a name with a space", {"name": "my vm"}, "name"),
    ("no vCPUs", {"cpus": 0}, "cpus"),
    ("memory is no size", {"memory": "lots"}, "memory"),
    ("too little memory", {"memory": "1MiB"}, "memory"),
    ("unknown policy", {"policy": "best"}, "policy"),
    ("label with a bad key", {"labels": {"a b": "c"}}, "labels"),
    ("disk smaller than its image", {"disks": (NewDisk(image="debian", size="1MiB"),)}, "disks[0].size"),
    ("disk of no size", {"disks": (NewDisk(),)}, "disks[0].size"),
    ("multicast MAC", {"nics": (NewNic(network="lan", mac="01:00:00:00:00:00"),)}, "nics[0].mac"),
    ("address outside the subnet", {"nics": (NewNic(network="lan", address="10.8.0.1"),)}, "nics[0].address"),
    ("address that is none", {"nics": (NewNic(network="lan", address="here"),)}, "nics[0].address"),
    ("too much user data", {"cloud_init": {"user_data": "x" * 300_000}}, "cloud_init.user_data"),
]


@pytest.mark.parametrize(("fields", "field"), [pytest.param(*r[1:], id=r[0]) for r in BAD])
def test_bad_input_names_its_field(fields: dict[str, Any], field: str) -> None:
    @in_rig
    async def test(rig: Rig) -> None:
        await rig.shared_pool()
        await rig.lan(subnet=SUBNET)
        ask = msgspec.convert({"name": "web", **msgspec.to_builtins(fields)}, CreateVM)
        with pytest.raises(Invalid) as caught:
            await rig.services.vms.create(ask, ASKING)
        assert caught.value.context["field"] == field
        assert not rig.mirror.list(VM)

    test()


@in_rig
async def test_same_name_twice_is_refused(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.vm()
    with pytest.raises(NameTaken):
        await rig.vm()


@in_rig
async def test_many_at_once_never_share_an_address(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan(subnet=msgspec.structs.replace(SUBNET, last="10.9.0.49"))
    await asyncio.gather(*(rig.vm(f"vm-{n}", nics=(NewNic(network="lan"),)) for n in range(40)))
    assert len({p.spec.address for p in rig.mirror.list(Port)}) == 40
    with pytest.raises(NoAddress):
        await rig.vm("one-more", nics=(NewNic(network="lan"),))


@in_rig
async def test_of_two_vms_that_want_one_volume_one_gets_it(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.services.volumes.create(CreateVolume(name="data", size="1GiB"), ASKING)
    asks = (rig.vm(name, disks=(NewDisk(volume="data"),)) for name in ("one", "two"))
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["InUse", "Operation"]


@in_rig
async def test_a_repeat_with_the_same_key_gets_the_first_answer(rig: Rig) -> None:
    await rig.shared_pool()
    asking = msgspec.structs.replace(ASKING, idempotency_key="k", fingerprint="f")
    ask = CreateVM(name="web")
    first, again = await asyncio.gather(*(rig.services.vms.create(ask, asking) for _ in range(2)))
    assert first.id == again.id
    assert len(rig.mirror.list(VM)) == 1
    with pytest.raises(KeyReused):
        await rig.services.vms.create(ask, msgspec.structs.replace(asking, fingerprint="other"))


@in_rig
async def test_dry_run_checks_everything_and_changes_nothing(rig: Rig) -> None:
    await rig.shared_pool()
    dry = msgspec.structs.replace(ASKING, dry_run=True)
    before = rig.mirror.revision
    await rig.services.vms.create(CreateVM(name="web"), dry)
    with pytest.raises(NotFound):
        await rig.services.vms.create(CreateVM(name="web", disks=(NewDisk(image="none"),)), dry)
    assert rig.mirror.revision == before


@in_rig
async def test_of_two_writers_with_one_etag_one_is_told(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.vm(running=False)
    await rig.clock.sleep(1)
    seen = msgspec.structs.replace(ASKING, if_match=rig.mirror.find(VM, "web").revision)
    updates = (rig.services.changes.update("web", UpdateVM(labels={"n": n}), seen) for n in "ab")
    results = await asyncio.gather(*updates, return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["Operation", "PreconditionFailed"]
    assert PreconditionFailed.status == 412


@in_rig
async def test_a_protected_vm_refuses_to_be_deleted(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.vm(protected=True)
    with pytest.raises(Protected):
        await rig.services.vms.delete("web", ASKING)
    await rig.services.changes.update("web", UpdateVM(protected=False), ASKING)
    await rig.services.vms.delete("web", ASKING)


GIVEN: dict[str, Any] = {  # a new value for each field of an update
    "name": "site",
    "cpus": 3,
    "memory": "768MiB",
    "labels": {"tier": "front"},
    "protected": True,
    "restart": RestartPolicy.ALWAYS,
    "stop_timeout_s": 7.0,
    "policy": "pack",
    "groups": ("apart",),
    "migration_policy": MigrationPolicy(post_copy=True, bandwidth_bytes_s=8 << 20),
}


@pytest.mark.parametrize("field", UpdateVM.__struct_fields__)
def test_each_field_of_an_update_arrives(field: str) -> None:
    @in_rig
    async def test(rig: Rig) -> None:
        await rig.shared_pool()
        await rig.vm(running=False)
        await rig.services.groups.create(CreateGroup(name="apart"), ASKING)
        await rig.services.changes.update("web", UpdateVM(**{field: GIVEN[field]}), ASKING)
        (vm,) = rig.mirror.list(VM)
        shown = {**msgspec.structs.asdict(vm.spec), "name": vm.name, "labels": vm.labels}
        shown["groups"] = tuple(rig.mirror.find(PlacementGroup, id).name for id in vm.spec.groups)
        shown["memory"] = format_size(vm.spec.memory_bytes).replace(" ", "")
        assert shown[field] == GIVEN[field]

    test()


@in_rig
async def test_only_a_running_vm_migrates(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.vm(running=False)
    with pytest.raises(NotRunning):
        await rig.services.vms.migrate("web", MigrateVM(), ASKING)


@in_rig
async def test_what_is_in_use_is_not_deleted(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan()
    await rig.vm(nics=(NewNic(network="lan"),))
    for delete in (
        rig.services.volumes.delete("web-0", ASKING),
        rig.services.images.delete("debian", ASKING),
        rig.services.pools.delete("default", ASKING),
        rig.services.networks.delete("lan", ASKING),
    ):
        with pytest.raises(InUse):
            await delete


@in_rig
async def test_a_life_from_create_to_nothing_left(rig: Rig) -> None:
    await rig.shared_pool()
    agent = await rig.node("n1")
    op = await rig.vm()
    await agent.assigned()
    vm = rig.mirror.find(VM, "web")
    disk = vm.spec.disks[0].volume
    runs = VMReport(state=DomainState.RUNNING, stint=1, role="owner", generation=1, boot=1)
    await agent.report(vms={vm.id: runs}, volumes={disk: ObjectReport(state=ObjectState.READY)})
    assert rig.mirror.find(VM, "web").status.phase is VMPhase.RUNNING
    assert _state(rig, op) is OperationState.SUCCEEDED
    with pytest.raises(NodeHasVMs):
        await rig.services.nodes.remove("n1", ASKING)
    gone = await rig.services.vms.delete("web", ASKING, purge=True)
    await agent.assigned()
    assert agent.held[vm.id].role == "none"
    assert agent.held[disk].wanted, "the volume must outlive the domain"
    await agent.report(vms={vm.id: VMReport(state=DomainState.ABSENT, stint=1, role="none")})
    await agent.assigned()
    assert not agent.held[disk].wanted
    await agent.report(volumes={disk: ObjectReport(state=ObjectState.ABSENT, wanted=False)})
    await agent.assigned()
    assert (rig.mirror.list(VM), rig.mirror.list(Volume), rig.mirror.list(Port)) == ([], [], [])
    assert _state(rig, gone) is OperationState.SUCCEEDED
    assert not [k for k in agent.held if k.startswith(("vm-", "vol-"))]


@in_rig
async def test_cancelling_a_create_undoes_it(rig: Rig) -> None:
    await rig.shared_pool()
    op = await rig.vm()
    await rig.clock.sleep(1)
    assert "none of 0 nodes" in rig.mirror.find(Operation, op.id).status.waiting_for
    await rig.services.operations.cancel(op.id, ASKING)
    await rig.clock.sleep(1)
    assert _state(rig, op) is OperationState.CANCELLED
    assert not rig.mirror.list(VM)
    with pytest.raises(CorralError, match="has cancelled"):
        await rig.services.operations.cancel(op.id, ASKING)


@in_rig
async def test_every_operation_ends_at_its_deadline(rig: Rig) -> None:
    await rig.shared_pool()
    op = await rig.vm()
    await rig.clock.sleep(op.spec.deadline_s + 1)
    ended = rig.mirror.find(Operation, op.id).status
    assert ended.state is OperationState.FAILED
    assert ended.error is not None
    assert ended.error.code == "operation.deadline"
    assert "none of 0 nodes" in ended.error.message


def _state(rig: Rig, op: Operation) -> OperationState:
    return rig.mirror.find(Operation, op.id).status.state
