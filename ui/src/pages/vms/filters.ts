/**
 * Filters: what is looked for in the list of VMs, in the address and as the API asks for it. Pure.
 *
 * Always true    an address with the same words shows the same list to somebody else
 */
import type { ListQuery } from "../../api/cache"

export type Filters = {
  name: string
  phase: string
  node: string
  label: string
  /** as the API's `filter` has it */
  expression: string
  sort: string
}

export const NO_FILTERS: Filters = { name: "", phase: "", node: "", label: "", expression: "", sort: "name" }
const KEYS = Object.keys(NO_FILTERS) as (keyof Filters)[]

export function fromAddress(search: string): Filters {
  const words = new URLSearchParams(search)
  return Object.fromEntries(KEYS.map(key => [key, words.get(key) ?? NO_FILTERS[key]])) as Filters
}

export function toAddress(filters: Filters): string {
  const words = new URLSearchParams()
  for (const key of KEYS) if (filters[key] !== NO_FILTERS[key]) words.set(key, filters[key])
  return words.toString()
}

export function toQuery(filters: Filters): ListQuery {
  const conditions = [
    filters.name && `name~${filters.name}`,
    filters.phase && `status.phase=${filters.phase}`,
    filters.node && `status.node=${filters.node}`,
    filters.expression,
  ].filter(Boolean)
  return { sort: filters.sort, filter: conditions.join(","), label: filters.label }
}

export function isFiltered(filters: Filters): boolean {
  return KEYS.some(key => key !== "sort" && filters[key] !== "")
}

// ---- views: filters that somebody wants again, kept in this browser

export type View = { name: string; search: string }
const KEPT = "corral.vms.views"

export function readViews(storage: Pick<Storage, "getItem"> = localStorage): View[] {
  try {
    const found: unknown = JSON.parse(storage.getItem(KEPT) ?? "[]")
    return Array.isArray(found)
      ? found.filter(v => typeof v?.name === "string" && typeof v?.search === "string")
      : []
  } catch {
    return []
  }
}

export function keepViews(views: View[]): void {
  localStorage.setItem(KEPT, JSON.stringify(views))
}

/** With the view, in the order of names; one of the same name is replaced. */
export function withView(views: View[], view: View): View[] {
  return [...views.filter(v => v.name !== view.name), view].sort((a, b) => a.name.localeCompare(b.name))
}
