"""Simulated migration: disks, rounds over memory that a guest goes on writing to, and how it ends.

In this room   begin_migration(), and the job that belongs to the two hosts
Always true    a guest runs on one host at any moment. It changes hosts in one instant: at the end of pre-copy, or at
               the switch to post-copy, after which a broken link leaves half of it on each: it stands still until the
               link is back.
Next door      world.py has hosts and their guests, disks.py what they wrote
Start here     begin_migration()
"""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from corral.hypervisor.interface import (
    Domain,
    DomainWish,
    HypervisorFailed,
    MigrationCancelled,
    MigrationFailed,
    MigrationLost,
    MigrationProgress,
    MigrationStuck,
)
from corral.hypervisor.simulated.disks import carry, ready_for
from corral.hypervisor.simulated.world import Held, Job, Running, SimulatedHost
from corral.model.ids import VmId
from corral.model.migration import MigrationFigures, MigrationHow
from corral.model.vm import DomainState

SLICES = 5  # looks at what may go wrong, in each round
THROTTLE_FIRST, THROTTLE_MORE, THROTTLE_MAX = 20, 10, 99  # percent, as QEMU does it
AGAIN_S = 1.0  # between attempts to go on with a post-copy whose link broke
SWITCH_MS = (20.0, 80.0)  # of the pause, besides sending what is left


def begin_migration(
    source: SimulatedHost, vm: VmId, peer_address: str, wish: DomainWish, how: MigrationHow
) -> Job:
    """Start the job, which belongs to the hosts and not to the agent that asked.

    raises  MigrationFailed: it can't even begin
    """
    target = source.world.at(peer_address)
    if target is None or not _linked(source, target):
        raise MigrationFailed(f"{peer_address} can't be reached", peer=peer_address)
    if not source.runs(vm):
        raise MigrationFailed(f"{vm} does not run on {source.name}", vm=vm)
    there = target.domains.get(vm)
    if there and there.domain.state is not DomainState.STOPPED:
        raise MigrationFailed(f"{vm} is active on {target.name} already", vm=vm)
    if wish.memory_bytes > target.memory_bytes - target.used_bytes():
        raise MigrationFailed(f"{target.name} has no room for {vm}", vm=vm, host=target.name)
    ready_for(target, wish)
    incoming = Domain(
        vm=vm, name=wish.name, state=DomainState.INCOMING, generation=wish.generation, persistent=False
    )
    target.domains[vm] = Held(wish, incoming)
    target.tell(vm, "incoming migration")
    job = source.jobs[vm] = Job(began_s=source.world.clock.monotonic_s())
    job.end = asyncio.get_running_loop().create_future()
    job.end.add_done_callback(_retrieve)
    move = _Move(job, source, target, vm, wish, how)
    source.world.spawn(move.go(), f"migration of {vm}")
    return job


