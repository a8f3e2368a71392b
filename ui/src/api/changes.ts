/**
 * Changes: what one change of a resource makes of what is on the screen. Pure.
 *
 * In this room   applied(), for a list or a window of one; Change
 * Always true    what did not change stays the same object, so that nothing is drawn again for it
 */
import type { Resource } from "./kinds"

export type Change = { verb: "put" | "remove"; resource: Resource }

export type Rows<T extends Resource = Resource> = { items: T[]; total: number; revision: number }

/** What changes make of a whole list without a filter. */
export function applied<T extends Resource>(rows: Rows<T>, changes: readonly Change[]): Rows<T> {
  const items = new Map(rows.items.map(item => [item.id, item]))
  let changed = false
  for (const { verb, resource } of changes) {
    const old = items.get(resource.id)
    if (verb === "remove") changed = items.delete(resource.id) || changed
    else if (isNewer(resource, old)) {
      items.set(resource.id, resource as T)
      changed = true
    }
  }
  if (!changed) return rows
  return { ...rows, items: [...items.values()], total: rows.total + items.size - rows.items.length }
}

/** What changes make of a window of a long list: rows that are there are renewed, none comes or goes. */
export function renewed<T extends Resource>(rows: Rows<T>, changes: ReadonlyMap<string, Change>): Rows<T> {
  let changed = false
  const items = rows.items.map(item => {
    const change = changes.get(item.id)
    if (!change || change.verb === "remove" || !isNewer(change.resource, item)) return item
    changed = true
    return change.resource as T
  })
  return changed ? { ...rows, items } : rows
}

/** Whether rows come or go by these changes: then a window has to be read again. */
export function movesRows(rows: Rows, changes: ReadonlyMap<string, Change>): boolean {
  const here = new Set(rows.items.map(item => item.id))
  for (const change of changes.values()) {
    if (change.verb === "remove" || !here.has(change.resource.id)) return true
  }
  return false
}

function isNewer(resource: Resource, old: Resource | undefined): boolean {
  return !old || (resource.revision ?? 0) > (old.revision ?? 0)
}
