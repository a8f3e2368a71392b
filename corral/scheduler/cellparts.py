"""Parts of cells: which NUMA cells and CPUs of its node a VM gets that has CPUs for itself.

In this room   pick_cells(): the parts, one a cell
Comes in       a fleet, a node that was chosen, what the VM asks for
Goes out       CellParts, with CPUs in the order of the VM's vCPUs
Always true    no CPU is given twice. The fewest cells do it; among those, cells near the devices that it gets, then
               those that it leaves least in. Threads of one core go to one VM while there are whole cores.
Next door      judging.py says on which nodes there are enough; controllers/platform.py writes it down
Start here     pick_cells()
"""

from collections.abc import Iterable, Mapping, Sequence

from corral.model.hardware import CellPart, HostDevice
from corral.model.ids import NodeId
from corral.model.node import Inventory, NumaCell
from corral.model.units import members
from corral.scheduler.claims import CellShare
from corral.scheduler.devices import NO_LINKS, free_by_cell
from corral.scheduler.dimensions import CELL_CPU, CELL_MEMORY, CELL_PAGES
from corral.scheduler.fleet import Fleet
from corral.scheduler.wishes import CELLS_MAX


def pick_cells(
    fleet: Fleet,
    node: NodeId,
    *,
    cpus: int,
    memory_bytes: int,
    hugepage_bytes: int = 0,
    devices: Sequence[HostDevice] = (),
    links: Mapping[str, str] = NO_LINKS,
    exactly: int = 0,
) -> tuple[CellPart, ...]:
    """The VM's parts of NUMA cells; (): there are not enough. exactly: so many cells; 0: as few as can be."""
    row, columns = fleet.row[node], fleet.columns
    rows = (columns.cells_capacity[row] - columns.cells_claimed[row]).tolist()
    memory = CELL_PAGES.get(hugepage_bytes, CELL_MEMORY)
    free = [(int(cell[CELL_CPU]), cell[memory]) for cell in rows]
    near: dict[int, int] = {}
    if devices:
        inventory, units = fleet.inventories.get(node, Inventory()), fleet.units.get(node, ())
        near = free_by_cell(inventory, units, fleet.held(node), devices, links)
    for count in range(exactly or 1, min(exactly or CELLS_MAX, exactly or cpus, len(free)) + 1):
        part = -(-cpus // count), -(-memory_bytes // count)
        fitting = [c for c, (cpu, byte) in enumerate(free) if cpu >= part[0] and byte >= part[1]]
        if len(fitting) >= count:
            chosen = sorted(fitting, key=lambda c: (-near.get(c, 0), free[c][0], c))[:count]
            return _parts(fleet, node, sorted(chosen), cpus, memory_bytes, hugepage_bytes)
    return ()


def _parts(
    fleet: Fleet, node: NodeId, cells: Sequence[int], cpus: int, memory_bytes: int, page_bytes: int
) -> tuple[CellPart, ...]:
    inventory, free = fleet.inventories[node], fleet.dedicated_free(node)
    by_id = {cell.id: cell for cell in inventory.cells}
    threads, pages = _split(cpus, len(cells)), _split(memory_bytes // (page_bytes or 1), len(cells))
    return tuple(
        CellPart(
            cell=id,
            cpus=",".join(map(str, _whole_cores_first(by_id[id], free, count))),
            memory_bytes=share * (page_bytes or 1),
        )
        for id, count, share in zip(cells, threads, pages, strict=True)
    )


def _split(amount: int, count: int) -> list[int]:
    """As evenly as can be; the first get what is over."""
    return [amount // count + (n < amount % count) for n in range(count)]


def _whole_cores_first(cell: NumaCell, free: frozenset[int], count: int) -> list[int]:
    """So many free CPUs, threads of a core side by side; a core that is in use already only for an odd one, or at need."""
    cores = cell.cores or tuple((cpu,) for cpu in cell.cpus)
    chosen: list[int] = []
    for core in cores:
        if len(chosen) + len(core) <= count and free.issuperset(core):
            chosen += core
            if len(chosen) == count:
                return chosen
    left = [core for core in cores if core[0] not in chosen]
    broken = [cpu for core in left if not free.issuperset(core) for cpu in core if cpu in free]
    whole = [cpu for core in left if free.issuperset(core) for cpu in core]
    return (chosen + broken + whole)[:count]


def shares_of(parts: Iterable[CellPart]) -> tuple[CellShare, ...]:
    """The parts as claims count them."""
    return tuple(CellShare(part.cell, members(part.cpus), part.memory_bytes) for part in parts)
