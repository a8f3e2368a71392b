"""VM lanes: look, plan, act, for one VM at a time.

In this room   Lane, what is known of a VM while the agent runs; VmLanes, which carries plan()'s steps out
Comes in       assignments and notes (held.py), the hypervisor, storage for seeds, objects.missing()
Goes out       calls of the hypervisor, notes on disk, VMReports
Always true    a report is made from a look that began after its assignment was held; notes are on disk before
               effects; nothing in Lane is needed after a crash
Next door      reconcile.py decides, guests.py asks guests whether they are up
Start here     VmLanes.step()
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from corral.agent import reconcile as r
from corral.agent import snapshots as s
from corral.agent.held import Held
from corral.agent.lanes import Tasks
from corral.agent.looking import CALL_S, Looker, within
from corral.agent.objects import Objects
from corral.agent.ports import LocalVm
from corral.agent.reporting import Reporter, coarse, steady
from corral.agent.seed import seed_files
from corral.agent.snapshot_lane import SnapshotLane
from corral.agent.writing import Measured, Writing
from corral.clock import Clock, backoff_s
from corral.errors import CorralError
from corral.hypervisor.interface import (
    Domain,
    DomainWish,
    HotplugRefused,
    Hypervisor,
    HypervisorFailed,
    HypervisorGone,
    MemoryNotLoaded,
    MigrationCancelled,
    MigrationProgress,
    domain_names,
)
from corral.model.domain import Drift
from corral.model.ids import VmId
from corral.model.link import VmAssignment, VmRole
from corral.model.migration import MigrationFigures
from corral.model.resource import Trouble
from corral.model.vm import DomainState, Guest, MigrationReport, Pending, Refusal, StopReason, VMReport
from corral.storage.interface import Storage

log = logging.getLogger("corral.agent")
GONE_LOOK_S_MAX: Final = 2.0  # a hypervisor that is gone is looked for at least so often
LOAD_S: Final = 600.0  # for memory to be read from the disk
REPEATS: Final = 3  # of one step at once; more often it waits: it does not have the effect it should
UPDATE_S: Final = 180.0  # for all steps of a change, each of which waits for the guest
SAVE_AGAIN_S_MAX: Final = 10.0
QUIET: Final = (
    r.LookAtPending,
    r.Remember,
    r.Conclude,
    r.Forget,
    s.LookAtSnapshots,
)  # over in no time: not worth a report

SILENT: Final = Guest()
NO_PROGRESS: Final = MigrationProgress()


@dataclass
class Lane:
    """What is known of a VM while the agent runs."""

    vm: VmAssignment | None = None  # that the rest is about
    domain: Domain | None = None  # as last seen
    guest: Guest = SILENT
    drift: Drift | None = None  # of its definition, as last compared
    guest_due_s: float = 0.0  # monotonic; when to ask it next
    ran_since_s: float = 0.0  # monotonic; first seen running
    ground: r.Ground | None = None
    asked_at_s: float | None = None  # monotonic; when the guest was asked to shut down
    due_at_s: float = 0.0  # monotonic; when a restart by policy may take place
    pending: tuple[Pending, ...] | None = None  # None: to be looked at
    asking_since_s: float | None = None  # monotonic; the guest was asked to let something go
    saver: "asyncio.Task[None] | None" = None
    mover: "asyncio.Task[None] | None" = None
    job: MigrationProgress = NO_PROGRESS  # as last looked at
    figures: MigrationFigures | None = None
    result: MigrationReport | None = None
    move_error: Trouble | None = None
    move_cancelled: bool = False
    prepared: str = ""  # wish
    clean: bool = False
    trouble: Trouble | None = None
    failing: type[r.Step] | None = None  # the step that failed last; None: none, or looking did
    attempts: int = 0
    last_step: r.Step | None = None
    repeats: int = 0
    shown: Trouble | None = None  # trouble in the last report


class VmLanes:
    """Carries out what reconcile.plan() says, for all VMs of this node."""

    def __init__(
        self,
        held: Held,
        hypervisor: Hypervisor,
        storage: Storage,
        objects: Objects,
        looker: Looker,
        reporter: Reporter,
        clock: Clock,
        tasks: Tasks,
        wake: Callable[[str], None],
        writing: Writing,
    ) -> None:
        self._held, self._hypervisor, self._storage, self._objects = held, hypervisor, storage, objects
        self._writing = writing
        self._looker, self._reporter, self._clock = looker, reporter, clock
        self._tasks, self._wake = tasks, wake
        self.lanes: dict[str, Lane] = {}
        self._snapshots = SnapshotLane(held, hypervisor, clock, tasks, wake)
        self.handed = asyncio.Event()  # a domain was taken over or handed back
        self.runs = asyncio.Event()  # a VM was seen to run that did not: its guest is to be asked

    async def step(self, key: str) -> float | None:
        """Look, think, act; seconds until the next look, None: rest."""
        lane = self.lanes.setdefault(key, Lane())
        vm = self._held.assignments.get(key)
        step: r.Step | None = None
        try:
            if not isinstance(vm, VmAssignment):
                self._unassigned(key, (await self._looker.look()).get(VmId(key)))
                return None
            moving = await self._moving(lane, vm.vm)  # before the look: when it has ended, the look shows how
            self._note_seen(lane, vm, (await self._looker.look()).get(vm.vm))
            seen = self._seen(vm, lane, moving)
            step = r.plan(vm, seen)
            if isinstance(step, r.LookAtGround):  # it changes nothing about the domain: no need to look again
                lane.ground = await self._look_at_ground(vm)
                if self._held.assignments.get(key) is not vm:
                    return 0.0  # told otherwise meanwhile
                self._went_well(lane, step)
                seen = self._seen(vm, lane, moving)
                step = r.plan(vm, seen)
            if not isinstance(step, QUIET):
                self._publish(vm, lane, seen, step)
            wait_s = await self._act(vm, lane, step)
        except CorralError as error:
            return self._failed(key, lane, step, error)
        self._went_well(lane, step)
        return self._pace(lane, step, wait_s)

    def running(self) -> list[VmId]:
        """VMs that run and are not being migrated away."""
        return [
            VmId(key)
            for key, lane in self.lanes.items()
            if lane.domain and lane.domain.state is DomainState.RUNNING and lane.mover is None
        ]

    def forget(self, key: str) -> None:
        """The VM is not this node's business any more. Nothing is touched."""
        self.lanes.pop(key, None)
        self._snapshots.forget(key)
        self._reporter.drop("vms", key)

    def tell_guest(self, key: str, guest: Guest) -> None:
        """What the guest says of itself has been heard."""
        lane = self.lanes[key]
        if guest == lane.guest or not _is_running(lane.domain):
            return
        lane.guest = guest
        report = self._reporter.get("vms", key)
        if isinstance(report, VMReport) and report.state is DomainState.RUNNING:  # else the next one says it
            self._reporter.put("vms", key, replace(report, guest=guest))

    def tell_drifts(self, drifts: Mapping[VmId, Drift]) -> None:
        """All differences between VMs and their definitions, as of a look that began after any define."""
        for key, lane in self.lanes.items():
            lane.drift = drifts.get(VmId(key))
            report = self._reporter.get("vms", key)
            if isinstance(report, VMReport) and report.generation:
                self._reporter.put("vms", key, replace(report, drift=lane.drift))

    # ---- look

    def _unassigned(self, key: str, domain: Domain | None) -> None:
        """A VM of Corral's that this node was told nothing about: say so, touch nothing."""
        self.lanes.pop(key, None)
        if domain:
            self.lanes[key] = Lane(domain=domain)
            report = VMReport(state=domain.state, generation=domain.generation, reason=domain.reason)
            self._reporter.put("vms", key, report)
        elif self._reporter.get("vms", key):
            self._reporter.put("vms", key, VMReport(state=DomainState.ABSENT))

    def _note_seen(self, lane: Lane, vm: VmAssignment, domain: Domain | None) -> None:
        if lane.vm is not vm:
            lane.vm, lane.ground, lane.last_step, lane.pending = vm, None, None, None
            lane.clean = lane.clean and vm.role is VmRole.NONE
        runs = domain is not None and domain.state in r.RAN
        ran = lane.domain is not None and lane.domain.state in r.RAN and lane.ran_since_s > 0
        if runs and not ran:
            lane.ran_since_s = self._clock.monotonic_s()
        if _is_running(domain) and not (ran and _is_running(lane.domain)):  # it starts, or goes on
            lane.guest_due_s = self._clock.monotonic_s()
            self.runs.set()
        if not runs:
            lane.guest, lane.asked_at_s, lane.ran_since_s = Guest(), None, 0.0
            lane.pending = lane.asking_since_s = None
        lane.domain = domain

    def _seen(self, vm: VmAssignment, lane: Lane, moving: bool) -> r.Seen:
        now_s = self._clock.monotonic_s()
        wish = vm.migrate.wish if vm.migrate else ""
        return r.Seen(
            domain=lane.domain,
            note=self._held.notes.get(vm.vm),
            ground=lane.ground,
            asked_s=None if lane.asked_at_s is None else now_s - lane.asked_at_s,
            pause_s=max(0.0, lane.due_at_s - now_s),
            moving=moving,
            followed=lane.mover is not None,
            result=lane.result if lane.result and lane.result.wish == wish else None,
            prepared=bool(wish) and lane.prepared == wish,
            clean=lane.clean,
            error=lane.move_error,
            cancelled=lane.move_cancelled,
            snapshots=self._snapshots.known(vm),
            now_s=self._clock.now_s(),
            pending=lane.pending,
            asking_s=0.0 if lane.asking_since_s is None else now_s - lane.asking_since_s,
            saving=lane.saver is not None,
        )

    async def _moving(self, lane: Lane, vm: VmId) -> bool:
        """Whether a migration away from here runs, begun by this agent or by the one before it."""
        mover, note = lane.mover, self._held.notes.get(vm)
        if lane.result or (mover is None and not (note and note.sent_away)):
            return mover is not None
        if lane.domain and lane.domain.lost:
            return mover is not None  # who tries to go on with it; libvirt may not answer about it
        try:
            job = await within(CALL_S, "looking at the migration", self._hypervisor.migration(vm))
        except HypervisorFailed:
            if mover is None:
                raise
            return True  # its call will end, and tell
        if job:
            lane.job = job
        return mover is not None or job is not None

    # ---- report

    def _publish(self, vm: VmAssignment, lane: Lane, seen: r.Seen, step: r.Step) -> None:
        trouble = step.trouble if isinstance(step, r.Rest) else lane.trouble
        lane.shown = steady(trouble, lane.shown)
        measured = self._writing.of(vm.vm)
        self._reporter.put("vms", vm.vm, _report(vm, lane, seen, step, lane.shown, measured))

    def _failed(self, key: str, lane: Lane, step: r.Step | None, error: CorralError) -> float | None:
        """Say what went wrong about what was last reported, and when to try again."""
        log.warning("%s: %s", key, error.message, extra={"vm": key, "code": error.code})
        lane.trouble = lane.shown = steady(Trouble.of(error, self._clock.now_s()), lane.shown)
        report = self._reporter.get("vms", key)
        if isinstance(report, VMReport):
            self._reporter.put("vms", key, replace(report, trouble=lane.trouble))
        lane.failing = type(step) if step else None
        lane.ground = lane.last_step = None
        lane.attempts += 1
        if not error.retryable:
            return None
        most_s = GONE_LOOK_S_MAX if isinstance(error, HypervisorGone) else 30.0
        return backoff_s(lane.attempts - 1, self._clock, most_s=most_s)

    def _went_well(self, lane: Lane, step: r.Step) -> None:
        """The trouble is over when the step that failed succeeds, or is not needed any more."""
        if lane.failing in (type(step), None) or isinstance(step, r.Rest):
            lane.trouble, lane.failing, lane.attempts = None, None, 0

    def _pace(self, lane: Lane, step: r.Step, wait_s: float | None) -> float | None:
        """A step that is planned again and again has no effect: slow down."""
        lane.repeats = lane.repeats + 1 if type(step) is type(lane.last_step) else 0
        lane.last_step = step
        if wait_s == 0.0 and lane.repeats >= REPEATS:
            return backoff_s(lane.repeats - REPEATS, self._clock, most_s=5.0)
        return wait_s

    # ---- act

    async def _act(self, vm: VmAssignment, lane: Lane, step: r.Step) -> float | None:
        match step:
            case r.Rest():
                lane.ground = lane.asked_at_s = None
                return None
            case r.Wait(seconds):
                lane.ground = lane.pending = None
                return seconds
            case r.Remember(note):
                await self._remember(vm, lane, note)
            case r.Update(note, force):
                await self._update(vm, lane, note, force)
            case r.LookAtPending():
                self._note_pending(
                    lane, await within(CALL_S, "looking at the domain", self._hypervisor.pending(vm.vm))
                )
            case r.Save():
                lane.saver = self._tasks.spawn(self._save(vm, lane), f"save {vm.vm}")
            case r.Migrate(note):
                await self._migrate(vm, lane, note)
            case r.Follow():
                self._follow(vm, lane)
                return r.MOVING_LOOK_S
            case r.CancelMigration():
                await within(CALL_S, "cancelling the migration", self._hypervisor.cancel_migration(vm.vm))
                return r.MOVING_LOOK_S
            case r.Conclude(result):
                lane.result = _with_figures(result, lane.figures)
            case r.Forget():
                await within(CALL_S, "removing what is left of the domain", self._hypervisor.forget(vm.vm))
                if not vm.keep:  # a domain that is handed back may have its seed as a disk
                    await within(CALL_S, "deleting the seed", self._storage.delete_seed(vm.vm))
                await self._held.note(vm.vm, None)
                self.lanes[vm.vm] = Lane(vm=vm, clean=True)
            case s.LookAtSnapshots() | s.TakeSnapshot() | s.DropSnapshot() | s.Revert():
                await self._snapshots.act(vm, step)
            case _:
                await self._call(vm, lane, step)
        return 0.0

    async def _call(self, vm: VmAssignment, lane: Lane, step: r.Step) -> None:
        """Steps that are one call of the hypervisor."""
        hypervisor = self._hypervisor
        match step:
            case r.Define():
                await self._define(vm, lane)
                if vm.settles or lane.drift:
                    self.handed.set()  # whether a drift is settled is to be told
            case r.Pause(note):
                await within(CALL_S, "pausing the VM", hypervisor.pause(vm.vm))
                await self._held.note(vm.vm, note)
            case r.Resume(note):
                await within(CALL_S, "resuming the VM", hypervisor.resume(vm.vm))
                await self._held.note(vm.vm, note)
            case r.Discard():
                await within(CALL_S, "discarding its memory", hypervisor.discard(vm.vm))
            case r.Start(note):
                await self._start(vm, note)
                lane.ground = None
            case r.Shutdown():
                lane.asked_at_s = self._clock.monotonic_s()
                await within(CALL_S, "asking the guest to shut down", hypervisor.shutdown(vm.vm))
            case r.Destroy():
                await within(CALL_S, "ending the domain", hypervisor.destroy(vm.vm))
            case r.Adopt(note):
                adopting = hypervisor.adopt(wish_of(vm, ""), running=vm.running)
                await within(CALL_S, "adopting the domain", adopting)
                await self._held.note(vm.vm, note)
                self.handed.set()
            case r.Release():
                releasing = hypervisor.release(vm.vm, autostart=vm.autostart)
                await within(CALL_S, "releasing the domain", releasing)
                self.handed.set()
            case r.Undefine():
                await within(CALL_S, "undefining the domain", hypervisor.undefine(vm.vm))
            case r.Prepare():
                assert lane.ground and vm.migrate
                wish = wish_of(vm, lane.ground.seed_path)
                await within(CALL_S, "preparing for the migration", hypervisor.prepare_incoming(wish))
                lane.prepared, lane.ground = vm.migrate.wish, None
            case _:
                raise AssertionError(f"{step} is not a call")

    async def _look_at_ground(self, vm: VmAssignment) -> r.Ground:
        return r.Ground(await self._seed(vm), await self._objects.missing(vm))

    async def _seed(self, vm: VmAssignment) -> str:
        """Where its seed is; an adopted VM has none of Corral's."""
        if vm.adopted:
            return ""
        return await within(CALL_S, "making the seed", self._storage.make_seed(vm.vm, seed_files(vm)))

    async def _remember(self, vm: VmAssignment, lane: Lane, note: LocalVm) -> None:
        await self._held.note(vm.vm, note)
        if note.stopped not in (StopReason.NONE, StopReason.ASKED):
            lane.due_at_s = self._clock.monotonic_s() + backoff_s(note.restarts, self._clock)

    async def _define(self, vm: VmAssignment, lane: Lane) -> None:
        assert lane.ground
        if lane.domain is None or lane.domain.state is DomainState.STOPPED:
            for disk in (disk for disk in vm.disks if disk.size_bytes and disk.format == "qcow2"):
                await within(
                    CALL_S, "growing a volume", self._storage.grow_volume(disk.path, disk.size_bytes)
                )
        await within(
            CALL_S, "defining the domain", self._hypervisor.define(wish_of(vm, lane.ground.seed_path))
        )

    async def _update(self, vm: VmAssignment, lane: Lane, note: LocalVm, force: bool) -> None:
        """What is refused is noted together with what was tried: the server hears of it whatever happens now."""
        refusal = None
        try:
            async with asyncio.timeout(UPDATE_S):
                for disk in vm.disks:
                    if disk.size_bytes:
                        await self._hypervisor.resize(vm.vm, disk.volume, disk.size_bytes)
                pending = await self._hypervisor.update(vm.vm, force=force)
        except HotplugRefused as error:
            refusal = Refusal(generation=vm.generation, trouble=Trouble.of(error, self._clock.now_s()))
            pending = await within(CALL_S, "looking at the domain", self._hypervisor.pending(vm.vm))
        except TimeoutError:
            raise HypervisorFailed(
                f"changing {vm.name} did not end within {UPDATE_S:g} s", vm=vm.vm
            ) from None
        waits = self._note_pending(lane, pending)
        await self._held.note(vm.vm, replace(note, refusal=refusal, waits=waits))

    def _note_pending(self, lane: Lane, pending: tuple[Pending, ...]) -> bool:
        """Returns whether the guest is waited for."""
        waits = any(p.guest for p in pending)
        lane.pending = pending
        if not waits:
            lane.asking_since_s = None
        elif lane.asking_since_s is None:
            lane.asking_since_s = self._clock.monotonic_s()
        return waits

    async def _save(self, vm: VmAssignment, lane: Lane) -> None:
        """However long it takes: giving up would not stop it. How it ended, the next look shows."""
        try:
            await self._hypervisor.save(vm.vm)
        except CorralError as error:
            lane.trouble, lane.failing = Trouble.of(error, self._clock.now_s()), r.Save
            lane.attempts += 1
            self._wake(vm.vm)  # so that the trouble is told
            await self._clock.sleep(backoff_s(lane.attempts, self._clock, most_s=SAVE_AGAIN_S_MAX))
        except Exception:
            log.exception("suspending %s", vm.vm)
        lane.saver = None
        self._wake(vm.vm)

    async def _start(self, vm: VmAssignment, note: LocalVm) -> None:
        await self._held.note(vm.vm, note)
        if note.load:
            note = await self._load(vm, note)
        else:
            await within(CALL_S, "starting the domain", self._hypervisor.start(vm.vm))
        await self._held.note(vm.vm, replace(note, ran=True))

    async def _load(self, vm: VmAssignment, note: LocalVm) -> LocalVm:
        """Start it with the memory of a snapshot. Memory that does not fit is given up: its disks are reverted."""
        to = vm.revert.to if vm.revert and vm.revert.to.snapshot == note.load else None
        try:
            if to:
                start = self._hypervisor.start_from(vm.vm, to)
                await within(LOAD_S, "loading the memory of a snapshot", start)
                return replace(note, load="")
        except MemoryNotLoaded as error:
            note = replace(note, revert_trouble=Trouble.of(error, self._clock.now_s()))
        await within(CALL_S, "starting the domain", self._hypervisor.start(vm.vm))
        return replace(note, load="")

    async def _migrate(self, vm: VmAssignment, lane: Lane, note: LocalVm) -> None:
        seed_path = await self._seed(vm)
        await self._held.note(vm.vm, note)
        lane.result = lane.figures = lane.move_error = None
        lane.move_cancelled, lane.job = False, NO_PROGRESS
        moving = self._move(vm, lane, wish_of(vm, seed_path), begun=False)
        lane.mover = self._tasks.spawn(moving, f"migrate {vm.vm}")

    def _follow(self, vm: VmAssignment, lane: Lane) -> None:
        moving = self._move(vm, lane, wish_of(vm, ""), begun=True)
        lane.mover = self._tasks.spawn(moving, f"follow the migration of {vm.vm}")

    async def _move(self, vm: VmAssignment, lane: Lane, wish: DomainWish, *, begun: bool) -> None:
        """Wait for the end of the migration, however long it takes: giving up would not stop it."""
        assert vm.migrate
        try:
            move = vm.migrate
            done = await self._hypervisor.migrate(
                vm.vm, move.peer_address, wish=wish, how=move.how, begun=begun
            )
            lane.figures = done.figures
        except CorralError as error:
            lane.move_error = Trouble.of(error, self._clock.now_s())
            lane.move_cancelled = isinstance(error, MigrationCancelled)
        except Exception:
            log.exception("migrating %s", vm.vm)  # how it ended, the next look shows
        lane.mover = None
        self._wake(vm.vm)


