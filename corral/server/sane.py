"""Sane: what an agent says of its host, checked before anybody counts with it.

In this room   absurd(): what of an inventory, or of a pool, can't be
Comes in       reports of agents
Goes out       words; empty where all can be
Always true    no number that is negative, NaN or beyond what machines have gets into a node's record
Next door      reports.py keeps what it had, and notes on the node what was refused
Start here     absurd()
"""

import math
from collections.abc import Iterator
from typing import Final

from corral.model.node import Inventory, PciDevice, PoolOnNode
from corral.model.units import TiB, format_size

CPUS_MAX: Final = 8192
CELLS_MAX: Final = 64  # ids go below this too: arrays have a place for each
MEMORY_BYTES_MAX: Final = 256 * TiB
DEVICES_MAX: Final = 65_536  # PCI functions that a segment has addresses for
VIRTUAL_FUNCTIONS_MAX: Final = 4096
SLICES_MAX: Final = 4096
POOL_BYTES_MAX: Final = 1 << 60


def absurd(inventory: Inventory) -> str:
    """The first thing in it that can't be; empty: all can."""
    return next(_absurd(inventory), "")


def absurd_pool(pool: PoolOnNode) -> str:
    for name, number in (("total_bytes", pool.total_bytes), ("free_bytes", pool.free_bytes)):
        if why := _bad(name, number, POOL_BYTES_MAX):
            return why
    return ""


def _absurd(inventory: Inventory) -> Iterator[str]:
    numbers: list[tuple[str, float, float]] = [
        ("cpus", inventory.cpus, CPUS_MAX),
        ("memory_bytes", inventory.memory_bytes, MEMORY_BYTES_MAX),
    ]
    for cell in inventory.cells:
        name = f"cells[{cell.id}]"
        numbers.append((f"{name}.id", cell.id, CELLS_MAX - 1))
        numbers.append((f"{name}.memory_bytes", cell.memory_bytes, MEMORY_BYTES_MAX))
        numbers += [(f"{name}.cpus", cpu, CPUS_MAX) for cpu in cell.cpus]
        for size, count in cell.hugepages.items():
            if not size.isdecimal() or not int(size):
                yield f"{name}.hugepages has pages of {size!r} bytes"
                return
            numbers.append((f"{name}.hugepages", count, MEMORY_BYTES_MAX // int(size)))
    for device in (*inventory.gpus, *inventory.devices):
        numbers += _of_device(device)
    for name, number, most in numbers:
        if why := _bad(name, number, most):
            yield why
    addresses = [device.address for device in inventory.devices]
    if len(addresses) > DEVICES_MAX:
        yield f"{len(addresses)} PCI devices, more than any machine has ({DEVICES_MAX})"
    if len(set(addresses)) < len(addresses):
        yield "two PCI devices have the same address"
    for device in inventory.devices:
        if len({slice.type for slice in device.slices}) < len(device.slices):
            yield f"{device.address} has two types of slices by one name"
    ids = [cell.id for cell in inventory.cells]
    if len(set(ids)) < len(ids):
        yield "two NUMA cells have the same id"
    cpus = [cpu for cell in inventory.cells for cpu in cell.cpus]
    if len(set(cpus)) < len(cpus):
        yield "a CPU is in two NUMA cells"
    in_pages = sum(int(size) * count for cell in inventory.cells for size, count in cell.hugepages.items())
    if in_pages > inventory.memory_bytes:
        yield f"{format_size(in_pages)} in hugepages, of {format_size(inventory.memory_bytes)} of memory"


def _of_device(device: PciDevice) -> Iterator[tuple[str, float, float]]:
    """Name, number, and the most that it can be."""
    if device.numa_cell is not None:
        yield f"{device.address}.numa_cell", device.numa_cell, CELLS_MAX - 1
    if device.iommu_group is not None:
        yield f"{device.address}.iommu_group", device.iommu_group, DEVICES_MAX
    yield f"{device.address}.virtual_functions", device.virtual_functions, VIRTUAL_FUNCTIONS_MAX
    for slice in device.slices:
        name = f"{device.address}.slices[{slice.type}]"
        yield f"{name}.instances", slice.instances, SLICES_MAX
        yield f"{name}.made", slice.made, SLICES_MAX
        yield f"{name}.most", slice.most, SLICES_MAX


def _bad(name: str, number: float, most: float) -> str:
    if isinstance(number, float) and not math.isfinite(number):
        return f"{name} is {number}"
    if number < 0:
        return f"{name} is negative: {number}"
    return f"{name} is {number}, more than any machine has ({most})" if number > most else ""
