"""Claims: what a VM holds of a node.

In this room   Claim and its parts; claims_of() a VM
Comes in       a VM: its spec, its node, what was settled when it got it
Goes out       Claims, which fleet.py adds up
Always true    a VM that migrates holds both nodes; one that is stopped keeps what it holds
Next door      controllers/placement.py asks for the same amounts that are claimed here
Start here     claims_of()
"""

from typing import Final

from msgspec import Struct

from corral.model.ids import NodeId
from corral.model.units import GiB, members
from corral.model.vm import VM, VMSpec

WATTS_PER_VCPU: Final = 4.0  # a busy thread of a server CPU of these years, fans and losses included
WATTS_PER_GIB: Final = 0.4  # a DDR4 or DDR5 module at work


class CellShare(Struct, frozen=True):
    """What a VM holds of one NUMA cell."""

    cell: int
    cpus: frozenset[int] = frozenset()  # that are its own
    memory_bytes: int = 0


class Claim(Struct, frozen=True):
    """Capacity that a VM holds on a node."""

    node: NodeId
    cpus: int  # vCPUs that share CPUs; 0: all are dedicated
    memory_bytes: int
    hugepage_bytes: int = 0  # size of the pages that its memory consists of; 0: ordinary ones
    devices: tuple[str, ...] = ()  # of the node, by HeldDevice.key; slices of one sort several times
    iops: int = 0
    mbit: int = 0
    watts: float = 0.0
    gpu_milli: int = 0  # of shared GPUs; those among `devices` are counted by themselves
    cells: tuple[CellShare, ...] = ()
    ends_s: float = 0.0  # when it is expected to end; 0: nobody knows


def claims_of(vm: VM) -> tuple[Claim, ...]:
    """What a VM holds: on its node, and during a migration on the target too."""
    spec, platform = vm.spec, vm.status.platform
    dedicated = spec.hardware.dedicated
    there = Claim(
        NodeId(""),
        0 if dedicated else spec.cpus,
        spec.memory_bytes,
        spec.hardware.hugepage_bytes,
        tuple(device.key for device in platform.devices),
        iops=iops_of(vm),
        mbit=mbit_of(vm),
        watts=watts_of(spec),
        cells=tuple(CellShare(c.cell, members(c.cpus), c.memory_bytes) for c in platform.cells),
    )
    return tuple(_at(there, node) for node in vm.claimed_on)


def _at(claim: Claim, node: NodeId) -> Claim:
    return Claim(node, *(getattr(claim, f) for f in Claim.__struct_fields__[1:]))


def iops_of(vm: VM) -> int:
    """What its disks are limited to; a disk without limit claims nothing."""
    limits = (disk.tuning.limits for disk in vm.spec.disks)
    return sum(each.iops or each.read_iops + each.write_iops for each in limits)


def mbit_of(vm: VM) -> int:
    """What its NICs are limited to, the busier way; a NIC without limit claims nothing."""
    return sum(max(nic.limits.in_mbit, nic.limits.out_mbit) for nic in vm.spec.nics)


def watts_of(spec: VMSpec) -> float:
    """What its guest makes the node draw at most, estimated from its size."""
    return spec.cpus * WATTS_PER_VCPU + spec.memory_bytes / GiB * WATTS_PER_GIB
