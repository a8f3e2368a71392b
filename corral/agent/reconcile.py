"""Reconcile: the one step that brings a VM on this node closer to its assignment.

In this room   pure: plain values in, one step out; remembers nothing between calls
Comes in       VmAssignment (what is wanted) and Seen (what is, and what the agent noted on disk)
Goes out       a Step. After it the agent looks again, so a missed, late or doubled step ends in the same place.
Always true    only an OWNER starts a VM; what the agent must not forget (Remember) is on disk before the step
               that makes it true; a VM that was sent away, or that vanished, is not started here by itself
Next door      vm_lane.py looks and acts
Start here     plan()
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from corral.agent import snapshots as s
from corral.agent.ports import LocalVm
from corral.errors import CorralError
from corral.hypervisor.interface import Domain, MigrationFailed, domain_names
from corral.model.link import VmAssignment, VmRole
from corral.model.resource import Trouble
from corral.model.vm import DomainState, MigrationReport, Pending, RestartPolicy, StopReason

MOVING_LOOK_S: Final = 1.0  # how often a running migration is looked at
GROUND_LOOK_S: Final = 1.0  # how often a volume that another node makes is looked for
GUEST_LOOK_S: Final = 3.0  # how often a guest that does not let go of a device is asked again
FORCE_S: Final = 20.0  # for a guest to let go before it loses its power, where that was asked for
SAVING_LOOK_S: Final = 1.0
RAN: Final = frozenset({DomainState.RUNNING, DomainState.PAUSED})
FAILURES: Final = frozenset({StopReason.CRASHED, StopReason.HOST, StopReason.FAILED})


class Vanished(CorralError):
    """The domain of a VM that ran is gone from the host, and not by Corral's doing."""

    code = "vm.vanished"
    status = 409


class NotRunningHere(CorralError):
    """Only a running VM can be live-migrated."""

    code = "migration.not_running"
    status = 409


class Ground(Struct, frozen=True):
    """What a domain stands on: its disks, networks and seed."""

    seed_path: str = ""
    missing: str = ""  # in words: what is not ready yet


class Seen(Struct, frozen=True, kw_only=True):
    """What is."""

    domain: Domain | None = None
    note: LocalVm | None = None
    ground: Ground | None = None  # None: not looked at
    asked_s: float | None = None  # seconds since the guest was asked to shut down; None: it was not
    pause_s: float = 0.0  # seconds until a restart by policy is due
    moving: bool = False  # a migration away from here is running
    followed: bool = True  # this agent waits for its end; else the agent before it began it
    result: MigrationReport | None = None  # how this wish ended
    prepared: bool = False  # to receive this wish's migration
    clean: bool = False  # seed and note are removed
    error: Trouble | None = None  # that the migration call ended with
    cancelled: bool = False  # that error was a cancellation
    snapshots: s.Known = {}  # what is known of those that the assignment is about
    now_s: float = 0.0  # Unix time
    pending: tuple[Pending, ...] | None = (
        None  # what the running domain lacks of its definition; None: not looked at
    )
    asking_s: float = 0.0  # seconds since the guest was first asked to let something go
    saving: bool = False  # its memory is being written to disk


class Rest(Struct, frozen=True):
    """As wanted, or nothing can be done: wait to be woken."""

    why: str = ""
    trouble: Trouble | None = None


class Wait(Struct, frozen=True):
    seconds: float
    why: str = ""


class LookAtGround(Struct, frozen=True):
    """See whether disks and networks are ready; make the seed."""


class Remember(Struct, frozen=True):
    """Note this on disk."""

    note: LocalVm


class Adopt(Struct, frozen=True):
    """Mark the domain that is there already, then note this on disk."""

    note: LocalVm


class Release(Struct, frozen=True):
    """Take the mark off the domain, and leave it as it is."""


class Define(Struct, frozen=True):
    pass


class Update(Struct, frozen=True):
    """Bring the running domain to its definition; then note this, and how it went."""

    note: LocalVm
    force: bool = False


class LookAtPending(Struct, frozen=True):
    """See what the running domain lacks of its definition."""


class Pause(Struct, frozen=True):
    """Stop its vCPUs, then note this."""

    note: LocalVm


class Resume(Struct, frozen=True):
    """Let its vCPUs go on, then note this."""

    note: LocalVm


class Save(Struct, frozen=True):
    """Begin to write its memory to disk."""


class Discard(Struct, frozen=True):
    """Forget the memory that is on disk."""


class Start(Struct, frozen=True):
    """Note this on disk, then start the domain."""

    note: LocalVm


class Shutdown(Struct, frozen=True):
    """Ask the guest."""