def wish_of(vm: VmAssignment, seed_path: str) -> DomainWish:
    """The domain that an assignment asks for."""
    return DomainWish(
        vm=vm.vm,
        name=vm.name,
        generation=vm.generation,
        cpus=vm.cpus,
        memory_bytes=vm.memory_bytes,
        hardware=vm.hardware,
        platform=vm.platform,
        disks=vm.disks,
        nics=vm.nics,
        seed_path=seed_path,
        cd=vm.cd,
        base_xml=vm.base_xml,
        settles=vm.settles,
    )


def _is_running(domain: Domain | None) -> bool:
    return domain is not None and domain.state is DomainState.RUNNING


def _report(
    vm: VmAssignment, lane: Lane, seen: r.Seen, step: r.Step, trouble: Trouble | None, measured: Measured
) -> VMReport:
    domain, note = seen.domain, seen.note or LocalVm()
    state = domain.state if domain else DomainState.ABSENT
    if domain is None and vm.role is VmRole.NONE and not seen.clean:
        state = DomainState.STOPPED  # ABSENT would release this node while its seed and note are left
    runs = state in r.RAN
    return VMReport(
        state=state,
        stint=vm.stint,
        role=vm.role,
        generation=domain.generation if domain else 0,
        boot=note.boot,
        reason=StopReason.NONE if runs else note.stopped or (domain.reason if domain else StopReason.NONE),
        step=_words(step),
        started_at=note.started_at if runs else 0.0,
        guest=lane.guest if runs else Guest(),
        migration=_migration_report(vm, lane, seen, measured),
        lost=domain is not None and domain.lost,
        trouble=trouble,
        restarts=note.restarts,
        drift=lane.drift if domain else None,
        snapshots={
            wish.snapshot: seen.snapshots[wish.snapshot]
            for wish in vm.snapshots
            if wish.snapshot in seen.snapshots
        },
        revert=s.report_of(vm, seen.note),
        applied=note.applied if runs and lane.pending is not None else 0,  # what is pending belongs to it
        pending=_pending(vm, lane, domain) if runs else (),
        refusal=note.refusal,
        turn=note.turn,
        saved=domain.saved if domain else False,
    )


