"""Diagnosing: what needs attention in the whole installation, and the next step to take about it.

In this room   diagnose(), pure; attention(), the same for a screen that looks often; CHECKS, a function a subject
Comes in       the mirror, the time, this server's version
Goes out       Findings, the worst first
Always true    a finding names what it is about and says what to do; what resolves itself within a minute is none.
               A check looks at what an index names where there is one, and never at all VMs: it may be asked for a few
               findings only.
Next door      agent/doctor.py looks at one machine; server/overview.py shows these as "needs attention"
Start here     CHECKS
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Final

from msgspec import Struct

from corral.model.image import Image, ImagePhase
from corral.model.node import AcceleratorKind, Node, NodePhase, PoolOnNode
from corral.model.operation import Operation, OperationState
from corral.model.pool import StoragePool
from corral.model.resource import Ref, Resource, Trouble
from corral.model.token import Token
from corral.model.units import format_size
from corral.model.vm import VM, VMPhase
from corral.model.volume import Volume, VolumePhase
from corral.store.mirror import Mirror

PATIENCE_S: Final = 60.0  # what lasts less is on its way
STUCK_S: Final = 300.0  # an operation that waits for the same thing for so long
LATELY_S: Final = 3600.0  # failures are told for so long
BEGUN_S: Final = LATELY_S + 2 * 3600.0  # hardly an operation takes longer than two hours
DAY_S: Final = 86_400.0
TOKEN_ENDS_S: Final = 7 * DAY_S
ROOM_OUT: Final = 0.03  # share of a pool


class Level(StrEnum):
    ERROR = "error"  # something does not work
    WARNING = "warning"  # something will not, or works worse than it could
    INFO = "info"


class Finding(Struct, frozen=True, kw_only=True):
    level: Level
    code: str  # for programs: node.lost, pool.low, …
    about: Ref | None = None
    message: str
    hint: str = ""


def diagnose(mirror: Mirror, now_s: float, version: str) -> tuple[Finding, ...]:
    """All findings: errors first, then in the order of CHECKS."""
    look = Look(mirror, now_s, version)
    found = [finding for check in CHECKS for finding in check(look)]
    return tuple(sorted(found, key=lambda finding: _RANK[finding.level]))


def attention(mirror: Mirror, now_s: float, version: str, most: int) -> tuple[list[Finding], int]:
    """At most `most` findings, the worst first, and how many there are; of what befalls very many, about how many."""
    look = Look(mirror, now_s, version)
    found: list[Finding] = []
    left_out = 0
    for check in CHECKS:
        findings = check(look)
        found += (some := list(islice(findings, most)))
        if len(some) == most:
            count = _about_how_many(mirror, check)
            left_out += sum(1 for _ in findings) if count is None else max(0, count - most)
    found.sort(key=lambda finding: _RANK[finding.level])
    return found[:most], len(found) + left_out


def _about_how_many(mirror: Mirror, check: "Check") -> int | None:
    """By the indexes, for a check that may find very many; None: it has to be counted."""
    if (phase := _VMS.get(check)) is not None:
        return mirror.count(VM, "phase", phase)
    if check is _lost:
        return mirror.count(Node, "phase", NodePhase.LOST)
    if check is _drifts:
        return mirror.count(VM, "drifted", "yes")
    return None


class Look(Struct, frozen=True):
    """What checks look at."""

    mirror: Mirror
    now_s: float
    version: str

    def lasts(self, since_s: float) -> bool:
        return self.now_s - since_s > PATIENCE_S


def _of_trouble(level: Level, about: Resource, what: str, trouble: Trouble | None) -> Finding:
    because = f": {trouble.message}" if trouble else ""
    return Finding(
        level=level,
        code=trouble.code if trouble else f"{about.kind.lower()}.trouble",
        about=about.ref,
        message=f"{what}{because}",
        hint=trouble.hint if trouble else "",
    )


def _installation(look: Look) -> Iterator[Finding]:
    if not look.mirror.list(Node):
        yield Finding(
            level=Level.ERROR,
            code="node.none",
            message="no node has joined yet",
            hint="`corral node join-token` prints the command to run on a host.",
        )
    elif not look.mirror.list(StoragePool):
        yield Finding(
            level=Level.ERROR,
            code="pool.none",
            message="there is no storage pool: VMs have nowhere to keep their disks",
            hint="`corral pool create default /var/lib/corral/pools/default` makes one.",
        )


def _lost(look: Look) -> Iterator[Finding]:
    for node in look.mirror.each(Node, "phase", NodePhase.LOST):
        vms = look.mirror.count(VM, "node", node.id)
        yield Finding(
            level=Level.ERROR,
            code="node.lost",
            about=node.ref,
            message=f"node {node.name} is silent; {vms} VMs belong to it and may still be running",
            hint="Look at the machine and its network. `corral doctor machine` there says what is wrong.",
        )


def _joining(look: Look) -> Iterator[Finding]:
    for node in look.mirror.each(Node, "phase", NodePhase.JOINING):
        if look.lasts(node.created_at):
            yield Finding(
                level=Level.WARNING,
                code="node.joining",
                about=node.ref,
                message=f"node {node.name} has joined, but its agent has not been heard yet",
                hint="Is `corral agent run` (systemctl status corral-agent) running there?",
            )


def _nodes(look: Look) -> Iterator[Finding]:
    for node in look.mirror.list(Node):
        if node.reachable or (node.status.phase is NodePhase.JOINING and not look.lasts(node.created_at)):
            yield from _node(look, node)


def _node(look: Look, node: Node) -> Iterator[Finding]:
    accelerator = node.status.inventory.accelerator
    if node.spec.cordoned:
        yield Finding(
            level=Level.INFO,
            code="node.cordoned",
            about=node.ref,
            message=f"node {node.name} is cordoned and takes no new VMs",
            hint=f"`corral node uncordon {node.name}` when it may again.",
        )
    if node.status.inventory.cpus and accelerator.kind is not AcceleratorKind.KVM:
        because = f": {accelerator.reason}" if accelerator.reason else ""
        yield Finding(
            level=Level.WARNING,
            code="node.no_kvm",
            about=node.ref,
            message=f"node {node.name} runs guests in software, about nine times slower{because}",
            hint="Switch virtualisation on in its firmware, and see that /dev/kvm can be used.",
        )
    if node.status.agent_version and node.status.agent_version != look.version:
        yield Finding(
            level=Level.WARNING,
            code="node.version",
            about=node.ref,
            message=f"the agent of node {node.name} is {node.status.agent_version}, this server {look.version}",
            hint="Install the same version there and restart the agent: guests go on running.",
        )


def _on_nodes(look: Look) -> Iterator[Finding]:
    """Pools and networks, as nodes see them. A shared pool's room is told once."""
    low: dict[str, Finding] = {}
    for node in look.mirror.each(Node, "concern", "yes"):
        if not node.reachable:
            continue
        for id, pool in node.status.pools.items():
            found = look.mirror.get(id)
            if not isinstance(found, StoragePool):
                continue
            if pool.trouble and look.lasts(pool.trouble.since):
                yield _of_trouble(Level.ERROR, found, f"pool {found.name} on node {node.name}", pool.trouble)
            elif finding := _room(found, node, pool):
                low.setdefault(id if found.spec.shared else f"{id}@{node.id}", finding)
        for id, network in node.status.networks.items():
            if (known := look.mirror.get(id)) and network.trouble and look.lasts(network.trouble.since):
                yield _of_trouble(
                    Level.ERROR, known, f"network {known.name} on node {node.name}", network.trouble
                )
    yield from low.values()


