import { describe, expect, it } from "vitest"
import { fromAddress, isFiltered, NO_FILTERS, readViews, toAddress, toQuery, withView } from "./filters"

const some = { ...NO_FILTERS, name: "web", phase: "running", label: "env=prod", expression: "spec.cpus>=4" }

describe("filters", () => {
  it("go into the address and back", () => expect(fromAddress(toAddress(some))).toEqual(some))
  it("leave an unfiltered address bare", () => expect(toAddress(NO_FILTERS)).toBe(""))
  it("become conditions of the API", () => {
    expect(toQuery(some)).toEqual({
      sort: "name",
      filter: "name~web,status.phase=running,spec.cpus>=4",
      label: "env=prod",
    })
  })
  it("know whether they filter: an order does not", () => {
    expect(isFiltered(some)).toBe(true)
    expect(isFiltered({ ...NO_FILTERS, sort: "-created_at" })).toBe(false)
  })
})

describe("views", () => {
  it("are nothing where something else is kept", () => {
    expect(readViews({ getItem: () => "{broken" })).toEqual([])
    expect(readViews({ getItem: () => '[{"name":1}]' })).toEqual([])
  })
  it("replace one of the same name", () => {
    const views = withView(withView([], { name: "b", search: "1" }), { name: "a", search: "2" })
    expect(withView(views, { name: "b", search: "3" })).toEqual([
      { name: "a", search: "2" },
      { name: "b", search: "3" },
    ])
  })
})
