import { describe, expect, it } from "vitest"
import { againAfter, isKnown } from "./closing"

describe("againAfter", () => {
  const rows: [string, number, number, number | null][] = [
    ["a VM that moved is there at once", 4409, 0, 300],
    ["what the guest ended stays closed", 1000, 0, null],
    ["rights that ended stay ended", 4401, 0, null],
    ["a VM that is gone stays gone", 4404, 0, null],
    ["a broken connection is tried again", 1006, 0, 500],
    ["later each time", 1006, 3, 4000],
    ["and not for ever", 1006, 8, null],
    ["a server that stops comes back", 1001, 1, 1000],
  ]
  it.each(rows)("%s", (_, code, tries, ms) => expect(againAfter(code, tries)).toBe(ms))
})

describe("isKnown", () => {
  it("knows what the server says, not what browsers say", () => {
    expect(isKnown(4409)).toBe(true)
    expect(isKnown(1006)).toBe(false)
  })
})