class Destroy(Struct, frozen=True):
    pass


class Undefine(Struct, frozen=True):
    pass


class Forget(Struct, frozen=True):
    """Remove seed and note."""


class Prepare(Struct, frozen=True):
    """Make ready to receive a migration."""


class Migrate(Struct, frozen=True):
    """Note this on disk, then begin to migrate."""

    note: LocalVm


class Follow(Struct, frozen=True):
    """A migration that is under way already: see it through."""


class CancelMigration(Struct, frozen=True):
    pass


class Conclude(Struct, frozen=True):
    """The wish has ended like this; figures are added if they are known."""

    result: MigrationReport


Step = (
    Rest
    | Wait
    | LookAtGround
    | Remember
    | Adopt
    | Release
    | Define
    | Update
    | LookAtPending
    | Pause
    | Resume
    | Save
    | Discard
    | Start
    | Shutdown
    | Destroy
    | Undefine
    | Forget
    | Prepare
    | Migrate
    | Follow
    | CancelMigration
    | Conclude
    | s.SnapshotStep
)


def plan(vm: VmAssignment, seen: Seen) -> Step:
    """The next step for `vm` on this node."""
    match vm.role:
        case VmRole.OWNER:
            return _as_owner(vm, seen)
        case VmRole.SOURCE:
            return _as_source(vm, seen)
        case VmRole.TARGET:
            return _as_target(vm, seen)
        case VmRole.NONE:
            return _as_nobody(vm, seen)


def starts_again(policy: RestartPolicy, reason: StopReason) -> bool:
    """Whether a VM that should run, and stopped for `reason`, is started again without being asked."""
    if reason is StopReason.ASKED:
        return True  # it was stopped because that was wanted then; now it shall run
    if policy is RestartPolicy.ON_FAILURE:
        return reason in FAILURES
    return policy is RestartPolicy.ALWAYS


# ---- owner


def _as_owner(vm: VmAssignment, seen: Seen) -> Step:
    domain, note = seen.domain, seen.note
    if vm.adopt and note is None:
        return _take_over(vm, seen)
    if note and note.sent_away:
        return _back_from_migration(vm, seen, note)
    if domain and domain.state is DomainState.INCOMING:
        return _receive(vm, note or LocalVm(), seen)
    if step := s.plan_snapshots(vm, seen.snapshots):
        return step
    if revert := s.reverts(vm, note):
        return _revert(seen, s.plan_revert(revert, note or LocalVm(), seen.snapshots, seen.now_s))
    if domain and domain.state in RAN:
        return _while_running(vm, seen, domain)
    return _run(vm, seen) if vm.running else _keep_stopped(vm, seen)


def _take_over(vm: VmAssignment, seen: Seen) -> Step:
    """A domain that was there before: its guest stays as it is. If it has stopped since, its policy decides."""
    note = LocalVm(boot=vm.boot, ran=vm.running, started_at=seen.now_s if vm.running else 0.0)
    return Adopt(note) if seen.domain is None else Remember(note)


def _receive(vm: VmAssignment, note: LocalVm, seen: Seen) -> Step:
    """The source has said that the guest is here; or it is lost on the way, and is to be started anew."""
    unwanted = not vm.running or note.boot < vm.boot
    return _stop(vm, seen, note) if unwanted and vm.stop_timeout_s <= 0 else Rest("receiving")


def _back_from_migration(vm: VmAssignment, seen: Seen, note: LocalVm) -> Step:
    """The migration did not succeed: this node owns the VM still."""
    if seen.moving:
        return CancelMigration()
    if seen.domain is None and vm.boot <= note.boot:
        return Rest("migrated away")  # it did succeed: starting it here would make it run twice
    return Remember(replace(note, sent_away="", ran=note.ran and seen.domain is not None))


def _revert(seen: Seen, step: s.LookAtSnapshots | s.Revert | LocalVm) -> Step:
    """The guest goes on until it is sure that there is something to go back to; then its plug is pulled."""
    if isinstance(step, LocalVm):
        return Remember(step)
    if isinstance(step, s.LookAtSnapshots) or not (seen.domain and seen.domain.state in RAN):
        return step
    note = seen.note or LocalVm()
    if note.stopped is not StopReason.ASKED:
        return Remember(replace(note, stopped=StopReason.ASKED, ran=True))
    return Destroy()


