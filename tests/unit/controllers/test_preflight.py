"""Preflight: each thing that would prevent a migration is named, and a VM without any is let go."""

from typing import Any

import pytest
from msgspec.structs import replace

from corral.controllers.placement import FleetKeeper
from corral.controllers.preflight import obstacles_at, obstacles_of
from corral.model.hardware import DeviceKind, GuestCpu, Hardware, HostDevice, Platform
from corral.model.migration import Migration, MigrationPolicy, MigrationTls
from corral.model.network import Network, NetworkSpec
from corral.model.node import (
    Accelerator,
    AcceleratorKind,
    CpuInfo,
    Inventory,
    NetworkOnNode,
    Node,
    NodePhase,
    NodeSpec,
    NodeStatus,
    NumaCell,
    PoolOnNode,
)
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Resource
from corral.model.units import GiB, MiB
from corral.model.vm import VM, Disk, DomainState, Nic, VMPhase, VMReport, VMSpec, VMStatus
from corral.model.volume import ObjectReport, ObjectState, Volume, VolumePhase, VolumeSpec, VolumeStatus
from corral.scheduler.cpus import PlainCpus
from corral.store.interface import Put
from corral.store.mirror import Mirror

KVM = Accelerator(kind=AcceleratorKind.KVM)
CPU = CpuInfo(vendor="AMD", model="EPYC", features=("avx", "sse"))
HOST = Inventory(
    cpus=8,
    memory_bytes=8 * GiB,
    hypervisor="QEMU 7.2.22, libvirt 9.0.0",
    migration_address="10.0.0.1",
    cpu=CPU,
    accelerator=KVM,
    cells=(NumaCell(id=0, cpus=(0,), memory_bytes=8 * GiB, hugepages={str(2 * MiB): 1024}),),
)
ROOM = PoolOnNode(ready=True, total_bytes=100 * GiB, free_bytes=50 * GiB)
STATUS = NodeStatus(
    phase=NodePhase.READY,
    inventory=HOST,
    pools={"pool-l": ROOM},
    networks={"net-1": NetworkOnNode(ready=True)},
)
A, B = (Node(id=f"node-{x}", name=x, status=STATUS) for x in "ab")
POOL = StoragePool(id="pool-l", name="local", spec=StoragePoolSpec(path="/l"))
LAN = Network(id="net-1", name="lan", spec=NetworkSpec(bridge="br0"))
VOLUME = Volume(
    id="vol-1",
    name="web-0",
    spec=VolumeSpec(pool="pool-l", size_bytes=10 * GiB),
    status=VolumeStatus(
        phase=VolumePhase.READY,
        node="node-a",
        report=ObjectReport(state=ObjectState.READY, allocated_bytes=GiB),
    ),
)
WEB = VM(
    id="vm-1",
    name="web",
    spec=VMSpec(
        cpus=2,
        memory_bytes=GiB,
        disks=(Disk(volume="vol-1"),),
        nics=(Nic(network="net-1", mac="52:54:00:00:00:01"),),
    ),
    status=VMStatus(
        phase=VMPhase.RUNNING,
        node="node-a",
        traces=("node-a",),
        reports={"node-a": VMReport(state=DomainState.RUNNING)},
    ),
)


def vm(*, status: dict[str, Any] | None = None, **spec: Any) -> VM:
    return WEB.having(spec=replace(WEB.spec, **spec), status=replace(WEB.status, **(status or {})))


def there(**inventory: Any) -> Node:
    return B.having(status=replace(STATUS, inventory=replace(HOST, **inventory)))


def node(**status: Any) -> Node:
    return B.having(status=replace(STATUS, **status))


def codes(vm: VM = WEB, node: Node = B, *more: Resource, volume: Volume = VOLUME) -> list[str]:
    mirror = Mirror()
    mirror.suppose([Put(r) for r in (A, *((node,) if node is not A else ()), POOL, LAN, volume, vm, *more)])
    keeper = FleetKeeper(mirror, PlainCpus())
    found = (*obstacles_of(mirror, vm), *obstacles_at(keeper, vm, node))
    assert all(o.message for o in found)
    return [o.code for o in found]


def test_nothing_stands_in_the_way() -> None:
    assert codes() == []


OBSTACLES = [  # name, VM, node, code
    ("stopped", vm(status={"reports": {"node-a": VMReport(state=DomainState.STOPPED)}}), B, "vm.not_running"),
    ("migrating", vm(status={"migration": Migration(wish="w", source="node-a", target="node-b")}), B, "vm.migrating"),
    ("holds a device", vm(hardware=Hardware(devices=(HostDevice(kind=DeviceKind.PCI, id="0000:01:00.0"),))), B, "migration.device"),
    ("local disks not allowed", vm(migration_policy=MigrationPolicy(local_disks=False)), B, "migration.local_disk"),
    ("its own node", WEB, A, "migration.here"),
    ("cordoned", WEB, B.having(spec=NodeSpec(cordoned=True)), "node.not_ready"),
    ("lost", WEB, node(phase=NodePhase.LOST), "node.not_ready"),
    ("bound elsewhere", vm(node="node-a"), B, "migration.bound"),
    ("no pool", WEB, node(pools={}), "migration.no_pool"),
    ("pool full", WEB, node(pools={"pool-l": replace(ROOM, free_bytes=GiB)}), "migration.pool_full"),
    ("no bridge", WEB, node(networks={"net-1": NetworkOnNode()}), "migration.no_network"),
    ("too few vCPUs", vm(cpus=200), B, "migration.no_cpus"),
    ("too little memory", vm(memory_bytes=9 * GiB), B, "migration.no_memory"),
    ("name taken", WEB, there(domains=("db", "web")), "migration.name_taken"),
    ("no address", WEB, there(migration_address=""), "migration.no_address"),
    ("another architecture", WEB, there(architecture="aarch64"), "migration.cpu"),
    ("software emulation", WEB, there(accelerator=Accelerator()), "migration.accelerator"),
    ("another vendor", WEB, there(cpu=replace(CPU, vendor="Intel")), "migration.cpu"),
    ("a feature less", WEB, there(cpu=replace(CPU, features=("sse",))), "migration.cpu"),
    ("an older QEMU", WEB, there(hypervisor="QEMU 5.2.0, libvirt 7.0.0"), "migration.older_qemu"),
    ("too few hugepages", vm(hardware=Hardware(hugepage_bytes=2 * MiB), memory_bytes=4 * GiB), B, "migration.hugepages"),
    ("TLS asked for", vm(migration_policy=MigrationPolicy(tls=MigrationTls.ALWAYS)), B, "migration.no_tls"),
]  # fmt: skip


@pytest.mark.parametrize(("vm", "node", "code"), [pytest.param(*row[1:], id=row[0]) for row in OBSTACLES])
def test_obstacle(vm: VM, node: Node, code: str) -> None:
    assert code in codes(vm, node)


def test_a_pinned_model_lets_it_go_where_its_features_are() -> None:
    pinned = vm(status={"platform": Platform(cpu=GuestCpu(model="EPYC", vendor="AMD", require=("sse",)))})
    assert codes(pinned, there(cpu=replace(CPU, features=("sse",)))) == []


def test_an_old_file_of_its_volume_has_to_be_gone_first() -> None:
    old = VOLUME.having(status=replace(VOLUME.status, traces=("node-b",)))
    assert codes(volume=old) == ["migration.old_file"]


def test_a_local_volume_of_two_vms_stays() -> None:
    other = WEB.having(id="vm-2", name="other")
    assert "migration.local_disk" in codes(WEB, B, other)