class _Move:
    """One migration, from its first byte to its end."""

    def __init__(
        self,
        job: Job,
        source: SimulatedHost,
        target: SimulatedHost,
        vm: VmId,
        wish: DomainWish,
        how: MigrationHow,
    ) -> None:
        self.job, self.source, self.target, self.vm, self.wish, self.how = job, source, target, vm, wish, how
        self.world = source.world
        self.leaving, self.incoming = source.domains[vm], target.domains[vm]
        running = self.leaving.running
        assert running is not None
        self.running: Running = running
        self.bytes_s = min(self.world.pace.memory_bytes_s, how.bandwidth_bytes_s or float("inf"))
        self.sent, self.left, self.rounds, self.throttle = 0, wish.memory_bytes, 0, 0

    async def go(self) -> None:
        try:
            await self._copy_disks()
            by_post_copy = await self._copy_memory()
            await (self._finish_after(self._post_copy) if by_post_copy else self._finish())
        except HypervisorFailed as error:
            self._end_badly(error)

    # ---- while the guest runs at the source

    async def _copy_disks(self) -> None:
        for disk in self.wish.disks:
            if not disk.shared:
                await self._pass(self.world.between(self.world.pace.disk_copy), self._obstacle)

    async def _copy_memory(self) -> bool:
        """Round after round until the rest is small. True: it is to end by post-copy. raises what went wrong"""
        high, limit_s = 0, self.how.downtime_ms_max / 1000
        while True:
            least_s = 0.0 if self.rounds else self.world.pace.migration_s_min
            took_s = max(least_s, self.left / self.bytes_s)
            await self._pass(took_s, self._obstacle)
            sent, self.rounds = self.left, self.rounds + 1
            self.sent += sent
            dirty = int(self.running.dirty_bytes_s * took_s * (1 - self.throttle / 100))
            self.left = min(self.wish.memory_bytes, dirty)
            self._tell()
            if self.left <= self.bytes_s * limit_s:
                return False
            if self.how.post_copy_after_s is not None and self._elapsed_s() >= self.how.post_copy_after_s:
                return True
            high = high + 1 if dirty > sent / 2 else high
            if self.how.auto_converge and high >= 2:
                high, more = 0, THROTTLE_MORE if self.throttle else THROTTLE_FIRST
                self.throttle = min(THROTTLE_MAX, self.throttle + more)

    def _obstacle(self) -> HypervisorFailed | None:
        """What keeps it from going on."""
        if self.job.cancelled:
            return MigrationCancelled(f"the migration of {self.vm} was cancelled", vm=self.vm)
        if not _linked(self.source, self.target):
            return MigrationFailed(
                f"{self.source.name} lost {self.target.name} while migrating {self.vm}", vm=self.vm
            )
        if self.source.domains.get(self.vm) is not self.leaving or self.leaving.running is not self.running:
            return MigrationFailed(f"{self.vm} stopped while it was being migrated", vm=self.vm)
        if self.target.domains.get(self.vm) is not self.incoming:
            return MigrationFailed(f"{self.target.name} gave up receiving {self.vm}", vm=self.vm)
        if self._elapsed_s() > self.how.timeout_s:
            return MigrationStuck.of(self.wish, self.how)
        return None

    # ---- while it runs at the target on memory that is still at the source

    async def _post_copy(self) -> None:
        self.leaving.away = True
        self.leaving.domain = replace(self.leaving.domain, state=DomainState.PAUSED)
        self.incoming.running, self.leaving.running = self.running, None
        carry(self.wish, self.source, self.target)
        self._tell(post_copy=True)
        self.source.tell(self.vm, "runs at its target")
        for _ in range(SLICES):
            await self._slice(max(0.2, self.left / self.bytes_s) / SLICES)
            await self._stand_still()
            if error := self._breach():
                raise error

    async def _stand_still(self) -> None:
        """While the halves can't reach each other. raises MigrationLost: one is gone, or nobody wants to wait any longer"""
        if self._reach():
            return
        halves = (self.source, self.leaving), (self.target, self.incoming)
        before = [(held, held.domain, held.running) for _, held in halves]
        for host, held in halves:
            held.domain, held.running = replace(held.domain, state=DomainState.PAUSED, lost=True), None
            host.tell(self.vm, "its link broke")
        while not self._breach():
            if self.job.cancelled:
                raise MigrationLost.of(self.wish, self.target.name)
            if _linked(self.source, self.target):
                for held, domain, running in before:
                    held.domain, held.running = domain, running
                self.target.tell(self.vm, "goes on")
                return
            await self.world.clock.sleep(AGAIN_S)

    async def _finish_after(self, phase: Callable[[], Awaitable[None]]) -> None:
        await phase()
        await self._finish(carried=True)

    def _breach(self) -> HypervisorFailed | None:
        """One half is gone."""
        whole = self.source.domains.get(self.vm) is self.leaving and self.leaving.away
        whole = whole and self.target.domains.get(self.vm) is self.incoming
        whole = whole and self.source.up and self.target.up
        return None if whole else MigrationLost.of(self.wish, self.target.name)

    def _reach(self) -> bool:
        return self.world.reach(self.source.name, self.target.name)

    # ---- the end

    async def _finish(self, *, carried: bool = False) -> None:
        """In one instant: the target has it, the source has not."""
        self.source.jobs.pop(self.vm, None)
        downtime_ms = self.world.between(SWITCH_MS) + (0 if carried else self.left / self.bytes_s * 1000)
        if not carried:
            carry(self.wish, self.source, self.target)
        self.target.put(self.incoming.wish, self.running)
        self.source.remove(self.vm, "migrated away")
        self.target.tell(self.vm, "migrated here")
        assert self.job.end
        self.sent += self.left
        figures = replace(self._figures(carried), downtime_ms=downtime_ms, remaining_bytes=0)
        self.job.end.set_result(MigrationProgress(progress=1.0, figures=figures))

    def _end_badly(self, error: HypervisorFailed) -> None:
        self.source.jobs.pop(self.vm, None)
        for host, held in ((self.source, self.leaving), (self.target, self.incoming)):
            if host.domains.get(self.vm) is not held:
                continue
            if isinstance(error, MigrationLost):
                host.lose(self.vm)
            elif host is self.target:
                host.remove(self.vm, "incoming migration ended")
        assert self.job.end
        self.job.end.set_exception(error)

    # ---- figures

    async def _pass(self, seconds: float, broken: Callable[[], HypervisorFailed | None]) -> None:
        """Let time pass, and look now and then. raises what `broken` says"""
        for _ in range(SLICES):
            await self._slice(seconds / SLICES)
            if error := broken():
                raise error

    async def _slice(self, seconds: float) -> None:
        await self.world.clock.sleep(seconds * (0.8 + 0.4 * self.world.clock.chance.random()))
        self.job.progress = min(0.99, self.job.progress + (1 - self.job.progress) / SLICES)

    def _elapsed_s(self) -> float:
        return self.world.clock.monotonic_s() - self.job.began_s

    def _tell(self, *, post_copy: bool = False) -> None:
        self.job.figures = self._figures(post_copy)

    def _figures(self, post_copy: bool) -> MigrationFigures:
        return MigrationFigures(
            total_s=self._elapsed_s(),
            rounds=self.rounds,
            memory_bytes=self.sent,
            bandwidth_bytes_s=self.bytes_s,
            dirty_bytes_s=self.running.dirty_bytes_s * (1 - self.throttle / 100),
            remaining_bytes=self.left,
            throttle=self.throttle,
            post_copy=post_copy,
        )


def _linked(source: SimulatedHost, target: SimulatedHost) -> bool:
    hosts_up = source.up and target.up and source.daemon_up and target.daemon_up
    return hosts_up and source.world.reach(source.name, target.name)


def _retrieve(end: "asyncio.Future[MigrationProgress]") -> None:
    """Look at how it ended, in case nobody is left who waits for it."""
    if not end.cancelled():
        end.exception()
