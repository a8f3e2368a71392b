/**
 * Cache: what pages ask for, read once and kept up to date by the stream of changes.
 *
 * In this room   useOne(), useAll(), useWindow(); keepFresh(), which writes changes into the cache
 * Always true    no page polls: what is on screen is renewed by changes, and read again only where rows come or go
 * Next door      changes.ts has the rules, purely; live.ts the stream
 * Start here     useOne()
 */
import { QueryClient, type QueryKey, type UseQueryResult, useQueries, useQuery } from "@tanstack/react-query"
import { useEffect, useMemo, useRef, useState } from "react"
import { applied, type Change, movesRows, type Rows, renewed } from "./changes"
import { getJson, Problem } from "./client"
import { type Kind, listPath, type Of, onePath, PLURAL, type Resource } from "./kinds"
import { live } from "./live"

export const ROWS_IN_WINDOW = 100
const UNWATCHED = "always" // nobody followed it while off screen: what is kept is shown, and read again
const RECENT_MAX = 500 // changes of a kind
const SETTLE_MS = 60 // without scrolling
const AGAIN_MS = 1_000 // windows are read again at most this often

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 60_000,
      refetchOnWindowFocus: false,
      retry: (count, error) => count < 3 && error instanceof Problem && error.details.retryable,
    },
  },
})

/** Watch a kind while the component is on screen. */
export function useLive(...kinds: Kind[]): void {
  const key = kinds.join(",")
  useEffect(() => {
    const stops = (key ? (key.split(",") as Kind[]) : []).map(kind => live.want(kind))
    return () => {
      for (const stop of stops) stop()
    }
  }, [key])
}

/** One resource by id or name, live. */
export function useOne<K extends Kind>(kind: K, idOrName: string, enabled = true): UseQueryResult<Of<K>> {
  useLive(kind)
  return useQuery({
    refetchOnMount: UNWATCHED,
    queryKey: ["one", kind, idOrName],
    queryFn: ({ signal }) => getJson<Of<K>>(onePath(kind, idOrName), signal),
    enabled: enabled && idOrName !== "",
  })
}

/** All resources of a kind of which there are few (1,000 at most), live. */
export function useAll<K extends Kind>(kind: K, enabled = true): UseQueryResult<Rows<Resource & Of<K>>> {
  useLive(...(enabled ? [kind] : []))
  return useQuery({
    refetchOnMount: UNWATCHED,
    queryKey: ["all", kind],
    queryFn: ({ signal }) => getJson<Rows<Resource & Of<K>>>(`${listPath(kind)}?limit=1000`, signal),
    enabled,
  })
}

export type ListQuery = { sort?: string; filter?: string; label?: string }

export type LongList<T> = {
  total: number
  row: (index: number) => T | undefined
  loading: boolean
  error: Error | null
}

/** A long list, of which only the windows that are looked at are read. `first`, `last`: rows on screen. */
export function useWindow<K extends Kind>(
  kind: K,
  query: ListQuery,
  first: number,
  last: number,
): LongList<Resource & Of<K>> {
  useLive(kind)
  const [near, far] = useSettled(first, last)
  const from = Math.floor(Math.max(0, near) / ROWS_IN_WINDOW)
  const to = Math.floor(Math.max(near, far, 0) / ROWS_IN_WINDOW)
  const numbers = useMemo(() => Array.from({ length: to - from + 1 }, (_, n) => from + n), [from, to])
  const windows = useQueries({
    queries: numbers.map(number => ({
      refetchOnMount: UNWATCHED,
      queryKey: ["window", kind, query.sort ?? "", query.filter ?? "", query.label ?? "", number] as QueryKey,
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        getJson<Rows<Resource & Of<K>>>(windowPath(kind, query, number), signal),
    })),
  })
  // The length of the list outlives a jump to windows that are not read yet: the table would collapse, and jump back.
  const list = `${kind} ${query.sort} ${query.filter} ${query.label}`
  const known = useRef({ list, total: 0 })
  if (known.current.list !== list) known.current = { list, total: 0 }
  const seen = windows.find(w => w.data)
  if (seen?.data) known.current.total = seen.data.total
  return {
    total: known.current.total,
    row: index => {
      const at = Math.floor(index / ROWS_IN_WINDOW) - from
      const found = windows[at]
      return found?.data?.items[index % ROWS_IN_WINDOW]
    },
    loading: windows.some(w => w.isPending),
    error: windows.find(w => w.error)?.error ?? null,
  }
}

/** The rows on screen once the scrolling rests: what rushes past is not read. The first ones at once. */
function useSettled(first: number, last: number): [number, number] {
  const [settled, setSettled] = useState<[number, number]>([first, last])
  useEffect(() => {
    const timer = setTimeout(() => setSettled([first, last]), SETTLE_MS)
    return () => clearTimeout(timer)
  }, [first, last])
  return settled
}

export function windowPath(kind: Kind, query: ListQuery, number: number): string {
  const words = new URLSearchParams({
    limit: String(ROWS_IN_WINDOW),
    offset: String(number * ROWS_IN_WINDOW),
  })
  if (query.sort) words.set("sort", query.sort)
  if (query.filter) words.set("filter", query.filter)
  if (query.label) words.set("label", query.label)
  return `${listPath(kind)}?${words}`
}

