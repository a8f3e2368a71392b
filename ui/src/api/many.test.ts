import { describe, expect, it } from "vitest"
import { eachOf } from "./many"

describe("eachOf", () => {
  it("does each once, and no more than so many at a time", async () => {
    const done: number[] = []
    let now = 0
    let most = 0
    await eachOf([...Array(20).keys()], 3, undefined, async n => {
      now += 1
      most = Math.max(most, now)
      await new Promise(resolve => setTimeout(resolve, 1))
      now -= 1
      done.push(n)
    })
    expect(done.sort((a, b) => a - b)).toEqual([...Array(20).keys()])
    expect(most).toBe(3)
  })
  it("leaves the rest when it is cut", async () => {
    const cut = new AbortController()
    const done: number[] = []
    await eachOf([1, 2, 3, 4], 1, cut.signal, async n => {
      done.push(n)
      if (n === 2) cut.abort()
    })
    expect(done).toEqual([1, 2])
  })
})
