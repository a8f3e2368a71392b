"""What needs attention: each thing that is wrong is found, with what to do; what passes by itself is not."""

import pytest
from msgspec.structs import replace

from corral.model.ids import NodeId, PoolId, VmId
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.node import (
    Accelerator,
    AcceleratorKind,
    Inventory,
    Node,
    NodePhase,
    NodeSpec,
    NodeStatus,
    PoolOnNode,
)
from corral.model.operation import Operation, OperationSpec, OperationStatus, Verb
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Ref, Resource, Trouble
from corral.model.token import Token, TokenSpec
from corral.model.units import GiB
from corral.model.vm import VM, VMPhase, VMSpec, VMStatus
from corral.model.volume import Volume, VolumePhase, VolumeSpec, VolumeStatus
from corral.server.services.diagnosing import Level, diagnose
from corral.store.interface import Snapshot
from corral.store.mirror import Mirror

NOW_S, LONG_AGO_S, JUST_NOW_S = 1e9, 1e9 - 7200, 1e9 - 5
KVM = Accelerator(kind=AcceleratorKind.KVM)
ROOM = PoolOnNode(ready=True, total_bytes=100 * GiB, free_bytes=50 * GiB)
NODE = Node(
    id="node-1",
    name="n1",
    created_at=LONG_AGO_S,
    status=NodeStatus(
        phase=NodePhase.READY,
        agent_version="1",
        inventory=Inventory(cpus=4, accelerator=KVM),
        pools={"pool-1": ROOM},
    ),
)
POOL = StoragePool(id="pool-1", name="p", spec=StoragePoolSpec(path="/p"))
WELL = (NODE, POOL)
WHY = Trouble(code="disk.full", message="no space left", hint="Make room.", since=LONG_AGO_S)


def node(**status: object) -> Node:
    return replace(NODE, status=replace(NODE.status, **status))


def vm(phase: VMPhase, since: float, trouble: Trouble | None = None) -> VM:
    status = VMStatus(phase=phase, since=since, trouble=trouble, node=NodeId("node-1"))
    return VM(id="vm-1", name="web", spec=VMSpec(cpus=1, memory_bytes=GiB), status=status)


def operation(waiting_for: str, created_at: float) -> Operation:
    target = Ref(kind="VM", id=VmId("vm-1"), name="web")
    spec = OperationSpec(verb=Verb.CREATE, target=target, generation=1)
    return Operation(
        id="op-1",
        name="op-1",
        created_at=created_at,
        spec=spec,
        status=OperationStatus(waiting_for=waiting_for),
    )


def volume(phase: VolumePhase) -> Volume:
    status = VolumeStatus(phase=phase, trouble=WHY)
    return Volume(id="vol-1", name="v", spec=VolumeSpec(pool=PoolId("pool-1"), size_bytes=1), status=status)


def token(expires_at: float | None) -> Token:
    return Token(id="tok-1", name="t", spec=TokenSpec(expires_at=expires_at))


IMAGE = Image(id="img-1", name="i", status=ImageStatus(phase=ImagePhase.FAILED, trouble=WHY))
LOW = node(pools={"pool-1": replace(ROOM, free_bytes=5 * GiB)})
OUT = node(pools={"pool-1": replace(ROOM, free_bytes=GiB)})
CASES: list[tuple[str, tuple[Resource, ...], list[tuple[str, Level]]]] = [
    ("all is well", WELL, []),
    ("nothing joined", (), [("node.none", Level.ERROR)]),
    ("no pool", (NODE,), [("pool.none", Level.ERROR)]),
    ("a node is lost", (node(phase=NodePhase.LOST), POOL), [("node.lost", Level.ERROR)]),
    ("a node never came", (node(phase=NodePhase.JOINING), POOL), [("node.joining", Level.WARNING)]),
    ("a node that joins now", (replace(node(phase=NodePhase.JOINING), created_at=JUST_NOW_S), POOL), []),
    ("cordoned", (replace(NODE, spec=NodeSpec(cordoned=True)), POOL), [("node.cordoned", Level.INFO)]),
    ("no KVM", (node(inventory=Inventory(cpus=4)), POOL), [("node.no_kvm", Level.WARNING)]),
    ("another version", (node(agent_version="0"), POOL), [("node.version", Level.WARNING)]),
    ("a pool is low", (LOW, POOL), [("pool.low", Level.WARNING)]),
    ("a pool is nearly full", (OUT, POOL), [("pool.low", Level.ERROR)]),
    (
        "a shared pool is told once",
        (
            LOW,
            replace(LOW, id="node-2", name="n2"),
            replace(POOL, spec=StoragePoolSpec(path="/p", shared=True)),
        ),
        [("pool.low", Level.WARNING)],
    ),
    (
        "a pool in trouble",
        (node(pools={"pool-1": PoolOnNode(trouble=WHY)}), POOL),
        [("disk.full", Level.ERROR)],
    ),
    ("a VM failed", (*WELL, vm(VMPhase.FAILED, LONG_AGO_S, WHY)), [("disk.full", Level.ERROR)]),
    ("a VM finds no node", (*WELL, vm(VMPhase.PENDING, LONG_AGO_S)), [("vm.trouble", Level.WARNING)]),
    ("a VM is just being placed", (*WELL, vm(VMPhase.PENDING, JUST_NOW_S)), []),
    ("a volume failed", (*WELL, volume(VolumePhase.FAILED)), [("disk.full", Level.ERROR)]),
    ("a volume is made", (*WELL, volume(VolumePhase.CREATING)), []),
    ("an image failed", (*WELL, IMAGE), [("disk.full", Level.WARNING)]),
    ("an operation waits", (*WELL, operation("room", LONG_AGO_S)), [("operation.waits", Level.WARNING)]),
    ("an operation has begun to wait", (*WELL, operation("room", JUST_NOW_S)), []),
    ("a token ends soon", (*WELL, token(NOW_S + 3600)), [("token.ends", Level.WARNING)]),
    ("a token has ended", (*WELL, token(NOW_S - 3600)), [("token.ends", Level.INFO)]),
    ("a token for ever", (*WELL, token(None)), []),
    (
        "errors come first",
        (node(agent_version="0"), POOL, volume(VolumePhase.FAILED)),
        [("disk.full", Level.ERROR), ("node.version", Level.WARNING)],
    ),
]


@pytest.mark.parametrize(("resources", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in CASES])
def test_findings(resources: tuple[Resource, ...], wanted: list[tuple[str, Level]]) -> None:
    mirror = Mirror()
    mirror.reload(Snapshot(1, resources))
    found = diagnose(mirror, NOW_S, "1")
    assert [(f.code, f.level) for f in found] == wanted
    assert all(f.hint for f in found if f.code != "vm.trouble")
