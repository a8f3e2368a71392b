import { describe, expect, it } from "vitest"
import { ruleOf, rulesOf, ruleText } from "./rules"

describe("rules", () => {
  const lines = [
    "anti-affinity,node",
    "anti-affinity,rack,weight=0.5",
    "affinity,nodes=disk=fast",
    "affinity,nodes=disk=fast,nodes=node3,weight=2",
  ]
  it.each(lines)("%s goes there and back", line => expect(ruleText(ruleOf(line))).toBe(line))
  it("with a weight is a preference", () =>
    expect(ruleOf("anti-affinity,rack,weight=0.5")).toEqual({
      kind: "anti-affinity",
      domain: "rack",
      required: false,
      weight: 0.5,
    }))
  it("take a line each", () =>
    expect(rulesOf("affinity,rack\n\n anti-affinity \n").map(r => r.kind)).toEqual([
      "affinity",
      "anti-affinity",
    ]))
  it("leave it to the server to refuse what is no rule", () =>
    expect(ruleOf("nonsense")).toEqual({ kind: "nonsense" }))
})
