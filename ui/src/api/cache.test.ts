import { QueryClient } from "@tanstack/react-query"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { keepFresh } from "./cache"
import type { Change, Rows } from "./changes"
import { live } from "./live"

const row = (id: string, revision: number, name = id) => ({ kind: "VM", id, name, revision, generation: 1 })
const put = (id: string, revision: number, name = id): Change => ({
  verb: "put",
  resource: row(id, revision, name),
})
const tell = (...changes: Change[]) => {
  for (const hearer of (live as unknown as { hearers: Set<(c: Change[]) => void> }).hearers) hearer(changes)
}
const settled = () => new Promise(resolve => setTimeout(resolve, 0))

describe("keepFresh", () => {
  let client: QueryClient
  let stop: () => void
  const read = (key: unknown[], rows: Rows) =>
    client.fetchQuery({ queryKey: key, queryFn: () => Promise.resolve(rows), staleTime: 0 })

  beforeEach(() => {
    client = new QueryClient()
    stop = keepFresh(client)
  })
  afterEach(() => stop())

  it("writes a change into a list that is there", async () => {
    await read(["all", "VM"], { items: [row("a", 1)], total: 1, revision: 5 })
    tell(put("a", 6, "new"), put("b", 7))
    expect(client.getQueryData<Rows>(["all", "VM"])?.items.map(i => i.name)).toEqual(["new", "b"])
  })
  it("writes it into a list that was on its way when it came", async () => {
    tell(put("b", 7))
    await read(["all", "VM"], { items: [row("a", 1)], total: 1, revision: 5 })
    await settled()
    expect(client.getQueryData<Rows>(["all", "VM"])?.items.map(i => i.name)).toEqual(["a", "b"])
  })
  it("reads a window again that was on its way when a row came", async () => {
    const again = vi.spyOn(client, "invalidateQueries")
    vi.useFakeTimers()
    tell(put("b", 7))
    await read(["window", "VM", "", "", "", 0], { items: [row("a", 1)], total: 1, revision: 5 })
    vi.advanceTimersByTime(1_100)
    vi.useRealTimers()
    expect(again).toHaveBeenCalledWith({ queryKey: ["window", "VM"] })
  })
  it("leaves a window alone that was read after all changes", async () => {
    const again = vi.spyOn(client, "invalidateQueries")
    vi.useFakeTimers()
    tell(put("b", 7))
    again.mockClear()
    await read(["window", "VM", "", "", "", 0], { items: [row("a", 1)], total: 1, revision: 9 })
    vi.advanceTimersByTime(1_100)
    vi.useRealTimers()
    expect(again).not.toHaveBeenCalled()
  })
  it("reads again what is older than the stream that now tells of its kind, and nothing else", async () => {
    await read(["all", "VM"], { items: [], total: 0, revision: 5 })
    await read(["all", "Node"], { items: [], total: 0, revision: 5 })
    await read(["all", "Event"], { items: [], total: 0, revision: 9 })
    for (const hearer of (live as unknown as { lost: Set<(n: number, k: Set<string>) => void> }).lost)
      hearer(8, new Set(["vms", "events"]))
    const stale = client
      .getQueryCache()
      .getAll()
      .filter(query => query.state.isInvalidated)
    expect(stale.map(query => query.queryKey[1])).toEqual(["VM"])
  })
  it("writes a change into a page's resource that was on its way when it came", async () => {
    const reads = (found: Rows["items"][number]) =>
      client.fetchQuery({ queryKey: ["one", "VM", "a"], queryFn: () => Promise.resolve(found), staleTime: 0 })
    tell(put("a", 7, "new"))
    await reads(row("a", 5))
    await settled()
    expect(client.getQueryData<Rows["items"][number]>(["one", "VM", "a"])?.name).toBe("new")
    await reads(row("a", 9, "newest"))
    await settled()
    expect(client.getQueryData<Rows["items"][number]>(["one", "VM", "a"])?.name).toBe("newest")
  })
  it("tells who was told that there is no such thing", async () => {
    const again = vi.spyOn(client, "invalidateQueries")
    tell(put("vm-1", 8, "late"))
    expect(again).toHaveBeenCalledWith({ queryKey: ["one", "VM", "late"], exact: true })
  })
})
