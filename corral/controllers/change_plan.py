"""Change planning: what follows from what a node says about a VM's last change.

In this room   pure: a VM, and the volumes that its last change made, in; what to write, out
Goes out       Settled: the VM's next spec and status, ports and volumes that go
Always true    a change that the node refused is taken back as a whole, with what was made for it, in one commit;
               a volume or port is given up only when the VM's own node said, of this stint, that no guest has it
Next door      vm.py carries it out; server/services/changes.py begins changes
Start here     settle()
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from corral.model.resource import Trouble
from corral.model.vm import VM, DomainState, Leaving, Nic, TakenBack, Undo, VMReport
from corral.model.volume import Volume, VolumePhase

MAKING_S: Final = 30.0  # for a volume that fails and is tried again, before its change is taken back


class Settled(Struct, frozen=True, kw_only=True):
    vm: VM
    unplugged: tuple[str, ...] = ()  # MAC addresses whose ports are free now
    gone: tuple[
        str, ...
    ] = ()  # ids of volumes and ports that were made for nothing, or for a drive that is empty


def settle(vm: VM, made: Sequence[Volume], now_s: float) -> Settled | None:
    """What to write now; None: nothing. Settling the result again gives None."""
    if vm.deleting:
        return None
    report = vm.report if vm.report and vm.report.stint == vm.status.stint else None
    undo = vm.spec.undo
    if undo is not None:
        if trouble := _refusal(undo, report) or _not_made(made, now_s):
            return _take_back(vm, undo, trouble)
        if _was_taken(undo, report, vm):
            return Settled(vm=vm.having(spec=msgspec.structs.replace(vm.spec, undo=None)))
    return _let_go(vm, report)


def _refusal(undo: Undo, report: VMReport | None) -> Trouble | None:
    refusal = report.refusal if report else None
    return refusal.trouble if refusal and refusal.generation >= undo.generation else None


def _not_made(made: Sequence[Volume], now_s: float) -> Trouble | None:
    """Why a volume that the change needs can't be made, after some time."""
    failed = (v for v in made if v.status.phase is VolumePhase.FAILED and now_s - v.status.since > MAKING_S)
    return next((v.status.trouble for v in failed if v.status.trouble), None)


def _was_taken(undo: Undo, report: VMReport | None, vm: VM) -> bool:
    if vm.status.node is None:
        return True
    if report is None or report.generation < undo.generation:
        return False
    return not _active(report) or report.applied >= undo.generation


def _active(report: VMReport) -> bool:
    return report.state in (DomainState.RUNNING, DomainState.PAUSED, DomainState.INCOMING)


def _take_back(vm: VM, undo: Undo, trouble: Trouble) -> Settled:
    """A new generation that is as the VM was before the change."""
    spec = msgspec.structs.replace(
        vm.spec,
        cpus=undo.cpus,
        memory_bytes=undo.memory_bytes,
        hardware=undo.hardware,
        disks=undo.disks,
        nics=_as_addressed(undo.nics, vm.spec.nics),
        cd=undo.cd,
        leaving=undo.leaving,
        undo=None,
        forced=False,
    )
    status = msgspec.structs.replace(
        vm.status, taken_back=TakenBack(operation=undo.operation, trouble=trouble)
    )
    generation = vm.generation + 1
    came = _came(vm, generation)
    spec = msgspec.structs.replace(spec, leaving=(*spec.leaving, *came))
    kept = {entry.volume for entry in came}
    gone = tuple(id for id in undo.made if id not in kept and not _is_port(id))
    return Settled(vm=vm.having(generation=generation, spec=spec, status=status), gone=gone)


def _as_addressed(before: tuple[Nic, ...], now: tuple[Nic, ...]) -> tuple[Nic, ...]:
    """NICs as they were; an address that was changed meanwhile is another request's."""
    addresses = {nic.mac: nic.address for nic in now}
    return tuple(msgspec.structs.replace(nic, address=addresses.get(nic.mac, nic.address)) for nic in before)


def _came(vm: VM, generation: int) -> tuple[Leaving, ...]:
    """What the change brought, and the guest may have by now although the change as a whole was refused."""
    assert vm.spec.undo
    undo = vm.spec.undo
    before = {d.volume for d in undo.disks} | ({undo.cd.volume} if undo.cd else set())
    volumes = [v for v in vm.spec.volumes if v not in before]
    macs = [n.mac for n in vm.spec.nics if n.mac not in {old.mac for old in undo.nics}]
    return (
        *(Leaving(generation=generation, volume=v, discard=v in undo.made) for v in volumes),
        *(Leaving(generation=generation, mac=mac) for mac in macs),
    )


def _is_port(id: str) -> bool:
    return id.startswith("port-")


def _let_go(vm: VM, report: VMReport | None) -> Settled | None:
    left = tuple(entry for entry in vm.spec.leaving if not _is_gone(entry, vm, report))
    if left == vm.spec.leaving:
        return None
    free = [entry for entry in vm.spec.leaving if entry not in left]
    return Settled(
        vm=vm.having(spec=msgspec.structs.replace(vm.spec, leaving=left)),
        unplugged=tuple(e.mac for e in free if e.mac and e.mac not in {n.mac for n in vm.spec.nics}),
        gone=tuple(e.volume for e in free if e.volume and e.discard and e.volume not in vm.spec.volumes),
    )


def _is_gone(entry: Leaving, vm: VM, report: VMReport | None) -> bool:
    """Whether no guest has it any more."""
    if vm.status.node is None:
        return True
    if report is None or report.generation < entry.generation or report.saved:
        return False  # memory on disk goes on with what it had
    if not _active(report):
        return report.state is DomainState.STOPPED
    return report.applied >= entry.generation and entry.key not in {p.key for p in report.pending}
