import { describe, expect, it } from "vitest"
import { applied, type Change, movesRows, type Rows, renewed } from "./changes"

const row = (id: string, revision: number, name = id) => ({ kind: "VM", id, name, revision })
const rows: Rows = { items: [row("a", 1), row("b", 2)], total: 2, revision: 5 }
const put = (id: string, revision: number, name = id): Change => ({
  verb: "put",
  resource: row(id, revision, name),
})
const remove = (id: string): Change => ({ verb: "remove", resource: row(id, 99) })
const latest = (...changes: Change[]) => new Map(changes.map(c => [c.resource.id, c]))

describe("applied", () => {
  it("takes a newer version", () => {
    expect(applied(rows, [put("a", 6, "new")]).items[0]?.name).toBe("new")
  })
  it("leaves an older version aside, and the same object", () => {
    expect(applied(rows, [put("b", 1, "old")])).toBe(rows)
  })
  it("adds what is new, and counts it", () => {
    const next = applied(rows, [put("c", 7)])
    expect(next.items.map(i => i.id)).toEqual(["a", "b", "c"])
    expect(next.total).toBe(3)
  })
  it("takes away what is gone, and counts it", () => {
    const next = applied(rows, [remove("a")])
    expect(next.items.map(i => i.id)).toEqual(["b"])
    expect(next.total).toBe(1)
  })
  it("does nothing for the removal of what it does not have", () => {
    expect(applied(rows, [remove("z")])).toBe(rows)
  })
})

describe("renewed", () => {
  it("renews a row in its place", () => {
    const next = renewed(rows, latest(put("b", 9, "new")))
    expect(next.items.map(i => i.name)).toEqual(["a", "new"])
    expect(next.items[0]).toBe(rows.items[0])
  })
  it("neither adds nor removes", () => {
    expect(renewed(rows, latest(put("c", 9), remove("a")))).toBe(rows)
  })
})

describe("movesRows", () => {
  it("is false for a change of a row on screen", () => {
    expect(movesRows(rows, latest(put("a", 9)))).toBe(false)
  })
  it("is true for a removal and for a stranger", () => {
    expect(movesRows(rows, latest(remove("a")))).toBe(true)
    expect(movesRows(rows, latest(put("c", 9)))).toBe(true)
  })
})
