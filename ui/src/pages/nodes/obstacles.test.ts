import { describe, expect, it } from "vitest"
import { obstaclesOf } from "./obstacles"

const vm = { kind: "VM", id: "vm", name: "vm" }
const obstacle = (code: string) => ({ code, message: `says ${code}`, hint: "" })
const at = (name: string, ...codes: string[]) => ({
  node: { kind: "Node", id: name, name },
  fits: codes.length === 0,
  forecast: null as never,
  obstacles: codes.map(obstacle),
})

describe("obstaclesOf", () => {
  it("says what the VM itself has in the way, and nothing of nodes", () => {
    const found = obstaclesOf({ vm, obstacles: [obstacle("device")], nodes: [at("a", "full")] })
    expect(found.map(o => o.code)).toEqual(["device"])
  })
  it("says what is in the way on most nodes, two at most", () => {
    const nodes = [at("a", "rare"), at("b", "full"), at("c", "full", "cordoned"), at("d", "cordoned", "full")]
    expect(obstaclesOf({ vm, obstacles: [], nodes }).map(o => o.code)).toEqual(["full", "cordoned"])
  })
  it("has nothing to say where there is no other node", () =>
    expect(obstaclesOf({ vm, obstacles: [], nodes: [] })).toEqual([]))
})
