import { describe, expect, it } from "vitest"
import { graphOf, placed, spread } from "./graph"

const networks = [
  { id: "net-a", name: "lan" },
  { id: "net-b", name: "unused" },
]
const node = {
  id: "node-1",
  name: "one",
  status: { phase: "ready", networks: { "net-a": {}, "net-gone": {} } },
}
const vm = (id: string, on: string | null, ...nics: string[]) => ({
  id,
  name: id,
  spec: { nics: nics.map(network => ({ network })) },
  status: { phase: "running", node: on },
})

describe("graphOf", () => {
  const graph = graphOf({
    networks,
    nodes: [node],
    vms: [vm("vm-1", "node-1", "net-a", "net-a"), vm("vm-2", "elsewhere"), vm("vm-3", null, "net-gone")],
  })
  it("has what belongs to the picture, and no network that nobody is on", () =>
    expect(graph.items.map(i => i.id)).toEqual(["net-a", "node-1", "vm-1", "vm-2", "vm-3"]))
  it("links each pair once, and only to what is there", () =>
    expect(graph.links).toEqual([
      ["node-1", "vm-1"],
      ["net-a", "vm-1"],
      ["net-a", "node-1"],
    ]))
})

describe("placed", () => {
  it("gives everything a place of its own, networks left of nodes left of VMs", () => {
    const vms = Array.from({ length: 95 }, (_, n) => vm(`vm-${n}`, "node-1", "net-a"))
    const places = placed(graphOf({ networks, nodes: [node], vms }))
    expect(new Set(places.map(p => `${p.x} ${p.y}`)).size).toBe(97)
    expect(places.every(p => p.x > 0 && p.x < 1 && p.y > 0 && p.y < 1)).toBe(true)
    const right = (kind: string) => Math.max(...places.filter(p => p.kind === kind).map(p => p.x))
    const left = (kind: string) => Math.min(...places.filter(p => p.kind === kind).map(p => p.x))
    expect(right("Network")).toBeLessThan(left("Node"))
    expect(right("Node")).toBeLessThan(left("VM"))
  })
  it("is empty of nothing", () => expect(placed({ items: [], links: [] })).toEqual([]))
})

describe("spread", () => {
  const place = (x: number, y: number) => ({ kind: "VM" as const, id: "", name: "", phase: "", x, y })
  it("takes the whole width and height", () =>
    expect(spread([place(0.2, 0.5), place(0.4, 0.6), place(0.6, 0.9)], 100, 50)).toEqual([
      place(0, 0),
      expect.objectContaining({ x: expect.closeTo(50) }),
      place(100, 50),
    ]))
  it("puts one alone into the middle", () =>
    expect(spread([place(0.3, 0.3)], 100, 50)).toEqual([place(50, 25)]))
})
