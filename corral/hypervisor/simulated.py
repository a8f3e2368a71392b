"""Simulated hypervisor: hosts whose domains live in memory, for scale runs and for the simulation.

In this room   World (all hosts, and the network between them), SimulatedHost (what survives an agent),
               SimulatedHypervisor (the driver that an agent holds; it may be thrown away at any moment)
Comes in       calls of agents; what a test does to hosts (power_off, crash, cut)
Goes out       domains, events, figures, after delays that the clock's chance decides
Always true    a migration switches over in one instant: the source has the VM, or the target does
Next door      libvirt/ is the real one; tests/contract holds both to the interface
Start here     World.add_host(), then SimulatedHypervisor(host)
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from msgspec.structs import replace

from corral.clock import Clock
from corral.faults import Faults, NoFaults
from corral.hypervisor.interface import (
    Console,
    Domain,
    DomainEvent,
    DomainFacts,
    DomainWish,
    HypervisorFailed,
    HypervisorGone,
    MigrationCancelled,
    MigrationFailed,
    MigrationProgress,
)
from corral.model.ids import VmId
from corral.model.node import Accelerator, CpuInfo, Inventory, NumaCell
from corral.model.units import GiB
from corral.model.vm import DomainState, Guest, StopReason

ACTIVE: Final = frozenset({DomainState.RUNNING, DomainState.PAUSED})
EVENTS_MAX: Final = 1000  # waiting for an agent; the oldest go, and the agent's resync makes up for them


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds: from, to."""

    call: tuple[float, float] = (0.001, 0.005)
    start: tuple[float, float] = (0.1, 0.4)
    guest_boot: tuple[float, float] = (2.0, 6.0)
    guest_shutdown: tuple[float, float] = (0.5, 3.0)
    memory_bytes_s: float = 4 * GiB  # copied by a migration
    migration_s_min: float = 0.4
    deaf_share: float = 0.0  # of guests that ignore a request to shut down


@dataclass
class Running:
    """A guest that runs, and what goes with it when it migrates."""

    started_s: float  # monotonic
    boot_s: float  # until its agent answers
    deaf: bool = False
    shutdown: "asyncio.Task[None] | None" = None  # the guest is on its way down


@dataclass
class Held:
    """A domain on a host."""

    wish: DomainWish
    domain: Domain
    running: Running | None = None


@dataclass
class Job:
    """A migration under way."""

    progress: float = 0.0
    cancelled: bool = False
    began_s: float = 0.0
    end: "asyncio.Future[MigrationProgress] | None" = None
    task: "asyncio.Task[None] | None" = None


