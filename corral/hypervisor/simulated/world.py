"""Simulated hosts, their guests, and who can reach whom.

In this room   World (all hosts), SimulatedHost (domains, power, daemon), and how long things take
Comes in       what drivers and tests do to hosts
Goes out       where each VM runs; events for the agent
Always true    nothing here belongs to an agent: guests and migrations go on when it is killed
Next door      driver.py is an agent's way in; migration.py moves guests between hosts
Start here     World.add_host()
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from corral.clock import Clock
from corral.hypervisor.interface import Domain, DomainEvent, DomainWish, MigrationProgress
from corral.hypervisor.simulated.disks import Disks, begin_writing
from corral.hypervisor.simulated.displays import Displays
from corral.hypervisor.simulated.snapshots import Contents
from corral.model.domain import Drift
from corral.model.found import FoundReport
from corral.model.ids import VmId
from corral.model.migration import MigrationFigures
from corral.model.node import Accelerator, Offers, PciDevice
from corral.model.units import GiB
from corral.model.vm import DomainState, StopReason

NO_FIGURES: Final = MigrationFigures()
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
    disk_copy: tuple[float, float] = (0.1, 0.8)  # of a local disk, by a migration
    writing: tuple[float, float] = (
        0.0,
        0.0,
    )  # of guests to their memory, as a share of memory_bytes_s; below 0: idle
    migration_s_min: float = 0.4
    deaf_share: float = 0.0  # of guests that ignore a request to shut down
    plug: tuple[float, float] = (0.02, 0.3)  # until a guest has noticed, or let go of, a device
    refused_share: float = 0.0  # of changes that QEMU refuses or the guest ignores
    holding_share: float = 0.0  # of requests to let go of a device that a guest ignores
    save: tuple[float, float] = (0.1, 1.0)


@dataclass
class Running:
    """A guest that runs, and what goes with it when it migrates."""

    started_s: float  # monotonic
    boot_s: float  # until its agent answers
    deaf: bool = False
    stopping: bool = False  # the guest is on its way down
    dirty_bytes_s: float = 0.0  # how fast the guest writes to its memory
    wish: DomainWish | None = None  # the machine that it has now, which its definition may be ahead of
    letting_go: frozenset[str] = frozenset()  # keys of devices


@dataclass
class Held:
    """A domain on a host."""

    wish: DomainWish
    domain: Domain
    running: Running | None = None
    memory: Running | None = None  # on disk, with the guest in it
    drift: Drift | None = None  # what somebody else changed in its definition
    away: bool = False  # post-copy: what is here is memory that its target has yet to get

    @property
    def writes(self) -> bool:
        """Whether the guest runs here, and so may write to its disks."""
        if self.domain.lost or self.away:
            return False
        return self.running is not None or self.domain.state in ACTIVE

    @property
    def stays(self) -> bool:
        """Whether it outlives its host's daemon: what only arrives does not."""
        return self.domain.persistent or self.domain.lost or self.running is not None


@dataclass
class Job:
    """A migration under way."""

    progress: float = 0.0
    cancelled: bool = False
    figures: MigrationFigures = NO_FIGURES
    began_s: float = 0.0
    end: "asyncio.Future[MigrationProgress] | None" = None


