"""Migration: what users may ask of a VM's migrations, and what to expect of one.

In this room   the policy's bounds; preflight(), for every node; MigrationPrevented
Comes in       the mirror, a VM's latest figures
Goes out       Preflight: obstacles and forecast, a node at a time
Next door      controllers/preflight.py knows the obstacles, controllers/forecast.py the figures; vms.py carries on
Start here     preflight()
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from corral.controllers.forecast import Outlook, choose, link_to
from corral.controllers.placement import keeper_of, local_volumes
from corral.controllers.preflight import Obstacle, obstacles_at, obstacles_of
from corral.controllers.vm_plan import disk_bytes
from corral.errors import CorralError, Invalid
from corral.model.ids import VmId
from corral.model.migration import PARALLEL_MAX, Forecast, MigrationPolicy
from corral.model.node import Node
from corral.model.resource import Ref
from corral.model.vm import VM
from corral.server.cpus import best_cpus
from corral.store.mirror import Mirror

Figures = Callable[[VmId], Mapping[str, float] | None]  # the latest of a running VM, by VM_COLUMNS
LEAST_S: Final = 600.0  # an operation's deadline
SPARE_S: Final = 120.0  # of the operation, for what comes before and after the migration itself


class MigrationPrevented(CorralError):
    """Something prevents the migration; nothing was begun."""

    code = "migration.prevented"
    status = 409
    retryable = True

    def __init__(self, vm: VM, target: str, obstacles: tuple[Obstacle, ...]) -> None:
        first = obstacles[0]
        super().__init__(
            f"{vm.name} can't migrate{f' to {target}' if target else ''}: "
            + "; ".join(o.message for o in obstacles),
            hint=first.hint or f"`corral vm preflight {vm.name}` says what stands in the way of each node.",
            vm=vm.id,
            obstacles=", ".join(dict.fromkeys(o.code for o in obstacles)),
        )


class NodePreflight(Struct, frozen=True, kw_only=True):
    node: Ref
    fits: bool
    obstacles: tuple[Obstacle, ...] = ()
    forecast: Forecast | None = None  # None: it is not running


class Preflight(Struct, frozen=True, kw_only=True):
    """Whether a VM could migrate now, where to, and what that would take."""

    vm: Ref
    obstacles: tuple[Obstacle, ...] = ()  # of the VM itself, wherever it would go
    nodes: tuple[NodePreflight, ...] = ()


def preflight(mirror: Mirror, vm: VM, figures: Figures, to: Node | None = None) -> Preflight:
    """For `to`, or for every node but its own; those that fit first."""
    own, keeper = obstacles_of(mirror, vm), keeper_of(mirror, best_cpus())
    nodes = [to] if to else [n for n in mirror.list(Node) if n.id != vm.status.node]
    seen = [
        NodePreflight(
            node=node.ref,
            fits=not own and not there,
            obstacles=there,
            forecast=foresee(mirror, vm, node, figures),
        )
        for node in nodes
        for there in [obstacles_at(keeper, vm, node)]
    ]
    return Preflight(
        vm=vm.ref, obstacles=own, nodes=tuple(sorted(seen, key=lambda n: (not n.fits, n.node.name)))
    )


def foresee(mirror: Mirror, vm: VM, node: Node, figures: Figures) -> Forecast | None:
    source, now = mirror.get(vm.status.node or ""), figures(VmId(vm.id)) or {}
    if not isinstance(source, Node):
        return None
    dirty = now.get("dirty_bytes_s", -1.0)
    outlook = Outlook(
        memory_bytes=vm.spec.memory_bytes,
        last=vm.status.last_migration,
        resident_bytes=int(now.get("memory_bytes", 0)),
        dirty_bytes_s=None if dirty < 0 else dirty,
        disk_bytes=sum(disk_bytes(v) for v in local_volumes(mirror, vm)),
        link=link_to(source.status.links, node.id),
        policy=vm.spec.migration_policy,
        tls=source.status.inventory.migration_tls and node.status.inventory.migration_tls,
    )
    return choose(outlook)[1]


def refuse_prevented(mirror: Mirror, vm: VM, figures: Figures, to: Node | None) -> Forecast | None:
    """The forecast for where it goes (the slowest, where the scheduler chooses). raises MigrationPrevented"""
    seen = preflight(mirror, vm, figures, to)
    if seen.obstacles:
        raise MigrationPrevented(vm, to.name if to else "", seen.obstacles)
    fit = [n for n in seen.nodes if n.fits]
    if to and not fit:
        raise MigrationPrevented(vm, to.name, seen.nodes[0].obstacles)
    forecasts = [n.forecast for n in fit if n.forecast]
    return max(forecasts, key=lambda f: f.total_s, default=None)


def deadline_s(policy: MigrationPolicy, forecast: Forecast | None) -> float:
    """Of the operation: later than the migration's own timeout."""
    own_s = policy.timeout_s or 3 * (forecast.total_s if forecast else 0.0)
    return max(LEAST_S, own_s + SPARE_S)


def foreseen(forecast: Forecast | None, target: str) -> dict[str, str | int | float]:
    """For an operation that is only checked."""
    if forecast is None:
        return {}
    return {
        **({"target": target} if target else {}),
        "method": forecast.method,
        "why": forecast.why,
        "forecast_total_s": forecast.total_s,
        "forecast_downtime_ms": forecast.downtime_ms,
    }


def check_policy(policy: MigrationPolicy) -> None:
    """Raises Invalid"""
    bounds = (
        ("parallel", policy.parallel, 0, PARALLEL_MAX),
        ("downtime_ms_max", policy.downtime_ms_max, 1, 60_000),
        ("timeout_s", policy.timeout_s, 0, 86_400),
        ("bandwidth_bytes_s", policy.bandwidth_bytes_s, 0, 10**12),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise Invalid(f"migration_policy.{name}", value, f"{least} to {most}")
    if policy.parallel > 1 and (policy.post_copy or policy.compress):
        raise Invalid(
            "migration_policy.parallel",
            policy.parallel,
            "1 with post-copy or compression: QEMU combines neither",
        )