/** Write changes of the stream into the cache from now on; returns how to stop. */
export function keepFresh(client: QueryClient = queries): () => void {
  const again = new Set<Kind>()
  const recent = new Map<Kind, Change[]>() // the last ones, for lists that were on their way when they came
  let timer: ReturnType<typeof setTimeout> | undefined

  const readAgain = () => {
    timer = undefined
    for (const kind of again) void client.invalidateQueries({ queryKey: ["window", kind] })
    again.clear()
  }
  const readAgainSoon = () => {
    if (again.size > 0 && !timer) timer = setTimeout(readAgain, AGAIN_MS)
  }

  const hear = (changes: readonly Change[]) => {
    for (const [kind, of] of byKind(changes)) {
      const latest = new Map(of.map(change => [change.resource.id, change]))
      recent.set(kind, [...(recent.get(kind) ?? []), ...of].slice(-RECENT_MAX))
      client.setQueriesData<Rows>({ queryKey: ["all", kind] }, rows => rows && applied(rows, of))
      for (const change of latest.values()) writeOne(client, kind, change)
      let moved = false
      for (const query of client.getQueryCache().findAll({ queryKey: ["window", kind] })) {
        const rows = query.state.data as Rows | undefined
        if (!rows) continue
        moved ||= query.isActive() && (query.queryKey[3] !== "" || comesOrGoes(rows, latest))
        const next = renewed(rows, latest)
        if (next !== rows) client.setQueryData(query.queryKey, next)
      }
      if (moved) again.add(kind)
    }
    readAgainSoon()
  }
  /** What was read may be older than a change that came while it was on its way. */
  const overtake = (kind: Kind, key: string, read: Resource | undefined) => {
    const last = recent
      .get(kind)
      ?.filter(change => change.resource.id === read?.id)
      .at(-1)
    if (!read || !last || (last.resource.revision ?? 0) <= (read.revision ?? 0)) return
    queueMicrotask(() => writeOne(client, kind, last, [key]))
  }
  const stopReading = client.getQueryCache().subscribe(event => {
    if (event.type !== "updated" || event.action.type !== "success" || event.action.manual) return
    const [what, kind, key] = event.query.queryKey as [string, Kind, string]
    if (what === "one") return overtake(kind, key, event.query.state.data as Resource | undefined)
    const rows = event.query.state.data as Rows | undefined
    if ((what !== "window" && what !== "all") || !rows) return
    const missed = (recent.get(kind) ?? []).filter(change => (change.resource.revision ?? 0) > rows.revision)
    if (missed.length === 0) return
    const latest = new Map(missed.map(change => [change.resource.id, change]))
    const next = what === "all" ? applied(rows, missed) : renewed(rows, latest)
    if (next !== rows) queueMicrotask(() => client.setQueryData(event.query.queryKey, next))
    if (what === "all" || (event.query.queryKey[3] === "" && !comesOrGoes(rows, latest))) return
    again.add(kind)
    readAgainSoon()
  })
  const stopHearing = live.hear(hear)
  const stopLosing = live.onLost((before, kinds) => {
    void client.invalidateQueries({
      predicate: ({ queryKey: [what, kind], state }) => {
        if (!kinds.has(PLURAL[kind as Kind])) return false
        return what === "one" || ((state.data as Rows | undefined)?.revision ?? 0) < before
      },
    })
  })
  return () => {
    stopHearing()
    stopLosing()
    stopReading()
    clearTimeout(timer)
  }
}

/** Whether rows came or went: a removal, or something younger than all that the window was read with. */
function comesOrGoes(rows: Rows, latest: ReadonlyMap<string, Change>): boolean {
  if (!movesRows(rows, latest)) return false
  for (const change of latest.values()) {
    if (change.verb === "remove" || change.resource.deleted_at) return true
    const created = (change.resource as { generation?: number }).generation === 1
    if (created && rows.revision < (change.resource.revision ?? 0)) return true
  }
  return false
}

function writeOne(
  client: QueryClient,
  kind: Kind,
  change: Change,
  keys: readonly string[] = [change.resource.id, change.resource.name],
): void {
  for (const key of keys) {
    const old = client.getQueryData<Resource>(["one", kind, key])
    if (!old) {
      // who asked for it was told that it does not exist
      if (change.verb === "put") void client.invalidateQueries({ queryKey: ["one", kind, key], exact: true })
      continue
    }
    if (change.verb === "remove") {
      client.setQueryData<Resource>(["one", kind, key], {
        ...old,
        deleted_at: change.resource.deleted_at ?? Date.now() / 1000,
      })
      void client.invalidateQueries({ queryKey: ["one", kind, key] })
    } else if ((change.resource.revision ?? 0) > (old.revision ?? 0)) {
      client.setQueryData(["one", kind, key], { ...old, ...change.resource })
    }
  }
}

function byKind(changes: readonly Change[]): Map<Kind, Change[]> {
  const kinds = new Map<Kind, Change[]>()
  for (const change of changes) {
    const kind = change.resource.kind as Kind
    const list = kinds.get(kind)
    if (list) list.push(change)
    else kinds.set(kind, [change])
  }
  return kinds
}
