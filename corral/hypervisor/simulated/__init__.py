"""Simulated hypervisor: hosts whose domains live in memory, for scale runs and for the simulation.

In this room   world.py (hosts, and the network between them: what survives an agent), migration.py, console.py,
               driver.py (what an agent holds; it may be thrown away at any moment)
Comes in       calls of agents; what a test does to hosts (power_off, crash, cut)
Goes out       domains, events, figures, after delays that the clock's chance decides
Always true    a migration switches over in one instant: the source has the VM, or the target does
Next door      libvirt/ is the real one; tests/contract holds both to the interface
Start here     World.add_host(), then SimulatedHypervisor(host)
"""

from corral.hypervisor.simulated.driver import SimulatedHypervisor
from corral.hypervisor.simulated.world import Pace, SimulatedHost, World

__all__ = ["Pace", "SimulatedHost", "SimulatedHypervisor", "World"]
