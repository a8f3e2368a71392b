import { describe, expect, it } from "vitest"
import type { Attention } from "../../api/fleet"
import { groupsOf } from "./groups"

const one = (news: Partial<Attention>): Attention => ({
  severity: "warning",
  kind: "Node",
  id: "n",
  name: "n",
  code: "node.slow",
  message: "",
  next_step: "Look.",
  command: "",
  ...news,
})

describe("groupsOf", () => {
  it("puts together what differs only in what it is about", () => {
    const groups = groupsOf([one({ id: "a" }), one({ id: "b" }), one({ id: "c", code: "node.lost" })])
    expect(groups.map(g => g.all.map(a => a.id))).toEqual([["a", "b"], ["c"]])
  })
  it("keeps apart what has another next step", () =>
    expect(groupsOf([one({}), one({ next_step: "Wait." })])).toHaveLength(2))
  it("has the most severe first, what it does not know last, and else the server's order", () => {
    const told = ["info", "strange", "warning", "critical", "warning"].map((severity, n) =>
      one({ severity, code: String(n) }),
    )
    expect(groupsOf(told).map(g => g.all[0]?.code)).toEqual(["3", "2", "4", "0", "1"])
  })
  it("is empty when all is well", () => expect(groupsOf([])).toEqual([]))
})