def _pending(vm: VmAssignment, lane: Lane, domain: Domain | None) -> tuple[Pending, ...]:
    found = lane.pending or ()
    if domain is None or vm.base_xml or domain.name in domain_names(vm.name, vm.vm):
        return found
    text = f"its domain is called {domain.name} until the VM has stopped"
    return (*found, Pending(what="name", text=text))


def _words(step: r.Step) -> str:
    match step:
        case r.Rest(why) | r.Wait(_, why):
            return why
        case r.Define():
            return "defining"
        case r.Update() | r.LookAtPending():
            return "changing"
        case r.Pause():
            return "pausing"
        case r.Resume():
            return "resuming"
        case r.Save():
            return "suspending to disk"
        case r.Discard():
            return "discarding its memory"
        case r.Start():
            return "starting"
        case r.Shutdown() | r.Destroy():
            return "stopping"
        case r.Adopt():
            return "adopting"
        case r.Release():
            return "releasing"
        case r.Undefine() | r.Forget():
            return "removing"
        case r.Prepare():
            return "preparing"
        case r.Migrate() | r.Follow():
            return "migrating"
        case r.CancelMigration():
            return "cancelling the migration"
        case s.TakeSnapshot():
            return "taking a snapshot"
        case s.DropSnapshot():
            return "dropping a snapshot"
        case s.Revert():
            return "reverting"
    return ""


