"""Simulated migration: rounds of copying memory, then one instant in which the VM changes hosts."""

import asyncio

from corral.hypervisor.interface import (
    Domain,
    DomainWish,
    HypervisorFailed,
    MigrationCancelled,
    MigrationFailed,
    MigrationProgress,
)
from corral.hypervisor.simulated.world import Held, Job, Running, SimulatedHost
from corral.model.ids import VmId
from corral.model.vm import DomainState


def begin_migration(source: SimulatedHost, vm: VmId, peer_address: str, wish: DomainWish) -> Job:
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
    incoming = Domain(
        vm=vm, name=wish.name, state=DomainState.INCOMING, generation=wish.generation, persistent=False
    )
    target.domains[vm] = Held(wish, incoming)
    target.tell(vm, "incoming migration")
    job = source.jobs[vm] = Job(began_s=source.world.clock.monotonic_s())
    job.end = asyncio.get_running_loop().create_future()
    job.end.add_done_callback(_retrieve)
    source.world.spawn(_pre_copy(job, source, target, vm), f"migration of {vm}")
    return job


async def _pre_copy(job: Job, source: SimulatedHost, target: SimulatedHost, vm: VmId) -> None:
    """Copy memory in ten rounds, then switch over in one instant, or fail and leave the VM where it was."""
    world = source.world
    running, incoming = source.domains[vm].running, target.domains[vm]
    seconds = max(world.pace.migration_s_min, incoming.wish.memory_bytes / world.pace.memory_bytes_s)
    error: HypervisorFailed | None = None
    for round_ in range(1, 11):
        await world.clock.sleep(seconds / 10 * (0.8 + 0.4 * world.clock.chance.random()))
        if error := _obstacle(job, source, target, vm, running, incoming):
            break
        job.progress = round_ / 10
    source.jobs.pop(vm, None)
    assert job.end
    if error:
        if target.domains.get(vm) is incoming:
            target.remove(vm, "incoming migration ended")
        job.end.set_exception(error)
        return
    target.put(incoming.wish, running)
    source.remove(vm, "migrated away")
    target.tell(vm, "migrated here")
    total_s = world.clock.monotonic_s() - job.began_s
    downtime_ms = 20 + 60 * world.clock.chance.random()
    job.end.set_result(MigrationProgress(progress=1.0, downtime_ms=downtime_ms, total_s=total_s))


def _obstacle(
    job: Job, source: SimulatedHost, target: SimulatedHost, vm: VmId, running: Running | None, incoming: Held
) -> HypervisorFailed | None:
    """What keeps the migration from going on."""
    if job.cancelled:
        return MigrationCancelled(f"the migration of {vm} was cancelled", vm=vm)
    if not _linked(source, target):
        return MigrationFailed(f"{source.name} lost {target.name} while migrating {vm}", vm=vm)
    held = source.domains.get(vm)
    if running is None or held is None or held.running is not running:
        return MigrationFailed(f"{vm} stopped while it was being migrated", vm=vm)
    if target.domains.get(vm) is not incoming:
        return MigrationFailed(f"{target.name} gave up receiving {vm}", vm=vm)
    return None


def _linked(source: SimulatedHost, target: SimulatedHost) -> bool:
    hosts_up = source.up and target.up and source.daemon_up and target.daemon_up
    return hosts_up and source.world.reach(source.name, target.name)


def _retrieve(end: "asyncio.Future[MigrationProgress]") -> None:
    """Look at how it ended, in case nobody is left who waits for it."""
    if not end.cancelled():
        end.exception()
