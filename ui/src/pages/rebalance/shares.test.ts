import { describe, expect, it } from "vitest"
import type { Columns } from "../../api/fleet"
import { byFullness, capacityOf, pictureOf } from "./shares"

const GiB = 1024 ** 3
const columns = {
  ids: ["a", "b", "c"],
  names: ["a", "b", "c"],
  cpu_claimed: [0.8, 0.2, 0.5],
  memory_claimed: [0.6, 0.2, 0.4],
} as unknown as Columns
const capacity = new Map(["a", "b", "c"].map(id => [id, { cpus: 10, memory: 100 }]))
const claims = new Map([["vm", { cpus: 3, memory: 20 }]])
const ref = (id: string) => ({ kind: "", id, name: id })
const move = (source: string, target: string) => ({ vm: ref("vm"), source: ref(source), target: ref(target) })

describe("pictureOf", () => {
  it("takes a VM from one node to another", () => {
    const { before, after } = pictureOf(columns, [move("a", "b")], claims, capacity)
    expect(before.map(n => n.cpu)).toEqual([0.8, 0.2, 0.5])
    expect(after.map(n => Number(n.cpu.toFixed(3)))).toEqual([0.5, 0.5, 0.5])
    expect(after.map(n => Number(n.memory.toFixed(3)))).toEqual([0.4, 0.4, 0.4])
  })
  it("counts a VM that moves twice where it ends", () => {
    const { after } = pictureOf(columns, [move("a", "c"), move("c", "b")], claims, capacity)
    expect(after.map(n => Number(n.cpu.toFixed(3)))).toEqual([0.5, 0.5, 0.5])
  })
  it("leaves nodes alone of which it knows no capacity", () =>
    expect(pictureOf(columns, [move("a", "b")], claims, new Map()).after.map(n => n.cpu)).toEqual([
      0.8, 0.2, 0.5,
    ]))
})

describe("capacityOf", () => {
  it("takes off the reserve and counts overcommit", () =>
    expect(
      capacityOf({
        spec: { reserve_cpus: 4, cpu_overcommit: 2, reserve_memory_bytes: GiB, memory_overcommit: 1.5 },
        status: { inventory: { cpus: 20, memory_bytes: 9 * GiB } },
      } as never),
    ).toEqual({ cpus: 32, memory: 12 * GiB }))
})

describe("byFullness", () => {
  it("keeps before and after side by side", () => {
    const ordered = byFullness(pictureOf(columns, [], claims, capacity), "cpu")
    expect(ordered.before.map(n => n.id)).toEqual(["a", "c", "b"])
    expect(ordered.after.map(n => n.id)).toEqual(["a", "c", "b"])
  })
})
