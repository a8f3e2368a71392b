import { describe, expect, it } from "vitest"
import type { Field } from "../../parts/fields"
import { commandOf, requestOf } from "./new"

const text = (name: string): Field => ({ name, label: name, kind: "text" })
const fields: Field[] = [
  ...["name", "image", "size", "pool", "network", "memory", "groups"].map(text),
  { name: "user_data", label: "user_data", kind: "area" },
]

describe("requestOf", () => {
  it("makes one disk and one NIC", () => {
    const values = { name: "web", image: "debian", size: "20GiB", pool: "fast", network: "lan" }
    expect(requestOf(fields, values)).toEqual({
      name: "web",
      disks: [{ image: "debian", size: "20GiB", pool: "fast" }],
      nics: [{ network: "lan" }],
    })
  })
  it("makes neither without a word about them: a pool alone is no disk", () => {
    expect(requestOf(fields, { name: "web", pool: "fast" })).toEqual({ name: "web" })
  })
  it("puts the guest's first boot and the group where the API has them", () => {
    expect(requestOf(fields, { name: "web", user_data: "#cloud-config\n", groups: "db" })).toEqual({
      name: "web",
      cloud_init: { user_data: "#cloud-config\n" },
      groups: ["db"],
    })
  })
})

describe("commandOf", () => {
  it("quotes what a shell would read otherwise", () => {
    expect(commandOf({ name: "a b", memory: "4GiB", running: false })).toBe(
      "corral vm create 'a b' --memory 4GiB --no-start",
    )
  })
  it("says each label", () => {
    expect(commandOf({ name: "web", labels: "env=prod, team=a" })).toBe(
      "corral vm create web --label env=prod --label team=a",
    )
  })
})
