"""Dedicated CPUs on real guests: libvirt ties vCPUs to the CPUs that were chosen, and others stay off them."""

import re

from corral.model.units import members
from tests.lab.world import World


def test_a_guest_has_its_cpu_for_itself(world: World) -> None:
    node = world.nodes[0]
    cells = world.client.nodes.get(node).status.inventory.cells
    cpus = [cpu for cell in cells for cpu in cell.cpus]
    mine, others = cpus[-1], cpus[:-1]
    world.wait(world.client.nodes.update(node, dedicated_cpus=str(mine)))
    try:
        vm = world.make("alone", node=node, cpus=1, hardware={"dedicated": True})
        (part,) = vm.status.platform.cells
        assert part.cpus == str(mine)
        world.make("shared", node=node, cpus=1)
        assert pins(world, node, "alone") == [{mine}]
        assert pins(world, node, "shared")[0] == set(others)
        assert 'mode="strict"' in xml(world, node, "alone").replace("'", '"')
        world.ask_for("too-many", node=node, cpus=1, hardware={"dedicated": True})
        world.until("refusal", lambda: world.vm("too-many").status.trouble is not None, 20)
        trouble = world.vm("too-many").status.trouble
        assert trouble and "no NUMA cell has so many CPUs" in trouble.message
    finally:
        for name in ("alone", "shared", "too-many"):
            world.remove(name)
        world.wait(world.client.nodes.update(node, dedicated_cpus=""))


def xml(world: World, node: str, vm: str) -> str:
    return world.virsh(node, "dumpxml", vm)


def pins(world: World, node: str, vm: str) -> list[set[int]]:
    """CPUs of each vCPU, as libvirt has them."""
    found = re.findall(r"<vcpupin vcpu=['\"]\d+['\"] cpuset=['\"]([^'\"]+)['\"]", xml(world, node, vm))
    return [set(members(text)) for text in found]