def _room(pool: StoragePool, node: Node, seen: PoolOnNode) -> Finding | None:
    if not seen.low:
        return None
    where = "" if pool.spec.shared else f" on node {node.name}"
    left, whole = format_size(seen.free_bytes), format_size(seen.total_bytes)
    return Finding(
        level=Level.ERROR if seen.free_bytes < ROOM_OUT * seen.total_bytes else Level.WARNING,
        code="pool.low",
        about=pool.ref,
        message=f"pool {pool.name}{where} has {left} of {whole} left",
        hint="Delete volumes, or give it more room: guests stop when it is full.",
    )


def _vms(look: Look, phase: VMPhase, level: Level) -> Iterator[Finding]:
    for vm in look.mirror.each(VM, "phase", phase):
        if look.lasts(vm.status.since or vm.created_at):
            yield _of_trouble(level, vm, f"VM {vm.name} is {phase}", vm.status.trouble)


def _failed_vms(look: Look) -> Iterator[Finding]:
    yield from _vms(look, VMPhase.FAILED, Level.ERROR)


def _unknown_vms(look: Look) -> Iterator[Finding]:
    yield from _vms(look, VMPhase.UNKNOWN, Level.ERROR)


def _pending_vms(look: Look) -> Iterator[Finding]:
    yield from _vms(look, VMPhase.PENDING, Level.WARNING)


