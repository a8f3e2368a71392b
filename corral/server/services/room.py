"""Room: whether a VM that is to grow fits where it is.

Next door      scheduler/fleet.py counts in the same way for placements
Start here     check_room()
"""

from corral.errors import CorralError
from corral.model.node import Node
from corral.model.units import format_size
from corral.model.vm import VM, VMSpec
from corral.scheduler.fleet import CPU, MEMORY, Fleet
from corral.store.mirror import Mirror


class NoRoomToGrow(CorralError):
    """The VM's node has not as much left as the VM asks for in addition."""

    code = "vm.no_room_to_grow"
    status = 409
    retryable = True


def check_room(vm: VM, wanted: VMSpec, mirror: Mirror) -> None:
    """Raises NoRoomToGrow. A VM without a node is placed by what it asks for then."""
    node = mirror.get(vm.status.node or "")
    cpus, memory_bytes = wanted.cpus - vm.spec.cpus, wanted.memory_bytes - vm.spec.memory_bytes
    if not isinstance(node, Node) or (cpus <= 0 and memory_bytes <= 0):
        return
    fleet = Fleet()
    fleet.see_node(node)
    for other in mirror.select(VM, "claimed", node.id):
        fleet.see_vm(other)
    free = fleet.capacity[0] - fleet.claimed[0]
    if cpus > 0 and cpus > free[CPU]:
        raise _refused(vm, node, f"{cpus} more vCPUs", f"{max(0, int(free[CPU]))} are free")
    if memory_bytes > 0 and memory_bytes > free[MEMORY]:
        left = format_size(max(0, int(free[MEMORY])))
        raise _refused(vm, node, f"{format_size(memory_bytes)} more memory", f"{left} is free")


def _refused(vm: VM, node: Node, more: str, left: str) -> NoRoomToGrow:
    return NoRoomToGrow(
        f"{vm.name} asks for {more}; on its node {node.name} {left}",
        hint=f"Migrate it to a node with more room, or another VM away from {node.name}.",
        vm=vm.id,
        node=node.id,
    )
