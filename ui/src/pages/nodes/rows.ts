/**
 * Rows: which nodes a list shows, and in which order. Pure.
 *
 * Comes in       the columns of all nodes, what was asked for
 * Goes out       places in the columns, in order
 * Always true    equal ones stand in order of their names, numbers in names as numbers
 */
import type { Columns } from "../../api/fleet"

export type Wanted = { name: string; phase: string; sort: string }
type Figure = "cpu_claimed" | "memory_claimed" | "cpu_used" | "memory_used" | "vms"
const TEXTS: Record<string, "names" | "phases" | "racks"> = { name: "names", phase: "phases", rack: "racks" }
const order = new Intl.Collator("en", { numeric: true })

export function rowsOf(columns: Columns, { name, phase, sort }: Wanted): number[] {
  const sought = name.trim().toLowerCase()
  const rows = columns.ids
    .map((_, at) => at)
    .filter(
      at =>
        (!sought || (columns.names[at] ?? "").toLowerCase().includes(sought)) &&
        (!phase || columns.phases[at] === phase),
    )
  const down = sort.startsWith("-")
  const by = down ? sort.slice(1) : sort
  const text = TEXTS[by]
  const differ = text
    ? (a: number, b: number) => order.compare(columns[text][a] ?? "", columns[text][b] ?? "")
    : (a: number, b: number) => figure(columns, by, a) - figure(columns, by, b)
  const names = (a: number, b: number) => order.compare(columns.names[a] ?? "", columns.names[b] ?? "")
  return rows.sort((a, b) => (down ? -differ(a, b) : differ(a, b)) || names(a, b))
}

/** What is not known is less than all that is. */
function figure(columns: Columns, by: string, at: number): number {
  return columns[by as Figure]?.[at] ?? -1
}