def _while_running(vm: VmAssignment, seen: Seen, domain: Domain) -> Step:
    note = seen.note or LocalVm()
    if note.load and not note.ran:
        return _while_loading(domain, note)
    if seen.saving:
        return Wait(SAVING_LOOK_S, "suspending to disk")
    if (
        note.boot > 0 and note.turn != vm.turn and not vm.paused
    ):  # before it is stopped: who stands still can't hear
        return Resume(replace(note, turn=vm.turn))
    if not vm.running or 0 < note.boot < vm.boot:
        return _stop(vm, seen, replace(note, ran=True))
    if note.boot == 0:  # nothing is known about it: it runs, so it is as wanted
        return Remember(replace(note, boot=vm.boot, ran=True, turn=vm.turn, applied=vm.generation))
    if not note.ran:
        return Remember(replace(note, ran=True))
    if domain.lost:
        return Rest("lost")
    if note.turn != vm.turn:
        return Pause(replace(note, turn=vm.turn))
    if domain.generation != vm.generation:
        return _grounded(seen) or Define()
    return _change(vm, seen, domain, note)


def _change(vm: VmAssignment, seen: Seen, domain: Domain, note: LocalVm) -> Step:
    """It is defined as wanted: now the running domain, as far as that goes."""
    if note.applied != vm.generation or (note.waits and seen.pending is None):
        return Update(replace(note, applied=vm.generation), force=vm.forced)
    if seen.pending is None:
        return LookAtPending()
    if not any(p.guest for p in seen.pending):
        return Rest()
    if vm.forced and seen.asking_s >= FORCE_S:
        return _take_power(note)
    return Wait(GUEST_LOOK_S, "waiting for the guest")


def _take_power(note: LocalVm) -> Step:
    """The guest does not let go, and was given the time it has: it is started again without the device."""
    if note.stopped is not StopReason.ASKED:
        return Remember(replace(note, stopped=StopReason.ASKED))
    return Destroy()


def _while_loading(domain: Domain, note: LocalVm) -> Step:
    """A domain is created paused, gets its memory, and is resumed: one that is paused still was interrupted."""
    return Destroy() if domain.state is DomainState.PAUSED else Remember(replace(note, ran=True, load=""))


def _stop(vm: VmAssignment, seen: Seen, note: LocalVm) -> Step:
    if note.stopped is not StopReason.ASKED:
        return Remember(replace(note, stopped=StopReason.ASKED))
    if vm.saved and not vm.running:
        return Save()
    if vm.stop_timeout_s <= 0 or (seen.domain and seen.domain.lost):
        return Destroy()
    if seen.asked_s is None:
        return Shutdown()
    left_s = vm.stop_timeout_s - seen.asked_s
    return Wait(left_s, "stopping") if left_s > 0 else Destroy()


def _keep_stopped(vm: VmAssignment, seen: Seen) -> Step:
    note, domain = seen.note, seen.domain
    if (
        note and note.load
    ):  # it was reverted with its memory, and stopped before that was loaded: now it won't be
        return Remember(replace(note, load=""))
    if note and note.ran and note.stopped is StopReason.NONE:
        return Remember(replace(note, stopped=_reason(domain)))
    if domain and domain.saved and not vm.saved:
        return Discard()
    if _is_stale(vm, domain):
        return _grounded(seen) or Define()
    return Rest()


def _is_stale(vm: VmAssignment, domain: Domain | None) -> bool:
    """Whether a domain that does not run has to be defined (anew). One with its memory on disk keeps its name."""
    if domain is None or domain.generation != vm.generation:
        return True
    if vm.base_xml or domain.saved:  # one that was found keeps its name
        return False
    return domain.name not in domain_names(vm.name, vm.vm)


def _run(vm: VmAssignment, seen: Seen) -> Step:
    """It shall run, and does not."""
    note, domain = seen.note or LocalVm(), seen.domain
    if note.boot < vm.boot:
        return _start(vm, seen, _anew(note, LocalVm(boot=vm.boot, started_at=seen.now_s)))
    if not note.ran:  # the start that was noted has not been seen to succeed
        return _start(vm, seen, replace(note, started_at=seen.now_s))
    if note.stopped is StopReason.NONE:
        return Remember(replace(note, stopped=_reason(domain)))
    if domain is None and note.stopped is not StopReason.ASKED:
        return Rest("gone", _vanished(vm, seen.now_s))
    if not starts_again(vm.restart, note.stopped):
        return _grounded(seen) or Define() if _is_stale(vm, domain) else Rest()
    by_policy = note.stopped is not StopReason.ASKED
    if by_policy and seen.pause_s > 0:
        return Wait(seen.pause_s, "restarting")
    restarts = note.restarts + by_policy
    begun = LocalVm(boot=vm.boot, started_at=seen.now_s, restarts=restarts)
    return _start(vm, seen, _anew(note, begun))