@dataclass
class World:
    """All simulated hosts, by name, and which of them can't reach each other."""

    clock: Clock
    pace: Pace = Pace()
    hosts: "dict[str, SimulatedHost]" = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    stamps: dict[str, int] = field(default_factory=dict)  # number of the last write to each volume
    stale: list[str] = field(default_factory=list)  # guests that ran on old files: must stay empty
    _cut: set[frozenset[str]] = field(default_factory=set)
    _tasks: "dict[asyncio.Task[None], None]" = field(default_factory=dict)
    _context: Context = field(default_factory=copy_context)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start something that belongs to the hosts: it goes on when the agent that asked for it is killed."""
        task = asyncio.create_task(work, name=name, context=self._context)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def add_host(self, name: str, *, cpus: int = 16, memory_bytes: int = 64 * GiB) -> "SimulatedHost":
        host = self.hosts[name] = SimulatedHost(name, self, cpus=cpus, memory_bytes=memory_bytes)
        return host

    def at(self, address: str) -> "SimulatedHost | None":
        """The host with this migration address."""
        return next((h for h in self.hosts.values() if h.address == address), None)

    def where(self, vm: str) -> tuple[str, ...]:
        """Hosts on which the VM can write to its disk now, sorted. More than one must never be."""
        held = ((name, host.domains.get(VmId(vm))) for name, host in self.hosts.items())
        return tuple(sorted(name for name, here in held if here and here.writes))

    def running_twice(self) -> dict[str, tuple[str, ...]]:
        """Hosts by VM, of VMs that run on more than one."""
        places: dict[str, list[str]] = {}
        for name, host in sorted(self.hosts.items()):
            for vm, held in host.domains.items():
                if held.writes:
                    places.setdefault(vm, []).append(name)
        return {vm: tuple(names) for vm, names in places.items() if len(names) > 1}

    def devices_twice(self) -> dict[str, tuple[str, ...]]:
        """VMs by host and device, of devices that more running guests have than there are."""
        return {
            f"{name} {key}": vms
            for name, host in sorted(self.hosts.items())
            for key, vms in host.device_users().items()
            if len(vms) > host.device_count(key)
        }

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


OFFERS: Final = Offers(
    machines=("pc-q35-7.1", "pc-q35-7.2"),
    firmware=("uefi", "uefi-secure"),
    tpm=True,
    nested=True,
    graphics=("spice", "vnc"),
    nic_limits=True,
)


class SimulatedHost:
    """A host with its QEMU processes: goes on when its agent dies."""

    def __init__(self, name: str, world: World, *, cpus: int, memory_bytes: int) -> None:
        self.name, self.world, self.cpus, self.memory_bytes = name, world, cpus, memory_bytes
        self.address = f"sim://{name}"
        self.up = True
        self.offers = OFFERS
        self.accelerator = Accelerator(reason="nothing runs here")
        self.devices: tuple[PciDevice, ...] = ()
        self.daemon_up = True  # the hypervisor's management daemon
        self.domains: dict[VmId, Held] = {}
        self.jobs: dict[VmId, Job] = {}
        self.copies: dict[tuple[VmId, str], object] = {}  # disks being copied, by VM and path (disk_moves.py)
        self.displays: dict[VmId, Displays] = {}  # by VM that runs or ran here
        self.foreign: dict[str, FoundReport] = {}  # by UUID: domains that are not Corral's
        self.starts = 0
        self.disks: Disks | None = None  # None: what guests write is not followed
        self.events: asyncio.Queue[DomainEvent] = asyncio.Queue()

    # ---- what tests and demos do to it

    def power_off(self) -> None:
        """Everything on it stops at once. Definitions stay."""
        self.up = False
        for vm, held in list(self.domains.items()):
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

    def lose(self, vm: VmId) -> None:
        """Half of the guest is here: its post-copy migration broke."""
        held = self.domains[vm]
        if held.domain.state is DomainState.STOPPED:
            return
        held.running, held.away = None, False
        held.domain = replace(held.domain, state=DomainState.PAUSED, lost=True, persistent=True)
        self.tell(vm, "lost")

    def save(self, vm: VmId) -> None:
        """Its memory goes to disk, and it ends."""
        held = self.domains[vm]
        held.memory = held.running
        self._halt(vm, StopReason.ASKED)
        if vm in self.domains:
            held.domain = replace(held.domain, saved=True)

    def pause(self, vm: str) -> None:
        held = self.domains[VmId(vm)]
        held.domain = replace(held.domain, state=DomainState.PAUSED)
        self.tell(VmId(vm), "paused")

    # ---- state

    def runs(self, vm: str) -> bool:
        held = self.domains.get(VmId(vm))
        return held is not None and held.domain.state in ACTIVE

    def device_users(self) -> dict[str, tuple[str, ...]]:
        """VMs that run here by what they have, as HeldDevice.key says it."""
        users: dict[str, list[str]] = {}
        for vm, held in self.domains.items():
            if held.running:
                for device in (held.running.wish or held.wish).platform.devices:
                    users.setdefault(device.key, []).append(vm)
        return {key: tuple(vms) for key, vms in users.items()}

    def device_count(self, key: str) -> int:
        """1, or the slices that there could be."""
        slices = {
            f"mdev:{device.address}:{each.type}": each.instances
            for device in self.devices
            for each in device.slices
        }
        return slices.get(key, 1)

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
        self._end_displays(vm)
        self.displays.pop(vm, None)
        if held:
            self.tell(vm, what)

    def begin(self, vm: VmId) -> None:
        """The domain runs from now on."""
        held, world = self.domains[vm], self.world
        deaf = world.clock.chance.random() < world.pace.deaf_share
        dirty_bytes_s = max(0.0, world.between(world.pace.writing)) * world.pace.memory_bytes_s
        boot_s = world.between(world.pace.guest_boot)
        fresh = Running(world.clock.monotonic_s(), boot_s, deaf, dirty_bytes_s=dirty_bytes_s, wish=held.wish)
        held.running, held.memory = held.memory or fresh, None
        begin_writing(self, held.wish)
        held.domain = replace(held.domain, state=DomainState.RUNNING, reason=StopReason.NONE, saved=False)
        self.starts += 1
        for disk in held.wish.disks:
            world.contents.write(disk.path)
        self.shows(vm).line.print(f"{held.wish.name} boots\r\n".encode())
        self.tell(vm, "started")

    async def guest_lets_go(
        self, vm: VmId, running: Running, key: str, result: Callable[[DomainWish], DomainWish]
    ) -> None:
        """The guest gives a device up, on whatever host it is by then."""
        await self.world.clock.sleep(self.world.between(self.world.pace.plug))
        running.letting_go -= {key}
        assert running.wish
        running.wish = result(running.wish)
        for host in self.world.hosts.values():
            held = host.domains.get(vm)
            if held and held.running is running:
                host.tell(vm, "device removed")

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
        held.running, held.away = None, False
        held.domain = replace(held.domain, state=DomainState.STOPPED, reason=reason, lost=False)
        self._end_displays(vm)
        self.tell(vm, f"stopped: {reason}")

    def _drop_incoming(self) -> None:
        for vm in [v for v, held in self.domains.items() if not held.stays]:
            self.remove(vm, "incoming migration ended")

    def _clear_events(self) -> None:
        while not self.events.empty():
            self.events.get_nowait()

    def shows(self, vm: VmId) -> Displays:
        """The serial line and the screen of a domain that is here."""
        if vm not in self.displays:
            self.displays[vm] = Displays(self.domains[vm].wish.name)
        return self.displays[vm]

    def _end_displays(self, vm: VmId) -> None:
        if displays := self.displays.get(vm):
            displays.end()
