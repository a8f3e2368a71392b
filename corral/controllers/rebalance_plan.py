"""Rebalance planning: the one step that brings a rebalance closer to its end.

In this room   pure: Rebalance and what is seen of its VMs in, a step out
Comes in       the resource; a look at VMs and nodes; the time
Goes out       Step: plan it, begin moves, note what became of moves, or an end
Always true    a move begins only from where it was planned from, onto a node that takes VMs, and when earlier waves are
               done; what does not fit the world any more is dropped and planned anew, a few times at most
Next door      rebalance.py carries steps out; scheduler/rebalance/ makes plans
Start here     next_step()
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from corral.controllers.preflight import Obstacle
from corral.model.migration import MigrationWish
from corral.model.rebalance import Move, MoveState, Rebalance, RebalancePhase, RebalanceStatus
from corral.model.resource import Trouble
from corral.model.vm import VM

PLANS_MAX: Final = 4  # times that it is planned, for a world that changes
Look = Callable[[str], VM | None]
Obstacles = Callable[[VM, Move], tuple[Obstacle, ...]]  # of the VM and at the target, now


class Plan(Struct, frozen=True):
    """Think: the moves are to be found."""


class Go(Struct, frozen=True, kw_only=True):
    """Write this down, and these wishes of VMs with it."""

    status: RebalanceStatus
    wishes: tuple[tuple[VM, MigrationWish], ...] = ()


class Rest(Struct, frozen=True):
    """Nothing to do until something changes."""


def next_step(rebalance: Rebalance, look: Look, obstacles: Obstacles, now_s: float) -> Plan | Go | Rest:
    status = rebalance.status
    if status.phase is RebalancePhase.PLANNING:
        return Go(status=_ended(status, RebalancePhase.CANCELLED, now_s)) if rebalance.spec.cancel else Plan()
    moves = tuple(_as_seen(move, look(move.vm)) for move in status.moves)
    if rebalance.spec.cancel:
        return _cancel(status, moves, look, now_s)
    seen = msgspec.structs.replace(status, moves=moves)
    present = [move for move in moves if move.plan == status.plans]
    if any(move.state in (MoveState.FAILED, MoveState.DROPPED) for move in present):
        return _again(status, seen, now_s)
    if all(move.state is MoveState.DONE for move in present):
        return Go(status=_ended(seen, _outcome(seen), now_s))
    return _begin(rebalance, seen, look, obstacles)


def _as_seen(move: Move, vm: VM | None) -> Move:
    """The move with what its VM says of it."""
    if move.state is not MoveState.MOVING:
        return move
    if vm is None or vm.deleting:
        return _to(move, MoveState.FAILED, Trouble(code="operation.superseded", message="the VM was deleted"))
    last, wish = vm.status.last_migration, vm.spec.migration
    if last and last.wish == move.wish:
        done = last.state == "done"
        return _to(move, MoveState.DONE if done else MoveState.FAILED, None if done else last.trouble)
    if wish is None or wish.id != move.wish:
        other = Trouble(code="operation.superseded", message="another migration was asked for")
        return _to(move, MoveState.FAILED, other)
    return move


def _begin(rebalance: Rebalance, seen: RebalanceStatus, look: Look, obstacles: Obstacles) -> Go | Rest:
    """As many moves of the present wave as may run side by side."""
    open_ = [m for m in seen.moves if m.state in (MoveState.WAITING, MoveState.MOVING)]
    wave = min(m.wave for m in open_)
    places = rebalance.spec.parallel - sum(m.state is MoveState.MOVING for m in open_)
    moves = list(seen.moves)
    wishes: list[tuple[VM, MigrationWish]] = []
    for i, move in enumerate(moves):
        if move.state is not MoveState.WAITING or move.wave != wave or len(wishes) >= places:
            continue
        vm = look(move.vm)
        if vm is None or vm.deleting or vm.status.node != move.source or obstacles(vm, move):
            moves[i] = _to(move, MoveState.DROPPED)
            break
        wish = MigrationWish(id=f"{rebalance.id}.{seen.plans}.{i}", target=move.target)
        moves[i] = msgspec.structs.replace(move, state=MoveState.MOVING, wish=wish.id)
        wishes.append((vm, wish))
    new = _with(seen, moves)
    return Go(status=new, wishes=tuple(wishes)) if wishes else _noted(rebalance.status, new)


def _again(status: RebalanceStatus, seen: RebalanceStatus, now_s: float) -> Go | Rest:
    """Drop what has not begun; plan anew when nothing moves any more."""
    moves = [_to(m, MoveState.DROPPED) if m.state is MoveState.WAITING else m for m in seen.moves]
    left = _with(seen, moves)
    if any(m.state is MoveState.MOVING for m in moves):
        return _noted(status, left)
    if seen.plans >= PLANS_MAX:
        trouble = Trouble(
            code="rebalance.unsettled",
            message=f"planned {seen.plans} times, and each time a migration failed or the fleet had changed",
            hint="`corral rebalance plan` shows what could be done now.",
        )
        return Go(status=_ended(left, RebalancePhase.FAILED, now_s, trouble))
    return Go(status=msgspec.structs.replace(left, phase=RebalancePhase.PLANNING, since=now_s))


def _cancel(status: RebalanceStatus, moves: tuple[Move, ...], look: Look, now_s: float) -> Go | Rest:
    """Migrations that run are cancelled too; it has ended when they have."""
    dropped = [_to(m, MoveState.DROPPED) if m.state is MoveState.WAITING else m for m in moves]
    new = _with(status, dropped)
    wishes: list[tuple[VM, MigrationWish]] = []
    for move in dropped:
        vm = look(move.vm) if move.state is MoveState.MOVING else None
        if vm and vm.spec.migration and vm.spec.migration.id == move.wish and not vm.spec.migration.cancel:
            wishes.append((vm, msgspec.structs.replace(vm.spec.migration, cancel=True)))
    if wishes:
        return Go(status=new, wishes=tuple(wishes))
    if any(m.state is MoveState.MOVING for m in dropped):
        return _noted(status, new)
    return Go(status=_ended(new, RebalancePhase.CANCELLED, now_s))


def _outcome(seen: RebalanceStatus) -> RebalancePhase:
    return RebalancePhase.FAILED if seen.behind else RebalancePhase.DONE


def _noted(old: RebalanceStatus, new: RebalanceStatus) -> Go | Rest:
    return Rest() if new == old else Go(status=new)


def _with(status: RebalanceStatus, moves: list[Move]) -> RebalanceStatus:
    return msgspec.structs.replace(status, moves=tuple(moves))


def _to(move: Move, state: MoveState, trouble: Trouble | None = None) -> Move:
    return msgspec.structs.replace(move, state=state, trouble=trouble)


def _ended(
    status: RebalanceStatus, phase: RebalancePhase, now_s: float, trouble: Trouble | None = None
) -> RebalanceStatus:
    if phase is RebalancePhase.FAILED and trouble is None:
        trouble = Trouble(
            code="rebalance.left_behind",
            message=f"{len(status.behind)} VMs can't leave",
            hint="`corral vm preflight VM` says what stands in the way of each.",
            context={"vms": ", ".join(status.behind[:20])},
        )
    return msgspec.structs.replace(status, phase=phase, since=now_s, trouble=trouble)
