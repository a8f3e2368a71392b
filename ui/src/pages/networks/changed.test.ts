import { describe, expect, it } from "vitest"
import type { Field } from "../../parts/fields"
import { changedOnly } from "./changed"

const fields: Field[] = [
  { name: "domain", label: "", kind: "text" },
  { name: "mtu", label: "", kind: "number" },
  { name: "subnet.dns", label: "", kind: "words" },
  { name: "subnet.dhcp", label: "", kind: "check" },
]
const before = { domain: "a.example", mtu: "1500", "subnet.dns": "10.0.0.2", "subnet.dhcp": true }
const changed = (values: Record<string, string | boolean>) =>
  changedOnly(fields, before, { ...before, ...values })

describe("changedOnly", () => {
  it("is nothing where nothing was changed", () => expect(changed({})).toEqual({}))
  it("has what was changed, in its type", () =>
    expect(changed({ mtu: "9000", "subnet.dhcp": false })).toEqual({ mtu: 9000, subnet: { dhcp: false } }))
  it("has what was emptied", () =>
    expect(changed({ domain: "", "subnet.dns": "" })).toEqual({ domain: "", subnet: { dns: [] } }))
  it("has lists as lists", () =>
    expect(changed({ "subnet.dns": "1.1.1.1, 9.9.9.9" })).toEqual({
      subnet: { dns: ["1.1.1.1", "9.9.9.9"] },
    }))
})
