import { describe, expect, it } from "vitest"
import { counted, drainOf, empties } from "./moves"

describe("drainOf", () => {
  it("is planning without moves where nothing is told", () =>
    expect(drainOf({})).toEqual({ phase: "planning", moves: [], behind: [], trouble: null }))
  it("fills in what a move leaves out", () => {
    const [move] = drainOf({
      status: { phase: "moving", moves: [{ vm: "v", source: "a", target: "b" }] },
    }).moves
    expect(move).toMatchObject({ vm: "v", state: "waiting", wave: 0, trouble: null })
  })
})

describe("empties", () => {
  const rows: [string, Parameters<typeof empties>[0], boolean][] = [
    ["planned, of this node", { spec: { nodes: ["n"] } }, true],
    ["moving, of this node among others", { spec: { nodes: ["m", "n"] }, status: { phase: "moving" } }, true],
    ["done", { spec: { nodes: ["n"] }, status: { phase: "done" } }, false],
    ["of another node", { spec: { nodes: ["m"] } }, false],
    ["for balance, of no node", {}, false],
  ]
  it.each(rows)("%s", (_, told, is) => expect(empties(told, "n")).toBe(is))
})

describe("counted", () => {
  const moves = (...states: ("done" | "moving" | "waiting" | "dropped" | "failed")[]) =>
    drainOf({ status: { moves: states.map(state => ({ state, vm: "v", source: "m", target: "n" })) } }).moves
  it("leaves out what was planned anew", () =>
    expect(counted(moves("done", "dropped", "moving", "waiting", "failed"))).toEqual({ done: 1, total: 4 }))
  it("counts nothing of nothing", () => expect(counted([])).toEqual({ done: 0, total: 0 }))
})
