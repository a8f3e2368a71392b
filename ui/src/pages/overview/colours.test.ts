import { describe, expect, it } from "vitest"
import { LEGEND, shareColour } from "./colours"

describe("shareColour", () => {
  it.each(["light", "dark"] as const)("has a colour of its own for each step of the legend (%s)", theme => {
    expect(new Set(LEGEND.map(share => shareColour(share, theme))).size).toBe(LEGEND.length)
  })
  const rows: [string, number | null, number | null][] = [
    ["all is taken, and no more: hot, not over", 1, 0.95],
    ["a rounding above it is not over", 1.004, 0.95],
    ["below nothing", -0.1, 0],
    ["just below hot", 0.899, 0.8],
  ]
  it.each(rows)("%s", (_, share, like) =>
    expect(shareColour(share, "light")).toBe(shareColour(like, "light")),
  )
})
