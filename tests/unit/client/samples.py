"""Resources as a server would tell of them."""

from typing import Any

from corral.model.event import Event, EventSpec
from corral.model.ids import ImageId, NetworkId, NodeId, PoolId, VmId, VolumeId
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.network import Network, NetworkSpec, Subnet
from corral.model.node import Accelerator, AcceleratorKind, Inventory, Node, NodePhase, NodeStatus
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Step, Verb
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Ref, Trouble
from corral.model.token import Role, Token, TokenSpec
from corral.model.units import GiB, MiB
from corral.model.vm import VM, Disk, Guest, Nic, VMPhase, VMSpec, VMStatus
from corral.model.volume import Volume, VolumePhase, VolumeSpec, VolumeStatus

CREATED = 1_790_000_000.0
NODE = Node(
    id="node-1",
    name="node1",
    created_at=CREATED,
    status=NodeStatus(
        phase=NodePhase.READY,
        inventory=Inventory(
            hostname="host1", cpus=8, memory_bytes=16 * GiB, accelerator=Accelerator(kind=AcceleratorKind.KVM)
        ),
    ),
)
IMAGE = Image(
    id="img-1",
    name="debian",
    created_at=CREATED,
    status=ImageStatus(phase=ImagePhase.READY, format="qcow2", size_bytes=300 * MiB, virtual_bytes=2 * GiB),
)
POOL = StoragePool(
    id="pool-1", name="shared", created_at=CREATED, spec=StoragePoolSpec(path="/srv/corral", shared=True)
)
NETWORK = Network(
    id="net-1",
    name="default",
    created_at=CREATED,
    spec=NetworkSpec(bridge="br0", subnet=Subnet(cidr="10.0.0.0/24", first="10.0.0.10", last="10.0.0.99")),
)
VOLUME = Volume(
    id="vol-1",
    name="web-0",
    created_at=CREATED,
    spec=VolumeSpec(pool=PoolId("pool-1"), size_bytes=4 * GiB, image=ImageId("img-1"), vm=VmId("vm-1")),
    status=VolumeStatus(phase=VolumePhase.READY, node=NodeId("node-1")),
)
TOKEN = Token(id="tok-1", name="ci", created_at=CREATED, spec=TokenSpec(role=Role.OPERATOR))
EVENT = Event(
    id="ev-1",
    name="ev-1",
    created_at=CREATED,
    revision=7,
    spec=EventSpec(about=Ref(kind="VM", id="vm-1", name="web"), reason="started", message="started on node1"),
)


def a_vm(name: str = "web", *, phase: VMPhase = VMPhase.RUNNING, **changes: Any) -> VM:
    vm = VM(
        id=f"vm-{name}",
        name=name,
        created_at=CREATED,
        revision=42,
        spec=VMSpec(
            cpus=2,
            memory_bytes=512 * MiB,
            disks=(Disk(volume=VolumeId("vol-1")),),
            nics=(Nic(network=NetworkId("net-1"), mac="52:54:00:00:00:01", address="10.0.0.10"),),
        ),
        status=VMStatus(phase=phase, node=NodeId("node-1"), guest=Guest(up=True, hostname=name)),
    )
    return vm.having(**changes)


def an_operation(
    state: OperationState = OperationState.RUNNING,
    *,
    revision: int = 50,
    progress: float = 0.0,
    steps: tuple[str, ...] = (),
    error: Trouble | None = None,
    verb: Verb = Verb.CREATE,
    waiting_for: str = "",
    result: dict[str, str | int | float] | None = None,
) -> Operation:
    ended_at = None if state is OperationState.RUNNING else CREATED + 3.25
    return Operation(
        id="op-1",
        name="op-1",
        created_at=CREATED,
        revision=revision,
        spec=OperationSpec(
            verb=verb, target=Ref(kind="VM", id="vm-web", name="web"), generation=1, by="test"
        ),
        status=OperationStatus(
            state=state,
            progress=1.0 if state is OperationState.SUCCEEDED else progress,
            steps=tuple(Step(name=s, started_at=CREATED) for s in steps),
            waiting_for=waiting_for,
            error=error,
            ended_at=ended_at,
            result=result or {},
        ),
    )


SUCCEEDED = an_operation(OperationState.SUCCEEDED, revision=60)
NO_ROOM = Trouble(code="placement.no_room", message="no node has 8 GiB free", hint="Stop a VM.")
FAILED = an_operation(OperationState.FAILED, revision=60, error=NO_ROOM)
