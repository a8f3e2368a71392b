import { describe, expect, it } from "vitest"
import { cellUnder, layoutCells as layoutNamed, moved } from "./layout"

const racksOf = (nodes: number, each: number) =>
  Array.from({ length: nodes }, (_, n) => `r${Math.floor(n / each) + 1}`)

const layoutCells = (racks: string[], width: number, heightMax: number, names: string[] = []) =>
  layoutNamed(racks, names, width, heightMax)

describe("layoutCells", () => {
  const rows: [string, string[], number, number][] = [
    ["one node", racksOf(1, 20), 800, 400],
    ["a few", racksOf(12, 20), 800, 400],
    ["5,000 in 250 racks", racksOf(5_000, 20), 1_100, 420],
    ["5,000 in one rack", racksOf(5_000, 5_000), 1_100, 420],
    ["5,000 without racks", new Array(5_000).fill(""), 1_100, 420],
    ["each in its own rack", racksOf(300, 1), 1_100, 420],
  ]
  it.each(rows)("%s: all are visible, none over another", (_, racks, width, height) => {
    const layout = layoutCells(racks, width, height)
    expect(layout.height).toBeLessThanOrEqual(height)
    const taken = new Set(racks.map((_, n) => `${layout.x[n]},${layout.y[n]}`))
    expect(taken.size).toBe(racks.length)
    for (let n = 0; n < racks.length; n += 1) {
      expect(layout.x[n]).toBeGreaterThanOrEqual(0)
      expect((layout.x[n] ?? 0) + layout.step).toBeLessThanOrEqual(width)
      expect(cellUnder(layout, (layout.x[n] ?? 0) + 1, (layout.y[n] ?? 0) + 1)).toBe(n)
    }
  })

  it("gives 5,000 cells a size that can be seen and hit", () => {
    expect(layoutCells(racksOf(5_000, 20), 1_100, 420).step).toBeGreaterThanOrEqual(6)
  })
  it("grows higher rather than smaller than can be seen", () => {
    const layout = layoutCells(racksOf(60_000, 20), 1_100, 420)
    expect(layout.step).toBe(5)
    expect(layout.height).toBeGreaterThan(420)
  })
  it("puts rack 2 before rack 10, and no rack last", () => {
    const names = layoutCells(["", "r10", "r2"], 800, 400).racks.map(rack => rack.name)
    expect(names).toEqual(["r2", "r10", ""])
  })
  it("puts nodes in order of their names", () =>
    expect([...layoutCells(["r", "r", "r"], 800, 400, ["n10", "n1", "n2"]).order]).toEqual([1, 2, 0]))
  it("has no nodes", () => expect(layoutCells([], 800, 400).height).toBe(0))
})

describe("moved", () => {
  const layout = layoutCells(racksOf(40, 20), 800, 400) // two racks side by side
  const right = moved(layout, 0, "ArrowRight")
  const rows: [string, number, string, number | undefined][] = [
    ["right", 0, "ArrowRight", 1],
    ["left at the start stays", 0, "ArrowLeft", 0],
    ["right at the end of a rack goes on in the next", 19, "ArrowRight", 20],
    ["home", 30, "Home", 0],
    ["end", 3, "End", 39],
    ["up at the top stays", 2, "ArrowUp", 2],
    ["another key", 2, "x", undefined],
  ]
  it.each(rows)("%s", (_, from, key, to) => expect(moved(layout, from, key)).toBe(to))
  it("down and up again ends where it began", () => {
    const down = moved(layout, 1, "ArrowDown") ?? -1
    expect(layout.x[down]).toBe(layout.x[1])
    expect(layout.y[down]).toBe((layout.y[1] ?? 0) + layout.step)
    expect(moved(layout, down, "ArrowUp")).toBe(right)
  })
})

describe("cellUnder", () => {
  it("is none beside the cells", () => expect(cellUnder(layoutCells(["a"], 800, 400), 700, 300)).toBe(-1))
})
