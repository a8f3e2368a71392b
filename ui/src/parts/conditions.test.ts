import { describe, expect, it } from "vitest"
import { addressOf, chosenIn, condition, isWanted, queryOf, type Wanted } from "./conditions"

const wanted: Wanted[] = [
  { key: "name", label: "Name", path: "name", operator: "~" },
  { key: "state", label: "State", path: "status.state", operator: "=", choices: [] },
]

describe("conditions", () => {
  it("go into the address and back", () => {
    const chosen = { name: "a b&c", state: "running" }
    expect(chosenIn(wanted, addressOf(chosen, "name", "name"))).toEqual(chosen)
  })
  it("leave an address bare where nothing is looked for", () =>
    expect(addressOf({ name: "", state: "" }, "name", "name")).toBe(""))
  it("keep an order that is not the usual one", () =>
    expect(addressOf({}, "-created_at", "name")).toBe("sort=-created_at"))
  it("become those of the API, behind the page's own", () =>
    expect(queryOf(wanted, { name: "web", state: "running" }, "name", "spec.network=net-1")).toEqual({
      sort: "name",
      filter: "spec.network=net-1,name~web,status.state=running",
    }))
  it("are quoted where they have signs in them", () =>
    expect(condition("name", "~", 'a,"b\\')).toBe('name~"a,\\"b\\\\"'))
  it("know whether anything is looked for", () => {
    expect(isWanted({ name: "", state: "" })).toBe(false)
    expect(isWanted({ name: "x", state: "" })).toBe(true)
  })
})
