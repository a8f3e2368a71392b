"""What an operation's target says about it: one row a rule."""

import pytest

from corral.controllers.operation_plan import PATIENCE_S, judge
from corral.model.network import Network, NetworkSpec
from corral.model.node import NetworkOnNode, Node, NodeStatus
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Step, Verb
from corral.model.resource import Ref, Resource, Trouble
from corral.model.vm import (
    VM,
    DomainState,
    Migration,
    MigrationReport,
    MigrationResult,
    MigrationStage,
    MigrationWish,
    VMPhase,
    VMReport,
    VMSpec,
    VMStatus,
)
from corral.model.volume import Volume, VolumePhase, VolumeSpec, VolumeStatus

NOW_S = 100.0
TROUBLE = Trouble(code="storage.full", message="no room")
GOING, OK, BAD, OFF = (
    OperationState.RUNNING,
    OperationState.SUCCEEDED,
    OperationState.FAILED,
    OperationState.CANCELLED,
)


def op(
    verb: Verb, *, boot: int = 1, cancel: bool = False, created_at: float = 90.0, kind: str = "VM"
) -> Operation:
    spec = OperationSpec(
        verb=verb, target=Ref(kind=kind, id="x-1", name="x"), generation=1, boot=boot, cancel=cancel
    )
    return Operation(id="op-1", name="op-1", created_at=created_at, spec=spec)


def vm(
    phase: VMPhase, *, boot: int = 1, running: bool = True, deleting: bool = False, **fields: object
) -> VM:
    wish = fields.pop("wish", None)
    state = (
        DomainState.RUNNING
        if phase in (VMPhase.RUNNING, VMPhase.MIGRATING, VMPhase.STOPPING)
        else DomainState.STOPPED
    )
    report = VMReport(state=state, generation=1, boot=boot, migration=fields.pop("said", None))
    status = VMStatus(
        **{"phase": phase, "node": "node-a", "since": 95.0, "reports": {"node-a": report}, **fields}
    )
    spec = VMSpec(cpus=1, memory_bytes=1, running=running, migration=wish)
    return VM(id="x-1", name="x", deleted_at=5.0 if deleting else None, spec=spec, status=status)


def volume(phase: VolumePhase, since: float = 95.0) -> Volume:
    trouble = TROUBLE if phase is VolumePhase.FAILED else None
    status = VolumeStatus(phase=phase, trouble=trouble, since=since)
    return Volume(id="x-1", name="x", spec=VolumeSpec(pool="pool-1", size_bytes=1), status=status)