@dataclass
class World:
    """All simulated hosts, by name, and which of them can't reach each other."""

    clock: Clock
    pace: Pace = Pace()
    hosts: "dict[str, SimulatedHost]" = field(default_factory=dict)
    _cut: set[frozenset[str]] = field(default_factory=set)

    def add_host(self, name: str, *, cpus: int = 16, memory_bytes: int = 64 * GiB) -> "SimulatedHost":
        host = self.hosts[name] = SimulatedHost(name, self, cpus=cpus, memory_bytes=memory_bytes)
        return host

    def at(self, address: str) -> "SimulatedHost | None":
        """The host with this migration address."""
        return next((h for h in self.hosts.values() if h.address == address), None)

    def where(self, vm: str) -> tuple[str, ...]:
        """Hosts on which the VM can write to its disk now, sorted. More than one must never be."""
        return tuple(sorted(name for name, host in self.hosts.items() if host.runs(vm)))

    def running_twice(self) -> dict[str, tuple[str, ...]]:
        """Hosts by VM, of VMs that run on more than one."""
        places: dict[str, list[str]] = {}
        for name, host in sorted(self.hosts.items()):
            for vm, held in host.domains.items():
                if held.domain.state in ACTIVE:
                    places.setdefault(vm, []).append(name)
        return {vm: tuple(names) for vm, names in places.items() if len(names) > 1}

    def cut(self, one: str, other: str) -> None:
        """The two hosts can't reach each other any more."""
        self._cut.add(frozenset((one, other)))

    def heal(self, one: str = "", other: str = "") -> None:
        """They can again; without names: all can."""
        if one:
            self._cut.discard(frozenset((one, other)))
        else:
            self._cut.clear()

    def reach(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self._cut

    def between(self, bounds: tuple[float, float]) -> float:
        low, high = bounds
        return low + (high - low) * self.clock.chance.random()


class SimulatedHost:
    """A host with its QEMU processes: goes on when its agent dies."""

    def __init__(self, name: str, world: World, *, cpus: int, memory_bytes: int) -> None:
        self.name, self.world, self.cpus, self.memory_bytes = name, world, cpus, memory_bytes
        self.address = f"sim://{name}"
        self.up = True
        self.daemon_up = True  # the hypervisor's management daemon
        self.domains: dict[VmId, Held] = {}
        self.jobs: dict[VmId, Job] = {}
        self.consoles: dict[VmId, SimulatedConsole] = {}
        self.starts = 0
        self.events: asyncio.Queue[DomainEvent] = asyncio.Queue()

    # ---- what tests and demos do to it

    def power_off(self) -> None:
        """Everything on it stops at once. Definitions stay."""
        self.up = False
        for vm, held in self.domains.items():
            if held.domain.state is not DomainState.STOPPED:
                self._halt(vm, StopReason.HOST)
        self._drop_incoming()
        self._clear_events()

    def power_on(self) -> None:
        self.up = True

    def stop_daemon(self) -> None:
        """Calls fail until start_daemon(); guests go on, migrations fail."""
        self.daemon_up = False
        self._clear_events()

    def start_daemon(self) -> None:
        """As after a restart: reasons are forgotten, and each VM is announced."""
        self.daemon_up = True
        self._drop_incoming()
        for vm in self.domains:
            self.tell(vm, "daemon started")

    def crash(self, vm: str) -> None:
        """Kill the VM's QEMU."""
        self.end(VmId(vm), StopReason.CRASHED)

    def end(self, vm: VmId, reason: StopReason) -> None:
        """The VM stops, for `reason`; no effect when it does not run."""
        if self.runs(vm):
            self._halt(vm, reason)

    def pause(self, vm: str) -> None:
        held = self.domains[VmId(vm)]
        held.domain = replace(held.domain, state=DomainState.PAUSED)
        self.tell(VmId(vm), "paused")

    # ---- state

    def runs(self, vm: str) -> bool:
        held = self.domains.get(VmId(vm))
        return held is not None and held.domain.state in ACTIVE

    def used_bytes(self) -> int:
        return sum(
            h.wish.memory_bytes for h in self.domains.values() if h.domain.state is not DomainState.STOPPED
        )

    def tell(self, vm: VmId, what: str) -> None:
        if self.events.qsize() >= EVENTS_MAX:
            self.events.get_nowait()
        if self.daemon_up:
            self.events.put_nowait(DomainEvent(vm, what))

    def put(self, wish: DomainWish, running: Running | None) -> None:
        """A domain that is persistent here."""
        domain = Domain(
            vm=wish.vm,
            name=wish.name,
            state=DomainState.RUNNING if running else DomainState.STOPPED,
            generation=wish.generation,
        )
        self.domains[wish.vm] = Held(wish, domain, running)

    def remove(self, vm: VmId, what: str) -> None:
        held = self.domains.pop(vm, None)
        self._close_console(vm)
        if held:
            self.tell(vm, what)

    def begin(self, vm: VmId) -> None:
        """The domain runs from now on."""
        held, world = self.domains[vm], self.world
        deaf = world.clock.chance.random() < world.pace.deaf_share
        held.running = Running(world.clock.monotonic_s(), world.between(world.pace.guest_boot), deaf)
        held.domain = replace(held.domain, state=DomainState.RUNNING, reason=StopReason.NONE)
        self.starts += 1
        self.tell(vm, "started")

    async def guest_stops(self, vm: VmId, running: Running) -> None:
        """The guest shuts itself down, on whatever host it is by then."""
        await self.world.clock.sleep(self.world.between(self.world.pace.guest_shutdown))
        for host in self.world.hosts.values():
            held = host.domains.get(vm)
            if held and held.running is running:
                host.end(vm, StopReason.SHUTDOWN)

    def _halt(self, vm: VmId, reason: StopReason) -> None:
        held = self.domains[vm]
        if not held.domain.persistent:
            self.remove(vm, "stopped")
            return
        held.running = None
        held.domain = replace(held.domain, state=DomainState.STOPPED, reason=reason)
        self._close_console(vm)
        self.tell(vm, f"stopped: {reason}")

    def _drop_incoming(self) -> None:
        for vm in [vm for vm, held in self.domains.items() if not held.domain.persistent]:
            self.remove(vm, "incoming migration ended")

    def _clear_events(self) -> None:
        while not self.events.empty():
            self.events.get_nowait()

    def _close_console(self, vm: VmId) -> None:
        if console := self.consoles.pop(vm, None):
            console.end()


class SimulatedHypervisor:
    """Driver of one simulated host."""

    name: ClassVar[str] = "simulated"

    def __init__(
        self,
        host: SimulatedHost,
        *,
        faults: Faults | None = None,
        file_exists: Callable[[str], bool] | None = None,
    ) -> None:
        self.host, self._world, self._clock = host, host.world, host.world.clock
        self._faults: Faults = faults or NoFaults()
        self._file_exists = file_exists or (lambda path: True)

    async def open(self) -> None:
        await self._faults.strike("hypervisor.open")

    async def close(self) -> None:
        return

    async def inventory(self) -> Inventory:
        await self._call("inventory")
        host = self.host
        return Inventory(
            hostname=host.name,
            kernel="simulated",
            hypervisor="simulated",
            cpus=host.cpus,
            cpu=CpuInfo(model="simulated", vendor="Corral", cores=host.cpus),
            memory_bytes=host.memory_bytes,
            cells=(NumaCell(id=0, cpus=tuple(range(host.cpus)), memory_bytes=host.memory_bytes),),
            accelerator=Accelerator(reason="nothing runs here"),
            migration_address=host.address,
        )

    async def look(self) -> Mapping[VmId, Domain]:
        await self._call("look", (0.0, 0.001))
        return {vm: held.domain for vm, held in self.host.domains.items()}

    async def define(self, wish: DomainWish) -> None:
        await self._call("define")
        held = self.host.domains.get(wish.vm)
        if held and held.domain.state is not DomainState.STOPPED:
            held.wish = wish
            held.domain = replace(held.domain, generation=wish.generation, name=wish.name)
        else:
            reason = held.domain.reason if held else StopReason.NONE
            self.host.put(wish, None)
            held = self.host.domains[wish.vm]
            held.domain = replace(held.domain, reason=reason)
        self.host.tell(wish.vm, "defined")
        await self._faults.strike("hypervisor.define.end")

    async def start(self, vm: VmId) -> None:
        await self._call("start", self._world.pace.start)
        held = self._held(vm)
        if held.domain.state is DomainState.STOPPED:
            self._check_room(held.wish)
            self.host.begin(vm)
        await self._faults.strike("hypervisor.start.end")

    async def shutdown(self, vm: VmId) -> None:
        await self._call("shutdown")
        running = self._held(vm).running
        if running and not running.deaf and not running.shutdown:
            running.shutdown = asyncio.create_task(self.host.guest_stops(vm, running), name=f"shutdown {vm}")
        await self._faults.strike("hypervisor.shutdown.end")

    async def destroy(self, vm: VmId) -> None:
        await self._call("destroy")
        held = self.host.domains.get(vm)
        if held and held.domain.state is DomainState.INCOMING:
            self.host.remove(vm, "incoming migration ended")
        else:
            self.host.end(vm, StopReason.DESTROYED)
        await self._faults.strike("hypervisor.destroy.end")

    async def undefine(self, vm: VmId) -> None:
        await self._call("undefine")
        held = self.host.domains.get(vm)
        if held and held.domain.state is not DomainState.STOPPED:
            raise HypervisorFailed(f"{vm} runs: it can't be undefined")
        self.host.remove(vm, "undefined")
        await self._faults.strike("hypervisor.undefine.end")

    async def prepare_incoming(self, wish: DomainWish) -> None:
        await self._call("prepare_incoming")
        self._check_room(wish)
        await self._faults.strike("hypervisor.prepare_incoming.end")

    async def migrate(self, vm: VmId, peer_address: str, *, wish: DomainWish) -> MigrationProgress:
        await self._call("migrate")
        if vm in self.host.jobs:
            raise MigrationFailed(f"{vm} is being migrated already")
        job = begin_migration(self.host, vm, peer_address, wish)
        assert job.end
        figures = await asyncio.shield(job.end)  # the job goes on when the agent does not
        await self._faults.strike("hypervisor.migrate.end")
        return figures

    async def migration(self, vm: VmId) -> MigrationProgress | None:
        await self._call("migration")
        job = self.host.jobs.get(vm)
        if job is None:
            return None
        return MigrationProgress(progress=job.progress, total_s=self._clock.monotonic_s() - job.began_s)

    async def cancel_migration(self, vm: VmId) -> None:
        await self._call("cancel_migration")
        if job := self.host.jobs.get(vm):
            job.cancelled = True

    async def guest(self, vm: VmId) -> Guest:
        await self._call("guest")
        held = self.host.domains.get(vm)
        running = held.running if held else None
        if held is None or running is None or self._clock.monotonic_s() - running.started_s < running.boot_s:
            return Guest()
        return Guest(
            up=True, hostname=held.wish.name, addresses=tuple(n.address for n in held.wish.nics if n.address)
        )

    async def facts(self) -> Mapping[VmId, DomainFacts]:
        await self._call("facts", (0.0, 0.001))
        now_s = self._clock.monotonic_s()
        return {
            vm: _facts(held.wish, now_s - held.running.started_s)
            for vm, held in self.host.domains.items()
            if held.running
        }

    async def console(self, vm: VmId) -> Console:
        await self._call("console")
        if not self.host.runs(vm):
            raise HypervisorFailed(f"{vm} does not run, so it has no console", vm=vm)
        if older := self.host.consoles.get(vm):
            older.end()
        console = self.host.consoles[vm] = SimulatedConsole(self._held(vm).wish.name)
        return console

    async def events(self) -> AsyncIterator[DomainEvent]:
        while True:
            yield await self.host.events.get()

    async def _call(self, what: str, takes_s: tuple[float, float] | None = None) -> None:
        """The way to the daemon: it may be down, slow or broken."""
        self._check_up()
        await self._faults.strike(f"hypervisor.{what}")
        await self._clock.sleep(self._world.between(takes_s or self._world.pace.call))
        self._check_up()

    def _check_up(self) -> None:
        if not (self.host.up and self.host.daemon_up):
            raise HypervisorGone(f"the hypervisor of {self.host.name} does not answer", host=self.host.name)

    def _held(self, vm: VmId) -> Held:
        held = self.host.domains.get(vm)
        if held is None:
            raise HypervisorFailed(f"{vm} is not defined on {self.host.name}", vm=vm)
        return held

    def _check_room(self, wish: DomainWish) -> None:
        """Raises HypervisorFailed: memory or files that QEMU would miss."""
        free = self.host.memory_bytes - self.host.used_bytes()
        if wish.memory_bytes > free:
            raise HypervisorFailed(
                f"{wish.vm} needs {wish.memory_bytes} bytes of memory, {free} are free on {self.host.name}",
                asked_bytes=wish.memory_bytes,
                free_bytes=free,
            )
        missing = next((d.path for d in wish.disks if not self._file_exists(d.path)), None)
        if missing:
            raise HypervisorFailed(f"{missing} is not there", path=missing)


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
    job.task = asyncio.create_task(_pre_copy(job, source, target, vm), name=f"migration of {vm}")
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


def _facts(wish: DomainWish, ran_s: float) -> DomainFacts:
    """Counters of a guest that does a little of everything; the shares follow from its id."""
    share = (hash_of(wish.vm) % 100) / 100
    return DomainFacts(
        cpu_s=ran_s * wish.cpus * share,
        memory_bytes=int(wish.memory_bytes * (0.3 + 0.6 * share)),
        block_read_bytes=int(ran_s * 200_000 * share),
        block_write_bytes=int(ran_s * 100_000 * share),
        net_in_bytes=int(ran_s * 50_000 * share),
        net_out_bytes=int(ran_s * 80_000 * share),
    )


def hash_of(text: str) -> int:
    """A number that is the same in each process, unlike hash()."""
    return int.from_bytes(text.encode()[-8:], "big")


class SimulatedConsole:
    """A console that greets and echoes."""

    def __init__(self, name: str) -> None:
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = False
        self._out.put_nowait(f"\r\n{name} (simulated)\r\n".encode())

    async def read(self) -> bytes:
        if self._ended and self._out.empty():
            return b""
        return await self._out.get()

    async def write(self, data: bytes) -> None:
        if not self._ended:
            self._out.put_nowait(data)

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._out.put_nowait(b"")
