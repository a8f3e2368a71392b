"""Explaining: why a VM is where it is, what it waits for, and what is not in effect yet.

In this room   explain(), pure
Comes in       the mirror and a VM
Goes out       Explanation, which API, command line and console show
Always true    nothing is guessed: each sentence is somebody's report, an event, or a decision made again now
Next door      scheduler/placement.py decides; controllers/vm.py tells people when it placed a VM
Start here     explain()
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from corral.controllers.placement import ask_of, keeper_of
from corral.model.event import Event
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.resource import Ref, Trouble
from corral.model.vm import VM, Pending, device_key
from corral.model.volume import Volume, VolumePhase
from corral.scheduler.placement import place
from corral.scheduler.standings import standings
from corral.scheduler.wishes import spec_of
from corral.server.cpus import best_cpus
from corral.store.mirror import Mirror

LATELY: Final = 10  # events
PLACED: Final = "placed"  # reason of the event that says why a VM is where it is


class Candidate(Struct, frozen=True, kw_only=True):
    """A node that takes it, with what its score is made of."""

    node: str  # name
    score: float
    terms: Mapping[str, float]  # shares after the placement, 0 to 1; see docs/guide/placement.md


class Elsewhere(Struct, frozen=True, kw_only=True):
    """Where it could be instead, if it were placed now."""

    best: str = ""  # name of the node; empty: none takes it
    out: Mapping[str, int] = {}  # nodes by the first reason that excludes them
    nearest: str = ""  # where none takes it: the node that lacks least
    lacks: str = ""
    policy: str = ""  # its score: balance, pack, spread or power
    candidates: tuple[Candidate, ...] = ()  # the best first
    never: str = ""  # why no node could take it even if it were empty
    changes: tuple[str, ...] = ()  # where none takes it: what would make it fit, the smallest change first


class Explanation(Struct, frozen=True, kw_only=True):
    vm: Ref
    phase: str
    node: str = ""  # name
    why_here: str = ""
    placed_at: float = 0.0  # Unix time, seconds; 0: too long ago to be known
    elsewhere: Elsewhere
    waits_for: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()  # what the running domain gets at its next start
    trouble: Trouble | None = None
    operations: tuple[Ref, ...] = ()  # that run
    lately: tuple[Event, ...] = ()  # the newest last


def explain(mirror: Mirror, vm: VM) -> Explanation:
    """Costs a look at every node, of columns that are kept up to date."""
    events = sorted(mirror.select(Event, "about", vm.id), key=lambda e: e.created_at)
    placed = [e for e in events if e.spec.reason == PLACED]
    running = [o for o in mirror.select(Operation, "target", vm.id) if not o.ended]
    return Explanation(
        vm=vm.ref,
        phase=vm.status.phase,
        node=_name(mirror, vm.status.node),
        why_here=placed[-1].spec.message if placed else vm.status.why_here or _bound(mirror, vm),
        placed_at=placed[-1].created_at if placed else 0.0,
        elsewhere=_elsewhere(mirror, vm),
        waits_for=tuple(dict.fromkeys(_waits(mirror, vm, running))),
        pending=tuple(_text(mirror, vm, p) for p in _pending(vm) if not p.guest),
        trouble=vm.status.trouble,
        operations=tuple(o.ref for o in running),
        lately=tuple(events[-LATELY:]),
    )


def _bound(mirror: Mirror, vm: VM) -> str:
    return f"{vm.name}: bound to {_name(mirror, vm.spec.node)}" if vm.spec.node else ""


def _elsewhere(mirror: Mirror, vm: VM) -> Elsewhere:
    keeper = keeper_of(mirror, best_cpus())
    ask = ask_of(keeper, vm)
    decision = place(keeper.fleet, ask)
    standing = standings(keeper.fleet, ask) if decision.node else ()
    out = {_named(mirror, reason): n for reason, n in decision.out.items()}
    return Elsewhere(
        best=_name(mirror, decision.node),
        out=out,
        nearest=_name(mirror, decision.nearest),
        lacks=decision.lacks,
        policy=spec_of(ask.policy).score,
        candidates=tuple(
            Candidate(node=_name(mirror, each.node), score=each.score, terms=each.terms) for each in standing
        ),
        never=_named(mirror, decision.never),
        changes=tuple(_named(mirror, change) for change in decision.changes),
    )


def _named(mirror: Mirror, text: str) -> str:
    return " ".join(_name(mirror, word) for word in text.split(" "))


def _waits(mirror: Mirror, vm: VM, running: list[Operation]) -> Iterator[str]:
    """In words; the most telling first."""
    if vm.status.trouble:
        yield vm.status.trouble.message
    for operation in running:
        if operation.status.waiting_for:
            yield operation.status.waiting_for
    for pending in _pending(vm):
        if pending.guest:
            yield _text(mirror, vm, pending)
    for disk in vm.spec.disks:
        volume = mirror.get(disk.volume)
        if isinstance(volume, Volume) and volume.status.phase is not VolumePhase.READY:
            because = f": {volume.status.trouble.message}" if volume.status.trouble else ""
            yield f"volume {volume.name}, which is {volume.status.phase}{because}"
    node = mirror.get(vm.status.node or "")
    if isinstance(node, Node) and not node.reachable:
        yield f"node {node.name}, which is {node.status.phase}"
    if vm.report and vm.report.step:
        yield f"its node: {vm.report.step}"


def _pending(vm: VM) -> tuple[Pending, ...]:
    return vm.report.pending if vm.report else ()


def _text(mirror: Mirror, vm: VM, pending: Pending) -> str:
    """With the volume's name, where the node knows a key only."""
    volumes = {device_key(id): id for id in (*vm.spec.volumes, *vm.spec.leaving_volumes)}
    id = volumes.get(pending.key)
    return pending.text.replace(pending.key, _name(mirror, id)) if id else pending.text


def _name(mirror: Mirror, id: str | None) -> str:
    found = mirror.get(id) if id else None
    return found.name if found else id or ""