MINE = MigrationWish(id="op-1")
MOVING = Migration(wish="op-1", source="node-a", target="node-b", stage=MigrationStage.MOVING)
ROWS = [  # name, operation, target, state
    ("create: no node yet", op(Verb.CREATE), vm(VMPhase.PENDING, boot=0), GOING),
    ("create: runs", op(Verb.CREATE), vm(VMPhase.RUNNING), OK),
    ("create of a stopped VM: defined", op(Verb.CREATE, boot=0), vm(VMPhase.STOPPED, running=False), OK),
    ("create: fails for a moment", op(Verb.CREATE), vm(VMPhase.FAILED, trouble=TROUBLE), GOING),
    ("create: fails for long", op(Verb.CREATE, created_at=50.0), vm(VMPhase.FAILED, trouble=TROUBLE, since=NOW_S - PATIENCE_S - 1), BAD),
    ("create: deleted by somebody", op(Verb.CREATE), vm(VMPhase.DELETING, deleting=True), OFF),
    ("create: cancelled, being undone", op(Verb.CREATE, cancel=True), vm(VMPhase.DELETING, deleting=True), GOING),
    ("create: cancelled, undone", op(Verb.CREATE, cancel=True), None, OFF),
    ("start: an older boot runs", op(Verb.START, boot=2), vm(VMPhase.RUNNING, boot=1), GOING),
    ("start: this boot runs", op(Verb.START, boot=2), vm(VMPhase.RUNNING, boot=2), OK),
    ("start: a newer boot runs", op(Verb.START, boot=2), vm(VMPhase.RUNNING, boot=3), OK),
    ("start: stopped by itself at once", op(Verb.START), vm(VMPhase.STOPPED), BAD),
    ("start: somebody wants it stopped", op(Verb.START), vm(VMPhase.STOPPED, running=False), OFF),
    ("stop: still runs", op(Verb.STOP), vm(VMPhase.STOPPING, running=False), GOING),
    ("stop: stopped", op(Verb.STOP), vm(VMPhase.STOPPED, running=False), OK),
    ("stop: somebody wants it to run", op(Verb.STOP), vm(VMPhase.RUNNING), OFF),
    ("migrate: not begun", op(Verb.MIGRATE), vm(VMPhase.RUNNING, wish=MINE), GOING),
    ("migrate: moving", op(Verb.MIGRATE), vm(VMPhase.MIGRATING, wish=MINE, migration=MOVING), GOING),
    ("migrate: done", op(Verb.MIGRATE), vm(VMPhase.RUNNING, last_migration=MigrationResult(wish="op-1")), OK),
    ("migrate: failed", op(Verb.MIGRATE), vm(VMPhase.RUNNING, last_migration=MigrationResult(wish="op-1", state="failed")), BAD),
    ("migrate: cancelled", op(Verb.MIGRATE), vm(VMPhase.RUNNING, last_migration=MigrationResult(wish="op-1", state="cancelled")), OFF),
    ("migrate: another wish took its place", op(Verb.MIGRATE), vm(VMPhase.RUNNING, wish=MigrationWish(id="op-2")), OFF),
    ("delete: on its way", op(Verb.DELETE), vm(VMPhase.DELETING, deleting=True), GOING),
    ("delete: gone", op(Verb.DELETE), None, OK),
    ("volume: making", op(Verb.CREATE), volume(VolumePhase.CREATING), GOING),
    ("volume: ready", op(Verb.CREATE), volume(VolumePhase.READY), OK),
    ("volume: failed for long", op(Verb.CREATE, created_at=0.0), volume(VolumePhase.FAILED, since=10.0), BAD),
    ("anything: deadline passed", op(Verb.CREATE, created_at=NOW_S - 600), vm(VMPhase.PENDING, boot=0), BAD),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "target", "state"), [pytest.param(*r[1:], id=r[0]) for r in ROWS])
def test_state(operation: Operation, target: Resource | None, state: OperationState) -> None:
    status = judge(operation, target, (), NOW_S)
    assert status.state is state
    assert (status.ended_at is None) == (state is GOING)


def test_progress_of_a_migration_is_what_the_source_says() -> None:
    said = MigrationReport(wish="op-1", state="running", progress=0.5)
    target = vm(VMPhase.MIGRATING, wish=MINE, migration=MOVING, said=said)
    status = judge(op(Verb.MIGRATE), target, (), NOW_S)
    assert (status.steps[-1].name, status.progress) == ("copy memory", pytest.approx(0.525, abs=0.01))


def test_steps_end_when_the_next_begins_and_progress_never_goes_back() -> None:
    old = OperationStatus(progress=0.9, steps=(Step(name="find a node", started_at=91.0),))
    status = judge(op(Verb.CREATE).having(status=old), vm(VMPhase.STARTING, boot=0), (), NOW_S)
    assert [(s.name, s.ended_at) for s in status.steps] == [("find a node", NOW_S), ("start", None)]
    assert status.progress == 0.9


def test_a_network_waits_for_every_node_and_names_the_one_that_fails() -> None:
    network = Network(id="x-1", name="x", spec=NetworkSpec(bridge="br0"))
    ready = Node(id="n1", name="n1", status=NodeStatus(networks={"x-1": NetworkOnNode(ready=True)}))
    no_bridge = NetworkOnNode(trouble=Trouble(code="network.failed", message="no bridge br0"))
    broken = Node(id="n2", name="n2", status=NodeStatus(networks={"x-1": no_bridge}))
    create = op(Verb.CREATE, kind="Network")
    assert judge(create, network, (ready,), NOW_S).state is OK
    waiting = judge(create, network, (ready, broken), NOW_S)
    assert (waiting.state, waiting.waiting_for) == (GOING, "node n2: no bridge br0")
    assert judge(create, network, (ready, broken), NOW_S + PATIENCE_S).state is BAD
