import { describe, expect, it } from "vitest"
import { begunWith, edited } from "./edited"
import { type Field, initialValues } from "./fields"

const fields: Field[] = [
  { name: "summary", label: "", kind: "text" },
  { name: "weights.cpu", label: "", kind: "number" },
  { name: "auto", label: "", kind: "check" },
]
const before = { summary: "old", weights: { cpu: 0.4, gpu: 0.2 }, auto: true, kept: [1] }

describe("edited", () => {
  const begun = begunWith(fields, before)
  const filled = (change: Record<string, string | boolean>) =>
    edited(begun, { ...initialValues(begun), ...change }, before)
  it("changes nothing by itself", () => expect(filled({})).toEqual(before))
  it("keeps what the form does not show", () =>
    expect(filled({ "weights.cpu": "1" })).toEqual({ ...before, weights: { cpu: 1, gpu: 0.2 } }))
  it("leaves out what was emptied", () =>
    expect(filled({ summary: "" })).toEqual({ weights: before.weights, auto: true, kept: [1] }))
  it("says no where a check was taken away", () => expect(filled({ auto: false }).auto).toBe(false))
  it("leaves the spec that it began with alone", () => {
    filled({ "weights.cpu": "9" })
    expect(before.weights.cpu).toBe(0.4)
  })
})