def _migration_report(
    vm: VmAssignment, lane: Lane, seen: r.Seen, measured: Measured
) -> MigrationReport | None:
    if vm.role is VmRole.OWNER and seen.note and seen.note.sent_away and seen.domain is None:
        return MigrationReport(wish=seen.note.sent_away, state="done", progress=1.0)
    if vm.migrate is None:
        return None
    if vm.role is VmRole.OWNER and not vm.migrate.go:
        return MigrationReport(
            wish=vm.migrate.wish,
            state="measured",
            dirty_bytes_s=measured.dirty_bytes_s,
            working_bytes=measured.working_bytes,
            memory_bytes=measured.memory_bytes,
        )
    if vm.role is VmRole.SOURCE and seen.moving:
        job = lane.job
        return MigrationReport(
            wish=vm.migrate.wish, state="running", progress=coarse(job.progress), figures=job.figures
        )
    if vm.role is VmRole.TARGET and (seen.prepared or (seen.note and seen.note.ran)):
        return MigrationReport(wish=vm.migrate.wish, state="ready")
    return seen.result if vm.role is VmRole.SOURCE else None


def _with_figures(result: MigrationReport, figures: MigrationFigures | None) -> MigrationReport:
    if result.state != "done" or figures is None:
        return result
    return replace(result, figures=figures)
