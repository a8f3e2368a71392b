import { describe, expect, it } from "vitest"
import type { Schemas } from "../../api/client"
import { asTree } from "./tree"

const snap = (id: string, parent: string | null, created_at: number) =>
  ({
    kind: "Snapshot",
    id,
    name: id,
    created_at,
    spec: { vm: "vm-1", parent },
  }) as unknown as Schemas["Snapshot"]

const shown = (...all: Schemas["Snapshot"][]) => asTree(all).map(b => "-".repeat(b.depth) + b.snapshot.id)

describe("asTree", () => {
  it("puts children under their parent, the older first", () => {
    expect(shown(snap("c", "a", 3), snap("a", null, 1), snap("b", "a", 2))).toEqual(["a", "-b", "-c"])
  })
  it("makes a root of one whose parent is gone", () => {
    expect(shown(snap("b", "gone", 2), snap("d", "b", 3))).toEqual(["b", "-d"])
  })
  it("shows each exactly once", () => {
    expect(shown(snap("a", null, 1), snap("b", "a", 2), snap("c", "b", 3), snap("d", "a", 4))).toEqual([
      "a",
      "-b",
      "--c",
      "-d",
    ])
  })
})