def _drifts(look: Look) -> Iterator[Finding]:
    for vm in look.mirror.each(VM, "drifted", "yes"):
        yield Finding(
            level=Level.INFO,
            code="vm.drift",
            about=vm.ref,
            message=f"the domain of VM {vm.name} was changed behind Corral's back",
            hint=f"`corral vm drift {vm.name}` shows what, and how to keep it or undo it.",
        )


def _storage(look: Look) -> Iterator[Finding]:
    for volume in look.mirror.each(Volume, "phase", VolumePhase.FAILED):
        yield _of_trouble(Level.ERROR, volume, f"volume {volume.name} is failed", volume.status.trouble)
    for image in look.mirror.list(Image):
        if image.status.phase is ImagePhase.FAILED:
            yield _of_trouble(Level.WARNING, image, f"image {image.name} is failed", image.status.trouble)


def _operations(look: Look) -> Iterator[Finding]:
    for operation in look.mirror.select(Operation, "phase", "running"):
        if operation.status.waiting_for and look.now_s - operation.created_at > STUCK_S:
            spec = operation.spec
            yield Finding(
                level=Level.WARNING,
                code="operation.waits",
                about=operation.ref,
                message=f"{spec.verb} of {spec.target.kind} {spec.target.name} waits for "
                f"{operation.status.waiting_for}",
                hint=f"`corral operation show {operation.id}`; `corral operation cancel {operation.id}` gives it up.",
            )


def failed_lately(mirror: Mirror, now_s: float) -> Iterator[Operation]:
    """Operations that have failed within the last hour, the newest first."""
    for operation in mirror.each(Operation, "phase", OperationState.FAILED, newest_first=True):
        if operation.created_at < now_s - BEGUN_S:  # those before are older still
            return
        if (operation.status.ended_at or operation.created_at) >= now_s - LATELY_S:
            yield operation


def _failures(look: Look) -> Iterator[Finding]:
    for operation in failed_lately(look.mirror, look.now_s):
        spec, error = operation.spec, operation.status.error
        hint = error.hint if error else ""
        yield Finding(
            level=Level.WARNING,
            code="operation.failed",
            about=operation.ref,
            message=f"{spec.verb} of {spec.target.kind} {spec.target.name} has failed"
            + (f": {error.message}" if error else ""),
            hint=f"{hint} `corral operation show {operation.id}` shows its steps.".strip(),
        )


def _tokens(look: Look) -> Iterator[Finding]:
    for token in look.mirror.list(Token):
        left_s = (token.spec.expires_at or float("inf")) - look.now_s
        if left_s < TOKEN_ENDS_S:
            when = "has expired" if left_s <= 0 else f"expires in {left_s / DAY_S:.1f} days"
            yield Finding(
                level=Level.INFO if left_s <= 0 else Level.WARNING,
                code="token.ends",
                about=token.ref,
                message=f"token {token.name} {when}",
                hint=f"`corral token create` makes another; `corral token delete {token.name}` removes this one.",
            )


Check = Callable[[Look], Iterator[Finding]]
CHECKS: Final[tuple[Check, ...]] = (
    _installation,
    _lost,
    _joining,
    _nodes,
    _on_nodes,
    _failed_vms,
    _unknown_vms,
    _pending_vms,
    _storage,
    _failures,
    _operations,
    _drifts,
    _tokens,
)
_VMS: Final[dict[Check, VMPhase]] = {
    _failed_vms: VMPhase.FAILED,
    _unknown_vms: VMPhase.UNKNOWN,
    _pending_vms: VMPhase.PENDING,
}
_RANK: Final = {level: place for place, level in enumerate(Level)}
