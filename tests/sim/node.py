"""Node: a simulated host with a real agent, which may be killed."""

from random import Random
from typing import TYPE_CHECKING

from corral.agent.agent import Agent
from corral.agent.memory import MemoryMemory
from corral.hypervisor.simulated import SimulatedHost, SimulatedHypervisor
from corral.model.ids import NodeId
from corral.model.units import GiB
from corral.network.simulated import SimulatedNetworking
from corral.storage.simulated import Files, HostDisks, SimulatedStorage
from tests.sim.chaos import SeedFaults
from tests.sim.loop import SimClock
from tests.sim.process import Process
from tests.sim.wire import SimLink

if TYPE_CHECKING:
    from tests.sim.history import Sim


class NoFigures:
    """Figures of a host that has none."""

    def row(self) -> tuple[float, ...]:
        return (0.0,) * 6


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
