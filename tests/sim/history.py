"""History: the whole product on virtual time, from one seed.

In this room   Sim: a server, agents on simulated hosts, users, faults; what must always hold
Comes in       a seed, and Faults
Goes out       Outcome: violations, which faults struck, the story that led there
Always true    production code; only clock, chance, network, disk and hypervisor are simulated
Next door      rest.py says how it must end; test_histories.py runs many; __main__.py is `make sim`
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

from corral.errors import CorralError
from corral.hypervisor.simulated import Pace, World
from corral.hypervisor.simulated.devices import a_gpu, a_nic, its_sound
from corral.hypervisor.simulated.foreign import add_foreign, foreign_report
from corral.hypervisor.simulated.world import Held
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.link import DiskAssignment
from corral.model.network import Network, NetworkSpec, Subnet
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Resource
from corral.model.units import GiB, MiB
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.core import ServerCore
from corral.server.services.asking import Asking
from corral.server.services.requests import UpdateNode
from corral.storage.simulated import SharedFiles
from corral.store.interface import Change, Put, StoreFailed, Write
from corral.store.memory import MemoryStore
from tests.sim.chaos import CALM, Faults
from tests.sim.loop import SimClock, SimLoop
from tests.sim.node import SimNode
from tests.sim.process import Process, bury, task_factory
from tests.sim.rest import unsettled
from tests.sim.users import Users, old_uuid
from tests.sim.watch import StoreWatch
from tests.sim.wire import End, Weather, Wire

NODES = 4
STORMY_S = 60.0  # virtual seconds of faults and wishes
SETTLE_S_MAX = 700.0  # after the faults stop: longer than the deadline of an operation
STORY_LINES = 4000


@dataclass
class Outcome:
    seed: int
    violations: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    settled_s: float = 0.0  # virtual seconds from the last fault to rest
    virtual_s: float = 0.0
    devices: int = 0  # that VMs held at once, at most
    story: tuple[str, ...] = ()


class Sim:
    """One history."""

    def __init__(self, seed: int, faults: Faults = Faults(), *, devices: bool = False) -> None:  # noqa: B008
        """devices: hosts have GPUs, NICs and a card that is cut into slices, and VMs ask for them"""
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
        if devices:
            for node in self.nodes:
                whole = a_gpu(0x3B, 0)
                node.host.devices = (
                    whole,
                    its_sound(whole),
                    a_gpu(0xAF, 0, slices=2),
                    *a_nic(0x17, 0, 2, "br0"),
                )
        self.users = Users(Random(f"{seed}/users"), self.clock, self.server, devices=devices)
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
            for device, guests in self.world.devices_twice().items():
                self.violate(f"device {device} is with {' and '.join(guests)}, which run")
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
        while (left := unsettled(self)) and self.loop.now_s - calm_s < SETTLE_S_MAX:
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
            devices=self.watch.most_held,
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

    def _reverted(self, vm: str, snapshot: str) -> None:
        """Disks are put back while somebody waits for just that, and never afterwards: it would cost what was written."""
        found = self.watch.last.get(vm)
        wish = found.spec.revert if isinstance(found, VM) else None
        last = found.status.last_revert if isinstance(found, VM) else None
        if wish is None or wish.snapshot != snapshot or (last and last.wish == wish.id):
            self.violate(f"{vm} was put back to {snapshot}, and nobody waits for that")

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


class _Errors(logging.Handler):
    """What production code logs as an error is a bug in simulation."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(logging.ERROR)
        self.sim = sim

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else ""
        self.sim.violate(f"log: {record.getMessage()} {error!r}")


def play(seed: int, faults: Faults = Faults(), *, devices: bool = False) -> Outcome:  # noqa: B008
    """One history. The same seed and faults give the same history."""
    sim = Sim(seed, faults, devices=devices)
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
