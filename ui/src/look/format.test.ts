import { describe, expect, it } from "vitest"
import { ago, bytes, percent, serverNowS, setServerTime, span } from "./format"

const GiB = 1024 ** 3

describe("bytes", () => {
  const rows: [number | null, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1.5 * GiB, "1.5 GiB"],
    [2 * GiB, "2 GiB"],
    [255.5 * GiB, "256 GiB"],
    [-GiB, "-1 GiB"],
    [null, "–"],
    [Number.NaN, "–"],
  ]
  it.each(rows)("%s is %s", (value, text) => expect(bytes(value)).toBe(text))
})

describe("span", () => {
  const rows: [number, string][] = [
    [0.25, "250 ms"],
    [1.44, "1.4 s"],
    [59, "59 s"],
    [75, "1 min 15 s"],
    [3_720, "1 h 2 min"],
  ]
  it.each(rows)("%s s is %s", (value, text) => expect(span(value)).toBe(text))
})

describe("percent", () => {
  it("rounds", () => expect(percent(0.926, 1)).toBe("92.6 %"))
  it("says when it does not know", () => expect(percent(null)).toBe("–"))
})

describe("times", () => {
  it("are told by the server's clock, not by the browser's", () => {
    const server = Date.now() / 1000 - 7200 // the browser is two hours ahead
    setServerTime(server)
    expect(Math.abs(serverNowS() - server)).toBeLessThan(1)
    expect(ago(server - 60)).toMatch(/1 minute ago|1分钟前/)
    setServerTime(Date.now() / 1000)
  })
})
