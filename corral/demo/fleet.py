"""Fleet of a demo: nodes, and VMs that run on them already, as documents and as simulated hosts.

In this room   pure: numbers in, resources out; and the hosts that agree with them
Always true    what the store says and what the hosts have is the same, so that nothing has to be done at the start
"""

from collections.abc import Iterator
from typing import Final

from corral.agent.ports import LocalVm
from corral.agent.vm_lane import wish_of
from corral.clock import Clock, new_id
from corral.hypervisor.simulated import SimulatedHost
from corral.hypervisor.simulated.foreign import foreign_report
from corral.hypervisor.simulated.world import Running
from corral.model.ids import NodeId, PoolId, VmId, VolumeId
from corral.model.image import Image, ImageCopy, ImagePhase, ImageStatus
from corral.model.link import Assignment, VmAssignment, VmRole, VolumeAssignment
from corral.model.network import Network, NetworkSpec, Subnet
from corral.model.node import (
    Accelerator,
    AcceleratorKind,
    Inventory,
    NetworkOnNode,
    Node,
    NodePhase,
    NodeStatus,
    PoolOnNode,
)
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Resource
from corral.model.units import GiB, TiB
from corral.model.vm import VM, Disk, DomainState, VMPhase, VMReport, VMSpec, VMStatus
from corral.model.volume import ObjectReport, ObjectState, Volume, VolumePhase, VolumeSpec, VolumeStatus
from corral.storage.interface import volume_path
from corral.storage.simulated import SharedFiles

ACCELERATOR: Final = Accelerator(kind=AcceleratorKind.KVM, reason="pretended: nothing runs here")
POOL_PATH: Final = "/var/lib/corral/pools/shared"
FLAVOURS: Final = ((1, 1), (2, 2), (1, 2), (4, 8), (2, 4))  # vCPUs, GiB
BEFORE_CORRAL: Final = foreign_report(  # ran on the first host when it joined
    "legacy-erp",
    "5f0c1c0e-3f0b-4c65-9d0a-6f1b0c9a7e11",
    paths=("/srv/legacy/erp.qcow2",),
    macs=("52:54:00:4c:45:47",),
    bridge="br-legacy",
    cpus=2,
    memory_bytes=4 * GiB,
    size_bytes=40 * GiB,
)
TEAMS: Final = ("web", "data", "build", "office")


class Fleet:
    """`nodes` nodes with `vms` VMs on them, evenly."""

    def __init__(self, nodes: int, vms: int, clock: Clock) -> None:
        self.clock, self.now_s = clock, clock.now_s()
        self.image, self.pool, self.network = self._image(), self._pool(), self._network()
        self.nodes = [self._node(number) for number in range(nodes)]
        self.vms: list[tuple[VM, Volume]] = [self._vm(n, self.nodes[n % nodes]) for n in range(vms)]

    def resources(self) -> Iterator[Resource]:
        yield from (self.image, self.pool, self.network, *self.nodes)
        for vm, volume in self.vms:
            yield from (volume, vm)

    def _image(self) -> Image:
        pool = "pool-demo"
        status = ImageStatus(
            phase=ImagePhase.READY,
            format="qcow2",
            size_bytes=GiB // 4,
            virtual_bytes=2 * GiB,
            sha256="0" * 64,
            copies={pool: ImageCopy(pool=PoolId(pool), node=NodeId("node-demo"))},
        )
        return Image(id=new_id("img", self.clock), name="debian-12", created_at=self.now_s, status=status)

    def _pool(self) -> StoragePool:
        spec = StoragePoolSpec(path=POOL_PATH, shared=True)
        return StoragePool(id="pool-demo", name="default", created_at=self.now_s, spec=spec)

    def _network(self) -> Network:
        subnet = Subnet(cidr="10.64.0.0/12", first="10.64.0.10", last="10.79.255.250", gateway="10.64.0.1")
        spec = NetworkSpec(bridge="br0", subnet=subnet)
        return Network(id=new_id("net", self.clock), name="default", created_at=self.now_s, spec=spec)

    def _node(self, number: int) -> Node:
        name = f"node{number + 1:04}"
        inventory = Inventory(
            hostname=name,
            cpus=64,
            memory_bytes=256 * GiB,
            migration_address=f"sim://{name}",
            accelerator=ACCELERATOR,
        )
        status = NodeStatus(
            phase=NodePhase.READY,
            since=self.now_s,
            inventory=inventory,
            pools={self.pool.id: PoolOnNode(ready=True, total_bytes=10 * TiB, free_bytes=9 * TiB)},
            networks={self.network.id: NetworkOnNode(ready=True)},
        )
        labels = {"rack": f"r{number // 20 + 1}"}
        return Node(
            id=new_id("node", self.clock), name=name, labels=labels, created_at=self.now_s, status=status
        )

    def _vm(self, number: int, node: Node) -> tuple[VM, Volume]:
        id, node_id = VmId(new_id("vm", self.clock)), NodeId(node.id)
        cpus, gib = FLAVOURS[number % len(FLAVOURS)]
        name = f"{TEAMS[number % len(TEAMS)]}-{number + 1:05}"
        volume = self._volume(f"{name}-0", id, node_id)
        report = VMReport(
            state=DomainState.RUNNING, stint=1, role=VmRole.OWNER, generation=1, boot=1, started_at=self.now_s
        )
        status = VMStatus(
            phase=VMPhase.RUNNING,
            node=node_id,
            stint=1,
            traces=(node_id,),
            reports={node_id: report},
            since=self.now_s,
        )
        vm = VM(
            id=id,
            name=name,
            labels={"team": name.split("-")[0]},
            created_at=self.now_s,
            finalizers=("corral.dev/vm",),
            spec=VMSpec(cpus=cpus, memory_bytes=gib * GiB, disks=(Disk(volume=VolumeId(volume.id)),)),
            status=status,
        )
        return vm, volume

    def _volume(self, name: str, vm: VmId, node: NodeId) -> Volume:
        id = new_id("vol", self.clock)
        path = volume_path(POOL_PATH, id)
        report = ObjectReport(state=ObjectState.READY, progress=1.0, path=path, allocated_bytes=256 * 1024)
        return Volume(
            id=id,
            name=name,
            created_at=self.now_s,
            finalizers=("corral.dev/volume",),
            spec=VolumeSpec(pool=PoolId(self.pool.id), size_bytes=10 * GiB, vm=vm),
            status=VolumeStatus(phase=VolumePhase.READY, node=node, report=report, since=self.now_s),
        )


def settle(
    host: SimulatedHost, files: SharedFiles, assigned: list[Assignment], now_s: float
) -> dict[str, LocalVm]:
    """Make the host be as assigned, without its agent; returns the agent's notes."""
    notes: dict[str, LocalVm] = {}
    for item in assigned:
        match item:
            case VmAssignment() as vm:
                host.put(wish_of(vm, f"/seeds/{vm.vm}.iso"), Running(started_s=0.0, boot_s=0.0))
                notes[vm.vm] = LocalVm(boot=vm.boot, ran=True, started_at=now_s)
            case VolumeAssignment() as volume:
                files.sizes[volume_path(volume.pool_path, volume.volume)] = 256 * 1024
    return notes
