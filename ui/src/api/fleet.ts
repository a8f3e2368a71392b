/**
 * Fleet: the whole installation at a glance, and a few figures of every node, live.
 *
 * In this room   useOverview(), useCells(); withNews(), what changed cells make of the columns (pure)
 * Always true    the cells of 5,000 nodes are one answer and one stream, whoever looks at them
 * Next door      picture.ts reads and follows
 */
import { useSyncExternalStore } from "react"
import type { Schemas } from "./client"
import { Picture, type Seen } from "./picture"

export type Whole = Schemas["Whole"]
export type Columns = Schemas["Columns"]
export type CellNews = Schemas["CellNews"]
export type Cell = Schemas["Cell"]
export type Attention = Schemas["Attention"]
export type Dimension = Schemas["Dimension"]
type Figure = "cpu_claimed" | "memory_claimed" | "cpu_used" | "memory_used"

const places = new WeakMap<readonly string[], Map<string, number>>()

/** Where each node is in the columns. */
export function placesOf(ids: readonly string[]): ReadonlyMap<string, number> {
  let found = places.get(ids)
  if (!found) {
    found = new Map(ids.map((id, at) => [id, at]))
    places.set(ids, found)
  }
  return found
}

/** The columns after news. Nodes keep their places; new ones come last. */
export function withNews(columns: Columns, news: CellNews): Columns {
  if (news.rows.length === 0 && news.removed.length === 0) return columns
  const at = placesOf(columns.ids)
  const comes = news.rows.some(row => !at.has(row.id))
  const next: Columns = {
    ...columns,
    revision: Math.max(columns.revision, news.revision),
    phases: [...columns.phases],
    cpu_claimed: [...columns.cpu_claimed],
    memory_claimed: [...columns.memory_claimed],
    cpu_used: [...columns.cpu_used],
    memory_used: [...columns.memory_used],
    vms: [...columns.vms],
  }
  if (comes) next.ids = [...columns.ids]
  // names and racks stay the same lists where they are the same: what is laid out by them stays where it is
  const moved = news.rows.some(row => columns.racks[at.get(row.id) ?? -1] !== row.rack)
  if (moved) next.racks = [...columns.racks]
  const renamed = news.rows.some(row => columns.names[at.get(row.id) ?? -1] !== row.name)
  if (renamed) next.names = [...columns.names]
  for (const row of news.rows) {
    const place = at.get(row.id) ?? next.ids.length
    if (place === next.ids.length) next.ids.push(row.id)
    if (renamed) next.names[place] = row.name
    next.phases[place] = row.phase
    if (moved) next.racks[place] = row.rack
    next.cpu_claimed[place] = row.cpu_claimed
    next.memory_claimed[place] = row.memory_claimed
    next.cpu_used[place] = row.cpu_used
    next.memory_used[place] = row.memory_used
    next.vms[place] = row.vms
  }
  return news.removed.length > 0 ? without(next, new Set(news.removed)) : next
}

function without(columns: Columns, gone: ReadonlySet<string>): Columns {
  const stays = columns.ids.map(id => !gone.has(id))
  if (stays.every(Boolean)) return columns
  const keep = <T>(column: readonly T[]) => column.filter((_, at) => stays[at])
  return {
    revision: columns.revision,
    ids: keep(columns.ids),
    names: keep(columns.names),
    phases: keep(columns.phases),
    racks: keep(columns.racks),
    cpu_claimed: keep(columns.cpu_claimed),
    memory_claimed: keep(columns.memory_claimed),
    cpu_used: keep(columns.cpu_used),
    memory_used: keep(columns.memory_used),
    vms: keep(columns.vms),
  }
}

export function cellAt(columns: Columns, place: number): Cell | undefined {
  const id = columns.ids[place]
  if (id === undefined) return undefined
  const figure = (name: Figure) => columns[name][place] ?? null
  return {
    id,
    name: columns.names[place] ?? id,
    phase: columns.phases[place] ?? "",
    rack: columns.racks[place] ?? "",
    cpu_claimed: figure("cpu_claimed") ?? 0,
    memory_claimed: figure("memory_claimed") ?? 0,
    cpu_used: figure("cpu_used"),
    memory_used: figure("memory_used"),
    vms: columns.vms[place] ?? 0,
  }
}

const overview = new Picture<Whole, Whole>({
  path: "/api/v1/overview",
  event: "overview",
  apply: (_, news) => news,
  revisionOf: of => of.revision,
})
const cells = new Picture<Columns, CellNews>({
  path: "/api/v1/heatmap",
  event: "cells",
  apply: withNews,
  revisionOf: of => of.revision,
})

export function useOverview(): Seen<Whole> {
  return useSyncExternalStore(overview.subscribe, overview.snapshot)
}

export function useCells(): Seen<Columns> {
  return useSyncExternalStore(cells.subscribe, cells.snapshot)
}

/** Read both again: after a fault. */
export function readFleet(): void {
  void overview.read()
  void cells.read()
}
