import { describe, expect, it } from "vitest"
import { roomOf, takenShare } from "./room"

const node = (id: string, total_bytes: number, free_bytes: number, ready = true) => ({
  id,
  name: id,
  status: { pools: { p: { total_bytes, free_bytes, ready, marker: "", trouble: null } } },
})
const nodes = [node("a", 100, 40), node("b", 100, 50), node("c", 100, 100, false), { id: "d", name: "d" }]

describe("roomOf", () => {
  it("adds up what each node has by itself", () =>
    expect(roomOf({ id: "p", spec: {} }, nodes)).toMatchObject({ total: 200, free: 90, ready: 2 }))
  it("counts a shared pool once", () =>
    expect(roomOf({ id: "p", spec: { shared: true } }, nodes)).toMatchObject({ total: 100, free: 40 }))
  it("tells of nodes that can't use it too", () =>
    expect(roomOf({ id: "p", spec: {} }, nodes).seen.map(s => s.id)).toEqual(["a", "b", "c"]))
  it("knows nothing of a pool that nobody sees", () =>
    expect(takenShare(roomOf({ id: "q", spec: {} }, nodes))).toBeNull())
})
