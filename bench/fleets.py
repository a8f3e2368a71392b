"""Fleets: unbalanced ones, made from a seed, for rebalancing.

What it makes  groups of nodes with 64 CPUs and 256 GiB, and 27 VMs a node of 1 to 16 vCPUs and 1 to 3 GiB for each; VMs
               were put on nodes at random, some nodes being far more popular than others, up to 93 % of memory. Their
               load (CPU, memory, disk, network) is a random share of their size, as a machine room's is.
"""

import random
from collections.abc import Iterator

from bench.htools import Cluster, GNode, GVm

MEMORY_MIB, CPUS, DISK_MIB = 256 * 1024, 64, 4 * 1024 * 1024
VCPUS, SHARES = (1, 2, 4, 8, 16), (0.30, 0.30, 0.20, 0.15, 0.05)
FULL = 0.93  # of a node's memory
OVERCOMMIT = 4  # vCPUs a CPU
STORAGE = "diskless,file,sharedfile,plain,blockdev,drbd,rbd,ext"
POLICY = f"128,1,1024,1,1,1|128,1,1024,1,1,1;1048576,64,104857600,16,8,12|{STORAGE}|{OVERCOMMIT}.0|64.0"
Loads = dict[str, tuple[float, ...]]


def fleet(groups: int, nodes: int, vms_a_node: int, seed: int) -> tuple[Cluster, Loads]:
    """The cluster, and the load of each VM, for `hbal -U`."""
    dice = random.Random(seed)
    cluster = Cluster(groups=[], nodes=[], vms=[], tags=[], policies=[f"|{POLICY}"])
    for number in range(groups):
        cluster.groups.append(f"group{number}|uuid-{number}|preferred||")
        cluster.policies.append(f"group{number}|{POLICY}")
        mine = [_node(number, i) for i in range(nodes)]
        cluster.nodes += mine
        cluster.vms += _vms(dice, mine, vms_a_node)
    cluster.nodes[0].role = "M"
    return cluster, {vm.name: tuple(_load(dice, vm)) for vm in cluster.vms}


def _node(group: int, number: int) -> GNode:
    return GNode(
        name=f"node{group:02}-{number:03}",
        memory=MEMORY_MIB,
        own=0,
        free=MEMORY_MIB,
        disk=DISK_MIB,
        disk_free=DISK_MIB,
        cpus=CPUS,
        role="N",
        group=f"uuid-{group}",
    )


def _vms(dice: random.Random, nodes: list[GNode], vms_a_node: int) -> Iterator[GVm]:
    popular = [dice.random() + 0.15 for _ in nodes]
    memory, vcpus = [0] * len(nodes), [0] * len(nodes)
    for number in range(len(nodes) * vms_a_node):
        cpus = dice.choices(VCPUS, SHARES)[0]
        mib = cpus * 1024 * dice.choice((1, 2, 3))
        fits = [
            i
            for i in range(len(nodes))
            if memory[i] + mib <= FULL * MEMORY_MIB and vcpus[i] + cpus < OVERCOMMIT * CPUS
        ]
        at = dice.choices(fits, [popular[i] for i in fits])[0]
        memory[at] += mib
        vcpus[at] += cpus
        group = nodes[0].group.removeprefix("uuid-")
        yield GVm(name=f"vm{group}-{number:05}", memory=mib, disk=20 * 1024, cpus=cpus, node=nodes[at].name)


def _load(dice: random.Random, vm: GVm) -> Iterator[float]:
    """CPU, memory, disk, network; 0.001 to 1, where 1 is all of the largest VM."""
    size, memory = vm.cpus / max(VCPUS), vm.memory / (3 * 1024 * max(VCPUS))
    cpu, disk, net = dice.betavariate(0.6, 2), dice.lognormvariate(-1.5, 1), dice.lognormvariate(-1.5, 1)
    for load in (size * cpu, memory * dice.uniform(0.3, 0.9), size * disk, size * net):
        yield round(min(1.0, max(0.001, load)), 4)
