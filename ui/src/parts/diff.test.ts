import { describe, expect, it } from "vitest"
import { aroundChanges, diffLines, isSame } from "./diff"

const shown = (before: string, after: string) => diffLines(before, after).map(l => l.sign + l.text)

describe("diffLines", () => {
  it("finds nothing in equal texts", () => {
    expect(isSame(diffLines("a\nb", "a\nb"))).toBe(true)
  })
  it("keeps what both have", () => {
    expect(shown("a\nb\nc", "a\nx\nc")).toEqual([" a", "-b", "+x", " c"])
  })
  it("sees lines that only came", () => {
    expect(shown("a", "a\nb")).toEqual([" a", "+b"])
  })
  it("sees lines that only went", () => {
    expect(shown("a\nb", "b")).toEqual(["-a", " b"])
  })
  it("gives both texts back", () => {
    const before = "1\n2\n3\n4\n5"
    const after = "0\n2\n4\n4\n6"
    const lines = diffLines(before, after)
    expect(
      lines
        .filter(l => l.sign !== "+")
        .map(l => l.text)
        .join("\n"),
    ).toBe(before)
    expect(
      lines
        .filter(l => l.sign !== "-")
        .map(l => l.text)
        .join("\n"),
    ).toBe(after)
  })
})

describe("aroundChanges", () => {
  it("leaves out what is far from any change", () => {
    const lines = diffLines("1\n2\n3\n4\n5\n6\n7", "1\n2\n3\n4\n5\n6\nx")
    expect(aroundChanges(lines, 1).map(l => (l ? l.sign + l.text : "…"))).toEqual(["…", " 6", "-7", "+x"])
  })
})
