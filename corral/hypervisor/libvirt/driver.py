"""Driver: the Hypervisor that runs VMs with libvirt and QEMU.

In this room   LibvirtHypervisor; here is what is called when, and no XML and no libvirt call
Comes in       calls of the agent's reconcile loop; libvirt's events
Goes out       Domain, DomainEvent, … as hypervisor/interface.py has them
Always true    a VM's calls wait for that VM's earlier calls of the same sort only. How a migration ended is
               read off the domain. What is cached comes from libvirt, and an event or a reconnect drops it.
Next door      connection.py and lanes.py (threads), domains.py (calls), migration.py, console.py, probe.py
Start here     LibvirtHypervisor.look()
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import libvirt
import msgspec

from corral.clock import Clock
from corral.hypervisor.interface import (
    PLAINLY,
    Console,
    DiskPlace,
    Domain,
    DomainEvent,
    DomainFacts,
    DomainWish,
    HypervisorFailed,
    HypervisorGone,
    MigrationFailed,
    MigrationProgress,
)
from corral.hypervisor.libvirt import adoption, defining, disk_moves, domains, mdevs
from corral.hypervisor.libvirt.connection import Connection, Pool
from corral.hypervisor.libvirt.console import SerialConsole, open_stream
from corral.hypervisor.libvirt.definition import domain_name
from corral.hypervisor.libvirt.definitions import Definitions
from corral.hypervisor.libvirt.domain_xml import serial_log
from corral.hypervisor.libvirt.events import Happening, Kind, Subscribers, watch
from corral.hypervisor.libvirt.found import FoundReader, shared_mounts
from corral.hypervisor.libvirt.graphics import SocketConsole, as_png, open_graphics, take_picture
from corral.hypervisor.libvirt.guest import ask_guest
from corral.hypervisor.libvirt.host import Host, remove_logs, remove_state, takes_direct_io
from corral.hypervisor.libvirt.host_profile import nvram_path, tpm_dir
from corral.hypervisor.libvirt.identity import Identities, Identity, domain_uuid, was_adopted
from corral.hypervisor.libvirt.migration import Route
from corral.hypervisor.libvirt.moves import Moves
from corral.hypervisor.libvirt.probe import Probe
from corral.hypervisor.libvirt.serial_log import log_path, read_tail
from corral.hypervisor.libvirt.snapshots import Snapshots
from corral.hypervisor.libvirt.states import domain_state, stop_reason
from corral.hypervisor.libvirt.tls import takes_tls
from corral.hypervisor.libvirt.updates import Updates
from corral.model.console import ConsoleKind
from corral.model.domain import Drift
from corral.model.found import FoundReport
from corral.model.ids import VmId, VolumeId
from corral.model.link import SnapshotAssignment
from corral.model.migration import MigrationHow
from corral.model.node import Inventory
from corral.model.snapshot import SnapshotReport
from corral.model.vm import DomainState, Guest, Pending, StopReason

T = TypeVar("T")

SHUTDOWN_ASKED_S: Final = 1.0  # a refusal comes within this time; a slow guest agent is not waited for
FACTS_S_MAX: Final = 3.0
DIRTY_LOOKS: Final = 4  # for the outcome of measuring how a guest writes, that soon after
DIRTY_LOOK_S: Final = 0.1
DESTROY_S_MAX: Final = 60.0  # libvirtd itself waits up to 30 s for a QEMU that is stuck in I/O


class LibvirtHypervisor:
    """QEMU guests on the host of one libvirtd."""

    name: ClassVar[str] = "libvirt"

    def __init__(
        self,
        uri: str,
        clock: Clock,
        *,
        state_dir: Path | None = None,
        route: Route | None = None,
        migration_address: str = "",
        pki: Path | None = None,
        serial_log_dir: str = "/var/log/libvirt/qemu",
        root: Path = Path("/"),
        probe: Probe | None = None,
        validate: bool = False,
    ) -> None:
        """Nothing is contacted before open().

        state_dir          keeps the accelerator's trial for the next start; None: tried at each start
        pki                certificates for migrations by TLS; None: never by TLS
        migration_address  where other nodes reach this one's libvirtd, for the inventory
        serial_log_dir     where virtlogd may write; empty: consoles are not logged
        root               of the host's files: /proc, /sys, disks
        validate           let libvirt hold each definition to its schema
        """
        self._migration_address, self._pki = migration_address, pki
        self._serial_log_dir, self._validate = serial_log_dir, validate
        self._connection = Connection(
            uri, clock, prepare=self._watch, on_up=self._on_up, on_down=self._on_down
        )
        probe = probe or Probe(clock, state_dir / "accelerator.json" if state_dir else None)
        self._host = Host(self._connection, probe, root, serial_log_dir)
        self._identities = Identities()
        self._subscribers = Subscribers()
        self._moves = Moves(self._connection, route or Route())
        self._snapshots = Snapshots(self._connection, self._host)
        self._updates = Updates(self._connection, clock)
        self._found = FoundReader()
        self._definitions = Definitions(state_dir / "definitions" if state_dir else None)
        self._consoles: dict[str, SerialConsole] = {}  # by UUID
        self._never_ran: set[str] = (
            set()
        )  # UUIDs defined by this process; libvirt can't tell them from old ones
        self._slices = asyncio.Lock()
        self._facts_lane = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    # ---- connection and events

    async def open(self) -> None:
        """Connect, and keep connecting. A libvirtd that is down is no error: calls raise HypervisorGone meanwhile."""
        self._loop = asyncio.get_running_loop()
        await self._connection.open()

    async def close(self) -> None:
        """Let go. VMs go on running."""
        for task in tuple(self._tasks):
            task.cancel()
        self._on_down()
        await self._connection.close()

    def events(self) -> AsyncIterator[DomainEvent]:
        """Changes from now on, each within milliseconds."""
        return self._subscribers.add()

    def _watch(self, connection: libvirt.virConnect) -> Callable[[], None]:
        """In a thread, for each new main connection."""
        return watch(connection, self._tell)

    def _tell(self, happening: Happening) -> None:
        """On libvirt's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._on_happening, happening)

    def _on_happening(self, happening: Happening) -> None:
        uuid = happening.uuid
        if happening.kind is Kind.DEFINITION:
            self._identities.changed(uuid)
        elif happening.kind is Kind.JOB:
            self._moves.job_ended(uuid, happening.figures)
        if happening.what == "started":
            self._never_ran.discard(uuid)
        vm = self._identities.vm(uuid)
        if vm is not None:
            self._subscribers.put(vm, happening.what)
        elif not self._identities.is_known(uuid):
            self._spawn(self._tell_of_unknown(happening))

    async def _tell_of_unknown(self, happening: Happening) -> None:
        """A domain that is seen for the first time: a migration brings it, say."""
        await self._identify([happening.uuid])
        vm = self._identities.vm(happening.uuid)
        if vm is not None:
            self._subscribers.put(vm, happening.what)

    def _on_up(self) -> None:
        """Events were missed, libvirtd may be another version, and each VM another than it was."""
        before = self._identities.vms()
        self._identities.clear()
        self._host.forget()
        self._spawn(self._tell_of_all(before))

    async def _tell_of_all(self, before: tuple[VmId, ...]) -> None:
        seen = await self.look()
        for vm in sorted({*before, *seen}):
            self._subscribers.put(vm, "reconnected")

    def _on_down(self) -> None:
        consoles, self._consoles = self._consoles, {}
        for console in consoles.values():
            console.end()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Beside everything else. It may find libvirtd gone: then the next connection looks at all again."""
        task = asyncio.create_task(_unless_gone(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- looking

    async def look(self) -> Mapping[VmId, Domain]:
        rows = await self._connection.call("look", "list domains", domains.list_domains)
        await self._identify([row.uuid for row in rows if not self._identities.is_known(row.uuid)])
        self._identities.keep_only(frozenset(row.uuid for row in rows))
        found = ((row, self._identities.get(row.uuid)) for row in rows)
        return {known.vm: self._domain(row, known) for row, known in found if known is not None}

    def _domain(self, row: domains.Row, known: Identity) -> Domain:
        reason = stop_reason(row.state, row.reason)
        if reason is StopReason.HOST and row.uuid in self._never_ran:
            reason = StopReason.NONE
        return Domain(
            vm=known.vm,
            name=row.name,
            state=_state(row),
            generation=known.generation,
            reason=reason,
            persistent=row.persistent,
            lost=row.lost,
            saved=row.saved,
        )

    async def _identify(self, uuids: Iterable[str]) -> None:
        markers = {uuid: self._identities.marker(uuid) for uuid in uuids}
        if not markers:
            return
        found = await self._connection.call(
            "identify", "read metadata", lambda c: domains.read_identities(c, markers)
        )
        for uuid, identity in found.items():
            self._identities.learn(uuid, identity, markers[uuid])

    async def facts(self) -> Mapping[VmId, DomainFacts]:
        """A QEMU that is stuck costs one call its answer: the next takes another lane, and libvirt leaves it out."""
        try:
            found = await self._connection.call(
                f"facts {self._facts_lane}",
                "read counters",
                domains.all_facts,
                pool=Pool.FACTS,
                timeout_s=FACTS_S_MAX,
            )
        except HypervisorFailed:
            self._facts_lane += 1
            raise
        named = ((self._identities.vm(uuid), facts) for uuid, facts in found.items())
        return {vm: facts for vm, facts in named if vm is not None}

    async def guest(self, vm: VmId) -> Guest:
        uuid = domain_uuid(vm)
        return await self._connection.call(
            uuid, f"ask the guest of {vm}", lambda c: ask_guest(c, uuid), pool=Pool.AGENT
        )

    async def inventory(self) -> Inventory:
        await self._sweep()
        plain = await self._host.inventory()
        rows = await self._connection.call("look", "list domains", domains.list_domains)
        await self._identify([row.uuid for row in rows if not self._identities.is_known(row.uuid)])
        foreign = sorted(row.name for row in rows if self._identities.get(row.uuid) is None)
        tls = self._pki is not None and await asyncio.to_thread(
            takes_tls, self._host.at(str(self._pki)), self._migration_address
        )
        return msgspec.structs.replace(
            plain, migration_tls=tls, migration_address=self._migration_address, domains=tuple(foreign)
        )

    async def found(self) -> Mapping[str, FoundReport]:
        rows = await self._connection.call("look", "list domains", domains.list_domains)
        await self._identify([row.uuid for row in rows if not self._identities.is_known(row.uuid)])
        foreign = [row for row in rows if self._identities.get(row.uuid) is None and not row.arriving]
        shared = await asyncio.to_thread(shared_mounts, self._host.at("/proc/mounts"))
        return await self._connection.call(
            "found", "read other domains", lambda c: self._found.read(c, foreign, shared)
        )

    # ---- domains that were there before

    async def adopt(self, wish: DomainWish, *, running: bool) -> None:
        uuid = domain_uuid(wish.vm)

        def work(connection: libvirt.virConnect) -> None:
            adoption.mark(connection, wish, running=running)
            defining.adopted(connection, wish, self._definitions)

        await self._call(wish.vm, f"adopt {wish.name}", work)
        self._identities.changed(uuid)
        self._identities.learn(uuid, Identity(wish.vm, wish.generation), self._identities.marker(uuid))

    async def release(self, vm: VmId, *, autostart: bool) -> None:
        await self._call(vm, f"release {vm}", lambda c: adoption.unmark(c, vm, autostart=autostart))
        self._identities.forget(domain_uuid(vm))
        await asyncio.to_thread(self._definitions.forget, vm)

    async def drifts(self) -> Mapping[VmId, Drift]:
        rows = await self._connection.call("look", "list domains", domains.list_domains)
        await self._identify([row.uuid for row in rows if not self._identities.is_known(row.uuid)])
        ours = [
            (row.uuid, identity)
            for row in rows
            if row.persistent and not row.arriving and (identity := self._identities.get(row.uuid))
        ]
        return await self._connection.call(
            "found", "compare definitions", lambda c: defining.drifts(c, ours, self._definitions)
        )

    # ---- a VM's life

    async def define(self, wish: DomainWish) -> None:
        host = await self._host.profile()
        uuid = domain_uuid(wish.vm)
        flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE if self._validate else 0

        def work(connection: libvirt.virConnect) -> bool:
            buffered = frozenset(
                disk.path for disk in wish.disks if not takes_direct_io(self._host.at(disk.path))
            )
            return defining.define(connection, wish, host, self._definitions, buffered=buffered, flags=flags)

        if await self._call(wish.vm, f"define {wish.name}", work):
            self._never_ran.add(uuid)
        self._identities.changed(uuid)
        self._identities.learn(uuid, Identity(wish.vm, wish.generation), self._identities.marker(uuid))

    async def start(self, vm: VmId) -> None:
        uuid = domain_uuid(vm)
        slices = await self._call(vm, f"look at {vm}", lambda c: mdevs.wanted(domains.definition(c, uuid)))
        if slices:
            async with self._slices:  # else a sweep could take them away before the guest has them open
                for device in slices:
                    await asyncio.to_thread(mdevs.make, self._host.at("/"), device)
                await self._call(vm, f"start {vm}", lambda c: domains.start(c, uuid))
        else:
            await self._call(vm, f"start {vm}", lambda c: domains.start(c, uuid))
        self._never_ran.discard(uuid)

    async def _sweep(self) -> None:
        """Remove slices of guests that do not run. What a start holds up is swept the next time."""
        if self._slices.locked() or not await asyncio.to_thread(mdevs.ours, self._host.at("/")):
            return
        async with self._slices:
            documents = await self._connection.call(
                "slices", "look who has slices", domains.running_documents
            )
            used = frozenset[str]().union(*map(mdevs.named_in, documents))
            await asyncio.to_thread(mdevs.sweep, self._host.at("/"), used)

    async def shutdown(self, vm: VmId) -> None:
        """The guest is asked in the background: its agent may take seconds to say nothing."""
        asking = asyncio.create_task(
            self._call(
                vm, f"shut down {vm}", lambda c: domains.shut_down(c, domain_uuid(vm)), pool=Pool.AGENT
            )
        )
        done, _ = await asyncio.wait({asking}, timeout=SHUTDOWN_ASKED_S)
        if done:
            asking.result()
        else:
            self._spawn(_quietly(asking))

    async def destroy(self, vm: VmId) -> None:
        await self._moves.let_go(vm)
        await self._call(
            vm, f"destroy {vm}", lambda c: domains.destroy(c, domain_uuid(vm)), timeout_s=DESTROY_S_MAX
        )
        await self._sweep()

    async def undefine(self, vm: VmId) -> None:
        uuid = domain_uuid(vm)
        keep = was_adopted(vm)
        await self._call(vm, f"undefine {vm}", lambda c: domains.undefine(c, uuid, keep_state=keep))
        await asyncio.to_thread(self._definitions.forget, vm)
        self._never_ran.discard(uuid)
        await self._sweep()
        await self.forget(vm)

    async def forget(self, vm: VmId) -> None:
        """A domain with its UUID keeps its files, whoever's it is by now."""
        uuid = domain_uuid(vm)
        if await self._call(vm, f"look for {vm}", lambda c: domains.name_in_use(c, uuid)) is not None:
            return
        state = self._host.at(nvram_path(vm)), self._host.at(tpm_dir(uuid))
        if not was_adopted(vm):  # else they were there before Corral, like its disks
            await asyncio.to_thread(remove_state, *state)
        if self._serial_log_dir:
            await asyncio.to_thread(remove_logs, self._host.at(serial_log(vm, self._serial_log_dir)))

    async def _call(
        self,
        vm: VmId,
        what: str,
        work: Callable[[libvirt.virConnect], T],
        *,
        pool: Pool = Pool.CONTROL,
        timeout_s: float = 30.0,
    ) -> T:
        """In the VM's own lane."""
        return await self._connection.call(domain_uuid(vm), what, work, pool=pool, timeout_s=timeout_s)

    # ---- disks that move

    async def disk_place(self, vm: VmId, paths: tuple[str, ...]) -> DiskPlace:
        return await self._disk(vm, "look at a disk", lambda c, uuid: disk_moves.place(c, uuid, paths))

    async def disk_user(self, paths: tuple[str, ...]) -> VmId | None:
        uuid = await self._connection.call(
            "disk user", "look who has a disk", lambda c: disk_moves.user(c, paths)
        )
        if not uuid:
            return None
        await self._identify([] if self._identities.is_known(uuid) else [uuid])
        vm = self._identities.vm(uuid)
        if vm is None:
            raise HypervisorFailed(f"a domain that is not Corral's has {paths[0]} open", domain=uuid)
        return vm

    async def copy_disk(self, vm: VmId, path: str, to_path: str, format: str = "qcow2") -> None:
        await self._disk(vm, "copy a disk", lambda c, uuid: disk_moves.copy(c, uuid, path, to_path, format))

    async def pivot_disk(self, vm: VmId, path: str) -> None:
        clean = not await self._is_drifted(vm)
        await self._disk(vm, "pivot a disk", lambda c, uuid: disk_moves.pivot(c, uuid, path))
        if clean:  # libvirt has changed the definition with it: that is how it is to be
            await asyncio.to_thread(self._definitions.forget, vm)

    async def end_disk_copy(self, vm: VmId, path: str) -> None:
        await self._disk(vm, "end the copy of a disk", lambda c, uuid: disk_moves.end(c, uuid, path))

    async def _disk(self, vm: VmId, what: str, work: Callable[[libvirt.virConnect, str], T]) -> T:
        """In a lane beside the VM's own: the VM can be stopped meanwhile."""
        uuid = domain_uuid(vm)
        return await self._connection.call(f"{uuid} disk", f"{what} of {vm}", lambda c: work(c, uuid))

    # ---- snapshots

    async def see_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        return await self._snapshots.see(vm, wish)

    async def take_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        return await self._snapshots.take(vm, wish)

    async def drop_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._snapshots.drop(vm, wish)

    async def revert(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._snapshots.revert(vm, wish)

    async def start_from(self, vm: VmId, wish: SnapshotAssignment) -> None:
        await self._snapshots.start_from(vm, wish)
        self._never_ran.discard(domain_uuid(vm))
        self._spawn(self._snapshots.set_time(vm))

    # ---- change while it runs

    async def update(self, vm: VmId, *, force: bool = False) -> tuple[Pending, ...]:
        if await self._is_drifted(vm):  # what somebody else changed is not to reach the guest by itself
            return await self.pending(vm)
        return await self._updates.update(domain_uuid(vm), force=force)

    async def _is_drifted(self, vm: VmId) -> bool:
        return await self._call(vm, f"compare {vm}", lambda c: defining.is_drifted(c, vm, self._definitions))

    async def pending(self, vm: VmId) -> tuple[Pending, ...]:
        return await self._updates.pending(domain_uuid(vm))

    async def pause(self, vm: VmId) -> None:
        await self._call(vm, f"pause {vm}", lambda c: domains.pause(c, domain_uuid(vm)))

    async def resume(self, vm: VmId) -> None:
        await self._call(vm, f"resume {vm}", lambda c: domains.resume(c, domain_uuid(vm)))

    async def save(self, vm: VmId) -> None:
        uuid = domain_uuid(vm)
        work = lambda c: domains.save(c, uuid)  # noqa: E731
        await self._connection.call(
            f"{uuid} job", f"suspend {vm} to disk", work, pool=Pool.MOVE, timeout_s=None
        )

    async def discard(self, vm: VmId) -> None:
        await self._call(vm, f"discard the memory of {vm}", lambda c: domains.discard(c, domain_uuid(vm)))

    async def resize(self, vm: VmId, volume: VolumeId, size_bytes: int) -> None:
        await self._call(
            vm, f"resize a disk of {vm}", lambda c: domains.resize(c, domain_uuid(vm), volume, size_bytes)
        )

    # ---- live migration

    async def prepare_incoming(self, wish: DomainWish) -> None:
        named = msgspec.structs.replace(wish, name=domain_name(wish))
        missing = await asyncio.to_thread(self._host.missing, wish)
        if missing:
            raise MigrationFailed(f"{wish.name} can't come here: {missing}", vm=wish.vm)
        await self._call(
            wish.vm, f"prepare for {wish.name}", lambda c: domains.make_way(c, named, domain_uuid(wish.vm))
        )

    async def migrate(
        self,
        vm: VmId,
        peer_address: str,
        *,
        wish: DomainWish,
        how: MigrationHow = PLAINLY,
        begun: bool = False,
    ) -> MigrationProgress:
        figures = await self._moves.migrate(vm, peer_address, wish, how, begun=begun)
        await self.undefine(vm)  # libvirt has; but the log of its console is left
        return figures

    async def migration(self, vm: VmId) -> MigrationProgress | None:
        return await self._moves.progress(vm)

    async def cancel_migration(self, vm: VmId) -> None:
        await self._moves.cancel(vm)

    async def dirty_bytes(self, vm: VmId, seconds: int = 1) -> float | None:
        uuid, lane = domain_uuid(vm), f"{domain_uuid(vm)} dirty"
        what = f"measure how {vm} writes to its memory"
        try:
            await self._connection.call(lane, what, lambda c: domains.begin_dirty_rate(c, uuid, seconds))
            await self._connection.clock.sleep(seconds)
            for _ in range(DIRTY_LOOKS):
                await self._connection.clock.sleep(DIRTY_LOOK_S)
                found = await self._connection.call(lane, what, lambda c: domains.dirty_bytes_s(c, uuid))
                if found is not None:
                    return found * seconds
        except HypervisorGone:
            raise
        except HypervisorFailed:  # it stopped, or an older QEMU: nothing is lost
            return None
        return None

    # ---- consoles

    async def console(self, vm: VmId, kind: ConsoleKind = ConsoleKind.SERIAL) -> Console:
        if kind is ConsoleKind.SERIAL:
            return await self._serial(vm)
        uuid = domain_uuid(vm)
        connected = await self._connection.call(
            f"{uuid} screen", f"open {kind.upper()} of {vm}", lambda c: open_graphics(c, uuid, vm, kind)
        )
        return await SocketConsole.on(connected)

    async def serial_log(self, vm: VmId, most_bytes: int) -> bytes:
        uuid = domain_uuid(vm)
        path = await self._connection.call(
            f"{uuid} screen",
            f"find the log of {vm}",
            lambda c: log_path(c.lookupByUUIDString(uuid).XMLDesc(0)),
        )
        return await asyncio.to_thread(read_tail, self._host.at(path), most_bytes) if path else b""

    async def screenshot(self, vm: VmId) -> bytes:
        uuid = domain_uuid(vm)
        data = await self._connection.call(
            f"{uuid} screen", f"take a picture of {vm}", lambda c: take_picture(c, uuid, vm), timeout_s=10.0
        )
        return await asyncio.to_thread(as_png, data)

    async def _serial(self, vm: VmId) -> SerialConsole:
        uuid = domain_uuid(vm)
        lane = f"{uuid} console"
        stream = await self._connection.on_main(
            lane, f"open the console of {vm}", lambda c: open_stream(c, uuid)
        )
        console = SerialConsole(stream, self._connection, lane)
        if (older := self._consoles.pop(uuid, None)) is not None:
            older.end()
        self._consoles = {u: c for u, c in self._consoles.items() if not c.has_ended} | {uuid: console}
        await console.begin()
        return console


def _state(row: domains.Row) -> DomainState:
    if row.lost:
        return DomainState.PAUSED
    return DomainState.INCOMING if row.arriving else domain_state(row.state)


async def _unless_gone(work: Coroutine[None, None, None]) -> None:
    with suppress(HypervisorFailed):
        await work


async def _quietly(task: asyncio.Task[None]) -> None:
    await task
