import { describe, expect, it } from "vitest"
import { withRow } from "./facts"

const one = { names: ["cpu"], at: [1], rows: { cpu: [0.1] } }

describe("withRow", () => {
  it("adds a row", () => {
    expect(withRow(one, 2, { cpu: 0.2 })).toEqual({ names: ["cpu"], at: [1, 2], rows: { cpu: [0.1, 0.2] } })
  })
  it("leaves out what it has already", () => {
    expect(withRow(one, 1, { cpu: 0.9 })).toBe(one)
  })
  it("takes a figure that is told for the first time", () => {
    expect(withRow(one, 2, { memory: 5 }).rows).toEqual({ cpu: [0.1, null], memory: [null, 5] })
  })
  it("keeps no more than ten minutes and a bit", () => {
    let series = one
    for (let at = 2; at < 900; at++) series = withRow(series, at, { cpu: 0 }) as typeof one
    expect(series.at.length).toBe(600)
    expect(series.rows.cpu.length).toBe(600)
    expect(series.at.at(-1)).toBe(899)
  })
})
