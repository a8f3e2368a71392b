import { describe, expect, it } from "vitest"
import type { Operation } from "../../api/kinds"
import { drawnSteps, tookS } from "./steps"

const status = (state: string, ...ends: (number | null)[]) =>
  ({
    state,
    ended_at: state === "running" ? null : 50,
    steps: ends.map((ended_at, n) => ({ name: `s${n}`, started_at: 10 * (n + 1), ended_at })),
  }) as unknown as Operation["status"]
const states = (of: Operation["status"]) => drawnSteps({ status: of }, 100).map(s => s.state)

describe("drawnSteps", () => {
  it("goes on with the step that has not ended", () =>
    expect(states(status("running", 20, null))).toEqual(["done", "going"]))
  it("counts a step that goes on up to now", () =>
    expect(drawnSteps({ status: status("running", 20, null) }, 100)[1]?.tookS).toBe(80))
  it("failed where it stopped", () => expect(states(status("failed", 20, null))).toEqual(["done", "failed"]))
  it("was cancelled where it stopped", () =>
    expect(states(status("cancelled", 20, 30))).toEqual(["done", "cancelled"]))
  it("is done when it succeeded", () => expect(states(status("succeeded", 20, 30))).toEqual(["done", "done"]))
  it("counts to the end of the operation where a step was not ended", () =>
    expect(drawnSteps({ status: status("failed", null) }, 100)[0]?.tookS).toBe(40))
})

describe("tookS", () => {
  const operation = (state: string) => ({ created_at: 40, status: status(state) })
  it("goes on while it runs", () => expect(tookS(operation("running"), 45)).toBe(5))
  it("stops with it", () => expect(tookS(operation("failed"), 99)).toBe(10))
})
