import { describe, expect, it } from "vitest"
import { type Cell, type Columns, cellAt, withNews } from "./fleet"

const columns: Columns = {
  revision: 5,
  ids: ["a", "b"],
  names: ["one", "two"],
  phases: ["ready", "ready"],
  racks: ["r1", "r2"],
  cpu_claimed: [0.1, 0.2],
  memory_claimed: [0.3, 0.4],
  cpu_used: [null, 0.5],
  memory_used: [null, 0.6],
  vms: [1, 2],
}
const cell = (id: string, news: Partial<Cell> = {}): Cell => ({
  id,
  name: id,
  phase: "lost",
  rack: "r1",
  cpu_claimed: 0.9,
  memory_claimed: 0.8,
  cpu_used: 0.7,
  memory_used: null,
  vms: 9,
  ...news,
})

describe("withNews", () => {
  it("renews a node where it is, and no other", () => {
    const two = cell("b", { rack: "r2", name: "two" })
    const next = withNews(columns, { revision: 6, rows: [two], removed: [] })
    expect(cellAt(next, 1)).toEqual(two)
    expect(cellAt(next, 0)).toEqual(cellAt(columns, 0))
    expect(next.revision).toBe(6)
    expect([next.racks, next.names]).toEqual([columns.racks, columns.names])
    expect(next.racks).toBe(columns.racks) // nothing is laid out anew
    expect(next.names).toBe(columns.names)
  })
  it("puts new nodes at the end", () => {
    const next = withNews(columns, { revision: 6, rows: [cell("c"), cell("d")], removed: [] })
    expect(next.ids).toEqual(["a", "b", "c", "d"])
    expect(cellAt(next, 3)).toEqual(cell("d"))
  })
  it("takes removed nodes out of every column", () => {
    const next = withNews(columns, { revision: 6, rows: [], removed: ["a", "never there"] })
    expect(next.ids).toEqual(["b"])
    expect(cellAt(next, 0)).toEqual(cellAt(columns, 1))
    expect(Object.values(next).every(column => !Array.isArray(column) || column.length === 1)).toBe(true)
  })
  it("gives the same columns when nothing is new", () =>
    expect(withNews(columns, { revision: 6, rows: [], removed: [] })).toBe(columns))
  it("leaves what it was given as it was", () => {
    const before = structuredClone(columns)
    withNews(columns, { revision: 6, rows: [cell("a"), cell("c")], removed: ["b"] })
    expect(columns).toEqual(before)
  })
})
