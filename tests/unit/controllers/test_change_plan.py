"""What follows from what a node says about a change: a row a rule."""

import pytest
from msgspec.structs import replace

from corral.controllers.change_plan import settle
from corral.model.ids import NetworkId, NodeId, VolumeId
from corral.model.resource import Trouble
from corral.model.vm import (
    VM,
    Disk,
    DomainState,
    Leaving,
    Nic,
    Pending,
    Refusal,
    Undo,
    VMReport,
    VMSpec,
    VMStatus,
    device_key,
)
from corral.model.volume import Volume, VolumePhase, VolumeSpec, VolumeStatus

ROOT, DATA = VolumeId("vol-root"), VolumeId("vol-data")
NIC = Nic(network=NetworkId("net-1"), mac="0e:00:00:00:00:01", address="10.0.0.1")
NO = Trouble(code="vm.hotplug_refused", message="no")
BEFORE = VMSpec(cpus=1, memory_bytes=1, disks=(Disk(volume=ROOT),))
UNDO = Undo(operation="op-1", generation=2, cpus=1, memory_bytes=1, disks=BEFORE.disks, made=(DATA, "port-1"))
GROWN = replace(BEFORE, cpus=2, disks=(*BEFORE.disks, Disk(volume=DATA)), nics=(NIC,), undo=UNDO)
GONE = replace(BEFORE, leaving=(Leaving(generation=2, volume=DATA),))
RAN = VMReport(state=DomainState.RUNNING, stint=1, role="owner", generation=2, applied=2)
HELD = Pending(what="disk", key=device_key(DATA), text="held", guest=True)
A = NodeId("node-a")


def a_vm(spec: VMSpec, report: VMReport | None, *, node: NodeId | None = A) -> VM:
    status = VMStatus(node=node, stint=1, reports={A: report} if report else {})
    return VM(id="vm-1", name="web", generation=2, spec=spec, status=status)


QUIET = [  # nothing follows
    ("the node has not said anything", a_vm(GROWN, None)),
    ("an older definition is in place", a_vm(GROWN, replace(RAN, generation=1, applied=1))),
    ("defined, not carried out yet", a_vm(GROWN, replace(RAN, applied=1))),
    ("an older stint proves nothing", a_vm(GROWN, replace(RAN, stint=0, refusal=Refusal(generation=2, trouble=NO)))),
    ("an older change was refused", a_vm(GROWN, replace(RAN, applied=1, refusal=Refusal(generation=1, trouble=NO)))),
    ("the guest holds the disk", a_vm(GONE, replace(RAN, pending=(HELD,)))),
    ("stopped, with the disk in its definition", a_vm(GONE, replace(RAN, state=DomainState.STOPPED, generation=1))),
    ("its memory on disk has the disk", a_vm(GONE, replace(RAN, state=DomainState.STOPPED, saved=True))),
    ("the domain has vanished", a_vm(GONE, replace(RAN, state=DomainState.ABSENT))),
]  # fmt: skip


@pytest.mark.parametrize("vm", [pytest.param(vm, id=name) for name, vm in QUIET])
def test_nothing_follows(vm: VM) -> None:
    assert settle(vm, (), 100.0) is None


TAKEN = [
    ("carried out", a_vm(GROWN, RAN)),
    (
        "it does not run: the definition is all",
        a_vm(GROWN, replace(RAN, state=DomainState.STOPPED, applied=0)),
    ),
    ("it has no node yet", a_vm(GROWN, None, node=None)),
]


@pytest.mark.parametrize("vm", [pytest.param(vm, id=name) for name, vm in TAKEN])
def test_a_change_that_was_taken_can_not_be_taken_back_later(vm: VM) -> None:
    settled = settle(vm, (), 100.0)
    assert settled and settled.vm.spec == replace(GROWN, undo=None)
    refused = replace(RAN, generation=3, applied=3, refusal=Refusal(generation=3, trouble=NO))
    later = replace(settled.vm, status=VMStatus(node=A, stint=1, reports={A: refused}))
    assert settle(later, (), 100.0) is None


def test_a_refused_change_is_taken_back_as_a_whole() -> None:
    vm = a_vm(GROWN, replace(RAN, refusal=Refusal(generation=2, trouble=NO)))
    settled = settle(vm, (), 100.0)
    assert settled
    spec, status = settled.vm.spec, settled.vm.status
    assert (spec.cpus, spec.disks, spec.nics, spec.undo) == (1, BEFORE.disks, (), None)
    assert settled.vm.generation == 3
    assert status.taken_back and (status.taken_back.operation, status.taken_back.trouble) == ("op-1", NO)
    assert settled.gone == (), "its node may hold them: it has to say first that it does not"
    assert {(e.key, e.generation, e.discard) for e in spec.leaving} == {
        (device_key(DATA), 3, True),
        (NIC.mac, 3, False),
    }
    settled = settle(
        replace(settled.vm, status=replace(status, reports={A: replace(RAN, generation=3, applied=3)})),
        (),
        100.0,
    )
    assert settled and (settled.gone, settled.unplugged, settled.vm.spec.leaving) == ((DATA,), (NIC.mac,), ())


def test_a_volume_that_can_not_be_made_takes_its_change_back() -> None:
    status = VolumeStatus(phase=VolumePhase.FAILED, since=60.0, trouble=NO)
    volume = Volume(id=DATA, name="data", spec=VolumeSpec(pool="pool-1", size_bytes=1), status=status)  # type: ignore[arg-type]
    vm = a_vm(GROWN, replace(RAN, generation=1, applied=1))
    assert settle(vm, [volume], 80.0) is None, "it is tried again for a while"
    settled = settle(vm, [volume], 91.0)
    assert settled and settled.vm.spec.cpus == 1


LET_GO = [
    ("the running domain is without it", RAN),
    ("it stopped, and its definition is without it", replace(RAN, state=DomainState.STOPPED, applied=0)),
]


@pytest.mark.parametrize("report", [pytest.param(report, id=name) for name, report in LET_GO])
def test_a_disk_is_free_when_no_guest_has_it(report: VMReport) -> None:
    settled = settle(a_vm(GONE, report), (), 100.0)
    assert settled and (settled.vm.spec.leaving, settled.gone) == ((), ())
    assert settled.vm.generation == 2, "no node has to know"
