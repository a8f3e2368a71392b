"""Driver of a simulated host: what an agent holds. It has no state of its own."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import ClassVar, Final

from msgspec.structs import replace

from corral.faults import Faults, NoFaults
from corral.hypervisor.interface import (
    PLAINLY,
    Console,
    DiskPlace,
    Domain,
    DomainEvent,
    DomainFacts,
    DomainWish,
    HardwareLacking,
    HotplugRefused,
    HypervisorFailed,
    HypervisorGone,
    MemoryNotLoaded,
    MigrationFailed,
    MigrationProgress,
    NoScreen,
    SnapshotFailed,
)
from corral.hypervisor.simulated import disk_moves, live
from corral.hypervisor.simulated.devices import check_devices, seen_devices
from corral.hypervisor.simulated.displays import Displays
from corral.hypervisor.simulated.foreign import adopt_foreign, release_domain
from corral.hypervisor.simulated.migration import begin_migration
from corral.hypervisor.simulated.snapshots import each, paths, refuse_raw
from corral.hypervisor.simulated.world import Held, Running, SimulatedHost
from corral.model.console import ConsoleKind
from corral.model.domain import Drift
from corral.model.found import FoundReport
from corral.model.hardware import Firmware, Graphics
from corral.model.ids import VmId, VolumeId
from corral.model.link import SnapshotAssignment
from corral.model.migration import MigrationHow
from corral.model.node import CpuInfo, Inventory, NumaCell
from corral.model.snapshot import SnapshotReport, SnapshotState
from corral.model.vm import DomainState, Guest, Pending, StopReason

TURN: Final = 2 * math.pi


class SimulatedHypervisor:
    """Driver of one simulated host."""

    name: ClassVar[str] = "simulated"

    def __init__(
        self,
        host: SimulatedHost,
        *,
        faults: Faults | None = None,
        file_exists: Callable[[str], bool] | None = None,
        grow_file: Callable[[str, int], None] | None = None,
    ) -> None:
        self.host, self._world, self._clock = host, host.world, host.world.clock
        self._faults: Faults = faults or NoFaults()
        self._file_exists = file_exists or (lambda path: True)
        self._grow_file = grow_file or (lambda path, size_bytes: None)

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
            accelerator=host.accelerator,
            migration_address=host.address,
            gpus=tuple(device for device in host.devices if device.pci_class.startswith("0x03")),
            devices=seen_devices(host),
            offers=host.offers,
            domains=tuple(sorted(found.name for found in host.foreign.values())),
        )

    async def look(self) -> Mapping[VmId, Domain]:
        await self._call("look", (0.0, 0.001))
        return {vm: held.domain for vm, held in self.host.domains.items()}

    async def found(self) -> Mapping[str, FoundReport]:
        await self._call("found", (0.0, 0.001))
        return dict(self.host.foreign)

    async def adopt(self, wish: DomainWish, *, running: bool) -> None:
        await self._call("adopt")
        adopt_foreign(self.host, wish, running=running)
        await self._faults.strike("hypervisor.adopt.end")

    async def drifts(self) -> Mapping[VmId, Drift]:
        await self._call("drifts", (0.0, 0.001))
        return {vm: held.drift for vm, held in self.host.domains.items() if held.drift}

    async def release(self, vm: VmId, *, autostart: bool) -> None:
        await self._call("release")
        release_domain(self.host, vm, autostart=autostart)
        await self._faults.strike("hypervisor.release.end")

    async def define(self, wish: DomainWish) -> None:
        await self._call("define")
        self._check_firmware(wish)
        held = self.host.domains.get(wish.vm)
        if held and held.drift and held.drift.digest != wish.settles:
            held.domain = replace(held.domain, generation=wish.generation)
        elif held and held.domain.state is not DomainState.STOPPED:
            held.drift = None
            held.wish = disk_moves.kept(wish, held)
            held.domain = replace(held.domain, generation=wish.generation)
        else:
            before = held
            self.host.put(wish, None)
            held = self.host.domains[wish.vm]
            if before:
                held.memory = before.memory
                held.domain = replace(held.domain, reason=before.domain.reason, saved=before.domain.saved)
        self.host.tell(wish.vm, "defined")
        await self._faults.strike("hypervisor.define.end")

    async def update(self, vm: VmId, *, force: bool = False) -> tuple[Pending, ...]:
        await self._call("update")
        held = self._held(vm)
        running = held.running
        if running is None or running.wish is None:
            return ()
        for step in tuple(live.steps(running.wish, held.wish)):
            await self._take(held, running, step)
        await self._faults.strike("hypervisor.update.end")
        return await self.pending(vm)

    async def _take(self, held: Held, running: Running, step: live.Step) -> None:
        pace, chance = self._world.pace, self._clock.chance
        assert running.wish
        if step.unplug:
            if step.key not in running.letting_go and chance.random() >= pace.holding_share:
                running.letting_go |= {step.key}
                going = self.host.guest_lets_go(held.wish.vm, running, step.key, step.result)
                self._world.spawn(going, f"{held.wish.vm} lets go of {step.key}")
            return
        await self._clock.sleep(self._world.between(pace.plug))
        if chance.random() < pace.refused_share:
            raise HotplugRefused(f"{step.text}: the guest did not notice it", what=step.text)
        new = (d for d in step.result(running.wish).disks if d not in running.wish.disks)
        missing = [d.path for d in new if not self._file_exists(d.path)]
        if missing:
            raise HotplugRefused(f"{step.text}: {missing[0]} is not there", what=step.text)
        running.wish = step.result(running.wish)

    async def pending(self, vm: VmId) -> tuple[Pending, ...]:
        await self._call("pending")
        held = self.host.domains.get(vm)
        if held is None or held.running is None or held.running.wish is None:
            return ()
        return live.pending(held.running.wish, held.wish)

    async def pause(self, vm: VmId) -> None:
        await self._call("pause")
        if self._held(vm).domain.state is DomainState.RUNNING:
            self.host.pause(vm)

    async def resume(self, vm: VmId) -> None:
        await self._call("resume")
        held = self._held(vm)
        if held.domain.state is DomainState.PAUSED:
            held.domain = replace(held.domain, state=DomainState.RUNNING)
            self.host.tell(vm, "resumed")

    async def save(self, vm: VmId) -> None:
        await self._call("save", self._world.pace.save)
        held = self.host.domains.get(vm)
        if held and held.running and vm not in self.host.jobs:
            self.host.save(vm)
        await self._faults.strike("hypervisor.save.end")

    async def discard(self, vm: VmId) -> None:
        await self._call("discard")
        if held := self.host.domains.get(vm):
            held.memory, held.domain = None, replace(held.domain, saved=False)

    async def resize(self, vm: VmId, volume: VolumeId, size_bytes: int) -> None:
        await self._call("resize")
        disk = next((d for d in self._held(vm).wish.disks if d.volume == volume), None)
        if disk is None or not self.host.runs(vm):
            raise HypervisorFailed(f"{volume} is no disk of {vm}, or it does not run", vm=vm)
        self._grow_file(disk.path, size_bytes)

    async def start(self, vm: VmId) -> None:
        await self._call("start", self._world.pace.start)
        held = self._held(vm)
        if held.domain.state is DomainState.STOPPED:
            self._check_room(held.wish)
            check_devices(self.host, held.wish)
            self.host.begin(vm)
        await self._faults.strike("hypervisor.start.end")

    async def shutdown(self, vm: VmId) -> None:
        await self._call("shutdown")
        running = self._held(vm).running
        if running and not running.deaf and not running.stopping:
            running.stopping = True
            self._world.spawn(self.host.guest_stops(vm, running), f"shutdown {vm}")
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

    async def forget(self, vm: VmId) -> None:
        await self._call("forget")

    async def prepare_incoming(self, wish: DomainWish) -> None:
        await self._call("prepare_incoming")
        self._check_room(wish)
        await self._faults.strike("hypervisor.prepare_incoming.end")

    async def migrate(
        self,
        vm: VmId,
        peer_address: str,
        *,
        wish: DomainWish,
        how: MigrationHow = PLAINLY,
        begun: bool = False,
    ) -> MigrationProgress:
        await self._call("migrate")
        job = self.host.jobs.get(vm)
        if begun and job is None:
            raise MigrationFailed(f"no migration of {vm} is under way", vm=vm)
        if job and not begun:
            raise MigrationFailed(f"{vm} is being migrated already")
        job = job or begin_migration(self.host, vm, peer_address, wish, how)
        assert job.end
        figures = await asyncio.shield(job.end)  # the job goes on when the agent does not
        await self._faults.strike("hypervisor.migrate.end")
        return figures

    async def migration(self, vm: VmId) -> MigrationProgress | None:
        await self._call("migration")
        job = self.host.jobs.get(vm)
        if job is None:
            return None
        figures = replace(job.figures, total_s=self._clock.monotonic_s() - job.began_s)
        return MigrationProgress(progress=job.progress, figures=figures)

    async def cancel_migration(self, vm: VmId) -> None:
        await self._call("cancel_migration")
        if job := self.host.jobs.get(vm):
            job.cancelled = True

    async def disk_place(self, vm: VmId, paths: tuple[str, ...]) -> DiskPlace:
        await self._call("disk_place")
        return disk_moves.place(self.host, vm, paths, self._clock.monotonic_s())

    async def disk_user(self, paths: tuple[str, ...]) -> VmId | None:
        await self._call("disk_user")
        running = (held for held in self.host.domains.values() if held.running)
        return next((h.wish.vm for h in running if any(d.path in paths for d in h.wish.disks)), None)

    async def copy_disk(self, vm: VmId, path: str, to_path: str, format: str = "qcow2") -> None:
        await self._call("copy_disk")
        disk_moves.begin(self.host, self._held(vm), path, to_path, self._clock.monotonic_s())
        await self._faults.strike("hypervisor.copy_disk.end")

    async def pivot_disk(self, vm: VmId, path: str) -> None:
        await self._call("pivot_disk")
        disk_moves.pivot(self.host, self._held(vm), path, self._clock.monotonic_s())
        await self._faults.strike("hypervisor.pivot_disk.end")

    async def end_disk_copy(self, vm: VmId, path: str) -> None:
        await self._call("end_disk_copy")
        disk_moves.end(self.host, self._held(vm), path)
        await self._faults.strike("hypervisor.end_disk_copy.end")

    async def see_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        await self._call("see_snapshot")
        return self._world.contents.see(wish)

    async def take_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        await self._call("take_snapshot", self._world.pace.start if wish.memory else (0.01, 0.05))
        self._check_disks(wish)
        contents, runs = self._world.contents, self.host.runs(vm)
        if wish.memory and not runs:
            raise SnapshotFailed(f"{vm} does not run, so it has no memory to keep", vm=vm)
        if contents.see(wish).state is SnapshotState.READY:
            return contents.see(wish)
        if runs:
            for path in paths(wish):
                contents.take(wish, path)
        else:
            await each(contents.take, wish, self._faults.strike)
        await self._faults.strike("hypervisor.take_snapshot.end")
        return replace(contents.see(wish), frozen=wish.freeze and runs and not wish.memory)

    async def drop_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._call("drop_snapshot")
        await each(self._world.contents.drop, wish, self._faults.strike)

    async def revert(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._call("revert")
        self._check_disks(wish)
        if self.host.runs(vm):
            raise SnapshotFailed(f"{vm} runs: its disks can't be put back", vm=vm)
        self._world.contents.on_revert(vm, wish.snapshot)
        await each(self._world.contents.revert, wish, self._faults.strike)
        await self._faults.strike("hypervisor.revert.end")

    async def start_from(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._call("start_from", self._world.pace.start)
        held, contents = self._held(vm), self._world.contents
        if held.domain.state is not DomainState.STOPPED:
            return
        if not contents.see(wish).memory_bytes:
            raise MemoryNotLoaded(f"{wish.snapshot} holds no memory", snapshot=wish.snapshot)
        self._check_room(held.wish)
        self.host.begin(vm)
        for path in paths(wish):
            contents.revert(wish, path)
        await self._faults.strike("hypervisor.start_from.end")

    def _check_disks(self, wish: SnapshotAssignment) -> None:
        refuse_raw(wish.disks)
        missing = next((path for path in paths(wish) if not self._file_exists(path)), None)
        if missing:
            raise SnapshotFailed(f"{missing} is not there", path=missing)

    async def dirty_bytes(self, vm: VmId, seconds: int = 1) -> float | None:
        await self._call("dirty_bytes", (seconds, seconds + 0.1))
        held = self.host.domains.get(vm)
        if held is None or held.running is None:
            return None
        return min(float(held.wish.memory_bytes), held.running.dirty_bytes_s * seconds)

    async def guest(self, vm: VmId) -> Guest:
        await self._call("guest")
        held = self.host.domains.get(vm)
        running = held.running if held else None
        if held is None or running is None or self._clock.monotonic_s() - running.started_s < running.boot_s:
            return Guest()
        nics = (running.wish or held.wish).nics
        addresses = tuple(nic.address or _foreign_address(nic.mac) for nic in nics)
        return Guest(up=True, hostname=held.wish.name, addresses=addresses)

    async def facts(self) -> Mapping[VmId, DomainFacts]:
        await self._call("facts", (0.0, 0.001))
        now_s = self._clock.monotonic_s()
        return {
            vm: _facts(held.wish, now_s - held.running.started_s)
            for vm, held in self.host.domains.items()
            if held.running
        }

    async def console(self, vm: VmId, kind: ConsoleKind = ConsoleKind.SERIAL) -> Console:
        await self._call("console")
        displays = self._displays(vm, "console")
        if kind is not ConsoleKind.SERIAL and self._held(vm).wish.hardware.graphics != str(kind):
            raise NoScreen(vm, kind.upper())
        return displays.open(kind)

    async def serial_log(self, vm: VmId, most_bytes: int) -> bytes:
        await self._call("serial_log")
        return bytes(self._displays(vm, "log").line.log[-most_bytes:])

    async def screenshot(self, vm: VmId) -> bytes:
        await self._call("screenshot")
        displays = self._displays(vm, "screen")
        if self._held(vm).wish.hardware.graphics == Graphics.NONE:
            raise NoScreen(vm, "video")
        return displays.screen.png()

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

    def _displays(self, vm: VmId, what: str) -> Displays:
        if not self.host.runs(vm):
            raise HypervisorFailed(f"{vm} does not run, so it has no {what}", vm=vm)
        return self.host.shows(vm)

    def _held(self, vm: VmId) -> Held:
        held = self.host.domains.get(vm)
        if held is None:
            raise HypervisorFailed(f"{vm} is not defined on {self.host.name}", vm=vm)
        return held

    def _check_firmware(self, wish: DomainWish) -> None:
        """Raises  HardwareLacking"""
        firmware = wish.hardware.firmware
        if firmware != Firmware.BIOS and firmware not in self.host.offers.firmware:
            raise HardwareLacking(f"{wish.name} asks for firmware {firmware}, which this node does not have")

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


def _foreign_address(mac: str) -> str:
    """What someone else's DHCP would give: the same for the same NIC."""
    high, low = (int(part, 16) for part in mac.split(":")[-2:])
    return f"192.168.{high}.{low}"


def _facts(wish: DomainWish, ran_s: float) -> DomainFacts:
    """Counters of a guest that does a little of everything; how much, and when, follows from its id."""
    number = hash_of(wish.vm)
    share, turn_s = (number % 100) / 150, 60.0 + number % 541
    worked_s = share * _waves(ran_s, turn_s)
    return DomainFacts(
        cpu_s=wish.cpus * worked_s,
        memory_bytes=int(wish.memory_bytes * (0.3 + 0.8 * share + 0.03 * math.sin(TURN * ran_s / turn_s))),
        block_read_bytes=int(200_000 * worked_s),
        block_write_bytes=int(100_000 * worked_s),
        net_in_bytes=int(50_000 * worked_s),
        net_out_bytes=int(80_000 * worked_s),
    )


def _waves(ran_s: float, turn_s: float) -> float:
    """Seconds of work after `ran_s`, where the pace goes up and down by a half: the integral of 1 + sin / 2."""
    return ran_s + turn_s / (2 * TURN) * (1 - math.cos(TURN * ran_s / turn_s))


def hash_of(text: str) -> int:
    """A number that is the same in each process, unlike hash()."""
    return int.from_bytes(text.encode()[-8:], "big")
