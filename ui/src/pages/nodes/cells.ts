/**
 * Cells: which VMs have what of which NUMA cell of a node. Pure.
 *
 * In this room   cpuSet(), cellViews()
 * Comes in       the cells of its inventory, its VMs with what was settled for them (status.platform.cells)
 * Goes out       a view of each cell: its CPUs with whose they are, its memory, its VMs; and who has no place of its own
 */
import type { Schemas } from "../../api/client"

type Ref = { id: string; name: string }
export type Placed = Ref & { cpus: number[]; memory_bytes: number }
export type CpuView = { cpu: number; vm: Ref | null; dedicated: boolean }
export type CellView = {
  id: number
  cpus: CpuView[]
  memory_bytes: number
  claimed_bytes: number
  hugepages: [size: number, pages: number][]
  vms: Placed[]
}
type Part = Pick<Schemas["CellPart"], "cell"> & Partial<Schemas["CellPart"]> // what is nothing is left out
type Vm = Ref & { status?: { platform?: { cells?: Part[] } } }

/** The numbers of a set like 4-7,20, in its order. */
export function cpuSet(text: string): number[] {
  return text
    .split(",")
    .filter(part => /^\s*\d+(-\d+)?\s*$/.test(part))
    .flatMap(part => {
      const [first = 0, last = first] = part.split("-").map(Number)
      return Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n)
    })
}

export function cellViews(
  cells: readonly Schemas["NumaCell"][],
  vms: readonly Vm[],
  dedicated: string,
): { cells: CellView[]; floating: Ref[] } {
  const own = new Set(cpuSet(dedicated))
  const floating = vms.filter(vm => !vm.status?.platform?.cells?.length)
  return { floating, cells: cells.map(cell => view(cell, vms, own)) }
}

function view(cell: Schemas["NumaCell"], vms: readonly Vm[], dedicated: ReadonlySet<number>): CellView {
  const placed: Placed[] = []
  for (const { id, name, status } of vms) {
    for (const part of status?.platform?.cells ?? []) {
      if (part.cell !== cell.id) continue
      placed.push({ id, name, cpus: cpuSet(part.cpus ?? ""), memory_bytes: part.memory_bytes ?? 0 })
    }
  }
  const owner = new Map(placed.flatMap(vm => vm.cpus.map(cpu => [cpu, { id: vm.id, name: vm.name }])))
  return {
    id: cell.id,
    cpus: cell.cpus.map(cpu => ({ cpu, vm: owner.get(cpu) ?? null, dedicated: dedicated.has(cpu) })),
    memory_bytes: cell.memory_bytes,
    claimed_bytes: placed.reduce((sum, vm) => sum + vm.memory_bytes, 0),
    hugepages: Object.entries(cell.hugepages)
      .map(([size, pages]): [number, number] => [Number(size), pages])
      .filter(([, pages]) => pages > 0),
    vms: placed,
  }
}