def _anew(old: LocalVm, new: LocalVm) -> LocalVm:
    """A new start does not forget what was reverted."""
    return replace(new, reverted=old.reverted, revert_trouble=old.revert_trouble, load=old.load)


def _start(vm: VmAssignment, seen: Seen, note: LocalVm) -> Step:
    if step := _grounded(seen):
        return step
    if _is_stale(vm, seen.domain):
        return Define()
    fresh = seen.domain is not None and not seen.domain.saved  # what goes on from memory is as it was then
    return Start(replace(note, applied=vm.generation if fresh else 0, turn=0 if vm.paused else vm.turn))


def _grounded(seen: Seen) -> Step | None:
    """What has to happen before there is something to stand on; None: nothing."""
    if seen.ground is None:
        return LookAtGround()
    if seen.ground.missing:
        return Wait(GROUND_LOOK_S, f"waiting for {seen.ground.missing}")
    return None


def _reason(domain: Domain | None) -> StopReason:
    """Why it is not running, as far as it can be seen."""
    if domain is None:
        return StopReason.DESTROYED
    return domain.reason or StopReason.HOST  # libvirt forgets reasons when it restarts


def _vanished(vm: VmAssignment, now_s: float) -> Trouble:
    error = Vanished(
        f"the domain of {vm.name} is gone from the host: it was undefined or moved away there",
        hint=f"`corral vm restart {vm.name}` starts it here again, once you are sure it runs nowhere else.",
        vm=vm.vm,
    )
    return Trouble.of(error, now_s)


# ---- migration


def _as_source(vm: VmAssignment, seen: Seen) -> Step:
    move, domain = vm.migrate, seen.domain
    if move is None or not move.go or seen.result:
        return Rest()
    if seen.moving and not seen.followed:
        return Follow()
    if seen.moving:
        return CancelMigration() if move.cancel else Wait(MOVING_LOOK_S, "migrating")
    note = seen.note or LocalVm(boot=vm.boot, ran=domain is not None)
    if note.sent_away == move.wish:
        return Conclude(_outcome(move.wish, seen, cancelled=seen.cancelled or move.cancel))
    if move.cancel:
        return Conclude(MigrationReport(wish=move.wish, state="cancelled"))
    if domain is None or domain.state not in RAN:
        return Conclude(MigrationReport(wish=move.wish, state="failed", trouble=_not_running(vm, seen.now_s)))
    return Migrate(replace(note, sent_away=move.wish))


def _outcome(wish: str, seen: Seen, *, cancelled: bool) -> MigrationReport:
    """No migration runs any more: where the domain is tells how it ended, whatever the call returned."""
    if seen.domain is None:
        return MigrationReport(wish=wish, state="done", progress=1.0)
    if seen.domain.lost:
        return MigrationReport(wish=wish, state="lost", trouble=seen.error)
    if cancelled:
        return MigrationReport(wish=wish, state="cancelled")
    return MigrationReport(wish=wish, state="failed", trouble=seen.error or _interrupted(seen.now_s))


def _interrupted(now_s: float) -> Trouble:
    error = MigrationFailed(
        "the migration ended while the agent was not there to see why; the VM still runs at the source",
        hint="Migrate it again.",
    )
    return Trouble.of(error, now_s)


def _not_running(vm: VmAssignment, now_s: float) -> Trouble:
    error = NotRunningHere(
        f"{vm.name} is not running on this node, so it can't be live-migrated",
        hint=f"Start it first: `corral vm start {vm.name}`.",
        vm=vm.vm,
    )
    return Trouble.of(error, now_s)


def _as_target(vm: VmAssignment, seen: Seen) -> Step:
    if vm.migrate is None:
        return Rest()
    note, domain = seen.note, seen.domain
    if note is None or note.prepared != vm.migrate.wish:
        return Remember(LocalVm(boot=vm.boot, prepared=vm.migrate.wish))
    if domain and domain.lost:
        return Rest("lost")
    if domain and domain.state in RAN and not note.ran:
        return Remember(replace(note, ran=True, started_at=seen.now_s))
    if note.ran or (domain and domain.state is DomainState.INCOMING):
        return Rest()
    return _grounded(seen) or (Rest() if seen.prepared else Prepare())


# ---- nobody


def _as_nobody(vm: VmAssignment, seen: Seen) -> Step:
    if seen.domain is None:
        if seen.moving:
            return Wait(MOVING_LOOK_S, "stopping")  # a call that may still bring it back
        return Rest() if seen.clean else Forget()
    if vm.keep:
        return Release()
    return Undefine() if seen.domain.state is DomainState.STOPPED else Destroy()
