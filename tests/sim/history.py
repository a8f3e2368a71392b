"""History: the whole product on virtual time, from one seed.

In this room   Sim: a server, agents on simulated hosts, users, faults; what must always hold; how it must end
Comes in       a seed, and Faults
Goes out       Outcome: violations, which faults struck, the story that led there
Always true    production code; only clock, chance, network, disk and hypervisor are simulated
Next door      test_histories.py runs many; run.py is `make sim`
Start here     play()
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from corral.agent.agent import Agent
from corral.agent.memory import MemoryMemory
from corral.errors import CorralError
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.simulated import Pace, SimulatedHost, SimulatedHypervisor, World
from corral.hypervisor.simulated.foreign import add_foreign, foreign_report
from corral.hypervisor.simulated.world import Held
from corral.model.ids import NodeId
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.link import DiskAssignment
from corral.model.network import Network, NetworkSpec, Subnet
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.port import Port
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.units import GiB, MiB
from corral.model.vm import VM, DomainState, StopReason, VMPhase, device_key
from corral.model.volume import Volume
from corral.network.simulated import SimulatedNetworking
from corral.server.assignments import assignment
from corral.server.core import ServerCore
from corral.server.services.asking import Asking
from corral.server.services.requests import UpdateNode
from corral.storage.interface import volume_path
from corral.storage.simulated import Files, HostDisks, SharedFiles, SimulatedStorage
from corral.store.interface import Change, Put, StoreFailed, Write
from corral.store.memory import MemoryStore
from tests.sim.chaos import CALM, Faults, SeedFaults
from tests.sim.loop import SimClock, SimLoop
from tests.sim.process import Process, bury, task_factory
from tests.sim.users import OLD, Users
from tests.sim.watch import StoreWatch
from tests.sim.wire import End, SimLink, Weather, Wire

NODES = 4
STORMY_S = 60.0  # virtual seconds of faults and wishes
SETTLE_S_MAX = 700.0  # after the faults stop: longer than the deadline of an operation
STORY_LINES = 4000


class NoFigures:
    """Figures of a host that has none."""

    def row(self) -> tuple[float, ...]:
        return (0.0,) * 6


@dataclass
class Outcome:
    seed: int
    violations: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    settled_s: float = 0.0  # virtual seconds from the last fault to rest
    virtual_s: float = 0.0
    story: tuple[str, ...] = ()


class SimNode:
    """A host, and the agent that may be killed on it."""

    def __init__(self, sim: "Sim", name: str) -> None:
        self.sim, self.name, self.id = sim, name, NodeId(f"node-{name}")
        self.host: SimulatedHost = sim.world.add_host(name, cpus=8, memory_bytes=16 * GiB)
        self.files, self.memory = Files(), MemoryMemory(sim.clock, write_s=0.004)
        self.host.disks = HostDisks(self.files, sim.shared)
        chance = Random(f"{sim.seed}/{name}")
        self.clock = SimClock(sim.loop, chance, skew_s=chance.choice((0.0, 0.0, 3600.0, -3600.0)))
        self.faults = SeedFaults(chance, sim.clock, sim.faults, sim.struck)
        self.link = SimLink(self.id, sim.dial, sim.weather, self.clock)
        self.process = Process(name)
        self.agent: Agent | None = None

    def start(self) -> None:
        """Start the agent, unless one runs: a host has one."""
        if self.agent and self.process.alive:
            return
        self.networking = SimulatedNetworking(self.clock, faults=self.faults)
        storage = SimulatedStorage(self.files, self.sim.shared, self.clock, faults=self.faults)
        self.agent = Agent(
            self.id,
            hypervisor=SimulatedHypervisor(
                self.host, faults=self.faults, file_exists=storage.exists, grow_file=storage.grow
            ),
            storage=storage,
            networking=self.networking,
            link=self.link,
            memory=self.memory,
            clock=self.clock,
            version="sim",
            figures=NoFigures(),
        )
        self.process = Process(self.name)
        self.process.spawn(self.agent.run(), f"agent {self.name}")

    def kill(self) -> None:
        self.process.kill()
        if self.agent and self.agent.bugs:
            self.sim.violate(f"{self.name}: the agent met a bug: {self.agent.bugs[0]!r}")
        for wire in self.link.wires:
            wire.breaks()


class Sim:
    """One history."""

    def __init__(self, seed: int, faults: Faults = Faults()) -> None:  # noqa: B008
        self.seed, self.faults = seed, faults
        self.chance = Random(seed)
        self.loop = SimLoop()
        self.loop.set_task_factory(task_factory)
        self.clock = SimClock(self.loop, Random(f"{seed}/clock"))
        self.struck: Counter[str] = Counter()
        self.violations: list[str] = []
        self.lines: deque[str] = deque(maxlen=STORY_LINES)
        self.watch = StoreWatch()
        self.store = MemoryStore(self.clock, disturbance=self)
        self.weather = Weather(
            Random(f"{seed}/weather"),
            faults.lose_message,
            faults.double_message,
            faults.late_message,
            struck=self.struck,
        )
        pace = Pace(
            deaf_share=0.1, refused_share=0.1, holding_share=0.3, memory_bytes_s=GiB, writing=(-2.0, 1.5)
        )
        self.world = World(self.clock, pace)
        self.world.contents.on_revert = self._reverted
        self.shared = SharedFiles()
        self.shared.pools["/shared"] = None
        self.process, self.core = Process("server"), None  # type: ignore[var-annotated]
        self.nodes = [SimNode(self, f"n{n}") for n in range(NODES)]
        self.users = Users(Random(f"{seed}/users"), self.clock, self.server)
        self.users.story = self.tell

    # ---- the story

    def tell(self, line: str) -> None:
        self.lines.append(f"{self.loop.now_s:9.3f}  {line}")

    def violate(self, what: str) -> None:
        self.tell(f"VIOLATION  {what}")
        if what not in self.violations:
            self.violations.append(what)

    # ---- the store's disturbance: faults, and the watch on every commit

    async def before(self, writes: Sequence[Write]) -> None:
        await asyncio.sleep(self.chance.uniform(0.0, 0.006))
        if self.chance.random() < self.faults.store_fails:
            self.struck["store_fails"] += 1
            raise StoreFailed("the disk is full")

    async def after(self, changes: Sequence[Change]) -> None:
        self.watch.see(changes)
        for what in self.watch.violations:
            self.violate(what)
        self.watch.violations.clear()
        for change in changes:
            self.tell(f"r{change.revision} {_seen(change)}")
        if self.chance.random() < self.faults.answer_lost:
            self.struck["answer_lost"] += 1
            raise StoreFailed("the answer was lost")

    # ---- server

    def server(self) -> "tuple[Process, ServerCore] | None":
        return (self.process, self.core) if self.core and self.process.alive else None

    def start_server(self) -> None:
        self.process, self.core = Process("server"), ServerCore(self.store, self.clock, holder="server")
        self.core.image_keep_s = 6.0
        self.process.spawn(self.core.start(), "server")

    def kill_server(self) -> None:
        self.process.kill()
        for node in self.nodes:
            for wire in node.link.wires:
                wire.breaks()

    def dial(self, wire: Wire) -> bool:
        if self.core is None or not self.process.alive or not self.core.ready:
            return False
        self.process.spawn(self._serve(self.core, wire), f"serve {wire.node}")
        return True

    async def _serve(self, core: ServerCore, wire: Wire) -> None:
        with contextlib.suppress(CorralError):
            await core.hub.serve(End(wire, wire.down, wire.up))
        wire.breaks()

    # ---- chaos from outside

    async def storm(self) -> None:
        blows: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            ("kill_server", self._kill_server),
            ("kill_agent", self._kill_agent),
            ("kill_agent", self._kill_agent),
            ("cut_link", self._cut_link),
            ("cut_hosts", self._cut_hosts),
            ("kill_qemu", self._kill_qemu),
            ("host_reboot", self._host_reboot),
            ("restart_daemon", self._restart_daemon),
        ]
        while True:
            await self.clock.sleep(self.chance.expovariate(1 / self.faults.blow_every_s))
            name, blow = self.chance.choice(blows)
            self.struck[name] += 1
            task = asyncio.create_task(blow(), name=name)
            self.blows.append(task)

    async def _kill_server(self) -> None:
        if self.process.alive:
            self.tell("CHAOS  server killed")
            self.kill_server()
            await self.clock.sleep(self.chance.uniform(0.1, 5.0))
            self.start_server()

    async def _kill_agent(self) -> None:
        node = self.chance.choice(self.nodes)
        if node.process.alive:
            self.tell(f"CHAOS  agent {node.name} killed")
            node.kill()
            await self.clock.sleep(self.chance.uniform(0.1, 6.0))
            if node.host.up:
                node.start()

    async def _cut_link(self) -> None:
        node = self.chance.choice(self.nodes)
        self.tell(f"CHAOS  link of {node.name} cut")
        node.link.cut_off()
        await self.clock.sleep(self.chance.uniform(1.0, 15.0))
        node.link.heal()
        self.tell(f"CHAOS  link of {node.name} healed")

    async def _cut_hosts(self) -> None:
        one, other = self.chance.sample(self.nodes, 2)
        self.tell(f"CHAOS  {one.name} and {other.name} can't reach each other")
        self.world.cut(one.name, other.name)
        await self.clock.sleep(self.chance.uniform(1.0, 10.0))
        self.world.heal(one.name, other.name)

    async def _kill_qemu(self) -> None:
        running = [(n, vm) for n in self.nodes for vm in n.host.domains if n.host.runs(vm)]
        if running:
            node, vm = self.chance.choice(running)
            self.tell(f"CHAOS  QEMU of {vm} on {node.name} killed")
            node.host.crash(vm)

    async def _host_reboot(self) -> None:
        node = self.chance.choice(self.nodes)
        if not node.host.up:
            return
        self.tell(f"CHAOS  host {node.name} lost power")
        if node.process.alive:
            node.kill()
        node.host.power_off()
        await self.clock.sleep(self.chance.uniform(2.0, 20.0))
        node.host.power_on()
        node.start()
        self.tell(f"CHAOS  host {node.name} is back")

    async def _restart_daemon(self) -> None:
        node = self.chance.choice(self.nodes)
        if node.host.up and node.host.daemon_up:
            self.tell(f"CHAOS  hypervisor daemon of {node.name} restarts")
            node.host.stop_daemon()
            await self.clock.sleep(self.chance.uniform(0.2, 3.0))
            node.host.start_daemon()

    # ---- always

    async def guard(self) -> None:
        """A VM on two nodes is looked for at every moment at which anything may have changed."""
        while True:
            for what in self.world.stale:
                self.violate(what)
            for vm, hosts in self.world.running_twice().items():
                self.violate(f"{vm} runs on {' and '.join(hosts)}")
            for volume, vms in self._written_twice().items():
                self.violate(f"{volume} is a disk of {' and '.join(vms)}, which run")
            self._guard_disks()
            await self.clock.sleep(0.02)

    def _guard_disks(self) -> None:
        """Whatever a guest has open is there."""
        for node in self.nodes:
            for vm, held in node.host.domains.items():
                if node.host.runs(vm):
                    for disk in _open_disks(held):
                        if disk.path not in self.shared.sizes and disk.path not in node.files.sizes:
                            self.violate(f"{vm} runs on {node.name} without its disk {disk.path}")

    def _written_twice(self) -> dict[str, list[str]]:
        """VMs by volume, of volumes that more than one running guest has."""
        users: dict[str, set[str]] = {}
        for node in self.nodes:
            for vm, held in node.host.domains.items():
                if held.running:
                    for disk in _open_disks(held):
                        users.setdefault(disk.volume, set()).add(vm)
        return {volume: sorted(vms) for volume, vms in users.items() if len(vms) > 1}

    # ---- a history

    async def begin(self) -> None:
        status = ImageStatus(
            phase=ImagePhase.READY, format="qcow2", virtual_bytes=GiB, size_bytes=GiB // 8, sha256="a" * 64
        )
        subnet = Subnet(cidr="10.9.0.0/24", first="10.9.0.10", last="10.9.0.250")
        first: list[Resource] = [
            Image(id="img-1", name="image", status=status),
            StoragePool(id="pool-s", name="shared", spec=StoragePoolSpec(path="/shared", shared=True)),
            StoragePool(id="pool-l", name="local", spec=StoragePoolSpec(path="/local")),
            Network(id="net-1", name="lan", spec=NetworkSpec(bridge="br0", subnet=subnet)),
            *(Node(id=n.id, name=n.name) for n in self.nodes),
        ]
        calm, self.faults = self.faults, CALM
        await self.store.commit([Put(r) for r in first])
        self.faults = calm
        self.furnish()
        self.start_server()
        for node in self.nodes:
            node.start()

    def furnish(self) -> None:
        """Each host has domains of before Corral: one on a file of its own, one on a shared file."""
        for node in self.nodes:
            for where in ("local", "shared"):
                name, path = f"old-{where}-{node.name}", f"/{where}/old/{node.name}.qcow2"
                uuid = old_uuid(name)
                (self.shared if where == "shared" else node.files).sizes[path] = 1
                running = self.chance.random() < 0.7
                report = foreign_report(name, uuid, running=running, paths=(path,), memory_bytes=MiB)
                add_foreign(node.host, report)

    async def live(self) -> Outcome:
        self.blows: list[asyncio.Task[None]] = []
        await self.begin()
        guard = asyncio.create_task(self.guard(), name="guard")
        await self.clock.sleep(3.0)
        users = [asyncio.create_task(self.users.live(), name=f"user {n}") for n in range(3)]
        storm = asyncio.create_task(self.storm(), name="storm")
        await self.clock.sleep(STORMY_S)
        self.users.stopped = True
        storm.cancel()
        await self.calm()
        calm_s = self.loop.now_s
        await self.answered(users)
        while (left := self.unsettled()) and self.loop.now_s - calm_s < SETTLE_S_MAX:
            await self.users.start_lost()
            await self.clock.sleep(1.0)
        for what in left:
            self.violate(f"not settled after {SETTLE_S_MAX:g} s: {what}")
        self.check_promises()
        guard.cancel()
        settled_s = self.loop.now_s - calm_s
        await self.end()
        ended = Counter(str(o.status.state) for o in self.watch.last.values() if isinstance(o, Operation))
        return Outcome(
            seed=self.seed,
            violations=self.violations,
            struck=self.struck,
            asked=self.users.asked,
            ended=ended,
            settled_s=settled_s,
            virtual_s=self.loop.now_s,
            story=tuple(self.lines),
        )

    async def answered(self, users: Sequence["asyncio.Task[None]"]) -> None:
        """Every user has got an answer to what it asked last, soon."""
        done, waiting = await asyncio.wait(users, timeout=SETTLE_S_MAX)
        for user in waiting:
            self.violate(f"{user.get_name()} has no answer after {SETTLE_S_MAX:g} s")
            user.cancel()
        for user in done:
            user.result()

    async def calm(self) -> None:
        """No new faults; what is broken is mended."""
        self.weather.calm()
        self.faults = CALM
        for node in self.nodes:
            node.faults.faults = CALM
        await asyncio.gather(*self.blows)
        if not self.process.alive:
            self.start_server()
        for node in self.nodes:
            node.link.heal()
            if not node.process.alive:
                node.start()
        self.tell("CALM")
        await self.users.ask("uncordon all", self._uncordon)

    async def _uncordon(self, core: ServerCore, asking: Asking) -> Operation:
        for node in self.nodes:
            done = await core.services.nodes.update(node.id, UpdateNode(cordoned=False), Asking())
        return done

    async def end(self) -> None:
        for node in self.nodes:
            node.kill()
        self.kill_server()
        await self.clock.sleep(0.01)

    # ---- how it must end

    def unsettled(self) -> list[str]:
        """What is not yet as it has to be in the end."""
        left: list[str] = []
        vms = {r.id: r for r in self.watch.last.values() if isinstance(r, VM)}
        for resource in self.watch.last.values():
            if isinstance(resource, Operation) and not resource.ended:
                left.append(
                    f"{resource.spec.verb} {resource.spec.target.name} still runs: {resource.status.waiting_for}"
                )
            if isinstance(resource, Node) and not resource.reachable:
                left.append(f"{resource.name} is {resource.status.phase}")
        for vm in vms.values():
            left += self._unsettled_vm(vm)
        for node in self.nodes:
            for id in node.host.domains:
                if id not in vms or vms[id].status.node != node.id:
                    left.append(f"orphan domain {id} on {node.name}")
        return (
            left + self._orphans() + self._lost() + self._unsettled_snapshots() + self._unsettled_networks()
        )

    def _unsettled_vm(self, vm: VM) -> list[str]:
        if vm.deleting:
            return [f"{vm.name} is not deleted yet: {vm.status.trouble}"]
        running = list(self.world.where(vm.id))
        names = {n.id: n.name for n in self.nodes}
        own = [names[vm.status.node]] if vm.status.node else []
        if vm.status.traces != tuple(own_id for own_id in (vm.status.node,) if own_id):
            return [f"{vm.name} has traces on {vm.status.traces}"]
        if vm.spec.running and vm.status.phase is VMPhase.STOPPED and self._stopped_itself(vm):
            return []
        wanted = own if vm.spec.running else []
        phase = VMPhase.RUNNING if vm.spec.running else VMPhase.STOPPED
        if vm.spec.running and vm.spec.paused:
            phase = VMPhase.PAUSED
        elif not vm.spec.running and vm.spec.saved and vm.report and vm.report.saved:
            phase = VMPhase.SUSPENDED
        if running != wanted or vm.status.phase is not phase:
            return [
                f"{vm.name} runs on {running}, wanted {wanted}, is {vm.status.phase}: {vm.status.trouble}"
            ]
        return self._unlike_its_spec(vm)

    def _unlike_its_spec(self, vm: VM) -> list[str]:
        """The running machine has what the spec says, but for what is shown as pending."""
        left = [
            f"{vm.name}: {e.key} has not left" for e in vm.spec.leaving if not (vm.report and vm.report.saved)
        ]
        left += [f"{vm.name}: the change of {vm.spec.undo.operation} is open"] if vm.spec.undo else []
        held = next((n.host.domains[vm.id] for n in self.nodes if n.host.runs(vm.id)), None)
        live, report = (held.running.wish if held and held.running else None), vm.report
        if live is None or report is None:
            return left
        later = {(p.what, p.key) for p in report.pending}
        wanted = {("disk", device_key(d.volume)) for d in vm.spec.disks} | {
            ("nic", n.mac) for n in vm.spec.nics
        }
        has = {("disk", device_key(d.volume)) for d in live.disks} | {("nic", n.mac) for n in live.nics}
        left += [f"{vm.name}: {what} {key} is not as wanted" for what, key in sorted((wanted ^ has) - later)]
        limits = {d.volume: d.tuning.limits for d in vm.spec.disks}
        left += [
            f"{vm.name}: limits of {d.volume} are not as wanted"
            for d in live.disks
            if limits.get(d.volume, d.tuning.limits) != d.tuning.limits
            and ("disk", device_key(d.volume)) not in later
        ]
        if live.cpus != vm.spec.cpus and ("cpus", "") not in later:
            left.append(f"{vm.name} has {live.cpus} vCPUs")
        if live.memory_bytes != vm.spec.memory_bytes and ("memory", "") not in later:
            left.append(f"{vm.name} has {live.memory_bytes} bytes of memory")
        return left

    def _unsettled_networks(self) -> list[str]:
        """Each node serves just what it is assigned; addresses and forwards are those of VMs that are there."""
        if self.core is None:
            return ["no server"]
        left, mirror = [], self.core.mirror
        for node in self.nodes:
            wanted = {n.id: assignment(mirror, node.id, n.id) for n in mirror.list(Network) if n.on(node.id)}
            if node.networking.served != wanted:
                left.append(f"{node.name} serves {node.networking.served}, not {wanted}")
        nics = {(vm.id, nic.network, nic.mac, nic.address) for vm in mirror.list(VM) for nic in vm.spec.nics}
        saved = {  # memory on disk goes on with the NICs that it had
            (vm.id, e.mac) for vm in mirror.list(VM) if vm.report and vm.report.saved for e in vm.spec.leaving
        }
        ports = {
            (p.spec.vm, p.spec.network, p.spec.mac, p.spec.address)
            for p in mirror.list(Port)
            if (p.spec.vm, p.spec.mac) not in saved
        }
        if nics != ports:
            left.append(f"ports and NICs differ: {nics ^ ports}")
        ways = [way for network in mirror.list(Network) for way in network.spec.forwards]
        left += [f"a forward to nobody: {way}" for way in ways if mirror.get(way.vm) is None]
        return left

    def _stopped_itself(self, vm: VM) -> bool:
        """A guest that shut itself down stays down by its restart policy."""
        report = vm.report
        return (
            report is not None
            and report.state is DomainState.STOPPED
            and report.reason is StopReason.SHUTDOWN
        )

    def _lost(self) -> list[str]:
        """A domain of before Corral is on exactly one host, as Corral's or as nobody's; nobody deletes these."""
        left = []
        for name in OLD:
            uuid = old_uuid(name)
            places = [n.name for n in self.nodes if uuid in n.host.foreign]
            places += [n.name for n in self.nodes for vm in n.host.domains if domain_uuid(vm) == uuid]
            if len(places) != 1:
                left.append(f"{name} is on {places}")
        return left

    def _orphans(self) -> list[str]:
        volumes = {r.id: r for r in self.watch.last.values() if isinstance(r, Volume)}
        for place in (self.shared, *(n.files for n in self.nodes)):
            for volume, image in place.standing.items():
                if image not in place.sizes:
                    self.violate(f"{volume} stands on {image}, which is gone")
        shared = {volume_path("/shared", v.id) for v in volumes.values() if v.pool == "pool-s"}
        seeds = {f"/seeds/{r.id}.iso" for r in self.watch.last.values() if isinstance(r, VM)}
        left = [f"volume {v.name} moves still: {v.status}" for v in volumes.values() if v.moves]
        left += [
            f"volume {v.name} is {v.status.phase}"
            for v in volumes.values()
            if v.status.phase not in ("ready", "trashed")
        ]
        places = [(self.shared, shared)]
        for node in self.nodes:
            own = [v for v in volumes.values() if v.status.node == node.id and v.pool == "pool-l"]
            places.append((node.files, {volume_path("/local", v.id) for v in own} | seeds))
        for place, known in places:
            left += [
                f"orphan file {p}"
                for p in place.sizes
                if "/images/" not in p and "/old/" not in p and p not in known
            ]
        return left

    def _reverted(self, vm: str, snapshot: str) -> None:
        """Disks are put back while somebody waits for just that, and never afterwards: it would cost what was written."""
        found = self.watch.last.get(vm)
        wish = found.spec.revert if isinstance(found, VM) else None
        last = found.status.last_revert if isinstance(found, VM) else None
        if wish is None or wish.snapshot != snapshot or (last and last.wish == wish.id):
            self.violate(f"{vm} was put back to {snapshot}, and nobody waits for that")

    def _unsettled_snapshots(self) -> list[str]:
        """Each that is ready is on all of its disks, and no disk has one that nobody knows."""
        left: list[str] = []
        snapshots = {r.id: r for r in self.watch.last.values() if isinstance(r, Snapshot)}
        volumes = [r for r in self.watch.last.values() if isinstance(r, Volume)]
        contents = self.world.contents.disks
        for snapshot in snapshots.values():
            if snapshot.status.phase not in (SnapshotPhase.READY, SnapshotPhase.FAILED):
                left.append(f"snapshot {snapshot.name} is {snapshot.status.phase}: {snapshot.status.trouble}")
        for volume in volumes:
            pool = self.watch.last.get(volume.spec.pool)
            path = volume_path(pool.spec.path, volume.id) if isinstance(pool, StoragePool) else ""
            inside = set(contents[path].snapshots) if path in contents else set()
            left += [f"{volume.name} has an orphan snapshot {id}" for id in sorted(inside - set(snapshots))]
            ready = {
                s.id for s in snapshots.values() if volume.id in s.spec.disks and s.status.phase == "ready"
            }
            left += [f"{volume.name} lacks snapshot {id}" for id in sorted(ready - inside)]
        return left

    def check_promises(self) -> None:
        """Whatever a user was answered is in the store."""
        for id in self.users.promised:
            if not isinstance(self.watch.last.get(id), Operation):
                self.violate(f"{id} was acknowledged and is gone")


def _open_disks(held: Held) -> tuple[DiskAssignment, ...]:
    """Of a running machine, which its definition may be ahead of."""
    wish = held.running.wish if held.running else None
    return (wish or held.wish).disks


def _seen(change: Change) -> str:
    """A commit in a few words."""
    resource = change.resource
    match resource:
        case VM(status=s):
            reports = {n: (str(r.state), r.stint, r.role, r.boot) for n, r in s.reports.items()}
            migration = f" {s.migration.stage} to {s.migration.target}" if s.migration else ""
            going = " deleting" if resource.deleting else ""
            return f"{change.verb} {resource.name} {resource.id[-6:]}{going} {s.phase} on {s.node} stint {s.stint} traces {s.traces}{migration} {reports}"
        case Operation(spec=p, status=o):
            return f"{change.verb} {resource.id[-6:]} {p.verb} {p.target.name} {o.state} {o.waiting_for}"
        case Volume(status=s):
            there = {n: (str(r.state), r.wanted, r.stint) for n, r in s.elsewhere.items()}
            return f"{change.verb} volume {resource.id[-6:]} {s.phase} on {s.node} stint {s.stint} to {s.moving_to} traces {s.traces} {there}"
    phase = getattr(getattr(resource, "status", None), "phase", "")
    return f"{change.verb} {resource.kind} {resource.name} {phase}"


def old_uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


class _Errors(logging.Handler):
    """What production code logs as an error is a bug in simulation."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(logging.ERROR)
        self.sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else ""
        self.sim.violate(f"log: {record.getMessage()} {error!r}")


def play(seed: int, faults: Faults = Faults()) -> Outcome:  # noqa: B008
    """One history. The same seed and faults give the same history."""
    sim = Sim(seed, faults)
    handler, logger = _Errors(sim), logging.getLogger("corral")
    logger.addHandler(handler)
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.ERROR)
    asyncio.set_event_loop(None)
    try:
        return sim.loop.run_until_complete(sim.live())
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        logger.setLevel(level)
        sim.loop.close()
        bury()
